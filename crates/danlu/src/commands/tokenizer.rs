//! `danlu tokenizer`: learn a vocabulary, and use one.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use danlu_data::atomic::write_file_atomically;
use danlu_data::readers::{Item, read_file};
use danlu_data::{DataConfig, Source, source_files};
use danlu_tokenizer::{ChatTemplate, Tokenizer, TokenizerConfig};
use serde_json::json;

use crate::output;

/// Learn a vocabulary from text, turn text into token ids and back, and see how well it fits.
#[derive(clap::Subcommand)]
#[command(after_help = "\
Examples:
  danlu tokenizer train poems.jsonl plays.txt --vocab-size 4096 --out words
  danlu tokenizer encode words --text '床前明月光'
  danlu tokenizer decode words 259 312 7
  danlu tokenizer report words poems.jsonl")]
pub enum Command {
    /// Learn a vocabulary from files or folders of text
    Train(TrainArgs),
    /// Turn text into token ids
    Encode(EncodeArgs),
    /// Turn token ids into text
    Decode(DecodeArgs),
    /// Show how well a vocabulary fits some texts
    Report(ReportArgs),
}

/// Options of `tokenizer train`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu tokenizer train poems.jsonl plays.txt --vocab-size 4096 --out words")]
pub struct TrainArgs {
    /// Files or folders of text: txt, md, jsonl
    #[arg(required = true)]
    texts: Vec<String>,
    /// Number of tokens, the 256 bytes and the control tokens included
    #[arg(long, default_value_t = 4096)]
    vocab_size: usize,
    /// A pair must occur this often to become a token
    #[arg(long, default_value_t = 2)]
    min_frequency: u64,
    /// Folder for tokenizer.json and its companions
    #[arg(long)]
    out: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `tokenizer encode`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu tokenizer encode words --text '床前明月光'
  danlu tokenizer encode words --json < poem.txt")]
pub struct EncodeArgs {
    /// A tokenizer.json, or a folder that holds one
    tokenizer: PathBuf,
    /// The text [default: read from stdin]
    #[arg(long)]
    text: Option<String>,
    /// Print one JSON object with ids and tokens
    #[arg(long)]
    json: bool,
}

/// Options of `tokenizer decode`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu tokenizer decode words 259 312 7
  danlu tokenizer encode words --text 'moon' | danlu tokenizer decode words")]
pub struct DecodeArgs {
    /// A tokenizer.json, or a folder that holds one
    tokenizer: PathBuf,
    /// Token ids [default: read from stdin]
    ids: Vec<u32>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `tokenizer report`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu tokenizer report words poems.jsonl")]
pub struct ReportArgs {
    /// A tokenizer.json, or a folder that holds one
    tokenizer: PathBuf,
    /// Files or folders of text
    #[arg(required = true)]
    texts: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Train(args) => train(args),
        Command::Encode(args) => encode(args),
        Command::Decode(args) => decode(args),
        Command::Report(args) => report(args),
    }
}

fn open(path: &Path) -> Result<Tokenizer> {
    let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
    Ok(Tokenizer::load(&file)?)
}

/// The texts of files and folders; what cannot be used is named on stderr.
fn read_texts(paths: &[String]) -> Result<Vec<String>> {
    let config: DataConfig = serde_json::from_value(json!({ "text": paths }))?;
    let mut texts = Vec::new();
    let sources: Vec<Source> = paths.iter().map(|path| path.as_str().into()).collect();
    for file in source_files(&sources, Path::new(""))? {
        read_file(&file, &config, &mut |item| {
            match item {
                Item::Document(_, document) => texts.push(document.text),
                Item::Dialogue(_, dialogue) => {
                    texts.extend(dialogue.messages.into_iter().map(|message| message.content));
                }
                Item::Rejected(place, reason) => {
                    output::note(&format!("{place}: left out: {} {}", reason.kind, reason.detail));
                }
            }
            Ok(())
        })?;
    }
    anyhow::ensure!(!texts.is_empty(), "there is no text in {}", paths.join(", "));
    Ok(texts)
}

fn train(args: &TrainArgs) -> Result<()> {
    let texts = read_texts(&args.texts)?;
    let config = TokenizerConfig { vocab_size: args.vocab_size, min_frequency: args.min_frequency };
    let tokenizer = danlu_tokenizer::train(&config, texts.iter().map(String::as_str))?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    for (name, bytes) in tokenizer.files(&ChatTemplate::chatml()) {
        write_file_atomically(&args.out.join(name), &bytes)?;
    }
    let report = tokenizer.report(texts.iter().map(String::as_str))?;
    if args.json { output::json(&report) } else { print_report(&report) }
}

fn encode(args: &EncodeArgs) -> Result<()> {
    let tokenizer = open(&args.tokenizer)?;
    let text = match &args.text {
        Some(text) => text.clone(),
        None => read_stdin()?,
    };
    let ids = tokenizer.encode(&text)?;
    if args.json {
        let tokens = ids.iter().map(|&id| tokenizer.decode(&[id]));
        let tokens = tokens.collect::<danlu_tokenizer::Result<Vec<_>>>()?;
        return output::json(&json!({ "ids": ids, "tokens": tokens }));
    }
    output::line(&ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" "))
}

fn decode(args: &DecodeArgs) -> Result<()> {
    let tokenizer = open(&args.tokenizer)?;
    let ids = if args.ids.is_empty() {
        let text = read_stdin()?;
        let parse = |word: &str| word.parse().with_context(|| format!("`{word}` is no token id"));
        text.split_whitespace().map(parse).collect::<Result<Vec<u32>>>()?
    } else {
        args.ids.clone()
    };
    let text = tokenizer.decode_with_specials(&ids)?;
    if args.json {
        return output::json(&json!({ "text": text }));
    }
    output::line(&output::printable(&text))
}

fn report(args: &ReportArgs) -> Result<()> {
    let tokenizer = open(&args.tokenizer)?;
    let texts = read_texts(&args.texts)?;
    let report = tokenizer.report(texts.iter().map(String::as_str))?;
    if args.json { output::json(&report) } else { print_report(&report) }
}

fn print_report(report: &danlu_tokenizer::TokenizerReport) -> Result<()> {
    output::line(&format!(
        "vocabulary  {} tokens, {} used",
        report.vocab_size, report.tokens_used
    ))?;
    for (name, share) in
        [("all", &report.total), ("Chinese", &report.han), ("other", &report.latin)]
    {
        output::line(&format!(
            "{name:<10}  {:.2} bytes and {:.2} characters a token ({} tokens, {} bytes)",
            share.bytes_per_token, share.characters_per_token, share.tokens, share.bytes
        ))?;
    }
    output::line(&format!("sha256      {}", report.hash))
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read stdin as UTF-8 text")?;
    Ok(text)
}
