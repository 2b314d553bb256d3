//! What `quantize` and `convert` share: where to, how it is checked, how it is shown.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use danlu::export::{self, ExportOptions, Exported, Steps};
use danlu::{machine, verify};
use danlu_eval::Tolerance;
use danlu_hub::Cache;
use danlu_tensor::Device;

use crate::output;

/// Where to, and how it is checked.
#[derive(clap::Args)]
pub struct ExportArgs {
    /// Where to
    #[arg(short, long, value_name = "PATH")]
    out: PathBuf,
    /// A file with the text to compare on [default: poems and a scene that ship with the program]
    #[arg(long)]
    text: Option<PathBuf>,
    /// Largest mean divergence from the source, in nats [default: by the bits of a weight]
    #[arg(long)]
    max_divergence: Option<f64>,
    /// Do not compare with the source; a GGUF says so in `danlu.verified`
    #[arg(long, conflicts_with_all = ["text", "max_divergence"])]
    no_verify: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl ExportArgs {
    /// The file or folder of the source.
    pub fn source(&self, path_or_name: &str) -> Result<PathBuf> {
        Ok(Cache::from_environment().locate(path_or_name)?)
    }

    /// Where to.
    pub fn target(&self) -> &Path {
        &self.out
    }

    /// Refuses to write over what is read.
    pub fn refuse_same_file(&self, source: &Path) -> Result<()> {
        let same = match (source.canonicalize(), self.out.canonicalize()) {
            (Ok(source), Ok(target)) => source == target,
            _ => false,
        };
        ensure!(!same, "{} is the source itself; name another file", self.out.display());
        Ok(())
    }

    /// The text to compare on.
    pub fn text(&self) -> Result<Option<String>> {
        if self.no_verify {
            return Ok(None);
        }
        let Some(path) = &self.text else { return Ok(Some(verify::TEXT.to_owned())) };
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {} as UTF-8 text", path.display()))?;
        Ok(Some(text))
    }

    /// What the export is told.
    pub fn options<'a>(&self, text: &'a Option<String>) -> Result<ExportOptions<'a>> {
        let tolerance = self.max_divergence.map(|kl_mean| Tolerance {
            kl_mean,
            top1: 0.0,
            perplexity_ratio: f64::INFINITY,
        });
        let device = Device::cpu(machine::threads()?)?;
        Ok(ExportOptions { device, text: text.as_deref(), tolerance })
    }

    /// Runs an export with a line of progress on a terminal; Ctrl-C ends it at once and leaves
    /// nothing.
    pub fn watched(
        &self,
        work: impl FnOnce(&mut Steps<'_>) -> Result<Exported>,
    ) -> Result<Exported> {
        let stop = Arc::new(AtomicBool::new(false));
        let (flag, target) = (Arc::clone(&stop), self.out.clone());
        // A tensor or a comparison of a large model takes too long to wait for its end.
        ctrlc::set_handler(move || {
            flag.store(true, Ordering::SeqCst);
            match export::abandon(&target) {
                Ok(()) => output::note("stopped; nothing was left behind"),
                Err(error) => output::error(&error),
            }
            #[allow(clippy::exit)]
            std::process::exit(130);
        })?;
        let on_terminal = std::io::stderr().is_terminal();
        let exported = work(&mut |done, total| {
            if on_terminal {
                let share = 100.0 * done as f64 / total.max(1) as f64;
                // A closed stderr must not end the work.
                let _ = write!(std::io::stderr().lock(), "\rwriting {share:5.1} % ");
            }
            Ok(())
        });
        if on_terminal {
            let _ = write!(std::io::stderr().lock(), "\r                \r");
        }
        while exported.is_err() && stop.load(Ordering::SeqCst) {
            // What was written has gone from under the export: no error of its own.
            std::thread::park();
        }
        exported
    }
}

/// Shows what was made.
pub fn report(exported: &Exported, json: bool) -> Result<()> {
    if json {
        return output::json(exported);
    }
    let types: Vec<String> =
        exported.types.iter().map(|(name, count)| format!("{name} x{count}")).collect();
    output::line(&format!(
        "{}: {:.1} MiB, {:.2} bits a weight ({})",
        exported.path.display(),
        exported.weight_bytes as f64 / f64::from(1 << 20),
        exported.bits_per_weight,
        types.join(", ")
    ))?;
    match &exported.agreement {
        Some(agreement) => output::line(&format!("beside its source: {agreement}")),
        None => output::line("not compared with its source"),
    }
}
