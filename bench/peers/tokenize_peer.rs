//! Encoders of other Rust libraries, for `tokenize_speed.py`, which makes a package of this file:
//! `tokenize-peer NAME VOCABULARY TEXTS ROUNDS`.
//!
//! NAME is `bpe`, `tiktoken-rs` or `tokenizers`; VOCABULARY is `cl100k`, `o200k` or `gpt2` for the
//! first two, a tokenizer.json for the last; TEXTS has a JSON string on each line. Prints what
//! `danlu bench encode --json` prints: seconds of each round, tokens, and the digest of all ids.

use std::error::Error;
use std::fs;
use std::time::Instant;

use sha2::{Digest, Sha256};

type Encode = Box<dyn Fn(&str) -> Vec<u32>>;

fn encoder(name: &str, vocabulary: &str) -> Result<Encode, Box<dyn Error>> {
    Ok(match (name, vocabulary) {
        ("bpe", "cl100k") => Box::new(|text| bpe_openai::cl100k_base().encode(text)),
        ("bpe", "o200k") => Box::new(|text| bpe_openai::o200k_base().encode(text)),
        ("tiktoken-rs", "cl100k") => {
            let encoder = tiktoken_rs::cl100k_base()?;
            Box::new(move |text| encoder.encode_ordinary(text))
        }
        ("tiktoken-rs", "o200k") => {
            let encoder = tiktoken_rs::o200k_base()?;
            Box::new(move |text| encoder.encode_ordinary(text))
        }
        ("tiktoken-rs", "gpt2") => {
            let encoder = tiktoken_rs::r50k_base()?;
            Box::new(move |text| encoder.encode_ordinary(text))
        }
        ("tokenizers", file) => {
            let read = tokenizers::Tokenizer::from_file(file);
            let mut encoder = read.map_err(|error| error.to_string())?;
            encoder.set_encode_special_tokens(true);
            Box::new(move |text| match encoder.encode_fast(text, false) {
                Ok(encoding) => encoding.get_ids().to_vec(),
                Err(_) => Vec::new(),
            })
        }
        _ => return Err(format!("no encoder {name} {vocabulary}").into()),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, vocabulary, texts, rounds] = arguments.as_slice() else {
        return Err("expected NAME VOCABULARY TEXTS ROUNDS".into());
    };
    let encode = encoder(name, vocabulary)?;
    let texts: Vec<String> =
        fs::read_to_string(texts)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (mut tokens, mut hasher) = (0, Sha256::new());
    for text in &texts {
        let ids = encode(text);
        tokens += ids.len();
        hasher.update((ids.len() as u32).to_le_bytes());
        ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
    }
    let digest: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut seconds = Vec::new();
    for _ in 0..rounds.parse()? {
        let started = Instant::now();
        for text in &texts {
            std::hint::black_box(encode(text));
        }
        seconds.push(started.elapsed().as_secs_f64());
    }
    println!("{}", serde_json::json!({ "seconds": seconds, "tokens": tokens, "digest": digest }));
    Ok(())
}
