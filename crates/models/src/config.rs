//! Reading `config.json`: every value is there, or the published default is stated in the family's
//! file, or it is an error that names the file and the key.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Result};

/// A parsed `config.json` that knows where it is from.
#[derive(Clone, Debug)]
pub struct ConfigJson {
    source: String,
    value: Value,
}

impl ConfigJson {
    /// Parses the text of a `config.json`; `source` is its name in messages.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(source: &str, text: &str) -> Result<Self> {
        let error = |message| Error::Config { file: source.to_owned(), message };
        let value: Value = serde_json::from_str(text)
            .map_err(|fault| error(format!("this is not valid JSON: {fault}")))?;
        if !value.is_object() {
            return Err(error("a model's configuration is a JSON object".to_owned()));
        }
        Ok(Self { source: source.to_owned(), value })
    }

    /// A configuration made by this program, named `source` in messages.
    #[must_use]
    pub fn new(source: &str, value: Value) -> Self {
        Self { source: source.to_owned(), value }
    }

    /// The same with the published defaults of the keys that are absent. A key that is there as
    /// null stays null.
    #[must_use]
    pub fn with_defaults(&self, defaults: Value) -> Self {
        let mut complete = self.clone();
        if let (Value::Object(keys), Value::Object(defaults)) = (&mut complete.value, defaults) {
            for (key, value) in defaults {
                keys.entry(key).or_insert(value);
            }
        }
        complete
    }

    /// Another object of the same file.
    #[must_use]
    pub fn with_value(&self, value: Value) -> Self {
        Self { source: self.source.clone(), value }
    }

    /// The JSON object.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// An error about this configuration.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error::Config { file: self.source.clone(), message: message.into() }
    }

    /// The value of a key that has to be there.
    ///
    /// # Errors
    /// When it is not there or has another type.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        self.find(key)?.ok_or_else(|| self.error(format!("the key `{key}` is missing")))
    }

    /// The value of a key, or the published default where it is absent or null.
    ///
    /// # Errors
    /// When it has another type.
    pub fn get_or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    /// The value of a key, `None` where it is absent or null.
    ///
    /// # Errors
    /// When it has another type.
    pub fn find<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        match &self.value[key] {
            Value::Null => Ok(None),
            value => serde_json::from_value(value.clone())
                .map(Some)
                .map_err(|fault| self.error(format!("`{key}` is {value}: {fault}"))),
        }
    }

    /// The object under a key, `None` where it is absent or null.
    #[must_use]
    pub fn object(&self, key: &str) -> Option<Self> {
        let value = &self.value[key];
        value.is_object().then(|| Self::new(&format!("{} `{key}`", self.source), value.clone()))
    }

    /// Refuses a variant that is not implemented: where the key is there, it must have the only
    /// value that is.
    ///
    /// # Errors
    /// When it has another.
    pub fn only(&self, key: &str, supported: impl Into<Value>) -> Result<()> {
        let (found, supported) = (&self.value[key], supported.into());
        if found.is_null() || *found == supported {
            return Ok(());
        }
        Err(self.error(format!("`{key}` is {found}; only {supported} is supported")))
    }
}

impl ConfigJson {
    /// A bound that numbers approach, `None` where the key is absent or null.
    ///
    /// # Errors
    /// When it is not a positive number.
    pub fn bound(&self, key: &str) -> Result<Option<f32>> {
        match self.find::<f32>(key)? {
            Some(cap) if !(cap > 0.0 && cap.is_finite()) => {
                Err(self.error(format!("`{key}` is {cap}; a bound is a positive number")))
            }
            cap => Ok(cap),
        }
    }
}

/// A block's kind in `layer_types` that has a window.
const WINDOWED: &str = "sliding_attention";
/// A block's kind in `layer_types` that has none.
const FULL: &str = "full_attention";

impl ConfigJson {
    /// `sliding_window`: how many tokens a token sees, all earlier ones if `None`.
    ///
    /// # Errors
    /// When it is not a number of at least 1.
    pub fn window(&self) -> Result<Option<usize>> {
        match self.find("sliding_window")? {
            Some(0) => Err(self.error("`sliding_window` is 0; a token sees itself at least")),
            window => Ok(window),
        }
    }

    /// The window of each block: `layer_types` says which have one, or `by_rule` where a file has
    /// no such list.
    ///
    /// # Errors
    /// When the list has not one known kind for each block.
    pub fn windows(
        &self,
        num_layers: usize,
        by_rule: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let window = self.window()?;
        let Some(kinds) = self.find::<Vec<String>>("layer_types")? else {
            return Ok((0..num_layers).map(|index| window.filter(|_| by_rule(index))).collect());
        };
        if kinds.len() != num_layers {
            let message = format!("`layer_types` has {} kinds for {num_layers}", kinds.len());
            return Err(self.error(format!("{message} layers")));
        }
        let of_kind = |kind: &String| match kind.as_str() {
            WINDOWED => Ok(window),
            FULL => Ok(None),
            other => Err(self.error(format!(
                "`layer_types` has \"{other}\"; the kinds known here are {WINDOWED} and {FULL}"
            ))),
        };
        kinds.iter().map(of_kind).collect()
    }
}

/// The ids of the tokens that begin, end and pad a text, as far as the model has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// `bos_token_id`
    pub bos: Option<u32>,
    /// `eos_token_id`: one or several.
    pub eos: Vec<u32>,
    /// `pad_token_id`
    pub pad: Option<u32>,
}

impl SpecialIds {
    /// From the published keys.
    ///
    /// # Errors
    /// When a key holds something else than ids.
    pub fn read(json: &ConfigJson) -> Result<Self> {
        let eos = match json.find::<Value>("eos_token_id")? {
            None => Vec::new(),
            Some(Value::Array(_)) => json.get("eos_token_id")?,
            Some(_) => vec![json.get("eos_token_id")?],
        };
        Ok(Self { bos: json.find("bos_token_id")?, eos, pad: json.find("pad_token_id")? })
    }

    /// Under the published keys; one end id is written as a number, several as a list.
    pub fn write(&self, json: &mut Value) {
        json["bos_token_id"] = self.bos.into();
        json["eos_token_id"] = match self.eos[..] {
            [] => Value::Null,
            [one] => one.into(),
            _ => self.eos.clone().into(),
        };
        json["pad_token_id"] = self.pad.into();
    }
}
