//! Ids to text while they are produced: only complete characters are given out.
//!
//! Tokens may end in the middle of a character (a Chinese character is
//! three bytes). Whatever is given out, joined, equals the whole decode.

use crate::tokenizer::drop_leading;
use crate::{Error, Result, Tokenizer};

/// Decodes a stream of ids; made by [`Tokenizer::stream`].
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The start of a character that is not complete yet: at most 3 bytes between calls.
    pending: Vec<u8>,
    /// Spaces still to be dropped, where the vocabulary begins each text with one.
    drop_spaces: usize,
}

impl<'a> StreamDecoder<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, pending: Vec::new(), drop_spaces: tokenizer.leading_spaces() }
    }

    /// Takes the next id and returns the characters that are complete with it; often empty.
    /// Control tokens give no text.
    ///
    /// # Errors
    /// [`Error::UnknownId`] when the id is not in the vocabulary.
    pub fn push(&mut self, id: u32) -> Result<String> {
        let bytes = self
            .tokenizer
            .token_bytes(id)
            .ok_or(Error::UnknownId { id, vocab_size: self.tokenizer.vocab_size() })?;
        if !self.tokenizer.is_special(id) {
            self.pending.extend_from_slice(drop_leading(bytes, &mut self.drop_spaces));
        }
        let complete = self.pending.len() - incomplete_tail(&self.pending);
        let text = String::from_utf8_lossy(&self.pending[..complete]).into_owned();
        self.pending.drain(..complete);
        Ok(text)
    }

    /// What is left at the end: nothing, or U+FFFD for a character cut in the middle.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Number of bytes at the end of `bytes` that may still become a character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        match std::str::from_utf8(rest) {
            Ok(_) => return 0,
            Err(error) => match error.error_len() {
                Some(bad) => rest = &rest[error.valid_up_to() + bad..],
                None => return rest.len() - error.valid_up_to(),
            },
        }
    }
}
