//! Compares ids with the reference libraries' on published vocabularies, and prints a table:
//! `cargo run --release -p danlu-tokenizer --example vectors -- FOLDER`, where FOLDER was filled by
//! `golden/tokenizer/vectors.py`.
//!
//! A file `NAME.vectors.json` holds `cases`, each a `text` and its `ids`, and where the vocabulary
//! is: `path` (relative to FOLDER) for [`Tokenizer::open`], or `gguf` for [`Tokenizer::from_gguf`].
//! Beside each, `NAME.out/tokenizer.json` is written, for `vectors.py --check` to read with the
//! reference library.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Instant;

use danlu_tokenizer::{ChatTemplate, GgufVocabulary, Tokenizer};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    path: Option<String>,
    gguf: Option<GgufVocabulary>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    ids: Vec<u32>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder] = arguments.as_slice() else { return Err("expected FOLDER".into()) };
    let mut files: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(fs::DirEntry::file_name);
    let mut wrong = 0;
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".vectors.json") else { continue };
        let verdict = match compare(Path::new(folder), name) {
            Ok(verdict) => verdict,
            Err(error) => format!("error: {error}"),
        };
        wrong += usize::from(!verdict.starts_with("equal"));
        show(&format!("{name:24} {verdict}"));
    }
    if wrong > 0 { Err(format!("{wrong} vocabularies differ").into()) } else { Ok(()) }
}

fn compare(folder: &Path, name: &str) -> Result<String, Box<dyn Error>> {
    let json = fs::read(folder.join(format!("{name}.vectors.json")))?;
    let vectors: Vectors = serde_json::from_slice(&json)?;
    let started = Instant::now();
    let tokenizer = match (&vectors.path, &vectors.gguf) {
        (Some(path), None) => Tokenizer::open(&folder.join(path))?,
        (None, Some(vocabulary)) => Tokenizer::from_gguf(vocabulary)?,
        _ => return Err("expected either path or gguf".into()),
    };
    let load_ms = started.elapsed().as_millis();
    let out = folder.join(format!("{name}.out"));
    fs::create_dir_all(&out)?;
    for (name, bytes) in tokenizer.files(&ChatTemplate::chatml()) {
        fs::write(out.join(name), bytes)?;
    }
    let mut differ = Vec::new();
    for case in &vectors.cases {
        let ids = tokenizer.encode(&case.text)?;
        if ids != case.ids {
            let place = ids.iter().zip(&case.ids).take_while(|(left, right)| left == right).count();
            let around = |ids: &[u32]| format!("{:?}", &ids[place..ids.len().min(place + 4)]);
            let (ours, theirs) = (around(&ids), around(&case.ids));
            differ.push(format!("{:?} at {place}: {ours}, not {theirs}", case.text));
        }
    }
    let count = vectors.cases.len();
    let size = tokenizer.vocab_size();
    Ok(match differ.first() {
        None => format!("equal on {count} texts; {size} ids, loaded in {load_ms} ms"),
        Some(first) => format!("{} of {count} texts differ; first {first}", differ.len()),
    })
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn show(line: &str) {
    println!("{line}");
}
