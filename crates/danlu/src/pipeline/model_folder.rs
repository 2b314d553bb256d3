//! Model folders: the files beside the weights, and opening one to use it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use danlu_eval::EvalConfig;
use danlu_models::config::SpecialIds;
use danlu_models::{BuildOptions, CausalLm, load_model};
use danlu_tensor::{Device, Precision};
use danlu_tokenizer::{ChatTemplate, Tokenizer};
use danlu_train::Companions;

use crate::generation_config::{GENERATION_FILE, GenerationConfig};

/// The vocabulary's file.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The chat template's file.
pub const TEMPLATE_FILE: &str = "chat_template.jinja";

/// A model with its words and its way of talking.
pub struct Opened {
    /// The model.
    pub model: Arc<dyn CausalLm>,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Its chat template, if the folder has one.
    pub template: Option<ChatTemplate>,
    /// How its makers choose its words.
    pub generation: GenerationConfig,
}

/// Opens a model folder.
///
/// # Errors
/// When a file is missing or damaged, or the vocabulary does not fit the model.
pub fn open(folder: &Path, device: &Device, precision: Precision) -> Result<Opened> {
    let options = BuildOptions::trainable(device.clone(), precision);
    let model: Arc<dyn CausalLm> = load_model(folder, &options)?.into();
    let tokenizer = Tokenizer::load(&folder.join(TOKENIZER_FILE))?;
    let (words, rows) = (tokenizer.vocab_size(), model.shape().vocab_size);
    anyhow::ensure!(
        words <= rows,
        "{} has {words} tokens, the model has {rows}: they do not belong together",
        folder.join(TOKENIZER_FILE).display()
    );
    let path = folder.join(TEMPLATE_FILE);
    let template = match path.exists() {
        true => {
            let source = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let template = ChatTemplate::new(source);
            Some(template.with_context(|| path.display().to_string())?)
        }
        false => None,
    };
    let generation = GenerationConfig::read(folder)?;
    Ok(Opened { model, tokenizer, template, generation })
}

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
