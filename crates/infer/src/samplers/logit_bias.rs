//! Logit bias: a number is added to the logits of some tokens.

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, _: &History, sampling: &Sampling) {
    for &(id, bias) in &sampling.logit_bias {
        candidates.change(id, |logit| logit + bias);
    }
}
