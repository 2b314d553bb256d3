//! What a recipe lists as data: a path, and what is known about the files behind it.

use serde::{Deserialize, Serialize};

use crate::MixWeight;
use crate::document::Meta;
use crate::mix::WEIGHT_KEY;

/// A file or folder. In a recipe it is a path, or a table that also says what every document of it
/// has where the document itself does not say otherwise:
/// `{ path = "poems.jsonl", licence = "MIT", origin = "chinese-poetry 2.0.1" }`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Source {
    /// Where it is, relative to the recipe's folder; a pattern such as `crawl/**/*.html.gz` stands
    /// for all files that it fits.
    pub path: String,
    /// Under which terms it may be used.
    pub licence: Option<String>,
    /// Where it comes from.
    pub origin: Option<String>,
    /// Which field of a record or column of a table holds the text; `text` when not given.
    pub text_field: Option<String>,
    /// How often an epoch has each of its documents; once when not given.
    pub weight: Option<MixWeight>,
}

/// Both ways to write a [`Source`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a path, or a table { path = .., licence = .., origin = .., text_field = .., \
                 weight = .. } with at least the path, where weight is a number from 0 to 100, \
                 or a list of such, one for each epoch"
)]
enum Written {
    Path(String),
    Stated(Stated),
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<MixWeight>,
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        Self { path: path.to_owned(), licence: None, origin: None, text_field: None, weight: None }
    }
}

impl From<Written> for Source {
    fn from(written: Written) -> Self {
        match written {
            Written::Path(path) => path.as_str().into(),
            Written::Stated(Stated { path, licence, origin, text_field, weight }) => {
                Self { path, licence, origin, text_field, weight }
            }
        }
    }
}

impl From<Source> for Written {
    fn from(source: Source) -> Self {
        let Source { path, licence, origin, text_field, weight } = source;
        match (&licence, &origin, &text_field, &weight) {
            (None, None, None, None) => Self::Path(path),
            _ => Self::Stated(Stated { path, licence, origin, text_field, weight }),
        }
    }
}

impl Source {
    /// The name of the field or column that holds the text.
    pub(crate) fn text_field(&self) -> &str {
        self.text_field.as_deref().unwrap_or("text")
    }

    /// Adds what is known to a document's `meta`, which wins where it says something itself.
    pub(crate) fn describe(&self, meta: &mut Meta) {
        for (key, value) in [("licence", &self.licence), ("origin", &self.origin)] {
            if let Some(value) = value {
                meta.entry(key).or_insert_with(|| value.as_str().into());
            }
        }
        if let Some(weight) = &self.weight {
            meta.entry(WEIGHT_KEY).or_insert_with(|| weight.to_json());
        }
    }
}
