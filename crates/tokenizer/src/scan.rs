//! A look at a `tokenizer.json` before the library sees it.
//!
//! The library takes a file at its word: some malformed ones end in a panic, a merge of unknown
//! tokens in a slice out of range, `dropout` in ids that differ from call to call. So what reaches
//! it is known to be a byte-level BPE vocabulary whose parts fit together; anything else is an
//! error that names the part.

use std::collections::HashSet;

use serde_json::Value;

use crate::{Error, Result};

/// A larger id is refused: the table of tokens is as long as the largest id.
const MAX_ID: u64 = 1 << 24;
const NORMALIZERS: &[&str] = &["NFC"];
const PRE_TOKENIZERS: &[&str] = &["ByteLevel", "Split", "Digits", "Sequence"];

/// Checks the bytes of a `tokenizer.json`; returns its added tokens and their ids.
pub(crate) fn scan(json: &[u8]) -> Result<Vec<(String, u32)>> {
    let file: Value =
        serde_json::from_slice(json).map_err(|error| Error::NotATokenizer(error.to_string()))?;
    expect_kind(&file["decoder"], "decoder", &["ByteLevel"])?;
    if !file["normalizer"].is_null() {
        expect_kind(&file["normalizer"], "normalizer", NORMALIZERS)?;
    }
    scan_pre_tokenizer(&file["pre_tokenizer"])?;
    let model = &file["model"];
    if model["type"].as_str().is_some_and(|kind| kind != "BPE") {
        expect_kind(model, "model", &["BPE"])?;
    }
    for option in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] {
        if !model[option].is_null() && model[option] != "" {
            return broken(format!("model.{option} = {} is not supported", model[option]));
        }
    }
    scan_vocabulary(model)?;
    scan_added_tokens(&file["added_tokens"])
}

fn scan_pre_tokenizer(value: &Value) -> Result<()> {
    expect_kind(value, "pre_tokenizer", PRE_TOKENIZERS)?;
    if value["type"] != "Sequence" {
        return Ok(());
    }
    match value["pretokenizers"].as_array() {
        Some(steps) => steps.iter().try_for_each(scan_pre_tokenizer),
        None => broken("pre_tokenizer.pretokenizers is not a list".to_owned()),
    }
}

fn scan_added_tokens(value: &Value) -> Result<Vec<(String, u32)>> {
    let tokens = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(tokens) => tokens,
        _ => return broken("added_tokens is not a list".to_owned()),
    };
    let mut added = Vec::with_capacity(tokens.len());
    for token in tokens {
        match (token["content"].as_str(), token["id"].as_u64()) {
            (Some(content), Some(id)) if id < MAX_ID => added.push((content.to_owned(), id as u32)),
            _ => {
                return broken(format!(
                    "added token {token} needs a text, and an id below {MAX_ID}"
                ));
            }
        }
    }
    Ok(added)
}

/// Every token has its own id, and every merge joins two tokens to a third.
fn scan_vocabulary(model: &Value) -> Result<()> {
    let Some(vocabulary) = model["vocab"].as_object() else {
        return broken("model.vocab is not a table of tokens and ids".to_owned());
    };
    let mut ids = HashSet::with_capacity(vocabulary.len());
    for (token, id) in vocabulary {
        match id.as_u64() {
            Some(id) if id < MAX_ID && ids.insert(id) => {}
            _ => {
                return broken(format!("the id {id} of {token:?} is taken, or not below {MAX_ID}"));
            }
        }
    }
    let Some(merges) = model["merges"].as_array() else {
        return broken("model.merges is not a list".to_owned());
    };
    for merge in merges {
        let pair = match merge {
            Value::String(pair) => pair.split_once(' '),
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(left), Value::String(right)] => {
                    Some((left.as_str(), right.as_str()))
                }
                _ => None,
            },
            _ => None,
        };
        let known = |token: &str| vocabulary.contains_key(token);
        let fits = |(left, right): (&str, &str)| {
            known(left) && known(right) && known(&format!("{left}{right}"))
        };
        if !pair.is_some_and(fits) {
            return broken(format!("the merge {merge} does not join two tokens to a third"));
        }
    }
    Ok(())
}

fn expect_kind(value: &Value, part: &str, supported: &[&str]) -> Result<()> {
    let found = &value["type"];
    if found.as_str().is_some_and(|kind| supported.contains(&kind)) {
        return Ok(());
    }
    let supported = supported.join(", ");
    broken(format!("{part}.type is {found}; supported for byte-level vocabularies: {supported}"))
}

fn broken<T>(found: String) -> Result<T> {
    Err(Error::NotATokenizer(found))
}
