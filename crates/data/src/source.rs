//! What a recipe lists as data: a path, and what is known about the files behind it.

use serde::{Deserialize, Serialize};

use crate::document::Meta;

/// A file or folder. In a recipe it is a path, or a table that also says what every document of it
/// has where the document itself does not say otherwise:
/// `{ path = "poems.jsonl", licence = "MIT", origin = "chinese-poetry 2.0.1" }`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// Both ways to write a [`Source`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "a path, or a table { path = .., licence = .., origin = .., text_field = .. } \
                 with at least the path"
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
}

impl From<&str> for Source {
    fn from(path: &str) -> Self {
        Self { path: path.to_owned(), licence: None, origin: None, text_field: None }
    }
}

impl From<Written> for Source {
    fn from(written: Written) -> Self {
        match written {
            Written::Path(path) => path.as_str().into(),
            Written::Stated(Stated { path, licence, origin, text_field }) => {
                Self { path, licence, origin, text_field }
            }
        }
    }
}

impl From<Source> for Written {
    fn from(source: Source) -> Self {
        let Source { path, licence, origin, text_field } = source;
        match (&licence, &origin, &text_field) {
            (None, None, None) => Self::Path(path),
            _ => Self::Stated(Stated { path, licence, origin, text_field }),
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
    }
}
