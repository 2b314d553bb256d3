//! `length`: drops documents with fewer than `data.min_chars` or more than `data.max_chars`
//! characters, and those that earlier steps left empty.

use super::{Apply, Step};
use crate::{DataConfig, Document};

pub(super) const STEP: Step = Step {
    name: "length",
    about: "between data.min_chars and data.max_chars characters",
    apply: Apply::Filter(judge),
    examples: &[
        ("ab", None),
        ("四字成句", Some("四字成句")),
        ("longer than the twenty allowed", None),
    ],
};

fn judge(document: &Document, config: &DataConfig) -> Option<&'static str> {
    let characters = document.text.chars().count();
    if characters == 0 {
        Some("empty")
    } else if characters < config.min_chars {
        Some("shorter than data.min_chars")
    } else if characters > config.max_chars {
        Some("longer than data.max_chars")
    } else {
        None
    }
}
