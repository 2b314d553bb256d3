//! `gopher_quality`: drops documents that do not look like running text, by the rules of
//! [Gopher](https://arxiv.org/abs/2112.11446), table A1, as datatrove 0.10.1 applies them.
//!
//! In this order, with the reason for which a document is dropped:
//! - `gopher_short_doc`, `gopher_long_doc`: fewer than `min_words` (50) or more than `max_words`
//!   (100000) words that are not only symbols;
//! - `gopher_below_avg_threshold`, `gopher_above_avg_threshold`: their mean length is below
//!   `min_mean_word` (3) or above `max_mean_word` (10) characters;
//! - `gopher_too_many_hashes`, `gopher_too_many_ellipsis`: more than `max_symbols` (0.1) number
//!   signs or ellipses a word;
//! - `gopher_too_many_bullets`: more than `max_bullets` (0.9) of the lines begin with a bullet;
//! - `gopher_too_many_end_ellipsis`: more than `max_ellipsis_lines` (0.3) end with an ellipsis;
//! - `gopher_below_alpha_threshold`: fewer than `min_alpha` (0.8) of the words have a letter;
//! - `gopher_enough_stop_words`: fewer than `min_stop_words` (2) different `stop_words`.
//!
//! A limit of 0 switches its rule off. `language` (`"en"`) says how words are split. With `"zh"`
//! the limits are those of [FineWeb-2](https://arxiv.org/abs/2506.20920) for Chinese (`cmn_Hani`)
//! unless given: words of 1 to 5 characters, 0.735 of them with a letter, 22 Chinese stop words.

use serde::Deserialize;

use super::lines::{ratio, split_lines};
use super::words::classes::{LETTER, SPACE, SYMBOL, is};
use super::words::{HashSet, Language, slice};
use super::{Action, Draft, Example, Reason, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "gopher_quality",
    about: "enough words of a usual length, few symbols, bullets and ellipses, some stop words",
    build,
    examples: &[
        Example::drop("Too short.", "gopher_short_doc"),
        Example::same("That is the right way to have things.").with(r#"{"min_words": 5}"#),
        Example::drop("Such nice words be gone", "gopher_enough_stop_words")
            .with(r#"{"min_words": 5}"#),
        Example::drop("1 2 3 the be of", "gopher_below_avg_threshold").with(r#"{"min_words": 5}"#),
        Example::drop("- once\n- twice\n- thrice the be", "gopher_too_many_bullets")
            .with(r#"{"min_words": 5}"#),
        Example::same("我们是在中国学习的人").with(ZH),
        Example::drop("我们学习语言学习知识", "gopher_enough_stop_words").with(ZH),
    ],
};

const ZH: &str = r#"{"language": "zh", "min_words": 5}"#;

const EN_STOP_WORDS: &str = "the be to of and that have with";
const ZH_STOP_WORDS: &str = "的 年 在 月 是 和 日 了 於 · 為 有 被 人 中 为 他 與 後 也 而 由";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    language: Language,
    min_words: Option<usize>,
    max_words: Option<usize>,
    min_mean_word: Option<f64>,
    max_mean_word: Option<f64>,
    max_symbols: Option<f64>,
    max_bullets: Option<f64>,
    max_ellipsis_lines: Option<f64>,
    min_alpha: Option<f64>,
    min_stop_words: Option<usize>,
    stop_words: Option<Vec<String>>,
}

struct Limits {
    language: Language,
    words: (usize, usize),
    mean_word: (f64, f64),
    symbols: f64,
    bullets: f64,
    ellipsis_lines: f64,
    alpha: f64,
    min_stop_words: usize,
    stop_words: HashSet<String>,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let given: Settings = setup.settings()?;
    let (mean_word, alpha, stop_words) = match given.language {
        Language::En => ((3.0, 10.0), 0.8, EN_STOP_WORDS),
        Language::Zh => ((1.0, 5.0), 0.735, ZH_STOP_WORDS),
    };
    let owned = || stop_words.split(' ').map(str::to_owned).collect();
    let limits = Limits {
        language: given.language,
        words: (given.min_words.unwrap_or(50), given.max_words.unwrap_or(100_000)),
        mean_word: (
            given.min_mean_word.unwrap_or(mean_word.0),
            given.max_mean_word.unwrap_or(mean_word.1),
        ),
        symbols: given.max_symbols.unwrap_or(0.1),
        bullets: given.max_bullets.unwrap_or(0.9),
        ellipsis_lines: given.max_ellipsis_lines.unwrap_or(0.3),
        alpha: given.min_alpha.unwrap_or(alpha),
        min_stop_words: given.min_stop_words.unwrap_or(2),
        stop_words: given.stop_words.unwrap_or_else(owned).into_iter().collect(),
    };
    Ok(Action::filter(move |draft| limits.judge(draft)))
}

impl Limits {
    fn judge(&self, draft: &mut Draft) -> Option<Reason> {
        let words = draft.words(self.language);
        let text = draft.text();
        let count = words.len();
        let words = || words.iter().map(|word| slice(text, word));
        let mut meaning = (0, 0);
        for word in words().filter(|word| !is_symbol(word)) {
            meaning = (meaning.0 + 1, meaning.1 + chars(word));
        }
        let mean = meaning.1 as f64 / meaning.0 as f64;
        let beyond = |part: usize, whole: usize, most: f64| most > 0.0 && ratio(part, whole) > most;
        let ellipses = || text.matches("...").count() + text.matches('…').count();
        let reason = if self.words.0 > 0 && meaning.0 < self.words.0 {
            "gopher_short_doc"
        } else if self.words.1 > 0 && meaning.0 > self.words.1 {
            "gopher_long_doc"
        } else if self.mean_word.0 > 0.0 && mean < self.mean_word.0 {
            "gopher_below_avg_threshold"
        } else if self.mean_word.1 > 0.0 && mean > self.mean_word.1 {
            "gopher_above_avg_threshold"
        } else if beyond(text.matches('#').count(), count, self.symbols) {
            "gopher_too_many_hashes"
        } else if beyond(ellipses(), count, self.symbols) {
            "gopher_too_many_ellipsis"
        } else if let Some(reason) = self.judge_lines(text) {
            reason
        } else if self.alpha > 0.0
            && ratio(words().filter(|w| has_letter(w)).count(), count) < self.alpha
        {
            "gopher_below_alpha_threshold"
        } else if self.min_stop_words > 0 && !self.has_stop_words(words()) {
            "gopher_enough_stop_words"
        } else {
            return None;
        };
        Some(reason.into())
    }

    fn judge_lines(&self, text: &str) -> Option<&'static str> {
        let (mut lines, mut bullets, mut ellipses) = (0, 0, 0);
        for line in split_lines(text) {
            lines += 1;
            bullets += usize::from(line.trim_start_matches(space).starts_with(['•', '-']));
            let line = line.trim_end_matches(space);
            ellipses += usize::from(line.ends_with("...") || line.ends_with('…'));
        }
        if self.bullets > 0.0 && ratio(bullets, lines) > self.bullets {
            return Some("gopher_too_many_bullets");
        }
        let many = self.ellipsis_lines > 0.0 && ratio(ellipses, lines) > self.ellipsis_lines;
        many.then_some("gopher_too_many_end_ellipsis")
    }

    fn has_stop_words<'a>(&self, words: impl Iterator<Item = &'a str>) -> bool {
        let mut found: Vec<&str> = Vec::new();
        for word in words {
            // The longest stop words are short, and so is the list of those found.
            if self.stop_words.contains(word) && !found.contains(&word) {
                found.push(word);
                if found.len() >= self.min_stop_words {
                    return true;
                }
            }
        }
        false
    }
}

fn space(character: char) -> bool {
    is(character, SPACE)
}

fn is_symbol(word: &str) -> bool {
    word.chars().all(|c| is(c, SYMBOL))
}

fn has_letter(word: &str) -> bool {
    word.chars().any(|c| is(c, LETTER))
}

fn chars(word: &str) -> usize {
    word.chars().count()
}
