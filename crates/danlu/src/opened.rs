//! A model with its words and its way of talking, from whatever people have: a folder as published,
//! a single GGUF file, a checkpoint of ours, a name in the hub's local cache.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use danlu_formats::Gguf;
use danlu_formats::gguf::{MIXES, Mix};
use danlu_hub::Cache;
use danlu_models::{BuildOptions, CausalLm, load_model};
use danlu_tokenizer::{ChatTemplate, Tokenizer};

use crate::generation_config::GenerationConfig;
use crate::gguf_vocabulary;

/// A model ready to be used.
pub struct Opened {
    /// The model.
    pub model: Arc<dyn CausalLm>,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Its chat template, if it has one.
    pub template: Option<ChatTemplate>,
    /// How its makers choose its words.
    pub generation: GenerationConfig,
}

impl Opened {
    /// Opens a folder, a file, or a published model of this name in the local cache.
    ///
    /// # Errors
    /// When it is not found, a file is missing or damaged, or the vocabulary does not fit the
    /// model.
    pub fn open(path_or_name: &str, options: &BuildOptions) -> Result<Self> {
        Self::open_path(&Cache::from_environment().locate(path_or_name)?, options)
    }

    /// Opens a folder or a file.
    ///
    /// # Errors
    /// As [`Opened::open`].
    pub fn open_path(path: &Path, options: &BuildOptions) -> Result<Self> {
        let model: Arc<dyn CausalLm> = load_model(path, options)?.into();
        let tokenizer = tokenizer(path)?;
        let (words, rows) = (tokenizer.vocab_size(), model.shape().vocab_size);
        ensure!(
            words <= rows,
            "{}: the vocabulary (tokenizer.json, or that of a GGUF file) has {words} tokens, the \
             model {rows}: they do not belong together; use what was published with these weights",
            path.display()
        );
        let template = tokenizer.chat_template().context("the chat template")?;
        let generation = GenerationConfig::read(path)?;
        Ok(Self { model, tokenizer, template, generation })
    }
}

/// The vocabulary of a model folder, of a GGUF file, or of any vocabulary file alone.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn tokenizer(path: &Path) -> Result<Tokenizer> {
    if path.extension().is_some_and(|extension| extension == "gguf") {
        let gguf = Gguf::open(path)?;
        let tokenizer = Tokenizer::from_gguf(&gguf_vocabulary::read(&gguf)?);
        return tokenizer.with_context(|| path.display().to_string());
    }
    Ok(Tokenizer::open(path)?)
}

/// The quantised types of a whole model by the name that files have, `Q4_K_M`.
///
/// # Errors
/// When there is none; the message lists them.
pub fn mix(name: &str) -> Result<&'static Mix> {
    Mix::from_name(name).with_context(|| {
        let known: Vec<&str> = MIXES.iter().map(|mix| mix.name).collect();
        format!("there is no type {name}; there are {}", known.join(", "))
    })
}
