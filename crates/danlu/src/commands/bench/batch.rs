//! `danlu bench batch`: a model that answers many requests at once.

use anyhow::{Result, ensure};
use danlu_infer::EngineOptions;
use danlu_infer::batch_speed::{BatchLoad, batch};
use danlu_tensor::Device;
use serde_json::json;

use super::using_model::open;
use crate::commands::using::{KvType, ModelArgs};
use crate::output;

/// Options of `bench batch`.
#[derive(clap::Args)]
pub struct BatchArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// Requests that are answered at the same time
    #[arg(long, default_value_t = 16)]
    slots: usize,
    /// Requests in all [default: as many as slots]
    #[arg(long)]
    requests: Option<usize>,
    /// Tokens of each prompt
    #[arg(long, default_value_t = 124)]
    prompt: usize,
    /// Tokens of each answer
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// How keys and values of earlier tokens are kept
    #[arg(long, value_enum, default_value = "f32")]
    kv_type: KvType,
    /// Threads [default: all cores, or DANLU_THREADS]
    #[arg(long)]
    threads: Option<usize>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs `bench batch`.
pub fn run(args: &BatchArgs) -> Result<()> {
    let BatchArgs { slots, prompt, tokens, .. } = *args;
    let requests = args.requests.unwrap_or(slots);
    ensure!(requests > 0 && prompt > 0 && tokens > 0, "there would be nothing to time");
    let (opened, device, load_s) = open(&args.model, args.threads)?;
    let kv_format = Some(args.kv_type.format());
    let options = EngineOptions { kv_format, ..EngineOptions::for_model(opened.model.as_ref()) };
    let load = BatchLoad { slots, requests, prompt, answer: tokens };
    let speed = batch(&opened.model, load, options)?;
    let tokens_per_s = speed.answered as f64 / speed.seconds;
    let Device::Cpu(cpu) = device;
    if args.json {
        return output::json(&json!({
            "tokens_per_s": tokens_per_s, "seconds": speed.seconds, "slots": slots,
            "requests": requests, "prompt": prompt, "tokens": tokens,
            "cache_bytes": speed.cache_bytes, "load_s": load_s, "threads": cpu.pool.threads(),
            "simd": cpu.simd.name(),
        }));
    }
    output::line(&format!(
        "{tokens_per_s:.1} tokens/s in {requests} answers, {slots} at a time, after prompts of \
         {prompt}; {:.2} s, {} threads, {}",
        speed.seconds,
        cpu.pool.threads(),
        cpu.simd.name()
    ))
}
