//! What is asked of the engine, and what it answers.

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
    /// With each token its log-probability, and so many of the likeliest tokens with theirs; none
    /// of that if `None`.
    pub log_probs: Option<usize>,
}

/// How a token is chosen from the logits. `None` leaves a step out.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 always takes the most likely token.
    pub temperature: f32,
    /// What is added to the logits of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Tokens that were there before become less likely; 1 changes nothing.
    pub repetition_penalty: Option<f32>,
    /// Taken from the logit of a token for each time it is in the answer so far.
    pub frequency_penalty: Option<f32>,
    /// Taken from the logit of a token that is in the answer so far.
    pub presence_penalty: Option<f32>,
    /// Tokens that would go on with a repetition become less likely, the longer it is the more.
    pub dry: Option<Dry>,
    /// Only so many of the most likely tokens.
    pub top_k: Option<usize>,
    /// Only the most likely tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Only tokens with at least this share of the most likely one's probability.
    pub min_p: Option<f32>,
    /// Only the tokens whose surprise is nearest to what is expected, that together have this
    /// probability.
    pub typical_p: Option<f32>,
    /// Only tokens that keep the surprise of the answer near a target.
    pub mirostat: Option<Mirostat>,
    /// The same seed gives the same answer to the same request.
    pub seed: u64,
    /// Which of several answers to one request: each draws numbers of its own, 0 those of a single
    /// answer.
    pub answer: u32,
}

/// Against repetitions ("Don't Repeat Yourself").
#[derive(Clone, Debug, PartialEq)]
pub struct Dry {
    /// Taken from the logit of a token that would make a repetition longer than allowed by one.
    pub multiplier: f32,
    /// How many times more with each further token.
    pub base: f32,
    /// Repetitions of so many tokens cost nothing.
    pub allowed_len: usize,
    /// How many of the last tokens are looked at; all if `None`.
    pub window: Option<usize>,
    /// No repetition reaches across these.
    pub breakers: Vec<u32>,
}

impl Default for Dry {
    /// The values its author recommends; nothing breaks a repetition.
    fn default() -> Self {
        Self { multiplier: 0.8, base: 1.75, allowed_len: 2, window: None, breakers: Vec::new() }
    }
}

/// Mirostat, version 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mirostat {
    /// The surprise of a token that is aimed at, in bits.
    pub tau: f32,
    /// How fast the limit follows.
    pub eta: f32,
}

impl Default for Mirostat {
    fn default() -> Self {
        Self { tau: 5.0, eta: 0.1 }
    }
}

/// How much is generated at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tokens of the answer.
    pub max_new_tokens: usize,
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The token.
    pub id: u32,
    /// How likely the model found it, if that was asked for.
    pub log_probs: Option<LogProbs>,
}

/// Log-probabilities by the model's own logits, before any setting changes them.
#[derive(Clone, Debug, PartialEq)]
pub struct LogProbs {
    /// Of the token that was chosen.
    pub chosen: f32,
    /// The likeliest tokens with theirs, as many as were asked for.
    pub top: Vec<(u32, f32)>,
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

impl Request {
    /// The likeliest continuation of a prompt, of at most so many tokens.
    #[must_use]
    pub fn greedy(ids: Vec<u32>, max_new_tokens: usize) -> Self {
        Self {
            ids,
            sampling: Sampling::greedy(),
            limits: Limits { max_new_tokens },
            stop_ids: Vec::new(),
            log_probs: None,
        }
    }
}

impl Request {
    /// Refuses settings that make no sense for a vocabulary of this size.
    ///
    /// # Errors
    /// On the first such setting.
    pub fn validate(&self, vocab_size: usize) -> Result<()> {
        let refuse = |name, value, expected| Err(Error::Setting { name, value, expected });
        if self.limits.max_new_tokens == 0 {
            return refuse("max_new_tokens", "0".to_owned(), "at least 1");
        }
        let outside = |id: &&u32| **id as usize >= vocab_size;
        let biased = self.sampling.logit_bias.iter().map(|(id, _)| id);
        if let Some(id) = biased.clone().find(outside) {
            let value = format!("for token {id}");
            return refuse("logit_bias", value, "for tokens of the vocabulary");
        }
        self.sampling.validate()
    }
}

impl Sampling {
    /// Always the most likely token.
    #[must_use]
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            logit_bias: Vec::new(),
            repetition_penalty: None,
            frequency_penalty: None,
            presence_penalty: None,
            dry: None,
            top_k: None,
            top_p: None,
            min_p: None,
            typical_p: None,
            mirostat: None,
            seed: 0,
            answer: 0,
        }
    }

    /// Whether the token of the largest logit is chosen, by the model's own logits.
    pub(crate) fn is_argmax(&self) -> bool {
        let penalties = [self.repetition_penalty, self.frequency_penalty, self.presence_penalty];
        self.temperature == 0.0
            && self.logit_bias.is_empty()
            && penalties == [None; 3]
            && self.dry.is_none()
            && self.mirostat.is_none()
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// On the first such setting.
    pub fn validate(&self) -> Result<()> {
        let share = |p: f32| p > 0.0 && p <= 1.0;
        let penalty = |p: f32| (-2.0..=2.0).contains(&p);
        check("temperature", Some(self.temperature), |t| t >= 0.0, "at least 0")?;
        for &(_, bias) in &self.logit_bias {
            check("logit_bias", Some(bias), |bias| bias.abs() <= 1e30, "a number")?;
        }
        check("repetition_penalty", self.repetition_penalty, |p| p > 0.0, "above 0")?;
        check("frequency_penalty", self.frequency_penalty, penalty, "between -2 and 2")?;
        check("presence_penalty", self.presence_penalty, penalty, "between -2 and 2")?;
        check("top_k", self.top_k.map(|k| k as f32), |k| k > 0.0, "at least 1")?;
        check("top_p", self.top_p, share, "above 0 and at most 1")?;
        check("min_p", self.min_p, |p| (0.0..=1.0).contains(&p), "between 0 and 1")?;
        check("typical_p", self.typical_p, share, "above 0 and at most 1")?;
        if let Some(dry) = &self.dry {
            check("dry", Some(dry.multiplier), |m| m >= 0.0, "a multiplier of at least 0")?;
            check("dry", Some(dry.base), |base| base >= 1.0, "a base of at least 1")?;
            let allowed = dry.allowed_len as f32;
            check("dry", Some(allowed), |len| len > 0.0, "an allowed length of at least 1")?;
        }
        if let Some(Mirostat { tau, eta }) = self.mirostat {
            check("mirostat", Some(tau), |tau| tau > 0.0, "a target above 0")?;
            check("mirostat", Some(eta), |eta| eta > 0.0 && eta <= 1.0, "a rate in 0 to 1")?;
        }
        Ok(())
    }
}

/// Refuses a value that is no number or not `valid`.
fn check(
    name: &'static str,
    value: Option<f32>,
    valid: impl Fn(f32) -> bool,
    expected: &'static str,
) -> Result<()> {
    match value {
        Some(value) if !(value.is_finite() && valid(value)) => {
            Err(Error::Setting { name, value: value.to_string(), expected })
        }
        _ => Ok(()),
    }
}
