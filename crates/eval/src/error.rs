//! What can go wrong while measuring.

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be measured or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to measure on.
    #[error("{0}")]
    Empty(String),
    /// Two models of different vocabularies.
    #[error(
        "the models have vocabularies of {reference} and {other} tokens: they are not the same \
         model in two forms"
    )]
    Incomparable {
        /// Tokens of the reference.
        reference: usize,
        /// Tokens of the other.
        other: usize,
    },
    /// The compressor that is a yardstick failed.
    #[error("xz: {0}")]
    Xz(std::io::Error),
    /// From the model.
    #[error(transparent)]
    Model(#[from] danlu_models::Error),
    /// From an operation.
    #[error(transparent)]
    Tensor(#[from] danlu_tensor::Error),
    /// From the engine.
    #[error(transparent)]
    Infer(#[from] danlu_infer::Error),
    /// From the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] danlu_tokenizer::Error),
}
