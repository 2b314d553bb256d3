//! A document on its way through the steps.

use crate::{Document, Meta};

/// A document on its way through the steps. What several steps need to know of the text is found
/// once and forgotten when the text changes.
pub struct Draft {
    document: Document,
}

impl Draft {
    /// The document as it came from its reader.
    pub fn new(document: Document) -> Self {
        Self { document }
    }

    /// The document as it is now.
    pub fn into_document(self) -> Document {
        self.document
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
    }

    /// What is known about it.
    pub fn meta(&self) -> &Meta {
        &self.document.meta
    }

    /// What is known about it, to be added to.
    pub fn meta_mut(&mut self) -> &mut Meta {
        &mut self.document.meta
    }
}
