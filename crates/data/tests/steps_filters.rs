//! The quality filters decide as datatrove does: golden/data/filters.jsonl, made by the scripts
//! beside it.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use danlu_data::steps::{Cleaner, Verdict};
use danlu_data::{DataConfig, Document};
use serde_json::{Value, json};

fn cleaner(steps: &Value) -> Cleaner {
    let config: DataConfig = serde_json::from_value(json!({ "text": [], "steps": steps })).unwrap();
    Cleaner::new(&config, Path::new(".")).unwrap()
}

/// The reason, if any, and the text after.
fn judge(cleaner: &Cleaner, text: &str) -> (Option<String>, String) {
    let document =
        Document { id: "x".to_owned(), text: text.to_owned(), meta: serde_json::Map::new() };
    match cleaner.clean(document) {
        Verdict::Keep(document) => (None, document.text),
        Verdict::Drop { reason, document, .. } => (Some(reason.into_owned()), document.text),
    }
}

fn rows() -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/filters.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn each_filter_decides_as_datatrove() {
    let rows = rows();
    assert!(rows.len() > 100);
    for name in ["gopher_repetition", "gopher_quality", "c4", "fineweb"] {
        let cleaner = cleaner(&json!([name]));
        for row in &rows {
            let text = row["text"].as_str().unwrap();
            let (reason, after) = judge(&cleaner, text);
            assert_eq!(reason.as_deref(), row[name].as_str(), "{name} on {}", row["id"]);
            let expected = row.get(format!("{name}_text")).map_or(text, |t| t.as_str().unwrap());
            assert_eq!(after, expected, "{name} on {}", row["id"]);
        }
    }
}

#[test]
fn the_chain_of_fineweb_decides_as_datatrove() {
    let order = ["gopher_repetition", "gopher_quality", "c4", "fineweb"];
    let cleaner = cleaner(&json!(order));
    for row in rows() {
        let text = row["text"].as_str().unwrap();
        let document =
            Document { id: "x".to_owned(), text: text.to_owned(), meta: serde_json::Map::new() };
        let said = match cleaner.clean(document) {
            Verdict::Keep(_) => None,
            Verdict::Drop { step, reason, .. } => Some(format!("{step}: {reason}")),
        };
        assert_eq!(said.as_deref(), row["chain"].as_str(), "{}", row["id"]);
    }
}
