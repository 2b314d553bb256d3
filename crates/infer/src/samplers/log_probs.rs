//! Log-probabilities of tokens by the model's own logits.

use super::{Candidate, Candidates};
use crate::LogProbs;

/// Of the token `chosen` and of the `top` likeliest; `candidates` is overwritten.
pub(super) fn log_probs(
    candidates: &mut Candidates,
    logits: &[f32],
    chosen: u32,
    top: usize,
) -> LogProbs {
    candidates.fill(logits);
    let log_sum = candidates.log_sum_exp();
    let log_prob = |logit: f32| (f64::from(logit) - log_sum) as f32;
    let likeliest = if top == 0 { &[] } else { candidates.sort_front(top) };
    LogProbs {
        chosen: log_prob(logits[chosen as usize]),
        top: likeliest.iter().map(|&Candidate { id, logit }| (id, log_prob(logit))).collect(),
    }
}
