//! Top-k (Fan et al. 2018, arXiv:1805.04833): only the k most likely tokens.

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, _: &History, sampling: &Sampling) {
    let Some(k) = sampling.top_k else { return };
    candidates.sort_front(k);
    candidates.list.truncate(k);
}
