//! Finds private data in texts: the side of the comparison with other finders that is ours.
//!
//! `private_data IN.jsonl OUT.jsonl ROUNDS`: OUT has for each text of IN a list of
//! `[first, end, kind]` in bytes. Seconds of one of ROUNDS rounds on one thread go to stderr.

#![allow(clippy::print_stderr)]

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use danlu_data::steps::private_data::{KINDS, Kind, find};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, input, output, rounds] = &arguments[..] else {
        return Err("private_data IN.jsonl OUT.jsonl ROUNDS".into());
    };
    let rounds = rounds.parse::<u32>()?.max(1);
    let mut texts = Vec::new();
    for line in std::fs::read_to_string(input)?.lines() {
        let row: Value = serde_json::from_str(line)?;
        texts.push(row["text"].as_str().ok_or("a row has no text")?.to_owned());
    }
    let kinds: Vec<&Kind> = KINDS.iter().collect();
    let mut found = Vec::new();
    let start = Instant::now();
    for _ in 0..rounds {
        found = texts.iter().map(|text| find(text, &kinds)).collect();
    }
    eprintln!("{:.6}", start.elapsed().as_secs_f64() / f64::from(rounds));
    let mut out = std::io::BufWriter::new(std::fs::File::create(output)?);
    for pieces in found {
        let spans: Vec<Value> = pieces
            .iter()
            .map(|piece| json!([piece.range.start, piece.range.end, piece.kind]))
            .collect();
        writeln!(out, "{}", json!(spans))?;
    }
    Ok(out.flush()?)
}
