//! Top-k (Fan et al. 2018, arXiv:1805.04833): only the k most likely tokens.

use super::Candidates;
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, sampling: &Sampling) {
    let Some(k) = sampling.top_k else { return };
    candidates.sort_front(k);
    candidates.list.truncate(k);
}
