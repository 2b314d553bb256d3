//! `danlu score`: how likely a model finds a text.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use danlu_eval::{Surprise, log_probs};
use serde_json::json;

use super::using::ModelArgs;
use crate::output;

/// Show how likely a model finds a text: log-probabilities token by token, and bits per byte.
///
/// Bits per byte say how many bits it would take to store the text with the model's help; 8 is no
/// help at all. The text is taken as one document.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu score runs/quickstart/model --text '床前明月光，疑是地上霜。'
  danlu score runs/quickstart/model --file play.txt --json")]
#[group(skip)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The text
    #[arg(long, required_unless_present = "file", conflicts_with = "file")]
    text: Option<String>,
    /// A file with the text
    #[arg(long)]
    file: Option<PathBuf>,
    /// Print one JSON object with every token
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let text = match (&args.text, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {} as UTF-8 text", path.display()))?,
        (None, None) => anyhow::bail!("give --text or --file"),
    };
    ensure!(!text.is_empty(), "the text is empty: there is nothing to score");
    let opened = args.model.open()?;
    let (ids, bytes) = danlu::heldout::encode(&text, &opened.tokenizer)?;
    let scores = log_probs(opened.model.as_ref(), &[&ids])?.concat();
    // Without a start token the first token has nothing before it and no score.
    let scored = &ids[ids.len() - scores.len()..];
    let nats = -scores.iter().map(|&score| f64::from(score)).sum::<f64>();
    let surprise = Surprise { nats, tokens: scores.len() as u64, bytes };
    if args.json {
        let tokens = scored.iter().zip(&scores).map(|(&id, &score)| {
            let text = opened.tokenizer.decode_with_specials(&[id])?;
            Ok(json!({ "id": id, "text": text, "log_prob": score }))
        });
        return output::json(&json!({
            "bits_per_byte": surprise.bits_per_byte(),
            "perplexity": surprise.perplexity(),
            "log_prob": -nats,
            "bytes": bytes,
            "tokens": tokens.collect::<Result<Vec<_>>>()?,
        }));
    }
    for (&id, score) in scored.iter().zip(&scores) {
        let token = opened.tokenizer.decode_with_specials(&[id])?;
        output::line(&format!("{score:9.4}  {:?}", output::printable(&token)))?;
    }
    output::line(&format!(
        "{:.4} bits per byte, perplexity {:.2} over {} tokens, {} bytes",
        surprise.bits_per_byte(),
        surprise.perplexity(),
        surprise.tokens,
        bytes
    ))
}
