//! Why a request is refused or fails.

use danlu_models::{CausalLm, find_damage};

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A request was refused, or answering it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to go on from.
    #[error("the prompt is empty; give at least one token, such as the one that begins a text")]
    EmptyPrompt,
    /// The prompt does not fit. It is never cut.
    #[error("the prompt has {tokens} tokens, the cache room for {room}; shorten or split it")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Tokens there is room for.
        room: usize,
    },
    /// A setting that makes no sense.
    #[error("`{name}` is {value}; it must be {expected}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// One request at a time was asked for while there are others.
    #[error("the engine is answering other requests; submit this one beside them")]
    Busy,
    /// The draft model has other words.
    #[error(
        "the draft model has {draft} tokens in its vocabulary, the model {model}; a draft model \
         must have the same vocabulary"
    )]
    DraftVocabulary {
        /// Tokens of the draft model.
        draft: usize,
        /// Tokens of the model.
        model: usize,
    },
    /// The draft model cannot follow.
    #[error(
        "the draft model has a context of {draft} tokens, less than the {model} there is room for; \
         ask for a shorter context or use another draft model"
    )]
    DraftContext {
        /// Tokens of the draft model.
        draft: usize,
        /// Tokens there is room for.
        model: usize,
    },
    /// The model computed something that is no number.
    #[error(
        "the model gave the logit {value} for token {id}; its weights are damaged or were trained \
         to divergence"
    )]
    NotFinite {
        /// The logit.
        value: f32,
        /// The token it is for.
        id: usize,
    },
    /// The model refused or failed.
    #[error(transparent)]
    Model(#[from] danlu_models::Error),
    /// An operation failed.
    #[error(transparent)]
    Tensor(#[from] danlu_tensor::Error),
}

impl Error {
    /// For a logit that is no number: which tensor of the model is damaged, if one is.
    pub(crate) fn explained(self, model: &dyn CausalLm) -> Self {
        match self {
            Self::NotFinite { .. } => find_damage(model.parts()).map_or(self, Self::Model),
            other => other,
        }
    }
}
