//! The files beside a vocabulary: which control token begins and ends a text, ends an answer, and
//! the chat template.

use std::path::Path;

use serde_json::Value;

use super::read;
use crate::roles::Roles;
use crate::{Error, Result, Tokenizer};

/// What the files beside a vocabulary say; `Null` where one is not there.
pub(super) struct Settings {
    /// `tokenizer_config.json`.
    config: Value,
    /// `special_tokens_map.json`, which older models have.
    specials: Value,
    /// `generation_config.json`.
    generation: Value,
    /// `chat_template.jinja`, which newer models have.
    template: Option<String>,
}

impl Settings {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let template = folder.join("chat_template.jinja");
        let template = if template.is_file() {
            let text = String::from_utf8(read(&template)?);
            Some(text.map_err(|error| Error::TemplateSyntax(error.to_string()))?)
        } else {
            None
        };
        Ok(Self {
            config: json(&folder.join("tokenizer_config.json"))?,
            specials: json(&folder.join("special_tokens_map.json"))?,
            generation: json(&folder.join("generation_config.json"))?,
            template,
        })
    }

    /// The vocabulary with what the files say; it stays as it is where they say nothing.
    pub(super) fn apply(&self, tokenizer: Tokenizer) -> Result<Tokenizer> {
        let token = |name: &str| {
            let given = [&self.config[name], &self.specials[name]].into_iter().find_map(spelling);
            match given {
                None => Ok(None),
                Some(given) => match tokenizer.id_of(given) {
                    Some(id) => Ok(Some(id)),
                    None => Err(Error::NotATokenizer(format!(
                        "{name} is {given:?}, which is not in the vocabulary"
                    ))),
                },
            }
        };
        let known = tokenizer.roles();
        let said = !(self.config.is_null() && self.specials.is_null());
        let generation = |name: &str| -> Vec<u32> {
            let ids = &self.generation[name];
            let list = ids.as_array().map_or(std::slice::from_ref(ids), Vec::as_slice);
            list.iter()
                .filter_map(|id| u32::try_from(id.as_u64()?).ok())
                .filter(|&id| tokenizer.token_bytes(id).is_some())
                .collect()
        };
        let or_known = |token: Option<u32>, known| if said { token } else { token.or(known) };
        let bos = token("bos_token")?.or_else(|| generation("bos_token_id").first().copied());
        let eos = token("eos_token")?.or_else(|| generation("eos_token_id").first().copied());
        let roles = Roles {
            bos: or_known(bos, known.bos),
            eos: or_known(eos, known.eos),
            padding: or_known(token("pad_token")?, known.padding),
            stop: generation("eos_token_id"),
            template: self.template()?.or_else(|| known.template.clone()),
        };
        Ok(tokenizer.with_completed_roles(roles))
    }

    /// The chat template: the file's, or the configuration's; of several, the default one.
    fn template(&self) -> Result<Option<String>> {
        if self.template.is_some() {
            return Ok(self.template.clone());
        }
        match &self.config["chat_template"] {
            Value::Null => Ok(None),
            Value::String(source) => Ok(Some(source.clone())),
            Value::Array(named) => {
                let default = named.iter().find(|template| template["name"] == "default");
                let source = default.and_then(|template| template["template"].as_str());
                match source {
                    Some(source) => Ok(Some(source.to_owned())),
                    None => {
                        let message = "none of the chat templates is called \"default\"";
                        Err(Error::TemplateSyntax(message.to_owned()))
                    }
                }
            }
            other => {
                let kind = format!("chat_template is neither a text nor a list: {other}");
                Err(Error::TemplateSyntax(kind))
            }
        }
    }
}

/// A token given by its text, or by a table with its text.
fn spelling(token: &Value) -> Option<&str> {
    token.as_str().or_else(|| token["content"].as_str())
}

/// A file of JSON; `Null` where there is none.
fn json(path: &Path) -> Result<Value> {
    if !path.is_file() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&read(path)?)
        .map_err(|error| Error::NotATokenizer(format!("{}: {error}", path.display())))
}
