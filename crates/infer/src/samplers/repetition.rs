//! Repetition penalty (Keskar et al. 2019, arXiv:1909.05858): the logit of a token that was there
//! before is divided by the penalty if positive, multiplied by it if negative.

use super::Candidates;
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, sampling: &Sampling) {
    let Some(penalty) = sampling.repetition_penalty else { return };
    for candidate in &mut candidates.list {
        if candidates.seen[candidate.id as usize] {
            let logit = &mut candidate.logit;
            let changed = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            *logit = changed.clamp(f32::MIN, f32::MAX);
        }
    }
}
