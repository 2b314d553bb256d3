//! Top-p, or nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751): the fewest most likely
//! tokens whose probabilities together reach p.

use super::Candidates;
use crate::Sampling;

/// How many of the most likely tokens are looked at first. The nucleus is nearly always among them,
/// so that the vocabulary need not be sorted.
const FRONT: usize = 64;

pub(super) fn apply(candidates: &mut Candidates, sampling: &Sampling) {
    let Some(p) = sampling.top_p else { return };
    let max = candidates.max_logit();
    let weight = |logit: f32| f64::from((logit - max).exp());
    let total: f64 = candidates.list.iter().map(|candidate| weight(candidate.logit)).sum();
    let wanted = f64::from(p) * total;
    let mut front = FRONT;
    loop {
        candidates.sort_front(front);
        let mut sum = 0.0;
        let last = candidates.list.iter().take(front).position(|candidate| {
            sum += weight(candidate.logit);
            sum >= wanted
        });
        match last {
            Some(last) => return candidates.list.truncate(last + 1),
            // Rounding may keep the sum of all below what is wanted.
            None if front >= candidates.list.len() => return,
            None => front *= 4,
        }
    }
}
