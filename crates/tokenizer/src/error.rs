//! What can go wrong between text and ids, said so that the reader knows what to do.

use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between text and ids.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing that is known to be a vocabulary is there.
    #[error("no vocabulary in {path}; looked for {looked_for}")]
    NothingFound {
        /// The file or folder.
        path: PathBuf,
        /// The names that would have been read.
        looked_for: String,
    },
    /// The bytes are not a tokenizer that can be used here.
    #[error("not a usable tokenizer: {0}")]
    NotATokenizer(String),
    /// A control token would come out of ordinary text.
    #[error(
        "this tokenizer turns the plain text {token:?} into a control token, so whoever writes \
         a prompt could forge a turn; use a tokenizer that splits it"
    )]
    ForgeableToken {
        /// The control token's text.
        token: String,
    },
    /// An id outside the vocabulary.
    #[error(
        "id {id} is not in the vocabulary of {vocab_size} tokens; is this the right tokenizer?"
    )]
    UnknownId {
        /// The id.
        id: u32,
        /// Ids run from 0 to this, exclusive.
        vocab_size: usize,
    },
    /// The `[tokenizer]` section asks for something impossible.
    #[error("tokenizer.{key} = {found}: {expected}")]
    Config {
        /// The recipe key.
        key: &'static str,
        /// The value found.
        found: String,
        /// What would be accepted.
        expected: String,
    },
    /// The text is too small for the vocabulary asked for.
    #[error(
        "the text supports a vocabulary of {reached} tokens, not tokenizer.vocab_size = {wanted} \
         (pairs must occur {min_frequency} times); lower vocab_size or give more text"
    )]
    TooLittleText {
        /// The size asked for.
        wanted: usize,
        /// The size that the text supports.
        reached: usize,
        /// `tokenizer.min_frequency`.
        min_frequency: u64,
    },
    /// Learning would take more memory than was given.
    #[error(
        "learning from {pieces} different pieces of text takes about {} MiB, more than the {} MiB \
         that were given; give more memory or less text", needed >> 20, memory >> 20
    )]
    Memory {
        /// Bytes that it would take.
        needed: u64,
        /// Bytes that were given.
        memory: u64,
        /// Different pieces of the text.
        pieces: usize,
    },
    /// The text could not be encoded.
    #[error("cannot encode this text: {0}")]
    Encode(String),
    /// The chat template is not valid Jinja.
    #[error("the chat template does not parse: {0}")]
    TemplateSyntax(String),
    /// The chat template failed on this dialogue, or used more than it may.
    #[error("the chat template failed: {0}")]
    TemplateRender(String),
    /// The chat template refused this dialogue by `raise_exception`.
    #[error("the chat template refuses this dialogue: {0}")]
    TemplateRefused(String),
    /// The chat template changes messages so that their origin is lost.
    #[error(
        "the chat template changes a message in a way that loses track of who wrote what ({0}); \
         it may print, trim, compare or join messages"
    )]
    OriginLost(&'static str),
}
