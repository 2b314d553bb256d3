//! Our encoder beside the `tokenizers` library on the same documents, one thread, in turns:
//! `cargo run --release -p danlu-tokenizer --example speed -- MEGABYTES VOCABULARY CORPUS...`.
//!
//! A corpus has an object with `text` on each line; VOCABULARY is what [`Tokenizer::open`] opens.
//! Prints the median of three rounds in MB/s. Then every line of every document is encoded by both
//! as a text of its own, and the lines whose ids differ are counted; any is an error.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use danlu_tokenizer::Tokenizer;

const ROUNDS: usize = 3;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [megabytes, vocabulary, corpora @ ..] = arguments.as_slice() else {
        return Err("expected MEGABYTES VOCABULARY CORPUS...".into());
    };
    let limit = megabytes.parse::<usize>()? * 1_000_000;
    let started = Instant::now();
    let ours = Tokenizer::open(Path::new(vocabulary))?;
    show(&format!("{ours:?}, loaded in {} ms", started.elapsed().as_millis()));
    let mut library = tokenizers::Tokenizer::from_bytes(ours.json())?;
    library.set_encode_special_tokens(true);
    let by_library = |text: &str| Ok(library.encode_fast(text, false)?.get_ids().to_vec());
    let by_us = |text: &str| Ok(ours.encode(text)?);
    let mut wrong = 0;
    for corpus in corpora {
        let texts = read(corpus, limit)?;
        let bytes: usize = texts.iter().map(String::len).sum();
        let mut seconds = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            seconds[0].push(time(&texts, &by_us)?);
            seconds[1].push(time(&texts, &by_library)?);
        }
        let [us, them] = seconds.map(|mut seconds| {
            seconds.sort_by(f64::total_cmp);
            bytes as f64 / 1e6 / seconds[ROUNDS / 2]
        });
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.split_inclusive('\n')).collect();
        let mut differ = 0;
        for line in &lines {
            differ += usize::from(by_us(line)? != by_library(line)?);
        }
        wrong += differ;
        show(&format!(
            "{corpus}: danlu {us:.1} MB/s, tokenizers {them:.1} MB/s; {differ} of {} texts differ",
            lines.len()
        ));
    }
    if wrong > 0 { Err(format!("{wrong} texts have other ids").into()) } else { Ok(()) }
}

fn read(corpus: &str, limit: usize) -> Fallible<Vec<String>> {
    let (mut texts, mut size) = (Vec::new(), 0);
    for line in fs::read_to_string(corpus)?.lines() {
        let document: serde_json::Value = serde_json::from_str(line)?;
        let text = document["text"].as_str().ok_or("a line without text")?.to_owned();
        size += text.len();
        texts.push(text);
        if size > limit {
            break;
        }
    }
    Ok(texts)
}

fn time(texts: &[String], encode: &dyn Fn(&str) -> Fallible<Vec<u32>>) -> Fallible<f64> {
    let started = Instant::now();
    for text in texts {
        encode(text)?;
    }
    Ok(started.elapsed().as_secs_f64())
}

#[expect(clippy::print_stdout, reason = "the figures are what the program is for")]
fn show(line: &str) {
    println!("{line}");
}
