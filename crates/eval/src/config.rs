//! The `[eval]` section of a recipe.

use danlu_infer::Sampling;
use serde::{Deserialize, Serialize};

use crate::Result;

/// What is measured and shown when a run is finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Compare with `xz -9` and an order-5 character model given the same training text.
    pub yardsticks: bool,
    /// Messages whose answers the report shows.
    pub prompts: Vec<String>,
    /// How bold the answers are: 0 always takes the likeliest token.
    pub temperature: f32,
    /// Only this many of the likeliest tokens are considered; 0 = all.
    pub top_k: usize,
    /// Only the likeliest tokens that make up this share are considered; 1 = all.
    pub top_p: f32,
    /// Longest answer in tokens.
    pub max_new_tokens: usize,
    /// Seed of the answers.
    pub seed: u64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            yardsticks: true,
            prompts: Vec::new(),
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            max_new_tokens: 200,
            seed: 1,
        }
    }
}

impl EvalConfig {
    /// How the answers are chosen.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: (self.top_k > 0).then_some(self.top_k),
            top_p: Some(self.top_p),
            seed: self.seed,
            ..Sampling::greedy()
        }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// On the first such value, naming it.
    pub fn validate(&self) -> Result<()> {
        Ok(self.sampling().validate()?)
    }
}
