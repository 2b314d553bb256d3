//! The quality filters decide as datatrove does: golden/data/filters_*.jsonl, made by the
//! scripts beside them.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use danlu_data::steps::fasttext::Classifier;
use danlu_data::steps::{Cleaner, Language, Verdict};
use danlu_data::{DataConfig, Document};
use flate2::Crc;
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

/// The filters of a language, those of FineWeb and FineWeb-2 in their order, and the documents.
const LANGUAGES: [(&str, &[&str]); 2] = [
    ("en", &["gopher_repetition", "gopher_quality", "c4", "fineweb"]),
    ("zh", &["gopher_repetition", "fineweb", "gopher_quality"]),
];

/// Filters that are in no chain, by their names in the golden files, with their settings.
fn others(language: &str) -> Vec<(&'static str, Value)> {
    let list = golden().join("bad_words").join(language);
    let allow = ["性", "sm", "グロ", "女の子"];
    let words = json!([{ "name": "bad_words", "file": list, "allow": allow,
                         "whole_words": language == "en" }]);
    let mut found =
        vec![("bad_words", words), ("c4_paragraphs", json!([{ "name": "c4_paragraphs" }]))];
    if language == "en" {
        found.push(("c4_closed", json!([{ "name": "c4", "terminal_punctuation": true }])));
    }
    found
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/data")
}

fn rows(language: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(golden().join(format!("filters_{language}.jsonl"))).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(rows.len() > 100);
    rows
}

fn steps(language: &str, names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name, "language": language })).collect()
}

#[test]
fn each_filter_decides_as_datatrove() {
    for (language, names) in LANGUAGES {
        let rows = rows(language);
        let chain = names.iter().map(|name| (*name, steps(language, &[name])));
        for (name, steps) in chain.chain(others(language)) {
            let cleaner = cleaner(&steps);
            for said in [Value::is_null, Value::is_string] {
                assert!(rows.iter().any(|row| said(&row[name])), "{name} keeps and drops some");
            }
            for row in &rows {
                let text = row["text"].as_str().unwrap();
                let (reason, after) = judge(&cleaner, text);
                assert_eq!(reason.as_deref(), row[name].as_str(), "{name} on {}", row["id"]);
                let expected =
                    row.get(format!("{name}_text")).map_or(text, |t| t.as_str().unwrap());
                assert_eq!(after, expected, "{name} on {}", row["id"]);
            }
        }
    }
}

#[test]
fn the_published_chains_decide_as_in_datatrove() {
    for (language, names) in LANGUAGES {
        let cleaner = cleaner(&steps(language, names));
        for row in rows(language) {
            let text = row["text"].as_str().unwrap();
            let document =
                Document { id: "x".to_owned(), text: text.to_owned(), meta: Default::default() };
            let said = match cleaner.clean(document) {
                Verdict::Keep(_) => None,
                Verdict::Drop { step, reason, .. } => Some(format!("{step}: {reason}")),
            };
            assert_eq!(said.as_deref(), row["chain"].as_str(), "{}", row["id"]);
        }
    }
}

#[test]
fn words_are_those_of_spacy() {
    for (language, _) in LANGUAGES {
        let split: Language = serde_json::from_value(json!(language)).unwrap();
        for row in rows(language) {
            let words = split.split(row["text"].as_str().unwrap());
            let mut crc = Crc::new();
            crc.update(words.join("\n").as_bytes());
            assert_eq!(json!([words.len(), crc.sum()]), row["words"], "{}: {words:?}", row["id"]);
        }
    }
}

/// Models and answers of fastText: golden/data/classifiers, made by the script beside it.
#[test]
fn classifiers_answer_as_fasttext() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/classifiers");
    let cases = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let cases: Vec<Value> = cases.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let models =
        ["tree.bin", "softmax.bin", "all.bin", "negative.bin", "whole.ftz", "cut.ftz", "words.ftz"];
    for name in models {
        let classifier = Classifier::open(&folder.join(name), u64::MAX).unwrap();
        let mut answered = 0;
        for case in &cases {
            let text = case["text"].as_str().unwrap();
            let found = classifier.predict(text);
            let Some(expected) = case.get(name) else {
                assert_eq!(found, None, "{name} on {text:?}");
                continue;
            };
            let found = found.unwrap();
            assert_eq!(expected[0], found.label, "{name} on {text:?}");
            let scores = [found.score, classifier.score(text, 0).unwrap()].map(f64::from);
            for (score, expected) in scores.into_iter().zip([&expected[1], &expected[2]]) {
                let error = (score - expected.as_f64().unwrap()).abs();
                assert!(error < 1e-5, "{name} on {text:?}: {score}, not {expected}");
            }
            answered += 1;
        }
        assert!(answered > 70, "{name}: {answered}");
    }
}

/// A damaged model is an error that names it; it neither panics nor takes much memory.
#[test]
fn a_damaged_classifier_is_refused() {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/classifiers");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    for name in ["cut.ftz", "tree.bin"] {
        let whole = std::fs::read(golden.join(name)).unwrap();
        for size in (0..whole.len()).step_by(3001) {
            std::fs::write(&path, &whole[..size]).unwrap();
            let message = Classifier::open(&path, u64::MAX).err().unwrap().to_string();
            assert!(message.contains("damaged"), "{message}");
        }
        for at in (0..120).chain((120..whole.len()).step_by(997)) {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = value;
                std::fs::write(&path, &bytes).unwrap();
                if let Ok(classifier) = Classifier::open(&path, u64::MAX) {
                    classifier.predict("Ich bin ein Haus");
                }
            }
        }
        std::fs::write(&path, &whole).unwrap();
        let small = Classifier::open(&path, 1000).err().unwrap().to_string();
        assert!(small.contains("more memory"), "{small}");
    }
}
