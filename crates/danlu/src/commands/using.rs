//! What every command that uses a model shares: opening it, and how answers are chosen.

use std::path::Path;

use anyhow::{Context, Result};
use danlu::generation_config::GenerationConfig;
use danlu::machine;
use danlu::opened::Opened;
use danlu_infer::Sampling;
use danlu_models::BuildOptions;
use danlu_tensor::{Device, Precision};

/// Which model.
#[derive(clap::Args)]
pub struct ModelArgs {
    /// A model folder (as `danlu run` leaves it in runs/NAME/model, or as published), a .gguf file,
    /// or the name of a published model in the hub's local cache
    pub model: String,
}

/// How each token is chosen.
#[derive(clap::Args)]
pub struct SamplingArgs {
    /// How bold: 0 always takes the likeliest token, 1 draws as the model believes [default: what
    /// the model's generation_config.json says, as for the others; else 0.8]
    #[arg(long, allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Only this many of the likeliest tokens; 0 = all
    #[arg(long)]
    top_k: Option<usize>,
    /// Only the likeliest tokens that make up this share [default: the model's, else 0.95]
    #[arg(long, allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Only tokens at least this share as likely as the likeliest
    #[arg(long, allow_negative_numbers = true)]
    min_p: Option<f32>,
    /// Makes tokens that were there before less likely; 1 changes nothing
    #[arg(long, allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Longest answer in tokens
    #[arg(long, default_value_t = 400)]
    pub max_new_tokens: usize,
}

impl SamplingArgs {
    /// The settings with this seed, the model's own where the user gives none.
    pub fn sampling(&self, model: &GenerationConfig, seed: u64) -> Sampling {
        let own = model.sampling();
        Sampling {
            temperature: self.temperature.unwrap_or(own.temperature),
            top_k: self.top_k.or(own.top_k).filter(|&count| count > 0),
            top_p: self.top_p.or(own.top_p),
            min_p: self.min_p.or(own.min_p),
            repetition_penalty: self.repetition_penalty.or(own.repetition_penalty),
            seed,
            ..own
        }
    }
}

/// Opens a model to use it: its weights stay in their file, sums are f32.
pub fn open(model: &str) -> Result<Opened> {
    let options = BuildOptions::frozen(Device::cpu(machine::threads()?)?, Precision::F32);
    Opened::open(model, &options).with_context(|| match Path::new(model).exists() {
        true => format!("cannot open the model {model}"),
        false => format!(
            "there is no model {model}; `danlu run recipes/quickstart.toml` makes one in \
             runs/quickstart/model"
        ),
    })
}
