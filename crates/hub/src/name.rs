//! What a published model is called.

use std::fmt;

use crate::{Error, Result};

/// The revision that is meant where none is given.
pub const MAIN: &str = "main";
/// A name or revision has at most so many bytes; the hub allows 96, old ones are longer.
const LEN_MAX: usize = 192;

/// `organisation/model@revision`; the organisation and the revision may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `organisation/model`, or `model`.
    pub repository: String,
    /// A branch, a tag or a commit.
    pub revision: String,
}

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is none. No name leads out of the folder that it is looked up in.
    pub fn parse(text: &str) -> Result<Self> {
        let (repository, revision) = text.split_once('@').unwrap_or((text, MAIN));
        let refuse = |problem| Err(Error::NotAName { given: text.to_owned(), problem });
        if text.len() > LEN_MAX {
            return refuse("it is too long");
        }
        if repository.split('/').count() > 2 {
            return refuse("it has more than one slash");
        }
        if !repository.split('/').all(is_plain) {
            return refuse("it has characters that no name has, or a part is empty");
        }
        if !revision.split('/').all(is_plain) {
            return refuse("its revision, after the @, is no branch, tag or commit");
        }
        Ok(Self { repository: repository.to_owned(), revision: revision.to_owned() })
    }
}

/// Letters, digits and `-_.`, but no part that is a way through folders.
fn is_plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, revision } = self;
        match revision.as_str() {
            MAIN => out.write_str(repository),
            revision => write!(out, "{repository}@{revision}"),
        }
    }
}
