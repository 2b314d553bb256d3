//! The files that vocabularies are published in; each becomes the one pipeline.
//!
//! | file | module |
//! |---|---|
//! | `tokenizer.json` | read as it is |
//! | `tokenizer.model` and other SentencePiece models | [`sentencepiece`] |
//! | `*.tiktoken` | [`tiktoken`] |
//! | `vocab.json` + `merges.txt`, `encoder.json` + `vocab.bpe` | [`pairs`] |
//! | `vocab.txt` | [`words`] |
//! | metadata of a GGUF file, handed over as plain values | [`gguf`] |

pub(crate) mod gguf;
mod open;
mod pairs;
pub(crate) mod sentencepiece;
mod settings;
mod splits;
pub(crate) mod tiktoken;
mod words;

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::AddedToken;

use crate::tokenizer::MAX_FILE_BYTES;
use crate::{Error, Result};

/// The bytes of a file that is not absurdly large.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(failed)?.len();
    if size > MAX_FILE_BYTES as u64 {
        let found = format!("{} has {size} bytes, more than {MAX_FILE_BYTES}", path.display());
        return Err(Error::NotATokenizer(found));
    }
    std::fs::read(path).map_err(failed)
}

/// A control token, matched in text as it stands.
fn control(content: &str) -> AddedToken {
    AddedToken::from(content, true).normalized(false)
}

/// A token that users may write, matched in text as it stands.
fn user_defined(content: &str) -> AddedToken {
    AddedToken::from(content, false).normalized(false)
}

/// A step that cuts text at each match of `pattern`, the match being a piece of its own.
fn split(pattern: &str) -> Value {
    json!({
        "type": "Split",
        "pattern": { "Regex": pattern },
        "behavior": "Isolated",
        "invert": false,
    })
}

/// The step of byte-level vocabularies: bytes spelled in their alphabet.
fn byte_level() -> Value {
    json!({
        "type": "ByteLevel",
        "add_prefix_space": false,
        "trim_offsets": false,
        "use_regex": false,
    })
}

/// Cuts at each of `patterns` in turn, then spells bytes.
fn split_bytes(patterns: &[&str]) -> Value {
    let steps: Vec<Value> =
        patterns.iter().map(|pattern| split(pattern)).chain([byte_level()]).collect();
    json!({ "type": "Sequence", "pretokenizers": steps })
}

/// The step that puts control tokens before and after a text; `Null` when there are none.
fn frame(start: &[(&str, u32)], end: &[(&str, u32)]) -> Value {
    if start.is_empty() && end.is_empty() {
        return Value::Null;
    }
    let special =
        |(token, _): &(&str, u32)| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
    let sequence = |name: &str| json!({ "Sequence": { "id": name, "type_id": 0 } });
    let around = |names: &[&str]| -> Vec<Value> {
        let inside = names.iter().map(|name| sequence(name));
        start.iter().map(special).chain(inside).chain(end.iter().map(special)).collect()
    };
    let tokens: serde_json::Map<String, Value> = start
        .iter()
        .chain(end)
        .map(|(token, id)| {
            ((*token).to_owned(), json!({ "id": token, "ids": [id], "tokens": [token] }))
        })
        .collect();
    json!({
        "type": "TemplateProcessing",
        "single": around(&["A"]),
        "pair": around(&["A", "B"]),
        "special_tokens": tokens,
    })
}

fn broken<T>(found: impl Into<String>) -> Result<T> {
    Err(Error::NotATokenizer(found.into()))
}
