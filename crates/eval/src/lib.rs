//! How good a model is, and a page that says so.
//!
//! [`score`] gives log-probabilities and bits per byte; [`yardsticks`] what the same text costs by
//! classical means, among them [`order5`], an order-5 character model; [`agreement`] compares two
//! forms of one model; [`importance`] finds where errors of a weight matter; [`report`] is the
//! page.
//!
//! **Invariant.** Measuring changes nothing: no function here takes a model to write to.

pub mod agreement;
mod config;
mod error;
pub mod importance;
pub mod order5;
pub mod report;
pub mod score;
pub mod yardsticks;

pub use agreement::{Agreement, Tolerance, compare};
pub use config::EvalConfig;
pub use error::{Error, Result};
pub use importance::Importance;
pub use report::Report;
pub use score::{Surprise, log_probs, surprise};
pub use yardsticks::Yardsticks;
