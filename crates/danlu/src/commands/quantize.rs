//! `danlu quantize`: a model in fewer bits.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use danlu::{export, opened};
use danlu_formats::gguf::{MIXES, Mix};
use danlu_models::gguf::Importance;
use danlu_tensor::Device;

use super::exporting::{ExportArgs, report};
use crate::output;

/// Make a model smaller: its weights in 2 to 8 bits each, in one GGUF file.
///
/// The result is compared with its source before it is left: a file that says something else is
/// an error, not a file. llama.cpp reads it too.
#[derive(clap::Args)]
#[command(after_help = after_help())]
#[group(skip)]
pub struct Args {
    /// A model folder, a .gguf file, or the name of a published model in the hub's local cache
    model: String,
    /// How weights are kept; see the list below
    #[arg(long = "type", default_value = "Q4_K_M")]
    mix: String,
    /// A file with text as the model will meet it: what it computes there says where errors matter.
    /// Some thousand words do much, the more the fewer the bits
    #[arg(long, value_name = "TEXT")]
    calibrate: Option<PathBuf>,
    #[command(flatten)]
    export: ExportArgs,
}

/// The list of types, from the largest on.
fn after_help() -> String {
    let line =
        |mix: &Mix| format!("  {:8} {:>4.1} bits  {}\n", mix.name, bits(mix), about(mix.name));
    let list: String = MIXES.iter().map(line).collect();
    format!(
        "Types (bits a weight of most matrices; some matrices get more):\n{list}\n\
         Examples:\n  danlu quantize runs/quickstart/model --type Q8_0 -o quickstart-Q8_0.gguf\n  \
         danlu quantize models/llama -o llama-Q4_K_M.gguf\n  \
         danlu quantize models/llama --type Q3_K_M --calibrate texts.txt -o llama-Q3_K_M.gguf\n  \
         danlu quantize llama-F16.gguf --type Q6_K -o llama-Q6_K.gguf --json"
    )
}

fn bits(mix: &Mix) -> f64 {
    8.0 * mix.base.block_bytes() as f64 / mix.base.block_len() as f64
}

/// For whom a type is.
fn about(name: &str) -> &'static str {
    match name {
        "F32" => "everything as trained",
        "F16" | "BF16" => "half the size, nothing to hear",
        "Q8_0" => "a quarter, as good as the source",
        "Q6_K" => "nearly as good as Q8_0",
        "Q5_K_M" | "Q5_K_S" | "Q5_0" | "Q5_1" => "a little loss",
        "Q4_K_M" => "the usual choice: small, fast, good",
        "Q4_K_S" | "IQ4_NL" | "IQ4_XS" | "Q4_0" | "Q4_1" => "small",
        _ => "for large models and little memory; the loss is heard",
    }
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let mix = opened::mix(&args.mix)?;
    let (source, target) = (args.export.source(&args.model)?, args.export.target());
    anyhow::ensure!(
        target.extension().is_some_and(|extension| extension == "gguf"),
        "a quantised model is a GGUF: give it a name that ends in .gguf, not {}",
        target.display()
    );
    args.export.refuse_same_file(&source)?;
    let text = args.export.text()?;
    let options = args.export.options(&text)?;
    let target: PathBuf = target.to_owned();
    let found = args.calibrate.as_ref().map(|file| calibrate(&source, file, &options.device));
    let found = found.transpose()?;
    let of = |weight: &str| found.as_ref()?.of(weight);
    let importance = found.is_some().then_some(&of as &Importance<'_>);
    let exported = args.export.watched(|steps| {
        export::to_gguf(&source, &target, Some(mix), (&options, importance), steps)
    })?;
    report(&exported, args.export.json)
}

/// Where errors matter, by the text in a file.
fn calibrate(source: &Path, file: &Path, device: &Device) -> Result<danlu_eval::Importance> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {} as UTF-8 text", file.display()))?;
    let found =
        export::importance(source, &text, device).with_context(|| file.display().to_string())?;
    output::note(&format!("calibrated on the {} tokens of {}", found.tokens(), file.display()));
    Ok(found)
}
