//! How the next token is chosen from the logits: a list of steps, then a draw.
//!
//! The order is that of the reference library: biases and penalties change logits, the temperature
//! scales them, the filters leave the unlikely out. Nothing sorts the whole vocabulary.

mod dry;
mod frequency;
mod history;
mod log_probs;
mod logit_bias;
mod min_p;
mod mirostat;
mod presence;
mod repetition;
mod temperature;
mod top_k;
mod top_p;
mod typical;

use std::cmp::Ordering;

use danlu_kernels::rng::Philox;

pub(crate) use self::dry::repetitions;
pub use self::history::{History, Mark};
use crate::{Error, LogProbs, Result, Sampling};

/// The stream of random numbers that belongs to sampling; answers to one request have the streams
/// `2^32` apart from it.
const STREAM: u64 = 0x7361_6d70;

/// One step between the logits and the draw.
#[derive(Debug)]
pub struct SamplerStep {
    /// The setting that controls it.
    pub name: &'static str,
    /// Changes or drops candidates; at least one stays.
    pub apply: fn(&mut Candidates, &History, &Sampling),
}

/// Every step, in the order they are applied.
pub const SAMPLERS: &[SamplerStep] = &[
    SamplerStep { name: "logit_bias", apply: logit_bias::apply },
    SamplerStep { name: "repetition_penalty", apply: repetition::apply },
    SamplerStep { name: "frequency_penalty", apply: frequency::apply },
    SamplerStep { name: "presence_penalty", apply: presence::apply },
    SamplerStep { name: "dry", apply: dry::apply },
    SamplerStep { name: "temperature", apply: temperature::apply },
    SamplerStep { name: "top_k", apply: top_k::apply },
    SamplerStep { name: "top_p", apply: top_p::apply },
    SamplerStep { name: "min_p", apply: min_p::apply },
    SamplerStep { name: "typical_p", apply: typical::apply },
    SamplerStep { name: "mirostat", apply: mirostat::apply },
];

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// Its logit, as the steps before left it.
    pub logit: f32,
}

impl Candidate {
    /// The more likely first; of equally likely ones the smaller id.
    fn order(a: &Self, b: &Self) -> Ordering {
        b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
    }
}

/// The tokens that may still come next. Until a step drops one, token `id` is number `id`.
#[derive(Debug)]
pub struct Candidates {
    list: Vec<Candidate>,
}

impl Candidates {
    /// The candidates left, in no particular but a reproducible order.
    #[must_use]
    pub fn list(&self) -> &[Candidate] {
        &self.list
    }

    /// Begins anew with every token.
    fn fill(&mut self, logits: &[f32]) {
        self.list.clear();
        let all = logits.iter().enumerate();
        self.list.extend(all.map(|(id, &logit)| Candidate { id: id as u32, logit }));
    }

    /// Changes the logit of a token while all are there; it stays finite.
    fn change(&mut self, id: u32, change: impl FnOnce(f32) -> f32) {
        let candidate = &mut self.list[id as usize];
        debug_assert_eq!(candidate.id, id, "logits are changed before candidates are dropped");
        candidate.logit = change(candidate.logit).clamp(f32::MIN, f32::MAX);
    }

    fn max_logit(&self) -> f32 {
        self.list.iter().map(|candidate| candidate.logit).fold(f32::NEG_INFINITY, f32::max)
    }

    /// The logarithm of the sum of all `exp(logit)`.
    fn log_sum_exp(&self) -> f64 {
        let max = self.max_logit();
        let weight = |candidate: &Candidate| f64::from((candidate.logit - max).exp());
        f64::from(max) + self.list.iter().map(weight).sum::<f64>().ln()
    }

    /// Moves the `count` most likely to the front, in order.
    fn sort_front(&mut self, count: usize) -> &[Candidate] {
        if count < self.list.len() {
            self.list.select_nth_unstable_by(count, Candidate::order);
        }
        let count = count.min(self.list.len());
        self.list[..count].sort_unstable_by(Candidate::order);
        &self.list[..count]
    }

    /// Moves those that belong there to the front and returns how many they are.
    fn partition(&mut self, belongs: impl Fn(&Candidate) -> bool) -> usize {
        let mut count = 0;
        for index in 0..self.list.len() {
            if belongs(&self.list[index]) {
                self.list.swap(count, index);
                count += 1;
            }
        }
        count
    }

    /// Moves those with at least the logit `least` to the front, in order, and returns how many
    /// they are.
    fn sort_at_least(&mut self, least: f32) -> usize {
        let count = self.partition(|candidate| candidate.logit >= least);
        self.list[..count].sort_unstable_by(Candidate::order);
        count
    }
}

/// Chooses tokens. Its memory is reserved once; what belongs to one answer is in its [`History`].
#[derive(Debug)]
pub struct Sampler {
    candidates: Candidates,
}

impl Sampler {
    /// A sampler for a vocabulary of this size.
    #[must_use]
    pub fn new(vocab_size: usize) -> Self {
        Self { candidates: Candidates { list: Vec::with_capacity(vocab_size) } }
    }

    /// Chooses the next token of the answer from `logits` `[V]` and adds it to `history`.
    ///
    /// # Errors
    /// When a logit is not finite.
    ///
    /// # Panics
    /// When the vocabulary lacks an id of the history or of the settings.
    pub fn choose(
        &mut self,
        logits: &[f32],
        sampling: &Sampling,
        history: &mut History,
    ) -> Result<u32> {
        // All are looked at before any is looked for: without a branch, that is many at once.
        if logits.iter().fold(false, |found, logit| found | !logit.is_finite())
            && let Some(id) = logits.iter().position(|logit| !logit.is_finite())
        {
            return Err(Error::NotFinite { value: logits[id], id });
        }
        if sampling.is_argmax() {
            let id = argmax(logits);
            history.push(id);
            return Ok(id);
        }
        let candidates = &mut self.candidates;
        candidates.fill(logits);
        for step in SAMPLERS {
            (step.apply)(candidates, history, sampling);
        }
        let stream = STREAM + (u64::from(sampling.answer) << 32);
        let place = history.answered() as u64;
        let chosen = draw(candidates, Philox::new(sampling.seed, stream).uniform(place));
        if let Some(settings) = sampling.mirostat {
            mirostat::learn(candidates, &chosen, history, settings);
        }
        history.push(chosen.id);
        Ok(chosen.id)
    }

    /// How likely the model finds the token `chosen` by its `logits` `[V]`, and the `top` likeliest
    /// with their log-probabilities.
    ///
    /// # Panics
    /// When the vocabulary lacks the token.
    pub fn log_probs(&mut self, logits: &[f32], chosen: u32, top: usize) -> LogProbs {
        log_probs::log_probs(&mut self.candidates, logits, chosen, top)
    }
}

/// What temperature 0 leaves of logits that nothing changes, without a list of them all.
fn argmax(logits: &[f32]) -> u32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (chunks, rest) = logits.as_chunks::<16>();
    for chunk in chunks {
        for (lane, logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > lane { *logit } else { *lane };
        }
    }
    let max = lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|logit| *logit == max).unwrap_or_default() as u32
}

/// The candidate at the share `uniform`, in `[0, 1)`, of the probabilities laid end to end.
fn draw(candidates: &Candidates, uniform: f64) -> Candidate {
    let list = &candidates.list;
    if let [only] = list[..] {
        return only;
    }
    let max = candidates.max_logit();
    let weight = |candidate: &Candidate| f64::from((candidate.logit - max).exp());
    let mut left = uniform * list.iter().map(weight).sum::<f64>();
    for candidate in list {
        left -= weight(candidate);
        if left < 0.0 {
            return *candidate;
        }
    }
    // Rounding may leave a rest; it belongs to the last candidate that can be drawn at all.
    *list.iter().rev().find(|candidate| weight(candidate) > 0.0).unwrap_or(&list[0])
}

#[cfg(test)]
mod tests;
