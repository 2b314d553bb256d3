//! `danlu bench encode`: a vocabulary that turns texts into ids.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use danlu_tokenizer::Tokenizer;
use danlu_tokenizer::speed::measure_encoding;
use serde_json::json;

use super::threads;
use crate::commands::tokenizer::read_texts;
use crate::output;

/// Options of `bench encode`.
#[derive(clap::Args)]
pub struct EncodeArgs {
    /// A vocabulary: tokenizer.json, *.tiktoken, *.model, or a folder that holds one
    tokenizer: PathBuf,
    /// Files or folders of text
    #[arg(long, required = true)]
    text: Vec<String>,
    /// Encode each line by itself, not each document
    #[arg(long)]
    lines: bool,
    /// Rounds; the median is reported
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `bench encode`.
pub fn run(args: &EncodeArgs) -> Result<()> {
    ensure!(args.rounds > 0, "--rounds 0: there would be nothing to time");
    let threads = threads(args.threads)?;
    let tokenizer = Tokenizer::open(&args.tokenizer)?;
    let mut texts = read_texts(&args.text)?;
    if args.lines {
        let lines = texts.iter().flat_map(|text| text.split_inclusive('\n'));
        texts = lines.map(str::to_owned).collect();
    }
    let speed = measure_encoding(&tokenizer, &texts, threads, args.rounds)?;
    let mb_per_s = speed.mb_per_s();
    if args.json {
        return output::json(&json!({
            "mb_per_s": mb_per_s, "bytes": speed.bytes, "texts": texts.len(),
            "tokens": speed.tokens, "seconds": speed.seconds, "digest": speed.digest,
            "threads": threads, "encoder": tokenizer.encoder(),
        }));
    }
    output::line(&format!(
        "{mb_per_s:.1} MB/s, {} tokens of {} texts, {threads} threads; {}",
        speed.tokens,
        texts.len(),
        tokenizer.encoder()
    ))
}
