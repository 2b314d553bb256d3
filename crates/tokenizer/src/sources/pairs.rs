//! GPT-2's two files: the ids of tokens as JSON, and the merges as lines of two tokens.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};

use super::{broken, byte_level, control, read, split_bytes, tiktoken::GPT2};
use crate::pipeline::Parts;
use crate::token_table::MAX_ID;
use crate::{END_OF_TEXT, Error, Result, Tokenizer};

/// The names under which the two files are published.
pub(super) const FILES: &[(&str, &str)] =
    &[("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")];

pub(super) fn load(vocabulary: &Path, merges: &Path) -> Result<Tokenizer> {
    let text = String::from_utf8(read(merges)?)
        .map_err(|error| Error::NotATokenizer(format!("{}: {error}", merges.display())))?;
    let ids: HashMap<String, u32> = serde_json::from_slice(&read(vocabulary)?)
        .map_err(|error| Error::NotATokenizer(format!("{}: {error}", vocabulary.display())))?;
    from_files(ids, &text)
}

fn from_files(ids: HashMap<String, u32>, merges: &str) -> Result<Tokenizer> {
    if let Some(id) = ids.values().find(|&&id| id >= MAX_ID) {
        return broken(format!("the id {id} is not below {MAX_ID}"));
    }
    let lines = merges.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let mut pairs = Vec::new();
    for line in lines {
        match line.split_once(' ') {
            Some((left, right)) => pairs.push((left.to_owned(), right.to_owned())),
            None => return broken(format!("the merge {line:?} is not two tokens")),
        }
    }
    let added = ids.get(END_OF_TEXT).map(|&id| (control(END_OF_TEXT), id));
    let model = BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<Vocab>(), pairs)
        .build()
        .map_err(|error| Error::NotATokenizer(error.to_string()))?;
    let parts = Parts {
        model: model.into(),
        normalizer: Value::Null,
        pre_tokenizer: split_bytes(&[GPT2]),
        decoder: byte_level(),
        post_processor: Value::Null,
        added: added.into_iter().collect(),
    };
    Tokenizer::from_pipeline(parts.assemble()?, None)
}
