//! Each cleaning step does what its examples say.

#![allow(clippy::unwrap_used)]

use danlu_data::steps::{Apply, STEPS, Verdict, clean};
use danlu_data::{DataConfig, Document};
use proptest::prelude::*;

fn limits() -> DataConfig {
    let value = serde_json::json!({ "text": ["x"], "min_chars": 3, "max_chars": 20 });
    serde_json::from_value(value).unwrap()
}

fn document(text: &str) -> Document {
    Document { id: "x".to_owned(), text: text.to_owned(), meta: serde_json::Map::new() }
}

#[test]
fn every_step_does_what_its_examples_say() {
    for step in STEPS {
        assert!(!step.examples.is_empty(), "{} has examples", step.name);
        for (before, after) in step.examples {
            let kept = match clean(document(before), &[step], &limits()) {
                Verdict::Keep(document) => Some(document.text),
                Verdict::Drop { .. } => None,
            };
            assert_eq!(kept.as_deref(), *after, "{} on {before:?}", step.name);
        }
    }
}

proptest! {
    #[test]
    fn rewriting_steps_change_nothing_the_second_time(text in "\\PC*|[ \\t\\r\\n\\u{feff}a]*") {
        for step in STEPS {
            let Apply::Map(map) = step.apply else { continue };
            let once = map(&text).into_owned();
            prop_assert_eq!(map(&once).into_owned(), once.clone(), "{}", step.name);
        }
    }
}
