//! Near-duplicates as datatrove finds them, by `golden/data/dedup/make.py`: the same words, the
//! same signatures and the same documents removed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use danlu_data::{
    CLEAN_FILE, Compatible, DataConfig, NearDuplicates, build, read_documents, simplify,
};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Expected {
    words: Vec<(String, String)>,
    signatures: Vec<(String, String)>,
    documents: Vec<String>,
    removed: Vec<usize>,
}

fn expected() -> Expected {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/dedup");
    serde_json::from_str(&fs::read_to_string(golden.join("expected.json")).unwrap()).unwrap()
}

fn datatrove() -> NearDuplicates {
    NearDuplicates { compatible: Some(Compatible::Datatrove), ..NearDuplicates::default() }
}

#[test]
fn words_are_those_of_the_reference() {
    let near = datatrove();
    for (text, words) in expected().words {
        assert_eq!(near.words_of(&simplify(&text)).join(" "), words, "{text:?}");
    }
}

#[test]
fn signatures_are_those_of_the_reference() {
    let near = datatrove();
    let minhash = near.minhash();
    let signatures = expected().signatures;
    assert!(signatures.iter().any(|(_, signature)| signature.is_empty()), "one is too short");
    for (text, signature) in signatures {
        let found = near.signature(&minhash, &text).unwrap_or_default();
        let found: String = found.iter().map(|value| format!("{value:016x}")).collect();
        assert_eq!(found, signature, "{text:?}");
    }
}

#[test]
fn the_removed_documents_are_those_of_the_reference() {
    let Expected { documents, removed, .. } = expected();
    let here = tempfile::tempdir().unwrap();
    let line = |(n, text): (usize, &String)| json!({ "id": n.to_string(), "text": text });
    let lines = documents.iter().enumerate().map(|pair| line(pair).to_string() + "\n");
    fs::write(here.path().join("texts.jsonl"), lines.collect::<String>()).unwrap();
    let config: DataConfig = serde_json::from_value(json!({
        "text": ["texts.jsonl"], "steps": [], "heldout_per_mille": 0, "exact_duplicates": false,
        "near_duplicates": { "compatible": "datatrove" },
    }))
    .unwrap();
    build(&config, here.path(), here.path(), &mut |_| true).unwrap();
    let kept = read_documents(&here.path().join(CLEAN_FILE)).unwrap();
    let kept: Vec<usize> = kept.iter().map(|document| document.id.parse().unwrap()).collect();
    let left: Vec<usize> = (0..documents.len()).filter(|n| !removed.contains(n)).collect();
    assert!(removed.len() > 10, "{removed:?}");
    assert_eq!(kept, left);
}
