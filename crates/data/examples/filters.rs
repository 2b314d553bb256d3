//! Runs documents through steps and writes what became of each: the side of the comparison with
//! other filters that is ours.
//!
//! `filters STEPS.json IN.jsonl OUT.jsonl THREADS [LANGUAGE]`: STEPS.json maps names to lists of
//! steps; OUT has a line for each document with, for each name, the reason (null when it is kept)
//! and the text and meta where they changed, and with a LANGUAGE the number of words and the CRC-32
//! of their lines. Documents per second go to stderr.

#![allow(clippy::print_stderr)]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use danlu_data::steps::{Cleaner, Language, Verdict};
use danlu_data::{DataConfig, Document};
use flate2::Crc;
use serde_json::{Map, Value, json};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, steps, input, output, threads, language @ ..] = &arguments[..] else {
        return Err("filters STEPS.json IN.jsonl OUT.jsonl THREADS [LANGUAGE]".into());
    };
    let threads = threads.parse::<usize>()?.max(1);
    let language = language.first().map(|name| serde_json::from_value::<Language>(json!(name)));
    let language = language.transpose()?;
    let sets: BTreeMap<String, Value> = serde_json::from_str(&std::fs::read_to_string(steps)?)?;
    let built: Outcome<Vec<(String, Cleaner)>> = sets
        .into_iter()
        .map(|(name, steps)| {
            let config: DataConfig = serde_json::from_value(json!({ "text": [], "steps": steps }))?;
            Ok((name, Cleaner::new(&config, Path::new("."))?))
        })
        .collect();
    let built = built?;
    let start = Instant::now();
    let text = std::fs::read_to_string(input)?;
    let lines: Vec<&str> = text.lines().collect();
    let mut out = std::io::BufWriter::new(std::fs::File::create(output)?);
    for batch in lines.chunks(1000 * threads) {
        let parts = batch.chunks(batch.len().div_ceil(threads));
        let judged: Vec<Outcome<Vec<u8>>> = std::thread::scope(|scope| {
            let judge = |part| judge_all(part, &built, language);
            let run: Vec<_> = parts.map(|part| scope.spawn(move || judge(part))).collect();
            run.into_iter().map(|thread| thread.join().unwrap_or(Ok(Vec::new()))).collect()
        });
        for part in judged {
            out.write_all(&part?)?;
        }
    }
    out.flush()?;
    let seconds = start.elapsed().as_secs_f64();
    let (documents, megabytes) = (lines.len() as f64, text.len() as f64 / 1e6);
    eprintln!(
        "{documents} documents in {seconds:.3} s: {:.0} documents/s, {:.1} MB/s",
        documents / seconds,
        megabytes / seconds
    );
    Ok(())
}

fn judge_all(
    lines: &[&str],
    sets: &[(String, Cleaner)],
    language: Option<Language>,
) -> Outcome<Vec<u8>> {
    let mut out = Vec::new();
    for line in lines {
        let document: Document = serde_json::from_str(line)?;
        let mut row = Map::new();
        row.insert("id".to_owned(), document.id.clone().into());
        if let Some(language) = language {
            let words = language.split(&document.text);
            let mut crc = Crc::new();
            crc.update(words.join("\n").as_bytes());
            row.insert("words".to_owned(), json!([words.len(), crc.sum()]));
        }
        for (name, cleaner) in sets {
            match cleaner.clean(document.clone()) {
                Verdict::Keep(kept) => {
                    row.insert(name.clone(), Value::Null);
                    if kept.text != document.text {
                        row.insert(format!("{name}_text"), kept.text.into());
                    }
                    if kept.meta != document.meta {
                        row.insert(format!("{name}_meta"), kept.meta.into());
                    }
                }
                Verdict::Drop { step, reason, .. } => {
                    row.insert(name.clone(), format!("{step}: {reason}").into());
                }
            }
        }
        serde_json::to_writer(&mut out, &Value::Object(row))?;
        out.push(b'\n');
    }
    Ok(out)
}
