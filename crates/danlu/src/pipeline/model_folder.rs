//! Model folders: the files beside the weights.

use anyhow::Result;
use danlu_eval::EvalConfig;
use danlu_models::config::SpecialIds;
use danlu_tokenizer::{ChatTemplate, Tokenizer};
use danlu_train::Companions;

use crate::generation_config::{GENERATION_FILE, GenerationConfig};

/// The vocabulary's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// The special ids that a model made for this vocabulary has.
#[must_use]
pub fn special_ids(tokenizer: &Tokenizer) -> SpecialIds {
    SpecialIds { bos: tokenizer.bos(), eos: tokenizer.stop_ids(), pad: tokenizer.eos() }
}

/// Everything of a model folder but the weights. Answers are chosen as in the report.
///
/// # Errors
/// When a value has no JSON form, which none has.
pub fn companions(
    config: &serde_json::Value,
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    eval: &EvalConfig,
) -> Result<Companions> {
    let generation = GenerationConfig::of(eval).to_json(tokenizer)?;
    let mut files = vec![
        ("config.json".to_owned(), format!("{config:#}\n").into_bytes()),
        (GENERATION_FILE.to_owned(), generation.into_bytes()),
    ];
    let words = tokenizer.files(template);
    files.extend(words.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    Ok(files)
}
