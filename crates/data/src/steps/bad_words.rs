//! `bad_words`: drops documents that have a word of a list (reason
//! `document_removed_with_badwords`), as C4 does and datatrove 0.10.1 applies it.
//!
//! `file`, needed: a list with a word or phrase on each line, in lower case; the text is compared
//! in lower case. With `whole_words` (true) a word counts between characters that are no letter,
//! digit or underscore; Chinese, Japanese and Thai have no such borders: switch it off for them.
//! Words in `allow` are taken off the list; datatrove takes `性`, `sm`, `グロ` and `女の子` off the
//! lists of all languages.

use serde::Deserialize;

use super::words::HashSet;
use super::words::classes::{WORD, is};
use super::{Action, Example, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "bad_words",
    about: "no word of a list that you give",
    build,
    examples: &[
        Example::drop("A Scoundrel!", "document_removed_with_badwords").with(LIST),
        Example::drop("you rotten apple", "document_removed_with_badwords").with(LIST),
        Example::same("scoundrelly rottenness").with(LIST),
        Example::drop("大坏蛋来了", "document_removed_with_badwords")
            .with(r#"{"file": "tests/lists/bad_words.txt", "whole_words": false}"#),
        Example::same("大坏蛋来了").with(
            r#"{"file": "tests/lists/bad_words.txt", "whole_words": false, "allow": ["坏蛋"]}"#,
        ),
    ],
};

const LIST: &str = r#"{"file": "tests/lists/bad_words.txt"}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    file: String,
    #[serde(default = "yes")]
    whole_words: bool,
    #[serde(default)]
    allow: Vec<String>,
}

fn yes() -> bool {
    true
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let Settings { file, whole_words, allow } = setup.settings()?;
    let mut words = setup.lines(&file)?;
    words.retain(|word| !allow.contains(word));
    if words.is_empty() {
        return Err(setup.refuse(format!("there is no word in {file}")));
    }
    let list = List::new(words, whole_words);
    Ok(Action::filter(move |draft| {
        list.is_in(&draft.text().to_lowercase()).then(|| "document_removed_with_badwords".into())
    }))
}

/// Words or pieces of words to be found in texts.
pub(super) struct List {
    words: HashSet<String>,
    /// Lengths of the words in bytes, each once.
    sizes: Vec<usize>,
    whole_words: bool,
}

impl List {
    pub(super) fn new(words: Vec<String>, whole_words: bool) -> Self {
        let mut sizes: Vec<usize> = words.iter().map(String::len).collect();
        sizes.sort_unstable();
        sizes.dedup();
        Self { words: words.into_iter().collect(), sizes, whole_words }
    }

    /// Whether one of them is in `text`.
    pub(super) fn is_in(&self, text: &str) -> bool {
        let mut before = None;
        for (at, character) in text.char_indices() {
            let begins = !self.whole_words || before.is_none_or(|c| !is(c, WORD));
            if begins && self.begins(&text[at..]) {
                return true;
            }
            before = Some(character);
        }
        false
    }

    /// Whether a word of the list begins `text`.
    fn begins(&self, text: &str) -> bool {
        self.sizes.iter().any(|&size| {
            let Some((word, rest)) = text.split_at_checked(size) else { return false };
            let ends = !self.whole_words || rest.chars().next().is_none_or(|c| !is(c, WORD));
            ends && self.words.contains(word)
        })
    }
}
