//! Near-duplicates of a file of documents, for comparisons with other programs.
//!
//! `cargo run --release -p danlu-data --example dedup -- TEXTS.jsonl OUT [KEY=VALUE ..]` cleans
//! nothing and drops nothing but near-duplicates, as datatrove's defaults do. Settings of the
//! `[data]` section may follow as JSON: `memory='"200 MiB"' workers=2 near_duplicates='{}'`.

#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use danlu_data::{DataConfig, build};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(texts), Some(out)) = (arguments.next(), arguments.next()) else {
        return Err("usage: dedup TEXTS.jsonl OUT [KEY=VALUE ..]".into());
    };
    let mut config = json!({
        "text": [texts], "steps": [], "heldout_per_mille": 0, "exact_duplicates": false,
        "near_duplicates": { "compatible": "datatrove" },
    });
    for argument in arguments {
        let (key, value) = argument.split_once('=').ok_or("settings are KEY=VALUE")?;
        config[key] = serde_json::from_str::<Value>(value)?;
    }
    let config: DataConfig = serde_json::from_value(config)?;
    std::fs::create_dir_all(&out)?;
    let start = Instant::now();
    let report = build(&config, Path::new("."), Path::new(&out), &mut |_| true)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{} documents in {seconds:.2} s, {:.0} a second; {} exact and {} near duplicates dropped",
        report.records,
        report.records as f64 / seconds,
        report.duplicates,
        report.near_duplicates
    );
    Ok(())
}
