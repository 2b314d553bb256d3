//! Cleaning steps. A step is one file here and one line in [`STEPS`]; its header is its page and
//! its examples are its test.

mod control;
mod length;
mod nfc;
mod whitespace;

use std::borrow::Cow;

use crate::{DataConfig, Document};

/// A named cleaning step.
pub struct Step {
    /// Its name in `data.steps` and in the report.
    pub name: &'static str,
    /// One sentence for help texts.
    pub about: &'static str,
    /// What it does.
    pub apply: Apply,
    /// Texts before and after; `None` where the document is dropped. Limits as in the tests.
    pub examples: &'static [(&'static str, Option<&'static str>)],
}

/// What a step does.
#[derive(Clone, Copy)]
pub enum Apply {
    /// Rewrites text; documents and the turns of dialogues alike.
    Map(fn(&str) -> Cow<'_, str>),
    /// Keeps a document or says why it is dropped.
    Filter(fn(&Document, &DataConfig) -> Option<&'static str>),
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The cleaned document.
    Keep(Document),
    /// Dropped by a step for a reason; the document as that step saw it.
    Drop {
        /// [`Step::name`].
        step: &'static str,
        /// Why.
        reason: &'static str,
        /// What was dropped.
        document: Document,
    },
}

/// All steps, in the order in which they are applied by default.
pub const STEPS: &[Step] = &[nfc::STEP, control::STEP, whitespace::STEP, length::STEP];

/// The steps that `config` names, in its order; names are checked by [`DataConfig::validate`].
pub fn chosen(config: &DataConfig) -> Vec<&'static Step> {
    let find = |name: &String| STEPS.iter().find(|step| step.name == name.as_str());
    config.steps.iter().filter_map(find).collect()
}

/// Runs a document through `steps`.
pub fn clean(mut document: Document, steps: &[&Step], config: &DataConfig) -> Verdict {
    for step in steps {
        match step.apply {
            Apply::Map(map) => {
                if let Cow::Owned(text) = map(&document.text) {
                    document.text = text;
                }
            }
            Apply::Filter(filter) => {
                if let Some(reason) = filter(&document, config) {
                    return Verdict::Drop { step: step.name, reason, document };
                }
            }
        }
    }
    Verdict::Keep(document)
}

/// Runs the rewriting steps among `steps` over a turn of a dialogue.
pub fn clean_text(text: &str, steps: &[&Step]) -> String {
    let mut text = Cow::Borrowed(text);
    for step in steps {
        if let Apply::Map(map) = step.apply {
            text = Cow::Owned(map(&text).into_owned());
        }
    }
    text.into_owned()
}
