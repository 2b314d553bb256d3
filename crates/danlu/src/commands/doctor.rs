//! `danlu doctor`: what this machine has and what Danlu will use of it.

use anyhow::Result;
use danlu::machine;
use danlu_kernels::simd::{self, Simd};
use serde::Serialize;

use crate::output;

/// Show what this machine has (CPU features, threads, memory, huge pages) and what will be used.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu doctor
  DANLU_SIMD=avx2 danlu doctor --json")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Diagnosis {
    version: &'static str,
    processor: Option<String>,
    simd_found: &'static str,
    simd_used: &'static str,
    precision_auto: &'static str,
    threads_used: usize,
    memory_bytes: Option<u64>,
    memory_available_bytes: Option<u64>,
    huge_pages: Option<String>,
    advice: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let used = simd::from_environment()?;
    let memory = machine::memory_bytes();
    let huge_pages = machine::huge_pages();
    let diagnosis = Diagnosis {
        version: env!("CARGO_PKG_VERSION"),
        processor: machine::processor(),
        simd_found: simd::detect().name(),
        simd_used: used.name(),
        precision_auto: if used >= Simd::Avx512Bf16 { "bf16" } else { "f32" },
        threads_used: machine::threads()?,
        memory_bytes: memory.map(|m| m.0),
        memory_available_bytes: memory.map(|m| m.1),
        advice: advice(used, huge_pages.as_deref()),
        huge_pages,
    };
    if args.json { output::json(&diagnosis) } else { print(&diagnosis) }
}

fn advice(used: Simd, huge_pages: Option<&str>) -> Vec<String> {
    let mut advice = Vec::new();
    if used < simd::preferred() {
        advice.push(format!("DANLU_SIMD holds this CPU at {}; unset it for speed", used.name()));
    }
    if simd::preferred() < simd::detect() {
        let note = "this CPU multiplies bf16 faster as f32 than by its bf16 instruction, which is \
                    left alone";
        advice.push(note.to_owned());
    }
    if used < Simd::Avx512Bf16 {
        advice.push(
            "no fast bf16 products in hardware: `precision = \"auto\"` trains in f32; bf16 is as \
             fast and needs less memory"
                .to_owned(),
        );
    }
    if huge_pages == Some("never") {
        advice.push("huge pages are off; switching them to `madvise` makes training faster".into());
    }
    advice
}

fn print(diagnosis: &Diagnosis) -> Result<()> {
    let unknown = || "unknown".to_owned();
    let gib = |bytes: Option<u64>| {
        bytes.map_or_else(unknown, |b| format!("{:.1} GiB", b as f64 / f64::from(1 << 30)))
    };
    let lines = [
        ("danlu", diagnosis.version.to_owned()),
        ("processor", diagnosis.processor.clone().unwrap_or_else(unknown)),
        ("instructions", format!("{} (found {})", diagnosis.simd_used, diagnosis.simd_found)),
        ("precision", format!("{} where a recipe says auto", diagnosis.precision_auto)),
        ("threads", diagnosis.threads_used.to_string()),
        ("memory", gib(diagnosis.memory_bytes)),
        ("available", gib(diagnosis.memory_available_bytes)),
        ("huge pages", diagnosis.huge_pages.clone().unwrap_or_else(unknown)),
    ];
    for (name, value) in lines {
        output::line(&format!("{name:<14}{value}"))?;
    }
    diagnosis.advice.iter().try_for_each(|text| output::line(&format!("note: {text}")))
}
