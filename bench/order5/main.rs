//! Trains the order-5 character model and prints what held-out text costs, one JSON line a file.
//!
//! Usage: `order5 TRAIN HELDOUT...`, each a file of documents separated by zero bytes.

use std::io::Write;

#[path = "../../crates/eval/src/order5.rs"]
mod order5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let [train, heldout @ ..] = paths.as_slice() else {
        return Err("usage: order5 TRAIN HELDOUT... (documents separated by zero bytes)".into());
    };
    let text = read(train)?;
    let model = order5::Order5::train(documents(&text));
    let mut out = std::io::stdout().lock();
    for path in heldout {
        let text = read(path)?;
        let bytes: usize = documents(&text).map(str::len).sum();
        let bits: f64 = documents(&text).map(|document| model.bits(document)).sum();
        let per_byte = model.bits_per_byte(documents(&text)).ok_or(format!("{path} is empty"))?;
        writeln!(out, r#"{{"bits":{bits:.1},"bytes":{bytes},"bits_per_byte":{per_byte:.5}}}"#)?;
    }
    Ok(())
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn documents(text: &str) -> impl Iterator<Item = &str> {
    text.split('\0').filter(|document| !document.is_empty())
}
