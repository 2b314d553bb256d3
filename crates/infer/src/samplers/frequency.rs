//! Frequency penalty, as OpenAI defines it: `logit -= penalty * count`, where `count` is how often
//! the token is in the answer so far.

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, history: &History, sampling: &Sampling) {
    let Some(penalty) = sampling.frequency_penalty else { return };
    for (id, count) in history.counts() {
        candidates.change(id, |logit| logit - penalty * count.answer as f32);
    }
}
