//! The library as people already write it: a model and its vocabulary by path or name.
//!
//! ```
//! use danlu::{AutoModelForCausalLM, AutoTokenizer, GenerateOptions};
//!
//! # fn main() -> anyhow::Result<()> {
//! # let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden");
//! # let (model, words) = (format!("{golden}/models/llama-gqa"), format!("{golden}/tokenizer"));
//! let tokenizer = AutoTokenizer::from_pretrained(&words)?; // "organisation/model" is a name
//! assert_eq!(tokenizer.decode(&tokenizer.encode("床前明月光")?)?, "床前明月光");
//!
//! let model = AutoModelForCausalLM::from_pretrained(&model)?;
//! let prompt = [1, 17, 4];
//! let greedy = model.generate(&prompt, &GenerateOptions::new(8))?;
//! assert_eq!(greedy[..3], prompt); // the answer follows
//!
//! let bold = GenerateOptions::new(8).temperature(0.8).top_p(0.95).seed(7);
//! assert_eq!(model.generate(&prompt, &bold)?, model.generate(&prompt, &bold)?);
//! # Ok(())
//! # }
//! ```

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};
use danlu_formats::gguf::Mix;
use danlu_hub::Cache;
use danlu_infer::{Engine, EngineOptions, FinishReason, Limits, Request, Sampling};
use danlu_models::{BuildOptions, CausalLm, load_model};
use danlu_tensor::{Device, Precision};
use danlu_tokenizer::Tokenizer;
use serde_json::Value;

use crate::generation_config::{GENERATION_FILE, GenerationConfig};
use crate::{machine, opened};

/// Vocabularies by path or name.
#[derive(Clone, Copy, Debug)]
pub struct AutoTokenizer;

impl AutoTokenizer {
    /// The vocabulary of a model folder, of a GGUF file, of any vocabulary file alone, or of a
    /// published model of this name in the hub's local cache.
    ///
    /// # Errors
    /// When there is none; the message says what was looked for.
    pub fn from_pretrained(path_or_name: &str) -> Result<Tokenizer> {
        opened::tokenizer(&Cache::from_environment().locate(path_or_name)?)
    }
}

/// Language models by path or name.
#[derive(Clone, Copy, Debug)]
pub struct AutoModelForCausalLM;

impl AutoModelForCausalLM {
    /// The model in a folder or a GGUF file, or the published one of this name in the hub's local
    /// cache. Its weights stay in their file.
    ///
    /// # Errors
    /// When it is not found (the message says what was looked for), or a file is missing or
    /// damaged.
    pub fn from_pretrained(path_or_name: &str) -> Result<PretrainedModel> {
        Self::from_pretrained_with(path_or_name, &LoadOptions::new())
    }

    /// [`AutoModelForCausalLM::from_pretrained`] with options.
    ///
    /// # Errors
    /// As there.
    pub fn from_pretrained_with(
        path_or_name: &str,
        options: &LoadOptions,
    ) -> Result<PretrainedModel> {
        let cache = options.cache_dir.as_ref().map_or_else(Cache::from_environment, Cache::at);
        let path = cache.locate(path_or_name)?;
        let model: Arc<dyn CausalLm> = load_model(&path, &options.build()?)?.into();
        let stop_ids = stop_ids(&path, &model.config())?;
        let generation = GenerationConfig::read(&path)?;
        Ok(PretrainedModel { model, generation, stop_ids })
    }
}

/// How a model is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    cache_dir: Option<PathBuf>,
    threads: Option<usize>,
    quantize: Option<&'static Mix>,
}

impl LoadOptions {
    /// On all cores, weights as they are in their file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks names up in this folder in place of `HF_HUB_CACHE`, `hub` in `HF_HOME`, or the home
    /// folder's own.
    #[must_use]
    pub fn cache_dir(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache_dir: Some(folder.into()), ..self }
    }

    /// Computes with so many threads. The number changes no bit of any answer.
    #[must_use]
    pub fn threads(self, threads: usize) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Quantises the weights on the way, as a file of this type (`Q4_K_M`) would have them. One
    /// matrix at a time is read, so a model is loaded in little more memory than it then has.
    ///
    /// # Errors
    /// When there is no such type.
    pub fn quantize(self, name: &str) -> Result<Self> {
        Ok(Self { quantize: Some(opened::mix(name)?), ..self })
    }

    fn build(&self) -> Result<BuildOptions> {
        let threads = self.threads.map_or_else(machine::threads, Ok)?;
        let frozen = BuildOptions::frozen(Device::cpu(threads)?, Precision::F32);
        Ok(BuildOptions { quantize: self.quantize, ..frozen })
    }
}

/// A model ready to generate.
pub struct PretrainedModel {
    model: Arc<dyn CausalLm>,
    generation: GenerationConfig,
    stop_ids: Vec<u32>,
}

/// How an answer is generated. What is not set here is as the model's `generation_config.json` has
/// it; where that does not draw, the likeliest token is taken.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    max_new_tokens: usize,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    seed: u64,
    stop_ids: Option<Vec<u32>>,
}

impl GenerateOptions {
    /// At most `max_new_tokens` after the prompt.
    #[must_use]
    pub fn new(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            temperature: None,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: None,
            seed: 0,
            stop_ids: None,
        }
    }

    /// How bold: 0 always takes the likeliest token, 1 draws as the model believes.
    #[must_use]
    pub fn temperature(self, temperature: f32) -> Self {
        Self { temperature: Some(temperature), ..self }
    }

    /// Only this many of the likeliest tokens.
    #[must_use]
    pub fn top_k(self, top_k: usize) -> Self {
        Self { top_k: Some(top_k), ..self }
    }

    /// Only the likeliest tokens that make up this share.
    #[must_use]
    pub fn top_p(self, top_p: f32) -> Self {
        Self { top_p: Some(top_p), ..self }
    }

    /// Only tokens at least this share as likely as the likeliest.
    #[must_use]
    pub fn min_p(self, min_p: f32) -> Self {
        Self { min_p: Some(min_p), ..self }
    }

    /// Makes tokens that were there before less likely; 1 changes nothing.
    #[must_use]
    pub fn repetition_penalty(self, penalty: f32) -> Self {
        Self { repetition_penalty: Some(penalty), ..self }
    }

    /// The same seed gives the same answer; 0 if not set.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Tokens that end the answer, in place of the model's own.
    #[must_use]
    pub fn stop_ids(self, stop_ids: &[u32]) -> Self {
        Self { stop_ids: Some(stop_ids.to_vec()), ..self }
    }

    fn sampling(&self, model: &GenerationConfig) -> Sampling {
        let own = if model.draws() { model.sampling() } else { Sampling::greedy() };
        Sampling {
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.or(own.top_k),
            top_p: self.top_p.or(own.top_p),
            min_p: self.min_p.or(own.min_p),
            repetition_penalty: self.repetition_penalty.or(own.repetition_penalty),
            seed: self.seed,
            ..own
        }
    }
}

impl PretrainedModel {
    /// The model itself: its logits, sizes and parameters.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn CausalLm> {
        &self.model
    }

    /// Tokens that end an answer.
    #[must_use]
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    /// The ids of a prompt and, after them, those of the answer without the token that ended it.
    ///
    /// # Errors
    /// When the prompt is empty or longer than the context, an id is outside the vocabulary, or a
    /// setting makes no sense.
    pub fn generate(&self, ids: &[u32], options: &GenerateOptions) -> Result<Vec<u32>> {
        let mut all = ids.to_vec();
        self.generate_each(ids, options, |id| {
            all.push(id);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// Shows each id of an answer as soon as it is there, until `on_token` breaks; why it ended.
    ///
    /// # Errors
    /// As [`PretrainedModel::generate`], and those of `on_token`.
    pub fn generate_each(
        &self,
        ids: &[u32],
        options: &GenerateOptions,
        mut on_token: impl FnMut(u32) -> Result<ControlFlow<()>>,
    ) -> Result<FinishReason> {
        let context_len = self.model.shape().context_len;
        let room = (ids.len() + options.max_new_tokens).clamp(1, context_len);
        let engine_options = EngineOptions::for_model(self.model.as_ref());
        let engine_options = EngineOptions { context_len: room, ..engine_options };
        let mut engine = Engine::new(Arc::clone(&self.model), engine_options)?;
        let request = Request {
            ids: ids.to_vec(),
            sampling: options.sampling(&self.generation),
            limits: Limits { max_new_tokens: options.max_new_tokens },
            stop_ids: options.stop_ids.clone().unwrap_or_else(|| self.stop_ids.clone()),
            log_probs: None,
        };
        let never = AtomicBool::new(false);
        let mut answer = engine.start(&request, &never)?;
        for token in answer.by_ref() {
            if on_token(token?.id)?.is_break() {
                return Ok(FinishReason::Cancelled);
            }
        }
        Ok(answer.finish_reason().unwrap_or(FinishReason::Cancelled))
    }
}

/// The tokens that end an answer: those of a GGUF's vocabulary, of `generation_config.json`, or of
/// `config.json`, as the reference library has it.
fn stop_ids(path: &Path, config: &Value) -> Result<Vec<u32>> {
    if !path.is_dir() {
        return Ok(opened::tokenizer(path)?.stop_ids());
    }
    const KEY: &str = "eos_token_id";
    let file = path.join(GENERATION_FILE);
    let mut value = config[KEY].clone();
    let mut source = path.join("config.json");
    if file.is_file() {
        let failed = || file.display().to_string();
        let text = std::fs::read(&file).with_context(failed)?;
        let generation: Value = serde_json::from_slice(&text).with_context(failed)?;
        if !generation[KEY].is_null() {
            (value, source) = (generation[KEY].clone(), file);
        }
    }
    let ids = match value {
        Value::Null => Vec::new(),
        Value::Array(ids) => ids,
        id => vec![id],
    };
    let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
    ids.iter()
        .map(id)
        .collect::<Option<_>>()
        .with_context(|| format!("{}: {KEY} is no token id and no list of them", source.display()))
}
