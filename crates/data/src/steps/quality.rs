//! `quality`: drops documents that a classifier of fastText's (`.bin`, `.ftz`) finds unlikely to be
//! good ones (reason: `low quality`). The probability is added to the document as
//! `meta.quality_score`.
//!
//! `danlu data classifier` trains such a model; published ones of DCLM's and FineWeb's kind work
//! with the scores that fastText gives. Settings, all needed: `model`, its path; `label`, the label
//! of good documents (`"positive"` in ours, `"hq"` in DCLM's); `min_score`, their least
//! probability.

use serde::Deserialize;
use serde_json::Value;

use super::setup::nearest;
use super::{Action, Example, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "quality",
    about: "good by a trained classifier that you name",
    build,
    examples: &[
        Example::same("Katze Nacht hören Name bin voll Flasche geben.").with(GERMAN),
        Example::drop("Это просто предложение на другом языке.", "low quality").with(GERMAN),
    ],
};

/// Languages stand for quality here: the model is one of the tests'.
const GERMAN: &str = r#"{"model": "../../golden/data/classifiers/tree.bin", "label": "de_DE",
    "min_score": 0.5}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    model: String,
    label: String,
    min_score: f64,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let Settings { model, label, min_score } = setup.settings()?;
    if !(0.0..=1.0).contains(&min_score) {
        return Err(setup.refuse(format!("min_score = {min_score} is not between 0 and 1")));
    }
    let classifier = setup.classifier(&model)?;
    let labels = classifier.labels();
    let Some(number) = labels.iter().position(|known| *known == label) else {
        let hint = nearest(&label, labels.iter().map(String::as_str));
        let message = format!("{model} has no label `{label}`{hint}; it has {}", labels.join(", "));
        return Err(setup.refuse(message));
    };
    Ok(Action::filter(move |draft| {
        // Nothing known to the model: nothing that speaks for the document.
        let score = f64::from(classifier.score(draft.text(), number).unwrap_or(0.0));
        draft.meta_mut().insert("quality_score".to_owned(), Value::from(score));
        let low = score < min_score;
        if low {
            draft.explain(format!("{label} {score:.3}"));
        }
        low.then(|| "low quality".into())
    }))
}
