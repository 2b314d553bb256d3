//! What is asked of the engine.

use crate::{Error, Result};

/// A prompt and how it is to be continued.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The prompt.
    pub ids: Vec<u32>,
    /// How each token is chosen.
    pub sampling: Sampling,
    /// How much at most.
    pub limits: Limits,
    /// Tokens that end the answer; they are not part of it.
    pub stop_ids: Vec<u32>,
}

/// How a token is chosen from the logits. `None` leaves a step out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 always takes the most likely token.
    pub temperature: f32,
    /// Only so many of the most likely tokens.
    pub top_k: Option<usize>,
    /// Only the most likely tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Only tokens with at least this share of the most likely one's probability.
    pub min_p: Option<f32>,
    /// Tokens that were there before become less likely; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// The same seed gives the same answer to the same request.
    pub seed: u64,
}

/// How much is generated at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of the answer.
    pub max_new_tokens: usize,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model gave this one of the request's stop ids.
    Stop(u32),
    /// The answer has as many tokens as the request allows.
    MaxNewTokens,
    /// The cache, and so the model's context, is full.
    ContextFull,
    /// The caller cancelled it.
    Cancelled,
}

impl Sampling {
    /// Always the most likely token.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: None,
            min_p: None,
            repetition_penalty: None,
            seed: 0,
        }
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// On the first such setting.
    pub fn validate(&self) -> Result<()> {
        let check = |name, value: Option<f32>, valid: fn(f32) -> bool, expected| match value {
            Some(value) if !valid(value) => {
                Err(Error::Setting { name, value: value.to_string(), expected })
            }
            _ => Ok(()),
        };
        let temperature = Some(self.temperature);
        check("temperature", temperature, |t| t.is_finite() && t >= 0.0, "at least 0")?;
        check("top_p", self.top_p, |p| p > 0.0 && p <= 1.0, "above 0 and at most 1")?;
        check("min_p", self.min_p, |p| (0.0..=1.0).contains(&p), "between 0 and 1")?;
        let penalty = self.repetition_penalty;
        check("repetition_penalty", penalty, |p| p.is_finite() && p > 0.0, "above 0")?;
        if self.top_k == Some(0) {
            let value = "0".to_owned();
            return Err(Error::Setting { name: "top_k", value, expected: "at least 1" });
        }
        Ok(())
    }
}
