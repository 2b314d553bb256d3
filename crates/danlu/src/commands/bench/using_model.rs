//! `danlu bench decode` and `prefill`: a model writing and reading.

use std::time::Instant;

use anyhow::{Result, ensure};
use danlu::machine;
use danlu::opened::Opened;
use danlu_infer::speed;
use danlu_models::BuildOptions;
use danlu_tensor::{Device, Precision};
use serde::Serialize;

use super::threads;
use crate::commands::using::ModelArgs;
use crate::output;

/// Options of `bench decode`.
#[derive(clap::Args)]
pub struct DecodeArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens written while the clock runs
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// Tokens of the prompt before them
    #[arg(long, default_value_t = 16)]
    prompt: usize,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `bench prefill`.
#[derive(clap::Args)]
pub struct PrefillArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Tokens of the prompt
    #[arg(long, default_value_t = 512)]
    tokens: usize,
    /// How often it is read while the clock runs
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Measured {
    tokens_per_s: f64,
    /// Bytes of weights that are read a second.
    bytes_per_s: f64,
    peak_bytes: u64,
    /// Seconds from the start until the model could be used.
    load_s: f64,
    threads: usize,
    simd: &'static str,
}

/// Runs `bench decode`.
pub fn decode(args: &DecodeArgs) -> Result<()> {
    ensure!(args.tokens > 0, "--tokens 0: there would be nothing to time");
    let (opened, device, load_s) = open(&args.model, args.threads)?;
    let model = opened.model.as_ref();
    let seconds = median(speed::decode(model, args.prompt, args.tokens)?);
    let bytes_per_s = speed::bytes_per_token(model) as f64 / seconds;
    report(1.0 / seconds, bytes_per_s, load_s, &device, args.json)
}

/// Runs `bench prefill`.
pub fn prefill(args: &PrefillArgs) -> Result<()> {
    ensure!(args.tokens > 0 && args.runs > 0, "--tokens or --runs 0: nothing to time");
    let (opened, device, load_s) = open(&args.model, args.threads)?;
    let model = opened.model.as_ref();
    let seconds = median(speed::prefill(model, args.tokens, args.runs)?);
    let bytes_per_s = speed::bytes_per_token(model) as f64 / seconds;
    report(args.tokens as f64 / seconds, bytes_per_s, load_s, &device, args.json)
}

/// A model, where it computes, and the seconds it took to open it.
pub fn open(model: &ModelArgs, asked: Option<usize>) -> Result<(Opened, Device, f64)> {
    let device = Device::cpu(threads(asked)?)?;
    let start = Instant::now();
    let frozen = BuildOptions::frozen(device.clone(), Precision::F32);
    let options = BuildOptions { quantize: model.mix()?, ..frozen };
    let opened = Opened::open(&model.model, &options)?;
    Ok((opened, device, start.elapsed().as_secs_f64()))
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn report(
    tokens_per_s: f64,
    bytes_per_s: f64,
    load_s: f64,
    device: &Device,
    json: bool,
) -> Result<()> {
    let Device::Cpu(cpu) = device;
    let measured = Measured {
        tokens_per_s,
        bytes_per_s,
        peak_bytes: machine::peak_resident_bytes().unwrap_or_else(|| cpu.arena.peak() as u64),
        load_s,
        threads: cpu.pool.threads(),
        simd: cpu.simd.name(),
    };
    if json {
        return output::json(&measured);
    }
    output::line(&format!(
        "{:.1} tokens/s, {:.2} GB/s of weights, {:.0} MiB at most, loaded in {:.2} s, \
         {} threads, {}",
        measured.tokens_per_s,
        measured.bytes_per_s / 1e9,
        measured.peak_bytes as f64 / f64::from(1 << 20),
        measured.load_s,
        measured.threads,
        measured.simd
    ))
}
