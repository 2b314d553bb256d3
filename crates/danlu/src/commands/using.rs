//! What every command that uses a model shares: opening it, and the engine that runs it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use danlu::machine;
use danlu::opened::{self, Opened};
use danlu_formats::gguf::Mix;
use danlu_infer::{Engine, EngineOptions, Speculation};
use danlu_kernels::quant::BlockFormat;
use danlu_models::BuildOptions;
use danlu_tensor::{Device, Precision};

/// Which model.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// A model folder (as `danlu run` leaves it in runs/NAME/model, or as published), a .gguf file,
    /// or the name of a published model in the hub's local cache
    pub model: String,
    /// Quantise the weights while they are read, as `danlu quantize` would (Q4_K_M, Q8_0 ...): less
    /// memory for a model that is not quantised yet
    #[arg(long, value_name = "TYPE")]
    quantize: Option<String>,
}

impl ModelArgs {
    /// Opens the model to use it.
    pub fn open(&self) -> Result<Opened> {
        open(&self.model, self.mix()?)
    }

    /// The types that its weights get on the way.
    pub fn mix(&self) -> Result<Option<&'static Mix>> {
        self.quantize.as_deref().map(opened::mix).transpose()
    }
}

/// How the engine is set up.
#[derive(clap::Args)]
#[command(next_help_heading = "Speed and memory")]
pub struct EngineArgs {
    /// Tokens that prompt and answer may have together, for which memory is reserved [default: as
    /// many as can be needed, in a chat the model's context up to 8192]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// How keys and values of earlier tokens are kept
    #[arg(long, value_enum, default_value = "f32")]
    kv_type: KvType,
    /// A smaller model of the same vocabulary that guesses ahead: faster, the same answers
    #[arg(long, value_name = "MODEL")]
    draft: Option<String>,
    /// Guess ahead what came next earlier in the text: faster where text repeats, the same answers
    #[arg(long, conflicts_with = "draft")]
    lookup: bool,
    /// Tokens guessed at once at most
    #[arg(long, default_value_t = 16, value_name = "TOKENS")]
    guess_max: usize,
}

/// How keys and values are kept.
#[derive(Clone, Copy, clap::ValueEnum)]
pub enum KvType {
    /// Nothing is lost
    F32,
    /// Half of that
    F16,
    /// Half, with fewer digits and a larger range
    Bf16,
    /// About a quarter
    #[value(name = "q8_0")]
    Q8_0,
}

impl KvType {
    /// As the cache knows it.
    pub fn format(self) -> BlockFormat {
        match self {
            Self::F32 => BlockFormat::F32,
            Self::F16 => BlockFormat::F16,
            Self::Bf16 => BlockFormat::Bf16,
            Self::Q8_0 => BlockFormat::Q8_0,
        }
    }
}

impl EngineArgs {
    /// An engine that answers so many requests at once, each of `needed` tokens at most.
    pub fn engine(&self, opened: &Opened, slots: usize, needed: usize) -> Result<Engine> {
        let usual = EngineOptions::for_model(opened.model.as_ref());
        let kv_format = self.kv_type.format();
        let context_len = self.context.unwrap_or(needed.min(usual.context_len));
        let options = EngineOptions { slots, context_len, kv_format: Some(kv_format), ..usual };
        let mut engine = Engine::new(Arc::clone(&opened.model), options)?;
        let most = self.guess_max;
        if let Some(name) = &self.draft {
            let draft = open_beside(name, opened)?;
            same_words(name, &draft, opened)?;
            engine.speculate(Speculation::Draft { model: draft.model, most })?;
        } else if self.lookup {
            engine.speculate(Speculation::LookUp { most })?;
        }
        Ok(engine)
    }
}

/// Opens a model to use it: its weights stay in their file or are quantised on the way, sums are
/// f32.
pub fn open(model: &str, quantize: Option<&'static Mix>) -> Result<Opened> {
    open_on(model, Device::cpu(machine::threads()?)?, quantize)
}

/// Opens another model that computes with the same threads.
fn open_beside(model: &str, other: &Opened) -> Result<Opened> {
    open_on(model, other.model.params().device().clone(), None)
}

fn open_on(model: &str, device: Device, quantize: Option<&'static Mix>) -> Result<Opened> {
    let options = BuildOptions { quantize, ..BuildOptions::frozen(device, Precision::F32) };
    Opened::open(model, &options).with_context(|| match Path::new(model).exists() {
        true => format!("cannot open the model {model}"),
        false => format!(
            "there is no model {model}; `danlu run recipes/quickstart.toml` makes one in \
             runs/quickstart/model"
        ),
    })
}

/// Refuses a draft model with other tokens.
fn same_words(name: &str, draft: &Opened, opened: &Opened) -> Result<()> {
    let (ours, theirs) = (&opened.tokenizer, &draft.tokenizer);
    let words = ours.vocab_size().max(theirs.vocab_size()) as u32;
    let other = (0..words).find(|&id| ours.token_bytes(id) != theirs.token_bytes(id));
    ensure!(
        other.is_none(),
        "the draft model {name} has another vocabulary: token {} is another one there; use a \
         smaller model of the same family",
        other.unwrap_or_default()
    );
    Ok(())
}
