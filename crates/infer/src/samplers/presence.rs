//! Presence penalty, as OpenAI defines it: `logit -= penalty` of each token that is in the answer
//! so far.

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, history: &History, sampling: &Sampling) {
    let Some(penalty) = sampling.presence_penalty else { return };
    for (id, _) in history.counts().filter(|(_, count)| count.answer > 0) {
        candidates.change(id, |logit| logit - penalty);
    }
}
