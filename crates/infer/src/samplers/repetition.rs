//! Repetition penalty (Keskar et al. 2019, arXiv:1909.05858): the logit of a token that was there
//! before is divided by the penalty if positive, multiplied by it if negative.

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, history: &History, sampling: &Sampling) {
    let Some(penalty) = sampling.repetition_penalty else { return };
    for (id, _) in history.counts() {
        candidates.change(id, |logit| if logit > 0.0 { logit / penalty } else { logit * penalty });
    }
}
