//! A document on its way through the steps.

use std::rc::Rc;

use super::words::{Language, Span};
use crate::{Document, Meta};

/// A document on its way through the steps. What several steps need to know of the text is found
/// once and forgotten when the text changes.
pub struct Draft {
    document: Document,
    /// The words of the text as it is now.
    words: Option<(Language, Rc<[Span]>)>,
    detail: String,
}

impl Draft {
    /// The document as it came from its reader.
    pub fn new(document: Document) -> Self {
        Self { document, words: None, detail: String::new() }
    }

    /// The document as it is now.
    pub fn into_document(self) -> Document {
        self.document
    }

    /// Says more of the reason for which it is dropped: what was found, and where.
    pub fn explain(&mut self, detail: String) {
        self.detail = detail;
    }

    /// The document, and what was said of the reason for which it is dropped.
    pub(super) fn into_dropped(self) -> (Document, String) {
        (self.document, self.detail)
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.document.id
    }

    /// Its text as it is now.
    pub fn text(&self) -> &str {
        &self.document.text
    }

    /// Gives it another text.
    pub fn set_text(&mut self, text: String) {
        self.document.text = text;
        self.words = None;
    }

    /// What is known about it.
    pub fn meta(&self) -> &Meta {
        &self.document.meta
    }

    /// What is known about it, to be added to.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.document.meta
    }

    /// The words of its text, split at most once while the text stays.
    pub(super) fn words(&mut self, language: Language) -> Rc<[Span]> {
        match &self.words {
            Some((split, words)) if *split == language => Rc::clone(words),
            _ => {
                let words: Rc<[Span]> = language.words(&self.document.text).into();
                self.words = Some((language, Rc::clone(&words)));
                words
            }
        }
    }
}
