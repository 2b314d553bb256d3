//! GGUF files as models: [`names`] says what a family's tensors and sizes are called there,
//! `config` reads the metadata as a published configuration, `metadata` is the way back, `write`
//! writes tensors.

mod config;
mod metadata;
pub mod names;
mod write;

pub use config::read_config;
pub use metadata::{Constants, describe};
pub use names::{Fix, GgufNames, GgufPlace};
pub use write::{Export, Importance};
