//! `whitespace`: no blanks at line ends, at most one empty line in a row, none at either end.
//!
//! Blanks inside a line and indentation stay: they carry the form of verse, plays and code.

use std::borrow::Cow;

use super::{Action, Example, Step};

pub(super) const STEP: Step = Step {
    name: "whitespace",
    about: "no blanks at line ends, at most one empty line in a row",
    build: |setup| setup.no_settings().map(|()| Action::map(tidy)),
    examples: &[
        Example::keep("\n\n  To be,  \n\n\n\nor not \t\nto be\n\n", "  To be,\n\nor not\nto be"),
        Example::keep("白日依山盡，\u{3000}\n黃河入海流。", "白日依山盡，\n黃河入海流。"),
        Example::same("as it is"),
    ],
};

fn tidy(text: &str) -> Cow<'_, str> {
    let mut tidied = String::with_capacity(text.len());
    let mut empty_lines = 0;
    for line in text.split('\n').map(str::trim_end) {
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        if !tidied.is_empty() {
            tidied.push_str(if empty_lines > 0 { "\n\n" } else { "\n" });
        }
        tidied.push_str(line);
        empty_lines = 0;
    }
    if tidied == text { Cow::Borrowed(text) } else { Cow::Owned(tidied) }
}
