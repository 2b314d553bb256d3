//! Typical sampling (Meister et al. 2022, arXiv:2202.00666): the tokens whose surprise is nearest
//! to the expected one, that together have the probability wanted.

use super::{Candidate, Candidates, History};
use crate::Sampling;

/// How far from the expected surprise tokens are looked for at first, in nats; twice as far each
/// time they are not enough, so that the rest need not be sorted.
const DISTANCE: f32 = 1.0;

pub(super) fn apply(candidates: &mut Candidates, _: &History, sampling: &Sampling) {
    let Some(wanted) = sampling.typical_p else { return };
    let log_sum = candidates.log_sum_exp();
    let log_p = |candidate: &Candidate| f64::from(candidate.logit) - log_sum;
    let term = |log_p: f64| if log_p > f64::MIN { log_p.exp() * log_p } else { 0.0 };
    let entropy = -candidates.list.iter().map(|candidate| term(log_p(candidate))).sum::<f64>();
    let distance = |candidate: &Candidate| (-log_p(candidate) - entropy).abs() as f32;
    let mut most = DISTANCE;
    loop {
        let front = candidates.partition(|candidate| distance(candidate) <= most);
        let nearer = |a: &Candidate, b: &Candidate| {
            distance(a).total_cmp(&distance(b)).then(a.id.cmp(&b.id))
        };
        candidates.list[..front].sort_unstable_by(nearer);
        let mut sum = 0.0;
        let last = candidates.list[..front].iter().position(|candidate| {
            sum += log_p(candidate).exp();
            sum >= f64::from(wanted)
        });
        match last {
            Some(last) => return candidates.list.truncate(last + 1),
            // Rounding may keep the sum of all below what is wanted.
            None if front == candidates.list.len() || !most.is_finite() => return,
            None => most *= 2.0,
        }
    }
}
