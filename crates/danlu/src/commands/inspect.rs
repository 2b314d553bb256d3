//! `danlu inspect`: what a file or folder of a run holds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use danlu_data::TokenShard;
use danlu_formats::gguf::Value as Meta;
use danlu_formats::{FORMATS, SafeTensors, Weights};
use danlu_tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::output;

/// Lines of a jsonl file that are shown.
const LINES_SHOWN: usize = 3;
/// Longest string that is shown whole.
const TEXT_SHOWN: usize = 200;

/// Show what a file holds: weights, token shards, vocabularies, documents, logs, receipts, or a
/// whole model folder.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu inspect runs/quickstart/model
  danlu inspect llama-Q4_K_M.gguf
  danlu inspect runs/quickstart/tokens/pretrain.tok
  danlu inspect runs/quickstart/data/clean.jsonl --json")]
pub struct Args {
    /// The file or folder
    path: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A kind of file: how it is told, and how it is described.
struct Kind {
    name: &'static str,
    fits: fn(&Path) -> bool,
    describe: fn(&Path) -> Result<Value>,
}

/// Every kind, the most particular first.
const KINDS: &[Kind] = &[
    Kind { name: "model folder", fits: |p| p.join("config.json").exists(), describe: model_folder },
    Kind { name: "folder", fits: Path::is_dir, describe: folder },
    Kind { name: "vocabulary", fits: is_vocabulary, describe: vocabulary },
    Kind { name: "weights", fits: is_weights, describe: weights },
    Kind { name: "token shard", fits: |p| has_extension(p, "tok"), describe: shard },
    Kind { name: "JSON lines", fits: |p| has_extension(p, "jsonl"), describe: json_lines },
    Kind { name: "JSON", fits: |p| has_extension(p, "json"), describe: json_file },
    Kind { name: "recipe", fits: |p| has_extension(p, "toml"), describe: recipe },
    Kind { name: "text", fits: is_text, describe: text },
];

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let path = &args.path;
    if !path.exists() {
        bail!("{} does not exist", path.display());
    }
    let Some(kind) = KINDS.iter().find(|kind| (kind.fits)(path)) else {
        let names: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
        bail!("{}: not a kind of file that can be shown ({})", path.display(), names.join(", "));
    };
    let description = (kind.describe)(path).with_context(|| path.display().to_string())?;
    if args.json {
        let value = json!({ "path": path, "kind": kind.name, "content": description });
        return output::json(&value);
    }
    output::line(&format!("{}: {}", path.display(), kind.name))?;
    output::line(&output::printable(&format!("{description:#}")))
}

/// A `tokenizer.json` that is not the receipt of the stage of that name.
fn is_vocabulary(path: &Path) -> bool {
    path.ends_with("tokenizer.json") && !path.ends_with("stages/tokenizer.json")
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn model_folder(path: &Path) -> Result<Value> {
    let config = json_file(&path.join("config.json"))?;
    let weights = weights(path)?;
    Ok(json!({ "config": config, "weights": weights["weights"], "tensors": weights["count"] }))
}

fn folder(path: &Path) -> Result<Value> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        entries.push((name, entry.metadata()?.len()));
    }
    entries.sort();
    Ok(entries.into_iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect())
}

/// A weight file of any format.
fn is_weights(path: &Path) -> bool {
    let extensions = FORMATS.iter().flat_map(|format| format.extensions);
    extensions.into_iter().any(|extension| has_extension(path, extension))
}

/// The tensors of a file, or of all files of a folder.
fn weights(path: &Path) -> Result<Value> {
    let weights = Weights::open(path)?;
    let tensors: Vec<Value> = weights
        .tensors()
        .iter()
        .map(|t| json!({ "name": t.name(), "dtype": t.element().name(), "shape": t.shape() }))
        .collect();
    let metadata = match weights.gguf() {
        Some(gguf) => {
            let entries = gguf.metadata().iter();
            entries.map(|(key, value)| (key.to_owned(), shortened(plain(value)))).collect()
        }
        None if has_extension(path, "safetensors") => json!(SafeTensors::open(path)?.metadata()),
        None => Value::Null,
    };
    let count: usize = weights.tensors().iter().map(danlu_formats::WeightTensor::len).sum();
    Ok(json!({
        "weights": count, "count": tensors.len(), "metadata": metadata, "tensors": tensors,
    }))
}

/// A value of a GGUF's metadata; of an array, what it holds.
fn plain(value: &Meta) -> Value {
    match value {
        Meta::String(text) => json!(text),
        Meta::Bool(value) => json!(value),
        Meta::Array(array) => json!(format!("{} of {:?}", array.len(), array.element())),
        number => match number.as_u64() {
            Some(integer) => json!(integer),
            None => json!(number.as_f64()),
        },
    }
}

fn shard(path: &Path) -> Result<Value> {
    let shard = TokenShard::read(path)?;
    let first: Vec<u32> = (0..shard.document(0).len().min(32)).map(|i| shard.id(i)).collect();
    Ok(json!({
        "tokens": shard.len(),
        "documents": shard.document_count(),
        "vocab_size": shard.vocab_size(),
        "tokenizer_sha256": shard.tokenizer_hash(),
        "only_some_tokens_are_learned": shard.has_mask(),
        "first_document": shard.document_name(0),
        "first_ids": first,
    }))
}

fn vocabulary(path: &Path) -> Result<Value> {
    let tokenizer = Tokenizer::load(path)?;
    Ok(json!({
        "tokens": tokenizer.vocab_size(), "control_tokens": tokenizer.specials(),
        "sha256": tokenizer.hash(),
    }))
}

fn json_lines(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).context("not UTF-8 text")?;
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines.iter().take(LINES_SHOWN).enumerate().map(|(number, line)| {
        let value = serde_json::from_str(line);
        value.map(shortened).with_context(|| format!("line {} is not JSON", number + 1))
    });
    let last = lines.last().filter(|_| lines.len() > LINES_SHOWN);
    let last = last.map(|line| serde_json::from_str(line).map(shortened)).transpose()?;
    Ok(json!({
        "lines": lines.len(), "bytes": text.len(),
        "first": shown.collect::<Result<Vec<Value>>>()?, "last": last,
    }))
}

/// Pages, chat templates and sources.
fn is_text(path: &Path) -> bool {
    ["html", "jinja", "txt", "md"].iter().any(|extension| has_extension(path, extension))
}

fn text(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).context("not UTF-8 text")?;
    let first: Vec<Value> = text.lines().take(LINES_SHOWN).map(|line| json!(line)).collect();
    let lines = text.lines().count();
    Ok(json!({ "lines": lines, "bytes": text.len(), "first": shortened(first.into()) }))
}

fn json_file(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).context("not JSON")
}

fn recipe(path: &Path) -> Result<Value> {
    let recipe = danlu::recipe::Recipe::load(path, &[])?;
    Ok(serde_json::to_value(recipe)?)
}

/// Long strings cut, with a mark and their length.
fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) if text.chars().count() > TEXT_SHOWN => {
            let start: String = text.chars().take(TEXT_SHOWN).collect();
            json!(format!("{start}... ({} characters)", text.chars().count()))
        }
        Value::Array(items) => items.into_iter().map(shortened).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key, shortened(value))).collect()
        }
        other => other,
    }
}
