//! The step `private_data` finds what golden/data/private_data.py put into its texts, and no more.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use danlu_data::DataConfig;
use danlu_data::steps::Cleaner;
use danlu_data::steps::private_data::{KINDS, Kind, find};
use serde_json::{Value, json};

/// The least harmonic mean of precision and recall of each kind.
const LEAST_F1: f64 = 0.98;

type Span = (usize, usize, String);

fn rows() -> Vec<(String, Vec<Span>)> {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/private_data.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.map(|row| {
        let text = row["text"].as_str().unwrap().to_owned();
        (text, serde_json::from_value(row["spans"].clone()).unwrap())
    })
    .collect()
}

#[test]
fn every_kind_is_found_where_it_was_put_and_nowhere_else() {
    let kinds: Vec<&Kind> = KINDS.iter().collect();
    // Right ones, those too many and those missed, by kind.
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (text, spans) in rows() {
        let found: Vec<Span> = find(&text, &kinds)
            .into_iter()
            .map(|piece| (piece.range.start, piece.range.end, piece.kind.to_owned()))
            .collect();
        for span in &found {
            let right = spans.contains(span);
            counts.entry(span.2.clone()).or_default()[usize::from(!right)] += 1;
        }
        for span in spans.iter().filter(|span| !found.contains(span)) {
            counts.entry(span.2.clone()).or_default()[2] += 1;
        }
        if found != spans {
            wrong.push(format!("{text}\n  put {spans:?}\n  found {found:?}"));
        }
    }
    assert_eq!(counts.len(), KINDS.len(), "{counts:?}");
    for (kind, [right, extra, missed]) in &counts {
        let f1 = 2.0 * *right as f64 / (2 * right + extra + missed) as f64;
        assert!(*right >= 20 && f1 >= LEAST_F1, "{kind}: {counts:?}\n{}", wrong.join("\n"));
    }
}

#[test]
fn what_is_replaced_or_masked_is_not_found_again() {
    let kinds: Vec<&Kind> = KINDS.iter().collect();
    for action in ["replace", "mask"] {
        let steps = json!([{ "name": "private_data", "action": action }]);
        let config: DataConfig =
            serde_json::from_value(json!({ "text": ["x"], "steps": steps })).unwrap();
        let cleaner = Cleaner::new(&config, Path::new(".")).unwrap();
        for (text, spans) in rows() {
            let after = cleaner.clean_text(&text);
            assert_eq!(after == text, find(&text, &kinds).is_empty(), "{text}");
            assert_eq!(find(&after, &kinds), [], "{after}");
            let secret = spans.first().map(|(start, end, _)| &text[*start..*end]);
            assert!(secret.is_none_or(|secret| !after.contains(secret)), "{after}");
        }
    }
}

#[test]
fn unknown_kinds_and_actions_are_refused() {
    for (settings, words) in [
        (json!({ "kinds": ["emails"] }), "is none of"),
        (json!({ "kinds": [] }), "nothing to look for"),
        (json!({ "action": "hide" }), "unknown variant"),
    ] {
        let mut entry = settings;
        entry["name"] = "private_data".into();
        let config: DataConfig =
            serde_json::from_value(json!({ "text": ["x"], "steps": [entry] })).unwrap();
        let error = Cleaner::new(&config, Path::new(".")).err().unwrap().to_string();
        assert!(error.contains(words), "{error}");
    }
}
