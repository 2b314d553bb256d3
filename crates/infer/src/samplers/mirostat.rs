//! Mirostat 2 (Basu et al. 2020, arXiv:2007.14966; as in llama.cpp): only tokens whose surprise in
//! bits is at most a limit, which after each token moves by what that token missed the target.

use std::f64::consts::LN_2;

use super::{Candidate, Candidates, History};
use crate::{Mirostat, Sampling};

pub(super) fn apply(candidates: &mut Candidates, history: &History, sampling: &Sampling) {
    if sampling.mirostat.is_none() {
        return;
    }
    let limit = f64::from(history.surprise_max);
    let log_sum = candidates.log_sum_exp();
    let best = candidates.list.iter().copied().min_by(Candidate::order);
    candidates.list.retain(|candidate| surprise(candidate, log_sum) <= limit);
    if candidates.list.is_empty() {
        candidates.list.extend(best);
    }
}

/// Moves the limit after a token was drawn from the candidates.
pub(super) fn learn(
    candidates: &Candidates,
    chosen: &Candidate,
    history: &mut History,
    Mirostat { tau, eta }: Mirostat,
) {
    let missed = surprise(chosen, candidates.log_sum_exp()) - f64::from(tau);
    history.surprise_max -= eta * missed as f32;
}

/// In bits.
fn surprise(candidate: &Candidate, log_sum: f64) -> f64 {
    (log_sum - f64::from(candidate.logit)) / LN_2
}
