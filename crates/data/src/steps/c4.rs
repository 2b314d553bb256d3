//! `c4`: keeps the lines of a document that are sentences, and documents with enough of them, by
//! the rules of [C4](https://arxiv.org/abs/1910.10683) as datatrove 0.10.1 applies them.
//!
//! A line is dropped when it has a word of more than `max_word_chars` (1000) characters, when it
//! does not end in `. ? ! " '` or ends in `...` (only with `terminal_punctuation`, by default off
//! as in FineWeb), when it has fewer than `min_line_words` (3) words, when it mentions javascript,
//! and when it speaks of cookies, privacy policies or terms of use. Citation marks (`[1]`,
//! `[edit]`, `[citation needed]`) go. What is left replaces the text. A document is dropped as
//! - `lorem_ipsum`, `curly_bracket`: a line that was not dropped before has one;
//! - `too_few_sentences`: the lines left have fewer than `min_sentences` (5).
//!
//! `language` says how sentences are found. 0 switches a limit off.

use serde::Deserialize;

use super::lines::split_lines;
use super::words::Language;
use super::words::classes::{DIGIT, SPACE, is, strip};
use super::{Action, Draft, Example, Reason, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "c4",
    about: "lines that are sentences, without notices; documents with enough sentences",
    build,
    examples: &[
        Example::drop("Only one sentence here.", "too_few_sentences"),
        Example::drop("Lorem ipsum dolor sit amet.", "lorem_ipsum"),
        Example::drop("if (x) { return y; }", "curly_bracket"),
        Example::keep(
            "One is true [1]. Two is true.\nMenu\nWe use cookies to serve you.\n  That is it.  ",
            "One is true . Two is true.\nThat is it.",
        )
        .with(r#"{"min_sentences": 3}"#),
        Example::keep("This line is not closed\nThis line is closed.", "This line is closed.")
            .with(r#"{"min_sentences": 0, "terminal_punctuation": true}"#),
    ],
};

const LOREM: &str = "lorem ipsum";
const SCRIPT: &str = "javascript";
const POLICIES: [&str; 6] = [
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    language: Language,
    #[serde(default)]
    terminal_punctuation: bool,
    #[serde(default = "five")]
    min_sentences: usize,
    #[serde(default = "three")]
    min_line_words: usize,
    #[serde(default = "thousand")]
    max_word_chars: usize,
}

fn five() -> usize {
    5
}

fn three() -> usize {
    3
}

fn thousand() -> usize {
    1000
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let settings: Settings = setup.settings()?;
    Ok(Action::filter(move |draft| settings.judge(draft)))
}

impl Settings {
    fn judge(&self, draft: &mut Draft) -> Option<Reason> {
        let marked = has_marks(draft.text());
        let mut kept = String::with_capacity(draft.text().len());
        let mut sentences = 0;
        for line in split_lines(draft.text()) {
            let line = strip(line);
            let (words, longest) = measure(line);
            if self.max_word_chars > 0 && longest > self.max_word_chars {
                continue;
            }
            let cited = line.contains('[');
            let uncited = if cited { without_citations(line) } else { String::new() };
            let line = if cited { uncited.as_str() } else { line };
            if self.terminal_punctuation && !is_closed(line) || words < self.min_line_words {
                continue;
            }
            // Without its citations a line may have a mark that the text has not.
            if marked || cited {
                match mark(line) {
                    Some(Mark::Document(reason)) => return Some(reason.into()),
                    Some(Mark::Line) => continue,
                    None => {}
                }
            }
            if sentences < self.min_sentences {
                sentences += self.language.sentences(line);
            }
            kept.push_str(line);
            kept.push('\n');
        }
        if sentences < self.min_sentences {
            return Some("too_few_sentences".into());
        }
        let kept = strip(&kept);
        if kept != draft.text() {
            let kept = kept.to_owned();
            draft.set_text(kept);
        }
        None
    }
}

/// Number of words between white space, and characters of the longest.
fn measure(line: &str) -> (usize, usize) {
    let words = line.split(|c| is(c, SPACE)).filter(|word| !word.is_empty());
    words.fold((0, 0), |(count, longest), word| (count + 1, longest.max(word.chars().count())))
}

/// Python's `re.sub(r"\[\d*]|\[edit]|\[citation needed]", "", line)`.
fn without_citations(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(open) = rest.find('[') {
        kept.push_str(&rest[..open]);
        let inside = &rest[open + 1..];
        let end = [inside.trim_start_matches(|c| is(c, DIGIT))]
            .into_iter()
            .chain(inside.strip_prefix("edit"))
            .chain(inside.strip_prefix("citation needed"))
            .find_map(|end| end.strip_prefix(']'));
        rest = end.unwrap_or_else(|| {
            kept.push('[');
            inside
        });
    }
    kept.push_str(rest);
    kept
}

fn is_closed(line: &str) -> bool {
    line.ends_with(['.', '?', '!', '"', '\'']) && !line.ends_with("...")
}

/// What a mark in a line costs.
enum Mark {
    Line,
    Document(&'static str),
}

fn mark(line: &str) -> Option<Mark> {
    let lower = lowercase(line);
    if lower.contains(LOREM) {
        Some(Mark::Document("lorem_ipsum"))
    } else if lower.contains(SCRIPT) {
        Some(Mark::Line)
    } else if line.contains('{') {
        Some(Mark::Document("curly_bracket"))
    } else {
        POLICIES.iter().any(|policy| lower.contains(policy)).then_some(Mark::Line)
    }
}

/// Whether any line of `text` may have a mark.
fn has_marks(text: &str) -> bool {
    if text.contains('{') {
        return true;
    }
    let lower = lowercase(text);
    let policy = lower.contains("cook") || lower.contains("policy") || lower.contains("terms of");
    policy || lower.contains(SCRIPT) || lower.contains(LOREM)
}

fn lowercase(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}
