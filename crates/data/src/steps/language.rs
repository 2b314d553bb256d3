//! `language`: drops documents whose most probable language is none of `keep`, or is less probable
//! than `min_score`. Language and score are added to the document as `meta.language` and
//! `meta.language_score`, with `keep = []` those of every document.
//!
//! Settings:
//! - `model`, needed: the path of a classifier of fastText's, such as `lid.176.ftz` or GlotLID,
//!   with the labels and scores that fastText gives; or `"whatlang"`, a small guesser by n-grams of
//!   three letters that is built in (the crate whatlang 0.18; it has 70 languages, by ISO 639-3:
//!   `"eng"`, `"cmn"`) and less sure of short texts;
//! - `keep`: languages as the model calls them, `["en", "zh"]` for `lid.176.ftz`; all when empty;
//! - `min_score` (0.65, as in FineWeb).
//!
//! Reasons: `language is not kept`, `language is not sure`, `no language was found`.

use serde::Deserialize;
use serde_json::Value;
use whatlang::Lang;

use super::fasttext::Classifier;
use super::setup::nearest;
use super::{Action, Draft, Example, Reason, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "language",
    about: "in one of the languages that you keep, by a model that you name",
    build,
    examples: &[
        Example::same("All that is gold does not glitter, not all those who wander are lost.")
            .with(ENGLISH),
        Example::drop(
            "Es war einmal ein Koenig, der hatte einen grossen Wald.",
            "language is not kept",
        )
        .with(ENGLISH),
        Example::same("天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。")
            .with(r#"{"model": "whatlang", "keep": ["cmn"], "min_score": 0.9}"#),
        Example::drop("12345", "no language was found").with(r#"{"model": "whatlang"}"#),
    ],
};

const ENGLISH: &str = r#"{"model": "whatlang", "keep": ["eng"], "min_score": 0.2}"#;

/// The value of `model` that is no path.
const WHATLANG: &str = "whatlang";
/// More languages than this are too many to list in a message.
const LISTED: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    model: String,
    #[serde(default)]
    keep: Vec<String>,
    #[serde(default = "fineweb")]
    min_score: f64,
}

fn fineweb() -> f64 {
    0.65
}

/// What tells languages apart.
enum Model {
    FastText(Box<Classifier>),
    Whatlang,
}

impl Model {
    fn languages(&self) -> Vec<&str> {
        match self {
            Self::FastText(classifier) => classifier.labels().iter().map(String::as_str).collect(),
            Self::Whatlang => Lang::all().iter().map(Lang::code).collect(),
        }
    }

    fn predict(&self, text: &str) -> Option<(&str, f64)> {
        match self {
            Self::FastText(classifier) => {
                classifier.predict(text).map(|found| (found.label, f64::from(found.score)))
            }
            Self::Whatlang => {
                whatlang::detect(text).map(|found| (found.lang().code(), found.confidence()))
            }
        }
    }
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let Settings { model, keep, min_score } = setup.settings()?;
    if !(0.0..=1.0).contains(&min_score) {
        return Err(setup.refuse(format!("min_score = {min_score} is not between 0 and 1")));
    }
    let model = match model.as_str() {
        WHATLANG => Model::Whatlang,
        path => Model::FastText(Box::new(setup.classifier(path)?)),
    };
    let known = model.languages();
    if let Some(unknown) = keep.iter().find(|language| !known.contains(&language.as_str())) {
        let hint = nearest(unknown, known.iter().copied());
        let list = if known.len() <= LISTED { known.join(", ") } else { known.len().to_string() };
        let message = format!("the model has no language `{unknown}`{hint}; it has {list}");
        return Err(setup.refuse(message));
    }
    Ok(Action::filter(move |draft| judge(draft, &model, &keep, min_score)))
}

fn judge(draft: &mut Draft, model: &Model, keep: &[String], min_score: f64) -> Option<Reason> {
    let Some((language, score)) = model.predict(draft.text()) else {
        return Some("no language was found".into());
    };
    let meta = draft.meta_mut();
    meta.insert("language".to_owned(), Value::from(language));
    meta.insert("language_score".to_owned(), Value::from(score));
    let kept = keep.is_empty() || keep.iter().any(|kept| kept == language);
    let reason = match kept {
        true if score >= min_score => return None,
        true => "language is not sure",
        false => "language is not kept",
    };
    draft.explain(format!("{language} {score:.3}"));
    Some(reason.into())
}
