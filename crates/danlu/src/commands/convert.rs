//! `danlu convert`: the same model in another file.

use anyhow::{Context, Result};
use danlu::export;
use danlu_formats::gguf::Mix;
use danlu_kernels::quant::BlockFormat;

use super::exporting::{ExportArgs, report};

/// Turn a model folder into a GGUF, or a GGUF into a folder that the transformers library opens.
///
/// Weights, vocabulary and chat template go along. The result is compared with its source before
/// it is left: a file that says something else is an error, not a file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu convert runs/quickstart/model -o quickstart.gguf
  danlu convert models/llama -o llama-BF16.gguf --type BF16
  danlu convert model-Q4_K_M.gguf -o model        a folder; quantised weights are widened")]
#[group(skip)]
pub struct Args {
    /// A model folder, a .gguf file, or the name of a published model in the hub's local cache
    source: String,
    /// Type of the weights: F32, F16, BF16 [default: as in the source; F16 for a folder]
    #[arg(long = "type", value_name = "TYPE")]
    format: Option<String>,
    /// Largest weight file of a folder, in MiB
    #[arg(long, default_value_t = 4096)]
    shard_mib: usize,
    #[command(flatten)]
    export: ExportArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let source = args.export.source(&args.source)?;
    let target = args.export.target().to_owned();
    let text = args.export.text()?;
    let options = args.export.options(&text)?;
    let named = args.format.as_deref().map(plain).transpose()?;
    let exported = if target.extension().is_some_and(|extension| extension == "gguf") {
        args.export.refuse_same_file(&source)?;
        args.export
            .watched(|steps| export::to_gguf(&source, &target, named, (&options, None), steps))?
    } else {
        let format = named.map_or(BlockFormat::F16, |mix| mix.base);
        let place = (format, args.shard_mib << 20);
        args.export.watched(|steps| export::to_folder(&source, &target, place, &options, steps))?
    };
    report(&exported, args.export.json)
}

/// A type without loss.
fn plain(name: &str) -> Result<&'static Mix> {
    Mix::from_name(name).filter(|mix| !mix.base.is_quantized()).with_context(|| {
        format!("{name} is not F32, F16 or BF16; `danlu quantize` makes files of fewer bits")
    })
}
