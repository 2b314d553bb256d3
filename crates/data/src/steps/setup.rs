//! An entry of `data.steps` and its way to a step.

use std::cell::RefCell;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::fasttext::Classifier;
use super::{STEPS, Step};
use crate::{DataConfig, Error, Result};

/// An entry of `data.steps`: `"name"`, or `{ name = "name", .. }` with settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepConfig {
    /// [`Step::name`].
    pub name: String,
    /// Settings that differ from the defaults.
    pub settings: Map<String, Value>,
}

impl StepConfig {
    /// The step `name` with its defaults.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), settings: Map::new() }
    }

    /// The step that is named.
    ///
    /// # Errors
    /// [`Error::Config`] with the nearest name if there is none.
    pub fn step(&self) -> Result<&'static Step> {
        STEPS.iter().find(|step| step.name == self.name).ok_or_else(|| {
            let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
            let hint = nearest(&self.name, names.iter().copied());
            self.refuse(format!("there is no such step{hint}; the steps are {}", names.join(", ")))
        })
    }

    fn refuse(&self, expected: String) -> Error {
        Error::Config { key: "steps", found: format!("[.. {self} ..]"), expected }
    }
}

/// As it stands in a recipe.
impl fmt::Display for StepConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.settings.is_empty() {
            return write!(f, "{:?}", self.name);
        }
        write!(f, "{{ name = {:?}", self.name)?;
        for (key, value) in &self.settings {
            write!(f, ", {key} = {value}")?;
        }
        write!(f, " }}")
    }
}

impl Serialize for StepConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if self.settings.is_empty() {
            return serializer.serialize_str(&self.name);
        }
        let name = ("name".to_owned(), Value::String(self.name.clone()));
        let settings = self.settings.iter().map(|(key, value)| (key.clone(), value.clone()));
        std::iter::once(name).chain(settings).collect::<Map<_, _>>().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StepConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = StepConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the name of a step or a table with `name` and settings")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> std::result::Result<StepConfig, E> {
        Ok(StepConfig::new(name))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<StepConfig, A::Error> {
        let mut settings = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if settings.insert(key.clone(), value).is_some() {
                return Err(de::Error::custom(format!("`{key}` stands twice in a step")));
            }
        }
        match settings.shift_remove("name") {
            Some(Value::String(name)) => Ok(StepConfig { name, settings }),
            Some(other) => Err(de::Error::custom(format!("a step's name is text, not {other}"))),
            None => Err(de::Error::missing_field("name")),
        }
    }
}

/// What a step is built from.
pub struct Setup<'a> {
    entry: &'a StepConfig,
    config: &'a DataConfig,
    base: &'a Path,
    files: RefCell<Vec<PathBuf>>,
}

impl<'a> Setup<'a> {
    pub(super) fn new(entry: &'a StepConfig, config: &'a DataConfig, base: &'a Path) -> Self {
        Self { entry, config, base, files: RefCell::default() }
    }

    /// The files that were asked for, on which the result depends too.
    pub(super) fn into_files(self) -> Vec<PathBuf> {
        self.files.into_inner()
    }

    /// The whole `[data]` section.
    pub fn config(&self) -> &DataConfig {
        self.config
    }

    /// The settings, read into a struct that has defaults and denies unknown fields.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown key, naming the nearest, or a value of the wrong kind.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T> {
        T::deserialize(Value::Object(self.entry.settings.clone())).map_err(|error| {
            let message = error.to_string();
            let hint = unknown_field(&message).unwrap_or_default();
            self.entry.refuse(format!("{message}{hint}"))
        })
    }

    /// Refuses any settings.
    ///
    /// # Errors
    /// [`Error::Config`] when there are some.
    pub fn no_settings(&self) -> Result<()> {
        if self.entry.settings.is_empty() { Ok(()) } else { Err(self.refuse("it has no settings")) }
    }

    /// Refuses the settings: what would be accepted, and why.
    pub fn refuse(&self, expected: impl Into<String>) -> Error {
        self.entry.refuse(expected.into())
    }

    /// A file that a setting names, relative to the recipe's folder.
    pub fn path(&self, file: &str) -> PathBuf {
        let path = self.base.join(file);
        self.files.borrow_mut().push(path.clone());
        path
    }

    /// A classifier that a setting names by its path. It may take half of `data.memory`.
    ///
    /// # Errors
    /// Those of [`Classifier::open`].
    pub fn classifier(&self, file: &str) -> Result<Classifier> {
        Classifier::open(&self.path(file), self.config.memory.bytes() / 2)
    }

    /// The lines of a file that a setting names, trimmed, without empty ones.
    ///
    /// # Errors
    /// [`Error::Read`] when it cannot be read or is not UTF-8.
    pub fn lines(&self, file: &str) -> Result<Vec<String>> {
        let path = self.path(file);
        let text = std::fs::read_to_string(&path).map_err(|source| Error::Read { path, source })?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Ok(lines.map(str::to_owned).collect())
    }
}

/// "; did you mean .." for serde's message about an unknown field, which lists the known ones.
fn unknown_field(message: &str) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    Some(nearest(unknown, known.split('`').skip(1).step_by(2)))
}

/// "; did you mean `known`?" where some known word resembles `unknown`, else nothing.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|word| (strsim::jaro_winkler(unknown, word), word))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, word)| format!("; did you mean `{word}`?"))
}
