//! Text to ids and back: vocabularies, their training, and chat templates.
//!
//! In reading order:
//! 1. [`Tokenizer`] opens a vocabulary in any of the layouts in use, encodes, decodes and streams;
//! 2. [`Trainer`] and [`train`] learn a byte-level vocabulary from text, by merges or by
//!    probabilities, the same bytes on every run;
//! 3. [`ChatTemplate`] renders a dialogue to [`Span`]s that remember who wrote each character;
//! 4. [`encode_chat`] turns a dialogue into ids and the mask of what the assistant said.
//!
//! Invariant: text that a person or a document wrote never becomes a control token. Only the
//! template's own words do, and the way from one to the other is by provenance, not by escaping.
//!
//! Deliberately absent: tensors, files other than the one asked for, and any network.

mod base64;
mod byte_alphabet;
mod byte_level;
mod charsmap;
mod chat;
mod counting;
mod counts;
mod decoding;
mod error;
mod merges;
mod message;
mod pair_table;
mod parallel;
mod pipeline;
mod report;
mod roles;
mod scan;
mod sources;
pub mod speed;
mod spellings;
mod stop_strings;
mod stream;
mod template;
mod token_table;
mod tokenizer;
mod train;
mod unigram;

pub use chat::{ChatIds, encode_chat, encode_dialogue};
pub use error::{Error, Result};
pub use message::{Dialogue, FunctionCall, Message, Role, ToolCall, ToolKind};
pub use report::{Reporter, Share, TokenizerReport, UNUSED_SHOWN, is_han};
pub use sources::gguf::GgufVocabulary;
pub use stop_strings::StopStrings;
pub use stream::StreamDecoder;
pub use template::{ChatTemplate, Origin, Span};
pub use tokenizer::Tokenizer;
pub use train::{
    PRE_SPLIT, SplitName, TokenizerConfig, Trainer, TrainingLimits, VocabularyKind, train,
};

/// Ends a document. Always id 0 in a vocabulary trained here.
pub const END_OF_TEXT: &str = "<|endoftext|>";
/// Opens a turn of a dialogue. Always id 1 in a vocabulary trained here.
pub const TURN_START: &str = "<|im_start|>";
/// Closes a turn of a dialogue. Always id 2 in a vocabulary trained here.
pub const TURN_END: &str = "<|im_end|>";
/// The control tokens of a vocabulary trained here; the index is the id.
pub const SPECIAL_TOKENS: [&str; 3] = [END_OF_TEXT, TURN_START, TURN_END];
