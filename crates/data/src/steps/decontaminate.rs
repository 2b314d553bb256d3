//! `decontaminate`: drops documents that share a run of words with an evaluation set (reason:
//! `words of` and the set's file), so that a model is not examined on what it was trained on.
//!
//! Words are compared as near-duplicates are: case, punctuation, spacing and accents do not count,
//! numbers are alike, each Chinese character is a word. The list of what was dropped says which
//! line of the set was hit and with which words.
//!
//! `files`, needed: evaluation sets of one JSON value a line, of which all texts count, joined in
//! their order (question, then answer). `fields`: only these keys of each object. `ngram` (13, as
//! GPT-3 did; datatrove has 12): words in a run. What is shorter is compared with nothing.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Action, Example, Reason, Setup, Step};
use crate::dedup::{ngram_hashes, simplify, words_of};
use crate::{Error, Result};

pub(super) const STEP: Step = Step {
    name: "decontaminate",
    about: "no run of words of an evaluation set that you give",
    build,
    examples: &[
        Example::drop("He asked: what is the BOILING  point of water?", HIT).with(SET),
        Example::drop("at sea level, in degrees: a hundred", HIT).with(SET),
        Example::drop("有人问：床前明月光，", HIT).with(SET),
        Example::same("What is the point of boiling water at sea?").with(SET),
        Example::same("Nobody asks this of a hundred").with(SET),
        Example::same("What is the boiling point of water?").with(
            r#"{"files": ["tests/lists/evaluation.jsonl"], "ngram": 5, "fields": ["answer"]}"#,
        ),
    ],
};

const SET: &str = r#"{"files": ["tests/lists/evaluation.jsonl"], "ngram": 5}"#;
const HIT: &str = "words of tests/lists/evaluation.jsonl";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    files: Vec<String>,
    fields: Option<Vec<String>>,
    #[serde(default = "thirteen")]
    ngram: usize,
}

fn thirteen() -> usize {
    13
}

/// Where a run of words stands: the number of the file in the settings, and the line.
type At = (usize, u32);

fn build(setup: &Setup<'_>) -> Result<Action> {
    let settings: Settings = setup.settings()?;
    if settings.files.is_empty() || settings.ngram == 0 {
        return Err(setup.refuse("`files` names at least one file, and `ngram` is at least 1"));
    }
    let mut runs: HashMap<u64, At> = HashMap::new();
    for (number, file) in settings.files.iter().enumerate() {
        let path = setup.path(file);
        let lines = std::fs::read_to_string(&path);
        let lines = lines.map_err(|source| Error::Read { path, source })?;
        let mut found = 0;
        for (line, index) in lines.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
            let value = serde_json::from_str(line)
                .map_err(|error| setup.refuse(format!("{file}:{index} is no JSON: {error}")))?;
            let mut text = String::new();
            join_texts(&value, settings.fields.as_deref(), &mut text);
            for hash in ngram_hashes(&words_of(&simplify(&text)), settings.ngram) {
                runs.entry(hash).or_insert((number, index));
                found += 1;
            }
        }
        if found == 0 {
            let ngram = settings.ngram;
            return Err(setup.refuse(format!("no text in {file} has a run of {ngram} words")));
        }
    }
    Ok(Action::filter(move |draft| {
        let simple = simplify(draft.text());
        let words = words_of(&simple);
        let hashes = ngram_hashes(&words, settings.ngram);
        let hit = |(at, hash)| runs.get(hash).map(|&found| (at, found));
        let (at, (file, line)): (usize, At) = hashes.iter().enumerate().find_map(hit)?;
        let file = &settings.files[file];
        draft.explain(format!("{file}:{line}: {}", words[at..at + settings.ngram].join(" ")));
        Some(Reason::Owned(format!("words of {file}")))
    }))
}

/// Adds the texts in `value`, of an object those of `fields`, each after a blank.
fn join_texts(value: &Value, fields: Option<&[String]>, text: &mut String) {
    match value {
        Value::String(found) => {
            text.push(' ');
            text.push_str(found);
        }
        Value::Array(values) => values.iter().for_each(|value| join_texts(value, None, text)),
        Value::Object(entries) => {
            let wanted = |key: &String| fields.is_none_or(|fields| fields.contains(key));
            let values = entries.iter().filter(|(key, _)| wanted(key));
            values.for_each(|(_, value)| join_texts(value, None, text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
