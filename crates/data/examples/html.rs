//! Main text of web pages, for comparing with other extractors.
//!
//! `html FILE... < /dev/null > OUT.jsonl`: one line a file with `file`, `text` and, when there is
//! none, `reason`. Pages per second, on one thread, go to stderr.

#![allow(clippy::print_stderr, clippy::print_stdout)]

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use danlu_data::readers::{Item, SourceFile, read_file};
use danlu_data::{DataConfig, Source};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let config: DataConfig = serde_json::from_value(json!({ "text": [] }))?;
    let mut seconds = 0.0;
    for name in &files {
        let source = Source::from(name.as_str());
        let file = SourceFile { path: PathBuf::from(name), name: name.clone(), source };
        let start = Instant::now();
        let mut found = None;
        read_file(&file, &config, &mut |item| {
            found = Some(item);
            Ok(())
        })?;
        seconds += start.elapsed().as_secs_f64();
        let line = match found {
            Some(Item::Document(_, document)) => json!({ "file": name, "text": document.text }),
            other => json!({ "file": name, "text": "", "reason": format!("{other:?}") }),
        };
        println!("{line}");
    }
    eprintln!(
        "{} pages in {seconds:.3} s: {:.0} pages/s",
        files.len(),
        files.len() as f64 / seconds
    );
    Ok(())
}
