//! Top-p, or nucleus sampling (Holtzman et al. 2020, arXiv:1904.09751): the fewest most likely
//! tokens whose probabilities together reach p.

use super::{Candidates, History};
use crate::Sampling;

/// How far below the largest logit the nucleus is looked for at first; each time it is not found,
/// twice as far. A token that far down has e^-4 times the probability of the first, so the
/// few above it nearly always are enough, and the rest of the vocabulary need not be sorted.
const DEPTH: f32 = 4.0;

pub(super) fn apply(candidates: &mut Candidates, _: &History, sampling: &Sampling) {
    let Some(p) = sampling.top_p else { return };
    let max = candidates.max_logit();
    let weight = |logit: f32| f64::from((logit - max).exp());
    let total: f64 = candidates.list.iter().map(|candidate| weight(candidate.logit)).sum();
    let wanted = f64::from(p) * total;
    let mut least = max - DEPTH;
    loop {
        let front = candidates.sort_at_least(least);
        let mut sum = 0.0;
        let last = candidates.list[..front].iter().position(|candidate| {
            sum += weight(candidate.logit);
            sum >= wanted
        });
        match last {
            Some(last) => return candidates.list.truncate(last + 1),
            // Rounding may keep the sum of all below what is wanted.
            None if front == candidates.list.len() => return,
            None => least = max - 2.0 * (max - least),
        }
    }
}
