//! The text that was put aside before training, ready to be scored.

use std::path::Path;

use anyhow::Result;
use danlu_data::{Document, read_documents};
use danlu_eval::{Surprise, surprise};
use danlu_models::CausalLm;
use danlu_tokenizer::{Tokenizer, is_han};

/// Held-out documents as ids.
pub struct Heldout {
    /// The documents.
    pub documents: Vec<Document>,
    encoded: Vec<(Vec<u32>, u64)>,
}

impl Heldout {
    /// Reads and encodes the documents of a file.
    ///
    /// # Errors
    /// When it cannot be read or a text cannot be encoded.
    pub fn read(path: &Path, tokenizer: &Tokenizer) -> Result<Self> {
        let documents = read_documents(path)?;
        let texts = documents.iter().map(|document| document.text.as_str());
        let encoded = texts.map(|text| encode(text, tokenizer)).collect::<Result<_>>()?;
        Ok(Self { documents, encoded })
    }

    /// How surprised a model is by each document.
    ///
    /// # Errors
    /// When the model cannot compute it.
    pub fn surprises(&self, model: &dyn CausalLm) -> Result<Vec<Surprise>> {
        Ok(surprise(model, &self.encoded)?)
    }

    /// Bits per byte of all documents together; `None` when there are none.
    ///
    /// # Errors
    /// When the model cannot compute it.
    pub fn bits_per_byte(&self, model: &dyn CausalLm) -> Result<Option<f64>> {
        let all = self.surprises(model)?.into_iter().fold(Surprise::default(), Surprise::plus);
        Ok((all.bytes > 0).then(|| all.bits_per_byte()))
    }
}

/// A text as a document is scored: after what every document begins with, and the bytes of what can
/// be scored. Documents begin with what the vocabulary puts before a text, or, where one token is
/// both beginning and end, with that token: it stood between the documents of the training. Else
/// nothing stands before the first token, which cannot be scored then.
///
/// # Errors
/// When the text cannot be encoded.
pub fn encode(text: &str, tokenizer: &Tokenizer) -> Result<(Vec<u32>, u64)> {
    let mut ids = tokenizer.text_start().to_vec();
    if ids.is_empty() && tokenizer.bos() == tokenizer.eos() {
        ids.extend(tokenizer.bos());
    }
    let text_ids = tokenizer.encode(text)?;
    let unscored = text_ids.first().filter(|_| ids.is_empty());
    let unscored = unscored.and_then(|id| tokenizer.token_bytes(*id)).map_or(0, <[u8]>::len);
    ids.extend(text_ids);
    Ok((ids, text.len().saturating_sub(unscored) as u64))
}

/// Whether most letters of a text are Chinese.
#[must_use]
pub fn is_chinese(text: &str) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic());
    let (han, all) = letters.fold((0, 0), |(han, all), c| (han + usize::from(is_han(c)), all + 1));
    2 * han > all
}
