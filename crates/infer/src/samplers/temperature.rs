//! Temperature: logits are divided by it. At 0 only the most likely token is left, of equally
//! likely ones the smallest id.

use super::{Candidate, Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, _: &History, sampling: &Sampling) {
    if sampling.temperature == 0.0 {
        let best = candidates.list.iter().copied().min_by(Candidate::order);
        candidates.list.clear();
        candidates.list.extend(best);
        return;
    }
    // The largest becomes 0, so that no division, however small the temperature, overflows it.
    let max = candidates.max_logit();
    for candidate in &mut candidates.list {
        candidate.logit = (candidate.logit - max) / sampling.temperature;
    }
}
