//! `width`: full-width letters, digits, signs and blanks become those of ASCII, half-width katakana
//! full ones.
//!
//! Punctuation of Chinese and Japanese stays, for it has no other form there: `，：；？！（）～`.
//! With `punctuation` (false) these become ASCII too. Unlike Unicode's NFKC, nothing else changes:
//! no superscripts, ligatures or circled numbers.

use std::borrow::Cow;

use serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

use super::{Action, Example, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "width",
    about: "full-width letters and digits as in ASCII; Chinese punctuation stays",
    build,
    examples: &[
        Example::keep("ＡＢＣ\u{3000}１２３％", "ABC 123%"),
        Example::keep("共１２３元，（约５％）！", "共123元，（约5%）！"),
        Example::keep("（ａ）！", "(a)!").with(r#"{"punctuation": true}"#),
        Example::keep("ｶﾞｲﾄﾞ", "ガイド"),
        Example::same("x² ﬁne ①"),
    ],
};

/// Full-width forms that are the usual ones beside Chinese characters.
const PUNCTUATION: &str = "！（），：；？～";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    punctuation: bool,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let Settings { punctuation } = setup.settings()?;
    Ok(Action::map(move |text| fold(text, punctuation)))
}

fn fold(text: &str, punctuation: bool) -> Cow<'_, str> {
    let folds = |c: char| match c {
        '\u{3000}' | '\u{ff01}'..='\u{ff5e}' => punctuation || !PUNCTUATION.contains(c),
        // Katakana and its marks, which join the letter before.
        '\u{ff66}'..='\u{ff9f}' => true,
        _ => false,
    };
    if !text.contains(folds) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(folds) {
        out.push_str(&rest[..at]);
        let run = &rest[at..];
        let size = run.find(|c| !folds(c)).unwrap_or(run.len());
        out.extend(run[..size].nfkc());
        rest = &run[size..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}
