//! `length`: drops documents with fewer than `min_chars` or more than `max_chars` characters, and
//! those that earlier steps left empty.
//!
//! Settings: `min_chars` (default: `data.min_chars`), `max_chars` (default: `data.max_chars`).

use serde::Deserialize;

use super::{Action, Example, Setup, Step};
use crate::Result;

pub(super) const STEP: Step = Step {
    name: "length",
    about: "between min_chars and max_chars characters (data.min_chars and data.max_chars)",
    build,
    examples: &[
        Example::drop("", "empty"),
        Example::drop("ab", SHORTER).with(LIMITS),
        Example::same("四字成句").with(LIMITS),
        Example::drop("longer than the twenty allowed", LONGER).with(LIMITS),
    ],
};

const SHORTER: &str = "shorter than min_chars";
const LONGER: &str = "longer than max_chars";
const LIMITS: &str = r#"{"min_chars": 3, "max_chars": 20}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    min_chars: Option<usize>,
    max_chars: Option<usize>,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let settings: Settings = setup.settings()?;
    let min_chars = settings.min_chars.unwrap_or(setup.config().min_chars);
    let max_chars = settings.max_chars.unwrap_or(setup.config().max_chars);
    if min_chars > max_chars {
        return Err(setup.refuse(format!("min_chars = {min_chars} is above max_chars")));
    }
    // The reason names the key that set the limit.
    let shorter =
        if settings.min_chars.is_some() { SHORTER } else { "shorter than data.min_chars" };
    let longer = if settings.max_chars.is_some() { LONGER } else { "longer than data.max_chars" };
    Ok(Action::filter(move |draft| {
        let characters = draft.text().chars().count();
        if characters == 0 {
            Some("empty".into())
        } else if characters < min_chars {
            Some(shorter.into())
        } else if characters > max_chars {
            Some(longer.into())
        } else {
            None
        }
    }))
}
