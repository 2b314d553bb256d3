//! `c4_paragraphs`: drops documents with fewer than three lines of at least 200 characters, mC4's
//! rule as datatrove 0.10.1 applies it (reason `< 3 paragraphs`).
//!
//! Settings: `min_paragraphs` (3), `min_paragraph_chars` (200).

use serde::Deserialize;

use super::{Action, Example, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "c4_paragraphs",
    about: "at least three lines of 200 characters",
    build,
    examples: &[
        Example::drop("one line", "< 3 paragraphs"),
        Example::same("one line\nand another").with(TWO),
        Example::drop("one line\nand", "< 2 paragraphs").with(TWO),
    ],
};

const TWO: &str = r#"{"min_paragraphs": 2, "min_paragraph_chars": 5}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "three")]
    min_paragraphs: usize,
    #[serde(default = "two_hundred")]
    min_paragraph_chars: usize,
}

fn three() -> usize {
    3
}

fn two_hundred() -> usize {
    200
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let Settings { min_paragraphs, min_paragraph_chars } = setup.settings()?;
    Ok(Action::filter(move |draft| {
        let long = |line: &&str| line.chars().count() >= min_paragraph_chars;
        let paragraphs = draft.text().split('\n').filter(long).take(min_paragraphs).count();
        (paragraphs < min_paragraphs).then(|| format!("< {min_paragraphs} paragraphs").into())
    }))
}
