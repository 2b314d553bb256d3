//! Cleaning steps. A step is one file here and one line in [`STEPS`]; its header is its page and
//! its examples are its test.
//!
//! `data.steps` names steps in their order, each by its name or as a table with settings:
//! `steps = ["nfc", { name = "length", min_chars = 200 }]`. A [`Cleaner`] reads the settings and
//! the files they name once; after that a step is a pure function of a document.

mod bad_words;
mod c4;
mod c4_paragraphs;
mod control;
mod decontaminate;
mod draft;
pub mod fasttext;
mod fineweb;
mod gopher_quality;
mod gopher_repetition;
mod language;
mod length;
mod lines;
mod mojibake;
mod nfc;
mod opencc;
pub mod private_data;
mod quality;
mod setup;
mod simplified;
mod traditional;
mod urls;
mod whitespace;
mod width;
mod words;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub use draft::Draft;
pub(crate) use lines::line_ranges;
pub use setup::{Setup, StepConfig};
pub use words::Language;
pub(crate) use words::classes::strip_start;

use crate::{DataConfig, Document, Result};

/// A named cleaning step.
pub struct Step {
    /// Its name in `data.steps` and in the report.
    pub name: &'static str,
    /// One sentence for help texts.
    pub about: &'static str,
    /// Reads the settings (and files that they name) once; see [`Setup::settings`].
    pub build: fn(&Setup<'_>) -> Result<Action>,
    /// What it does to some texts.
    pub examples: &'static [Example],
}

/// What a step does, with its settings.
pub enum Action {
    /// Rewrites text; documents and the turns of dialogues alike. See [`Action::map`].
    Map(Box<Rewrite>),
    /// Judges a document and may rewrite its text or add to its `meta`. See [`Action::filter`].
    Filter(Box<Judge>),
}

/// A rewriting step; borrowed where nothing changes.
pub type Rewrite = dyn for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync;
/// A judging step: the reason for which the document is dropped, if it is.
pub type Judge = dyn Fn(&mut Draft) -> Option<Reason> + Send + Sync;
/// Why a document is dropped: short, and one of few, since the report counts by it.
pub type Reason = Cow<'static, str>;

impl Action {
    /// A step that rewrites text.
    pub fn map(rewrite: impl for<'a> Fn(&'a str) -> Cow<'a, str> + Send + Sync + 'static) -> Self {
        Self::Map(Box::new(rewrite))
    }

    /// A step that judges documents.
    pub fn filter(judge: impl Fn(&mut Draft) -> Option<Reason> + Send + Sync + 'static) -> Self {
        Self::Filter(Box::new(judge))
    }
}

/// A text and what a step makes of it.
pub struct Example {
    /// Settings of the step as a JSON object.
    pub settings: &'static str,
    /// The text before.
    pub before: &'static str,
    /// The text after, or the reason for which it is dropped.
    pub after: std::result::Result<&'static str, &'static str>,
}

impl Example {
    /// `before` becomes `after`.
    pub const fn keep(before: &'static str, after: &'static str) -> Self {
        Self { settings: "{}", before, after: Ok(after) }
    }

    /// `text` stays as it is.
    pub const fn same(text: &'static str) -> Self {
        Self::keep(text, text)
    }

    /// `text` is dropped for `reason`.
    pub const fn drop(text: &'static str, reason: &'static str) -> Self {
        Self { settings: "{}", before: text, after: Err(reason) }
    }

    /// The same with settings, a JSON object.
    #[must_use]
    pub const fn with(self, settings: &'static str) -> Self {
        Self { settings, ..self }
    }
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
        reason: Reason,
        /// What was found, and where; often nothing.
        detail: String,
        /// What was dropped.
        document: Document,
    },
}

/// All steps, those of [`DEFAULT_STEPS`] first.
pub const STEPS: &[Step] = &[
    nfc::STEP,
    control::STEP,
    whitespace::STEP,
    length::STEP,
    mojibake::STEP,
    width::STEP,
    simplified::STEP,
    traditional::STEP,
    urls::STEP,
    language::STEP,
    gopher_repetition::STEP,
    gopher_quality::STEP,
    c4::STEP,
    c4_paragraphs::STEP,
    bad_words::STEP,
    decontaminate::STEP,
    fineweb::STEP,
    quality::STEP,
    private_data::STEP,
];

/// The steps of a recipe that names none, in their order.
pub const DEFAULT_STEPS: &[&str] = &["nfc", "control", "whitespace", "length"];

/// The steps of a recipe, ready to run; threads share one.
pub struct Cleaner {
    steps: Vec<(&'static str, Action)>,
    files: Vec<PathBuf>,
}

impl Cleaner {
    /// The steps that `config` names, in its order. Files in settings are relative to `base`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for an unknown step or setting, naming the nearest, for a value
    /// that cannot work, and for a file that cannot be used.
    pub fn new(config: &DataConfig, base: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let built = config.steps.iter().map(|entry| {
            let (step, setup) = (entry.step()?, Setup::new(entry, config, base));
            let action = (step.build)(&setup)?;
            files.extend(setup.into_files());
            Ok((step.name, action))
        });
        let steps = built.collect::<Result<_>>()?;
        Ok(Self { steps, files })
    }

    /// The files that settings name, such as lists of words.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Runs a document through the steps, up to the first that drops it.
    pub fn clean(&self, document: Document) -> Verdict {
        let mut draft = Draft::new(document);
        for (step, action) in &self.steps {
            match action {
                Action::Map(rewrite) => {
                    if let Cow::Owned(text) = rewrite(draft.text()) {
                        draft.set_text(text);
                    }
                }
                Action::Filter(judge) => {
                    if let Some(reason) = judge(&mut draft) {
                        let (document, detail) = draft.into_dropped();
                        return Verdict::Drop { step, reason, detail, document };
                    }
                }
            }
        }
        Verdict::Keep(draft.into_document())
    }

    /// Runs a turn of a dialogue through those steps that only rewrite text.
    pub fn clean_text(&self, text: &str) -> String {
        let mut text = Cow::Borrowed(text);
        for (_, action) in &self.steps {
            if let Action::Map(rewrite) = action {
                text = Cow::Owned(rewrite(&text).into_owned());
            }
        }
        text.into_owned()
    }
}

/// The words of `text` as spaCy's blank English pipeline splits it, without white space.
pub(crate) fn english_words(text: &str) -> Vec<&str> {
    words::Language::En.words(text).iter().map(|span| words::slice(text, span)).collect()
}
