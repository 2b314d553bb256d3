//! Ids in, ids out: a model, a cache and a sampler.
//!
//! Read in this order: [`request`] (what is asked for), [`engine`] (how it is answered),
//! [`samplers`] (how a token is chosen, one file each).
//!
//! **Invariants.** Nothing here sees a string. The cache is reserved when the engine is made and
//! never grows; a prompt that does not fit is an error, it is never cut. The answer to a request is
//! a function of the model and the request alone, whatever was asked before and however many threads
//! compute it.

pub mod engine;
pub mod error;
pub mod request;
pub mod samplers;

pub use engine::{Engine, EngineOptions, Generation};
pub use error::{Error, Result};
pub use request::{FinishReason, Limits, Request, Sampling};
pub use samplers::SAMPLERS;
