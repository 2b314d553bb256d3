//! `danlu bench`: how fast this machine is, and how close Danlu comes to it.

mod batch;
mod encode;
mod using_model;

use anyhow::{Result, ensure};
use danlu::machine;
use danlu::model_section::{FamilyName, ModelSection};
use danlu_infer::speed::multiplied;
use danlu_kernels::cpu::gemm::speed::{SHAPES, step_gflops};
use danlu_kernels::cpu::{bandwidth, peak};
use danlu_kernels::{Cpu, Precision};
use danlu_models::config::{ConfigJson, SpecialIds};
use danlu_models::families::find_family;
use danlu_models::{BuildOptions, CausalLm};
use danlu_tensor::Device;
use danlu_train::speed::{Workload, measure, step_flops};
use danlu_train::{Moments, TrainConfig};
use serde::Serialize;
use serde_json::json;

use crate::output;

/// Measure speed: whole training steps, matrix products, memory, text to ids.
#[derive(clap::Subcommand)]
#[command(after_help = "\
Examples:
  danlu bench train --shape w1 --precision bf16 --json
  danlu bench decode model.gguf --threads 2 --json
  danlu bench prefill model.gguf --tokens 512
  danlu bench batch model.gguf --slots 16 --json
  danlu bench encode tokenizer.json --text poems.jsonl --threads 1
  danlu bench gemm
  danlu bench bandwidth --mib 1024")]
pub enum Command {
    /// Time whole training steps on a random batch and compare with the processor's peak
    Train(TrainArgs),
    /// Time a model writing, token by token
    Decode(using_model::DecodeArgs),
    /// Time a model reading a prompt
    Prefill(using_model::PrefillArgs),
    /// Time a model answering many requests at once
    Batch(batch::BatchArgs),
    /// Time a vocabulary turning texts into ids
    Encode(encode::EncodeArgs),
    /// Time the matrix products of training steps
    Gemm(GemmArgs),
    /// Time reading memory
    Bandwidth(BandwidthArgs),
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum PrecisionName {
    F32,
    Bf16,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Self {
        match name {
            PrecisionName::F32 => Self::F32,
            PrecisionName::Bf16 => Self::Bf16,
        }
    }
}

/// A model and a batch that are timed.
#[derive(Clone, Copy, clap::ValueEnum)]
enum ShapeName {
    /// LLaMA, 8192 tokens of vocabulary, width 384, 6 layers, 8 x 256 tokens
    W1,
    /// GPT-2 with 124 million weights, 4 x 256 tokens
    W2,
    /// As w1 with 2 x 2048 tokens
    W3,
}

/// Options of `bench train`.
#[derive(clap::Args)]
pub struct TrainArgs {
    /// The model and batch
    #[arg(long, value_enum, default_value = "w1")]
    shape: ShapeName,
    /// Precision of matrix products
    #[arg(long, value_enum, default_value = "bf16")]
    precision: PrecisionName,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Timed steps
    #[arg(long, default_value_t = 8)]
    steps: u64,
    /// Keep the optimiser's moments in bf16: less memory
    #[arg(long)]
    bf16_moments: bool,
    /// Compute activations again on the way back: less memory, slower
    #[arg(long)]
    recompute: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Options of `bench gemm`.
#[derive(clap::Args)]
pub struct GemmArgs {
    /// Precision of the products
    #[arg(long, value_enum, default_value = "bf16")]
    precision: PrecisionName,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

/// Options of `bench bandwidth`.
#[derive(clap::Args)]
pub struct BandwidthArgs {
    /// Memory to read, in MiB; well beyond the last cache
    #[arg(long, default_value_t = 1024)]
    mib: usize,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct TrainResult {
    tokens_per_s: f64,
    gflops: f64,
    peak_share: f64,
    peak_gflops: f64,
    peak_bytes: u64,
    loss_first: f64,
    loss_last: f64,
    threads: usize,
    simd: &'static str,
    precision: &'static str,
    step_s: f64,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Train(args) => train(args),
        Command::Decode(args) => using_model::decode(args),
        Command::Prefill(args) => using_model::prefill(args),
        Command::Batch(args) => batch::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Gemm(args) => gemm(args),
        Command::Bandwidth(args) => bandwidth(args),
    }
}

fn threads(asked: Option<usize>) -> Result<usize> {
    let threads = asked.map_or_else(machine::threads, Ok)?;
    ensure!((1..=1024).contains(&threads), "--threads {threads}: expected 1..1024");
    Ok(threads)
}

fn train(args: &TrainArgs) -> Result<()> {
    ensure!(args.steps > 0, "--steps 0: there would be nothing to time");
    let device = Device::cpu(threads(args.threads)?)?;
    let Device::Cpu(cpu) = device.clone();
    let precision = args.precision.into();
    let (model, work) = workload(args, &device, precision)?;
    let moments = if args.bf16_moments { Moments::Bf16 } else { Moments::F32 };
    let config = TrainConfig { moments, clip_norm: 0.0, ..TrainConfig::default() };
    let peak_before = peak_gflops(&cpu, precision);
    let speed = measure(model.as_ref(), &config, &work)?;
    let peak = peak_gflops(&cpu, precision).max(peak_before);
    let seconds = speed.median_seconds();
    let shape = model.shape();
    let weights = multiplied(model.as_ref()).iter().map(|spec| spec.shape.len()).sum();
    let flops = step_flops(shape, weights, work.batch, work.tokens);
    let result = TrainResult {
        tokens_per_s: (work.batch * work.tokens) as f64 / seconds,
        gflops: flops / seconds / 1e9,
        peak_share: flops / seconds / 1e9 / peak,
        peak_gflops: peak,
        peak_bytes: machine::peak_resident_bytes().unwrap_or_else(|| cpu.arena.peak() as u64),
        loss_first: speed.losses.0,
        loss_last: speed.losses.1,
        threads: cpu.pool.threads(),
        simd: cpu.simd.name(),
        precision: precision_name(precision),
        step_s: seconds,
    };
    if args.json {
        return output::json(&result);
    }
    output::line(&format!(
        "{:.0} tokens/s, {:.0} GFLOP/s, {:.1} % of the peak ({:.0} GFLOP/s), {:.0} MiB at most, \
         loss {:.3} -> {:.3}, {} threads, {}",
        result.tokens_per_s,
        result.gflops,
        100.0 * result.peak_share,
        result.peak_gflops,
        result.peak_bytes as f64 / f64::from(1 << 20),
        result.loss_first,
        result.loss_last,
        result.threads,
        result.simd
    ))
}

fn peak_gflops(cpu: &Cpu, precision: Precision) -> f64 {
    let threads = cpu.pool.threads();
    match precision {
        Precision::F32 => peak::fma_f32_gflops(cpu, threads),
        Precision::Bf16 => peak::vdpbf16ps_gflops(cpu, threads)
            .unwrap_or_else(|| peak::fma_f32_gflops(cpu, threads)),
    }
}

fn precision_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "f32",
        Precision::Bf16 => "bf16",
    }
}

fn workload(
    args: &TrainArgs,
    device: &Device,
    precision: Precision,
) -> Result<(Box<dyn CausalLm>, Workload)> {
    let gpt2 = ModelSection {
        family: FamilyName::Gpt2,
        num_layers: 12,
        hidden_size: 768,
        num_heads: 12,
        num_kv_heads: 12,
        ffn_size: 3072,
        context_len: 1024,
        tie_embeddings: true,
        ..ModelSection::default()
    };
    let small = ModelSection { context_len: 2048, ..ModelSection::default() };
    let (section, vocab_size, batch, tokens) = match args.shape {
        ShapeName::W1 => (small, 8192, 8, 256),
        ShapeName::W2 => (gpt2, 50257, 4, 256),
        ShapeName::W3 => (small, 8192, 2, 2048),
    };
    let json = ConfigJson::new("bench", section.config(vocab_size, SpecialIds::default()));
    let options = BuildOptions {
        recompute: args.recompute,
        ..BuildOptions::trainable(device.clone(), precision)
    };
    let model = (find_family(&json)?.build)(&json, &options)?;
    Ok((model, Workload { batch, tokens, steps: args.steps }))
}

fn gemm(args: &GemmArgs) -> Result<()> {
    let cpu = Cpu::new(threads(args.threads)?)?;
    let precision = args.precision.into();
    for shape in SHAPES {
        let before = peak_gflops(&cpu, precision);
        let gflops = step_gflops(&cpu, precision, shape);
        let share = gflops / before.max(peak_gflops(&cpu, precision));
        let (m, n, k) = shape.mnk;
        if args.json {
            output::json(&json!({
                "name": shape.name, "m": m, "n": n, "k": k, "gflops": gflops,
                "peak_share": share, "precision": precision_name(precision),
                "threads": cpu.pool.threads(), "simd": cpu.simd.name(),
            }))?;
        } else {
            let percent = 100.0 * share;
            output::line(&format!(
                "{:24} {m:6} x {n:6} x {k:6} {gflops:8.1} GFLOP/s {percent:5.1} % of the peak",
                shape.name
            ))?;
        }
    }
    Ok(())
}

fn bandwidth(args: &BandwidthArgs) -> Result<()> {
    ensure!((1..=1 << 20).contains(&args.mib), "--mib {}: expected 1..1048576", args.mib);
    let cpu = Cpu::new(threads(args.threads)?)?;
    let gb_per_s = bandwidth::read_gb_per_s(&cpu, args.mib << 20);
    if args.json {
        let threads = cpu.pool.threads();
        return output::json(&json!({"gb_per_s": gb_per_s, "mib": args.mib, "threads": threads}));
    }
    output::line(&format!("{gb_per_s:.1} GB/s read with {} threads", cpu.pool.threads()))
}
