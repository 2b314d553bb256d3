//! `fineweb`: drops documents that are lists, menus or repeated lines, by the rules of
//! [FineWeb](https://arxiv.org/abs/2406.17557) as datatrove 0.10.1 applies them.
//!
//! In this order, with the reason for which a document is dropped; lines are those with more than
//! white space:
//! - `empty`: there is no line;
//! - `line_punct_ratio`: fewer than `min_line_punct` (0.12) of the lines end in a terminal mark;
//! - `short_line_ratio`: more than `max_short_lines` (0.67) have at most `short_line_chars` (30)
//!   characters;
//! - `char_dup_ratio`: lines equal to an earlier one have more than `max_char_dup` (0.01) of the
//!   characters;
//! - `list_ratio`: more than `max_newlines` (0.3) line feeds a word.
//!
//! `language` (`"en"`) says how words are split. With `"zh"` the limits are those of
//! [FineWeb-2](https://arxiv.org/abs/2506.20920) for Chinese (`cmn_Hani`) unless given:
//! `min_line_punct` 0.106, `max_char_dup` 0.1, `max_newlines` 0.178, no rule on short lines.

use serde::Deserialize;

use super::lines::{is_blank, ratio, repeats};
use super::words::Language;
use super::words::classes::{SPACE, is};
use super::{Action, Draft, Example, Reason, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "fineweb",
    about: "lines that end like sentences, are not all short, and do not recur",
    build,
    examples: &[
        Example::drop(" \n", "empty"),
        Example::drop("Home\nNews\nContact", "line_punct_ratio"),
        Example::drop("One.\nTwo.\nThree.", "short_line_ratio"),
        Example::drop("It is the same line over again.\nIt is the same line over again.", DUP),
        Example::same("A line that is long enough to be one, and closed."),
        Example::same("床前明月光，疑是地上霜。\n举头望明月，低头思故乡。").with(ZH),
        Example::drop("床前\n明月\n光。", "list_ratio").with(ZH),
    ],
};

const ZH: &str = r#"{"language": "zh"}"#;

const DUP: &str = "char_dup_ratio";

/// datatrove's `TERMINAL_PUNCTUATION`, in the order of code points.
const TERMINAL: &str = include_str!("words/terminal.txt");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    language: Language,
    min_line_punct: Option<f64>,
    max_short_lines: Option<f64>,
    short_line_chars: Option<usize>,
    max_char_dup: Option<f64>,
    max_newlines: Option<f64>,
}

struct Limits {
    language: Language,
    line_punct: f64,
    short_lines: f64,
    short_line_chars: usize,
    char_dup: f64,
    newlines: f64,
    terminal: Vec<char>,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let given: Settings = setup.settings()?;
    let (line_punct, short_lines, char_dup, newlines) = match given.language {
        Language::En => (0.12, 0.67, 0.01, 0.3),
        // No share is above 1.
        Language::Zh => (0.106, 1.0, 0.1, 0.178),
    };
    let limits = Limits {
        language: given.language,
        line_punct: given.min_line_punct.unwrap_or(line_punct),
        short_lines: given.max_short_lines.unwrap_or(short_lines),
        short_line_chars: given.short_line_chars.unwrap_or(30),
        char_dup: given.max_char_dup.unwrap_or(char_dup),
        newlines: given.max_newlines.unwrap_or(newlines),
        terminal: TERMINAL.trim_end().chars().collect(),
    };
    Ok(Action::filter(move |draft| limits.judge(draft)))
}

impl Limits {
    fn judge(&self, draft: &mut Draft) -> Option<Reason> {
        let text = draft.text();
        let lines: Vec<&str> = text.split('\n').filter(|line| !is_blank(line)).collect();
        if lines.is_empty() {
            return Some("empty".into());
        }
        let closed = lines.iter().filter(|line| self.is_closed(line)).count();
        if ratio(closed, lines.len()) < self.line_punct {
            return Some("line_punct_ratio".into());
        }
        let short = lines.iter().filter(|line| self.is_short(line)).count();
        if ratio(short, lines.len()) > self.short_lines {
            return Some("short_line_ratio".into());
        }
        let newlines = text.bytes().filter(|&byte| byte == b'\n').count();
        if ratio(repeats(&lines).1, text.chars().count() - newlines) > self.char_dup {
            return Some(DUP.into());
        }
        // Every stretch between white space is a word at least, which mostly decides.
        let words = text.split(|c| is(c, SPACE)).filter(|word| !word.is_empty()).count();
        let decided = ratio(newlines, words) <= self.newlines;
        if !decided && ratio(newlines, draft.words(self.language).len()) > self.newlines {
            return Some("list_ratio".into());
        }
        None
    }

    fn is_closed(&self, line: &str) -> bool {
        line.chars().next_back().is_some_and(|last| self.terminal.binary_search(&last).is_ok())
    }

    fn is_short(&self, line: &str) -> bool {
        // A longer line needs no counting: no character has more than four bytes.
        line.len() <= 4 * self.short_line_chars && line.chars().count() <= self.short_line_chars
    }
}
