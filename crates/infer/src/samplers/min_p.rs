//! Min-p (Nguyen et al. 2024, arXiv:2407.01082): only tokens with at least this share of the most
//! likely token's probability.

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, _: &History, sampling: &Sampling) {
    let Some(min_p) = sampling.min_p else { return };
    let least = candidates.max_logit() + min_p.ln();
    candidates.list.retain(|candidate| candidate.logit >= least);
}
