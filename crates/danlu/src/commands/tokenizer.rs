//! `danlu tokenizer`: learn a vocabulary, and use one.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use danlu::machine;
use danlu_data::atomic::write_file_atomically;
use danlu_data::readers::{Item, read_file};
use danlu_data::{DataConfig, MemorySize, Source, source_files};
use danlu_tokenizer::{
    ChatTemplate, Reporter, SplitName, Tokenizer, TokenizerConfig, Trainer, TrainingLimits,
    VocabularyKind,
};
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
  danlu tokenizer train poems.jsonl plays.txt --vocab-size 4096 --out words
  danlu tokenizer train corpus/ --vocab-size 32000 --memory 1GiB --out words")]
pub struct TrainArgs {
    /// Files or folders of text: txt, md, jsonl, parquet, html, pdf, docx, epub, mail and others
    #[arg(required = true)]
    texts: Vec<String>,
    /// Number of tokens, the 256 bytes and the control tokens included
    #[arg(long, default_value_t = 4096)]
    vocab_size: usize,
    /// A pair must occur this often to become a token
    #[arg(long, default_value_t = 2)]
    min_frequency: u64,
    /// How tokens are learned: bpe or unigram
    #[arg(long, default_value = "bpe")]
    kind: String,
    /// How text is cut: danlu, gpt2, cl100k or o200k
    #[arg(long, default_value = "danlu")]
    split: String,
    /// Most memory, such as 1GiB; more counts than fit lie in files [default: what it takes]
    #[arg(long)]
    memory: Option<MemorySize>,
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
  danlu tokenizer report words poems.jsonl --beside cl100k_base.tiktoken")]
pub struct ReportArgs {
    /// A tokenizer.json, or a folder that holds one
    tokenizer: PathBuf,
    /// Files or folders of text
    #[arg(required = true)]
    texts: Vec<String>,
    /// Another vocabulary to compare with: tokenizer.json, *.tiktoken, *.model or a folder
    #[arg(long)]
    beside: Vec<PathBuf>,
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

/// Gives the texts of files and folders with the name of their file, one after the other; what
/// cannot be used is named on stderr.
fn each_text(paths: &[String], take: &mut dyn FnMut(&str, &str) -> Result<()>) -> Result<()> {
    let config: DataConfig = serde_json::from_value(json!({ "text": paths }))?;
    let sources: Vec<Source> = paths.iter().map(|path| path.as_str().into()).collect();
    let (mut count, mut failure) = (0, None);
    for file in source_files(&sources, Path::new(""))? {
        let name = file.path.display().to_string();
        read_file(&file, &config, &mut |item| {
            let mut give = |text: &str| {
                count += 1;
                if failure.is_none() {
                    failure = take(&name, text).err();
                }
            };
            match item {
                Item::Document(_, document) => give(&document.text),
                Item::Dialogue(_, dialogue) => {
                    dialogue.messages.iter().for_each(|message| give(&message.content));
                }
                Item::Rejected(place, reason) => {
                    output::note(&format!("{place}: left out: {} {}", reason.kind, reason.detail));
                }
            }
            Ok(())
        })?;
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    anyhow::ensure!(count > 0, "there is no text in {}", paths.join(", "));
    Ok(())
}

/// The texts of files and folders.
pub fn read_texts(paths: &[String]) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    each_text(paths, &mut |_, text| {
        texts.push(text.to_owned());
        Ok(())
    })?;
    Ok(texts)
}

fn by_name<T: Copy>(option: &str, given: &str, known: &[(&str, T)]) -> Result<T> {
    let found = known.iter().find(|(name, _)| *name == given);
    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
    let expected = || format!("{option} {given}: expected one of {}", names.join(", "));
    found.map(|(_, value)| *value).with_context(expected)
}

fn train(args: &TrainArgs) -> Result<()> {
    let TrainArgs { vocab_size, min_frequency, .. } = *args;
    let kind = by_name("--kind", &args.kind, VocabularyKind::ALL)?;
    let split = by_name("--split", &args.split, SplitName::ALL)?;
    let config = TokenizerConfig { kind, vocab_size, min_frequency, split };
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let memory = args.memory.map(MemorySize::bytes);
    let limits = TrainingLimits { memory, scratch: args.out.clone() };
    let mut trainer = Trainer::new(&config, &limits)?;
    let (mut texts, mut bytes) = (0_u64, 0_u64);
    each_text(&args.texts, &mut |_, text| {
        (texts, bytes) = (texts + 1, bytes + text.len() as u64);
        trainer.feed(text);
        Ok(())
    })?;
    let tokenizer = trainer.finish()?;
    for (name, bytes) in tokenizer.files(&ChatTemplate::chatml()) {
        write_file_atomically(&args.out.join(name), &bytes)?;
    }
    if args.json {
        return output::json(&json!({
            "vocab_size": tokenizer.vocab_size(), "hash": tokenizer.hash(), "texts": texts,
            "bytes": bytes, "peak_bytes": machine::peak_resident_bytes(),
        }));
    }
    output::line(&format!(
        "{} tokens, learned from {bytes} bytes in {texts} texts\nsha256 {}",
        tokenizer.vocab_size(),
        tokenizer.hash()
    ))
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
    let mut reports = Vec::new();
    for path in [&args.tokenizer].into_iter().chain(&args.beside) {
        let tokenizer = Tokenizer::open(path)?;
        let mut reporter = Reporter::new(&tokenizer);
        each_text(&args.texts, &mut |source, text| Ok(reporter.add(Some(source), text)?))?;
        reports.push((path.display().to_string(), reporter.finish()));
    }
    let (_, own) = &reports[0];
    if args.json {
        let mut value = serde_json::to_value(own)?;
        if reports.len() > 1 {
            value["beside"] =
                reports[1..].iter().map(|(path, report)| (path.clone(), json!(report))).collect();
        }
        return output::json(&value);
    }
    print_report(own)?;
    for (path, report) in &reports[1..] {
        let ratio = own.total.tokens as f64 / report.total.tokens.max(1) as f64;
        output::line(&format!("\nbeside {path}: {ratio:.3} times its tokens"))?;
        print_report(report)?;
    }
    Ok(())
}

fn print_report(report: &danlu_tokenizer::TokenizerReport) -> Result<()> {
    output::line(&format!(
        "vocabulary  {} tokens, {} used",
        report.vocab_size, report.tokens_used
    ))?;
    let kinds = [("all", &report.total), ("Chinese", &report.han), ("other", &report.latin)];
    let sources = report.sources.iter().map(|(name, share)| (name.as_str(), share));
    let sources = sources.filter(|_| report.sources.len() > 1);
    for (name, share) in kinds.into_iter().chain(sources) {
        output::line(&format!(
            "{name:<10}  {:.2} bytes and {:.2} characters a token ({} tokens, {} bytes)",
            share.bytes_per_token, share.characters_per_token, share.tokens, share.bytes
        ))?;
    }
    if !report.unused.is_empty() {
        let unused: Vec<String> = report.unused.iter().map(|token| format!("{token:?}")).collect();
        output::line(&format!("unused      {} ..", unused.join(" ")))?;
    }
    output::line(&format!("sha256      {}", report.hash))
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read stdin as UTF-8 text")?;
    Ok(text)
}
