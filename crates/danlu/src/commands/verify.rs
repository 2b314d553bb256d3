//! `danlu verify`: whether two models say the same.

use std::path::PathBuf;

use anyhow::{Context, Result};
use danlu::{opened, verify};
use danlu_eval::Tolerance;
use serde_json::json;

use super::using;
use crate::output;

/// Show whether two models say the same: a quantised or converted one beside its source.
///
/// Both read the same text. After every token their predictions are compared: by divergence
/// (Kullback-Leibler, in nats: 0 is the same), by whether the likeliest next token is the same, and
/// by the perplexity of the text. Beyond the limits the command fails.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu verify runs/quickstart/model quickstart-Q8_0.gguf --bits 8
  danlu verify models/llama models/llama --quantize Q4_K_M --bits 4
  danlu verify models/llama model.gguf --file my-text.txt --max-divergence 0.05 --json")]
#[group(skip)]
pub struct Args {
    /// The source: a folder, a .gguf file, or a name in the hub's local cache
    reference: String,
    /// What is checked against it
    other: String,
    /// Quantise the second model while it is read (Q4_K_M, Q8_0 ...), to see what that would lose
    #[arg(long, value_name = "TYPE")]
    quantize: Option<String>,
    /// A file with the text to compare on [default: poems and a scene that ship with the program]
    #[arg(long)]
    file: Option<PathBuf>,
    /// Bits that a weight of the second model has: sets limits that fit
    #[arg(long, default_value_t = 16.0)]
    bits: f64,
    /// Largest mean divergence in nats
    #[arg(long)]
    max_divergence: Option<f64>,
    /// Smallest share of places with the same likeliest token
    #[arg(long)]
    min_top1: Option<f64>,
    /// Largest perplexity of the second by that of the first
    #[arg(long)]
    max_perplexity_ratio: Option<f64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let text = match &args.file {
        Some(path) => &std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {} as UTF-8 text", path.display()))?,
        None => verify::TEXT,
    };
    let mix = args.quantize.as_deref().map(opened::mix).transpose()?;
    let reference = using::open(&args.reference, None)?;
    let other = using::open(&args.other, mix)?;
    let found = verify::agreement(&reference, &other, text)?;
    let usual = Tolerance::of_bits(args.bits);
    let tolerance = Tolerance {
        kl_mean: args.max_divergence.unwrap_or(usual.kl_mean),
        top1: args.min_top1.unwrap_or(usual.top1),
        perplexity_ratio: args.max_perplexity_ratio.unwrap_or(usual.perplexity_ratio),
    };
    if args.json {
        let agrees = found.violations(&tolerance).is_empty();
        output::json(&json!({ "agrees": agrees, "found": found, "limits": tolerance }))?;
    } else {
        output::line(&found.to_string())?;
    }
    verify::require(&found, &tolerance)
}
