//! How answers are chosen, as every command that writes them takes it.

use anyhow::{Context, Result};
use danlu::generation_config::GenerationConfig;
use danlu_infer::{Dry, Mirostat, Sampling};
use danlu_tokenizer::Tokenizer;

/// How each token is chosen.
#[derive(clap::Args)]
#[command(next_help_heading = "Choosing tokens")]
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
    /// Only the tokens that surprise most nearly as expected and make up this share
    #[arg(long, allow_negative_numbers = true)]
    typical_p: Option<f32>,
    /// Makes tokens that were there before less likely; 1 changes nothing
    #[arg(long, allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// Makes a token less likely each time it is in the answer, -2 to 2
    #[arg(long, allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,
    /// Makes a token less likely once it is in the answer, -2 to 2
    #[arg(long, allow_negative_numbers = true)]
    presence_penalty: Option<f32>,
    /// Makes going on with a repetition less likely (DRY), this much at first; 0.8 is usual
    #[arg(long, allow_negative_numbers = true)]
    dry_multiplier: Option<f32>,
    /// How many times more with each further repeated token [default: 1.75]
    #[arg(long, requires = "dry_multiplier", allow_negative_numbers = true)]
    dry_base: Option<f32>,
    /// Repetitions of so many tokens are free [default: 2]
    #[arg(long, requires = "dry_multiplier")]
    dry_allowed_length: Option<usize>,
    /// How many of the last tokens are looked at [default: all]
    #[arg(long, requires = "dry_multiplier")]
    dry_window: Option<usize>,
    /// No repetition reaches across a token with this text; may be given again [default: line end,
    /// colon, quote, asterisk]
    #[arg(long, requires = "dry_multiplier", value_name = "TEXT")]
    dry_breaker: Vec<String>,
    /// Keeps the surprise of each token near this many bits (mirostat 2), in place of the model's
    /// own top_k, top_p and min_p; 5 is usual
    #[arg(long, allow_negative_numbers = true)]
    mirostat_tau: Option<f32>,
    /// How fast mirostat learns [default: 0.1]
    #[arg(long, requires = "mirostat_tau", allow_negative_numbers = true)]
    mirostat_eta: Option<f32>,
    /// Adds a number to the logit of a token, as 42=-3.5; may be given again
    #[arg(long, value_name = "ID=BIAS", value_parser = bias, allow_negative_numbers = true)]
    logit_bias: Vec<(u32, f32)>,
    /// The same seed gives the same answer
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// When an answer ends.
#[derive(clap::Args)]
#[command(next_help_heading = "Ending")]
pub struct EndingArgs {
    /// Longest answer in tokens
    #[arg(long, default_value_t = 400)]
    pub max_new_tokens: usize,
    /// Text that ends the answer and is not part of it; may be given again
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
}

/// What breaks a repetition where nothing is said, as in llama.cpp.
const DRY_BREAKERS: [&str; 4] = ["\n", ":", "\"", "*"];

impl SamplingArgs {
    /// The settings with this seed, the model's own where the user gives none.
    pub fn sampling(&self, model: &GenerationConfig, words: &Tokenizer, seed: u64) -> Sampling {
        let mut own = model.sampling();
        let mirostat = self.mirostat_tau.map(|tau| {
            let eta = self.mirostat_eta.unwrap_or(Mirostat::default().eta);
            Mirostat { tau, eta }
        });
        if mirostat.is_some() {
            (own.top_k, own.top_p, own.min_p) = (None, None, None);
        }
        Sampling {
            temperature: self.temperature.unwrap_or(own.temperature),
            logit_bias: self.logit_bias.clone(),
            repetition_penalty: self.repetition_penalty.or(own.repetition_penalty),
            frequency_penalty: self.frequency_penalty,
            presence_penalty: self.presence_penalty,
            dry: self.dry_multiplier.map(|multiplier| self.dry(multiplier, words)),
            top_k: self.top_k.or(own.top_k).filter(|&count| count > 0),
            top_p: self.top_p.or(own.top_p),
            min_p: self.min_p.or(own.min_p),
            typical_p: self.typical_p,
            mirostat,
            seed,
            answer: 0,
        }
    }

    fn dry(&self, multiplier: f32, words: &Tokenizer) -> Dry {
        let usual = DRY_BREAKERS.map(str::to_owned);
        let given: &[String] = if self.dry_breaker.is_empty() { &usual } else { &self.dry_breaker };
        let breaks = |id: &u32| {
            let bytes = words.token_bytes(*id).unwrap_or_default();
            let holds =
                |text: &String| bytes.windows(text.len().max(1)).any(|b| b == text.as_bytes());
            given.iter().any(holds)
        };
        let normal = Dry::default();
        Dry {
            multiplier,
            base: self.dry_base.unwrap_or(normal.base),
            allowed_len: self.dry_allowed_length.unwrap_or(normal.allowed_len),
            window: self.dry_window,
            breakers: (0..words.vocab_size() as u32).filter(breaks).collect(),
        }
    }
}

/// `ID=BIAS`.
fn bias(text: &str) -> Result<(u32, f32)> {
    let (id, bias) = text.split_once('=').context("give a token and a number, as 42=-3.5")?;
    let id = id.parse().with_context(|| format!("`{id}` is no token id"))?;
    Ok((id, bias.parse().with_context(|| format!("`{bias}` is no number"))?))
}
