//! Each cleaning step does what its examples say; what `data.steps` cannot mean is refused.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use danlu_data::steps::{Cleaner, DEFAULT_STEPS, Example, STEPS, Step, Verdict};
use danlu_data::{DataConfig, Document};
use proptest::prelude::*;
use serde_json::{Value, json};

fn document(text: &str) -> Document {
    Document { id: "x".to_owned(), text: text.to_owned(), meta: serde_json::Map::new() }
}

fn config(steps: &Value) -> DataConfig {
    serde_json::from_value(json!({ "text": ["x"], "steps": steps })).unwrap()
}

fn cleaner(steps: &Value) -> danlu_data::Result<Cleaner> {
    Cleaner::new(&config(steps), Path::new(env!("CARGO_MANIFEST_DIR")))
}

/// The step with the settings of an example.
fn entry(step: &Step, example: &Example) -> Value {
    let mut settings: Value = serde_json::from_str(example.settings).unwrap();
    settings["name"] = step.name.into();
    json!([settings])
}

#[test]
fn every_step_does_what_its_examples_say() {
    for step in STEPS {
        assert!(!step.examples.is_empty(), "{} has examples", step.name);
        for example in step.examples {
            let cleaner = cleaner(&entry(step, example)).unwrap();
            let after = match cleaner.clean(document(example.before)) {
                Verdict::Keep(document) => Ok(document.text),
                Verdict::Drop { reason, .. } => Err(reason.into_owned()),
            };
            let expected = example.after.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(after, expected, "{} on {:?}", step.name, example.before);
        }
    }
}

#[test]
fn steps_are_named_once_and_the_default_ones_exist() {
    for (index, step) in STEPS.iter().enumerate() {
        assert!(STEPS[..index].iter().all(|other| other.name != step.name), "{}", step.name);
    }
    for name in DEFAULT_STEPS {
        assert!(STEPS.iter().any(|step| step.name == *name), "{name}");
    }
}

#[test]
fn unknown_steps_and_settings_are_refused_with_the_nearest_name() {
    let cases = [
        (json!(["lenght"]), "did you mean `length`?"),
        (json!([{ "name": "length", "min_char": 3 }]), "did you mean `min_chars`?"),
        (json!([{ "name": "length", "min_chars": "3" }]), "min_chars = \"3\""),
        (json!([{ "name": "length", "min_chars": 3, "max_chars": 2 }]), "above max_chars"),
        (json!([{ "name": "decontaminate", "files": [] }]), "at least one file"),
        (json!([{ "name": "language", "model": "whatlang", "keep": ["en"] }]), "mean `eng`?"),
        (json!([{ "name": "language", "model": "whatlang", "min_score": 2 }]), "between 0 and 1"),
        (json!([{ "name": "urls" }]), "it needs a list"),
        (
            json!([{ "name": "quality", "model": "../../golden/data/classifiers/tree.bin",
                "label": "de-DE", "min_score": 0.5 }]),
            "did you mean `de_DE`?",
        ),
        (
            json!([{ "name": "decontaminate", "files": ["tests/steps.rs"] }]),
            "steps.rs:1 is no JSON",
        ),
        (
            json!([{ "name": "decontaminate", "files": ["tests/lists/evaluation.jsonl"],
                "ngram": 50 }]),
            "has a run of 50 words",
        ),
    ];
    for (steps, words) in cases {
        let error = cleaner(&steps).err().unwrap().to_string();
        assert!(error.starts_with("data.steps = [.. ") && error.contains(words), "{error}");
    }
    for bad in [json!([{ "min_chars": 3 }]), json!([{ "name": 3 }]), json!([3])] {
        let section = json!({ "text": ["x"], "steps": bad });
        assert!(serde_json::from_value::<DataConfig>(section).is_err());
    }
}

#[test]
fn every_step_refuses_a_setting_that_it_has_not() {
    for step in STEPS {
        let error = cleaner(&json!([{ "name": step.name, "sitting": 3 }])).err().unwrap();
        let error = error.to_string();
        let known = error.contains("unknown field `sitting`, expected");
        assert!(known || error.contains("it has no settings"), "{error}");
    }
}

#[test]
fn damaged_lines_are_read_again_as_ftfy_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/data/mojibake.jsonl");
    let cleaner = cleaner(&json!(["mojibake"])).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().count() > 200);
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let before = row["before"].as_str().unwrap();
        assert_eq!(cleaner.clean_text(before), row["after"].as_str().unwrap(), "{before}");
    }
}

#[test]
fn chinese_is_converted_as_opencc_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/data/chinese_scripts.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.lines().count() > 200);
    for name in ["simplified", "traditional"] {
        let cleaner = cleaner(&json!([name]));
        for line in text.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let before = row["text"].as_str().unwrap();
            let after = cleaner.as_ref().unwrap().clean_text(before);
            assert_eq!(after, row[name].as_str().unwrap(), "{name} on {before}");
        }
    }
}

#[test]
fn addresses_are_refused_as_by_datatrove() {
    let folder = "../../golden/data/urls";
    let file = |name: &str| json!([format!("{folder}/{name}.txt")]);
    let steps = json!([{ "name": "urls", "domains": file("domains"), "urls": file("urls"),
        "words": file("words"), "soft_words": file("soft_words"),
        "substrings": file("substrings") }]);
    let cleaner = cleaner(&steps).unwrap();
    let cases = std::fs::read_to_string(format!("{folder}/cases.jsonl")).unwrap();
    assert!(cases.lines().count() > 200);
    for line in cases.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let mut document = document("text");
        document.meta.insert("url".to_owned(), row["url"].clone());
        let reason = match cleaner.clean(document) {
            Verdict::Keep(_) => Value::Null,
            // datatrove tells the registered domain from the host.
            Verdict::Drop { reason, .. } => reason.into_owned().into(),
        };
        let expected = match row["reason"].as_str() {
            Some("subdomain") => "domain".into(),
            _ => row["reason"].clone(),
        };
        assert_eq!(reason, expected, "{}", row["url"]);
    }
}

#[test]
fn steps_are_written_as_they_were_read() {
    let steps = json!(["nfc", { "name": "length", "min_chars": 3 }]);
    assert_eq!(serde_json::to_value(config(&steps).steps).unwrap(), steps);
}

proptest! {
    /// Whatever a text holds, a step keeps it or drops it for a reason.
    #[test]
    fn no_text_is_too_strange_for_a_step(
        text in "\\PC*|([0-9０-９]{1,6}|://|[-+()（）@＠:./?&=xX \\n'Ãâé\u{ad}。中国人])*",
    ) {
        for step in STEPS {
            for settings in [json!({}), json!({ "language": "zh" })] {
                let mut entry = settings;
                entry["name"] = step.name.into();
                let Ok(cleaner) = cleaner(&json!([entry])) else { continue };
                let verdict = cleaner.clean(document(&text));
                if let Verdict::Drop { step: dropped, reason, .. } = verdict {
                    prop_assert_eq!(dropped, step.name);
                    prop_assert!(!reason.is_empty());
                }
            }
        }
    }

    #[test]
    fn rewriting_turns_changes_nothing_the_second_time(
        text in "\\PC*|[ \\t\\r\\n\\u{feff}a]*",
    ) {
        // OpenCC makes of these what it makes something else of.
        prop_assume!(!text.contains(['\u{82ce}', '\u{85b4}']));
        for step in STEPS {
            let Ok(cleaner) = cleaner(&json!([step.name])) else { continue };
            let once = cleaner.clean_text(&text);
            prop_assert_eq!(cleaner.clean_text(&once), once.clone(), "{}", step.name);
        }
    }
}
