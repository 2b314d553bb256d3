//! How the next token is chosen from the logits: a list of steps, then a draw.
//!
//! The order is that of the reference library: the penalty changes logits, the temperature scales
//! them, the filters leave the unlikely out.

mod min_p;
mod repetition;
mod temperature;
mod top_k;
mod top_p;

use std::cmp::Ordering;

use danlu_kernels::rng::Philox;

use crate::{Error, Result, Sampling};

/// The stream of random numbers that belongs to sampling.
const STREAM: u64 = 0x7361_6d70;

/// One step between the logits and the draw.
#[derive(Debug)]
pub struct SamplerStep {
    /// The setting that controls it.
    pub name: &'static str,
    /// Changes or drops candidates; at least one stays.
    pub apply: fn(&mut Candidates, &Sampling),
}

/// Every step, in the order they are applied.
pub const SAMPLERS: &[SamplerStep] = &[
    SamplerStep { name: "repetition_penalty", apply: repetition::apply },
    SamplerStep { name: "temperature", apply: temperature::apply },
    SamplerStep { name: "top_k", apply: top_k::apply },
    SamplerStep { name: "top_p", apply: top_p::apply },
    SamplerStep { name: "min_p", apply: min_p::apply },
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

/// The tokens that may still come next.
#[derive(Debug)]
pub struct Candidates {
    list: Vec<Candidate>,
    /// By id: whether the token is in the prompt or the answer so far.
    seen: Vec<bool>,
}

impl Candidates {
    /// The candidates left, in no particular but a reproducible order.
    #[must_use]
    pub fn list(&self) -> &[Candidate] {
        &self.list
    }

    fn max_logit(&self) -> f32 {
        self.list.iter().map(|candidate| candidate.logit).fold(f32::NEG_INFINITY, f32::max)
    }

    /// Moves the `count` most likely to the front, in order.
    fn sort_front(&mut self, count: usize) {
        if count < self.list.len() {
            self.list.select_nth_unstable_by(count, Candidate::order);
        }
        let count = count.min(self.list.len());
        self.list[..count].sort_unstable_by(Candidate::order);
    }

    /// Moves those with at least the logit `least` to the front, in order, and returns how many
    /// they are.
    fn sort_at_least(&mut self, least: f32) -> usize {
        let mut count = 0;
        for index in 0..self.list.len() {
            if self.list[index].logit >= least {
                self.list.swap(count, index);
                count += 1;
            }
        }
        self.list[..count].sort_unstable_by(Candidate::order);
        count
    }
}

/// Chooses tokens. Its memory is reserved once.
#[derive(Debug)]
pub struct Sampler {
    candidates: Candidates,
}

impl Sampler {
    /// A sampler for a vocabulary of this size.
    #[must_use]
    pub fn new(vocab_size: usize) -> Self {
        let list = Vec::with_capacity(vocab_size);
        Self { candidates: Candidates { list, seen: vec![false; vocab_size] } }
    }

    /// Begins an answer to a prompt.
    ///
    /// # Panics
    /// When an id is outside the vocabulary.
    pub fn start(&mut self, prompt: &[u32]) {
        self.candidates.seen.fill(false);
        for id in prompt {
            self.candidates.seen[*id as usize] = true;
        }
    }

    /// Chooses token number `step` of the answer from `logits` `[V]`.
    ///
    /// # Errors
    /// When a logit is not finite.
    ///
    /// # Panics
    /// When there is not one logit for each token of the vocabulary.
    pub fn choose(&mut self, logits: &[f32], sampling: &Sampling, step: u64) -> Result<u32> {
        let candidates = &mut self.candidates;
        assert_eq!(logits.len(), candidates.seen.len(), "logits for a vocabulary");
        if let Some(id) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(Error::NotFinite { value: logits[id], id });
        }
        candidates.list.clear();
        let all = logits.iter().enumerate();
        candidates.list.extend(all.map(|(id, &logit)| Candidate { id: id as u32, logit }));
        for step in SAMPLERS {
            (step.apply)(candidates, sampling);
        }
        let id = draw(candidates, Philox::new(sampling.seed, STREAM).uniform(step));
        candidates.seen[id as usize] = true;
        Ok(id)
    }
}

/// The candidate at the share `uniform`, in `[0, 1)`, of the probabilities laid end to end.
fn draw(candidates: &Candidates, uniform: f64) -> u32 {
    let max = candidates.max_logit();
    let weight = |candidate: &Candidate| f64::from((candidate.logit - max).exp());
    let list = &candidates.list;
    let mut left = uniform * list.iter().map(weight).sum::<f64>();
    for candidate in list {
        left -= weight(candidate);
        if left < 0.0 {
            return candidate.id;
        }
    }
    // Rounding may leave a rest; it belongs to the last candidate that can be drawn at all.
    let last = list.iter().rev().find(|candidate| weight(candidate) > 0.0);
    last.map_or(list[0].id, |candidate| candidate.id)
}

#[cfg(test)]
mod tests;
