//! Near-duplicates as datatrove finds them, by `golden/data/dedup/make.py`: the same words, the
//! same signatures and the same documents removed. Spans that recur, by `spans.py` beside it: the
//! same documents with the same texts left.

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

#[derive(Deserialize)]
struct Case {
    unit: String,
    units_per_span: usize,
    min_words: usize,
    min_sentences: usize,
    documents: Vec<String>,
    kept: Vec<(usize, String)>,
}

#[test]
fn what_is_left_without_duplicate_spans_is_that_of_the_reference() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/dedup/spans.json");
    let cases: Vec<Case> = serde_json::from_str(&fs::read_to_string(golden).unwrap()).unwrap();
    for case in cases {
        let here = tempfile::tempdir().unwrap();
        let line = |(n, text): (usize, &String)| json!({ "id": n.to_string(), "text": text });
        let lines = case.documents.iter().enumerate().map(|pair| line(pair).to_string() + "\n");
        fs::write(here.path().join("texts.jsonl"), lines.collect::<String>()).unwrap();
        let config: DataConfig = serde_json::from_value(json!({
            "text": ["texts.jsonl"], "steps": [], "heldout_per_mille": 0,
            "exact_duplicates": false,
            "duplicate_spans": {
                "unit": case.unit, "units_per_span": case.units_per_span,
                "min_words": case.min_words, "min_sentences": case.min_sentences,
            },
        }))
        .unwrap();
        let report = build(&config, here.path(), here.path(), &mut |_| true).unwrap();
        let kept = read_documents(&here.path().join(CLEAN_FILE)).unwrap();
        let kept: Vec<(usize, String)> = (kept.into_iter())
            .map(|document| (document.id.parse().unwrap(), document.text))
            .collect();
        assert_eq!(kept, case.kept, "{} {}", case.unit, case.units_per_span);
        let spans = report.duplicate_spans.unwrap();
        let before = |n: usize| case.documents[n].len();
        let changed: Vec<_> = kept.iter().filter(|(n, text)| before(*n) != text.len()).collect();
        let gone: usize = changed.iter().map(|(n, text)| before(*n) - text.len()).sum();
        assert_eq!((spans.documents, spans.bytes), (changed.len() as u64, gone as u64));
        assert!(spans.spans.values().sum::<u64>() > 3 && !spans.examples.is_empty());
        let lost = report.dropped.values().sum::<u64>() as usize;
        assert_eq!(kept.len() + lost, case.documents.len(), "all are counted");
    }
}
