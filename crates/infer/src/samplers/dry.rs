//! DRY, "don't repeat yourself" (p-e-w 2024, text-generation-webui pull request 5677; as in
//! llama.cpp): if the last n tokens, n at least the allowed length, were there before, what came
//! after them then is less likely now: `logit -= multiplier * base^(n - allowed_len)`. A repetition
//! does not reach across a breaker.

use std::collections::BTreeMap;

use super::{Candidates, History};
use crate::Sampling;

pub(super) fn apply(candidates: &mut Candidates, history: &History, sampling: &Sampling) {
    let Some(dry) = &sampling.dry else { return };
    let ids = history.ids();
    let looked_at = &ids[ids.len() - dry.window.unwrap_or(ids.len()).min(ids.len())..];
    let reach = looked_at.iter().rev().take_while(|id| !dry.breakers.contains(id)).count();
    // For each token that came after a repetition: the longest.
    let mut longest: BTreeMap<u32, usize> = BTreeMap::new();
    for (back, len) in repetitions(looked_at).into_iter().enumerate().skip(1) {
        let len = len.min(reach);
        if len >= dry.allowed_len {
            let next = looked_at[looked_at.len() - back];
            let most = longest.entry(next).or_default();
            *most = len.max(*most);
        }
    }
    for (id, len) in longest {
        let penalty = dry.multiplier * dry.base.powf((len - dry.allowed_len) as f32);
        candidates.change(id, |logit| logit - penalty);
    }
}

/// For each number: how many of the last tokens are the same as those that many places before.
/// This is the Z function of the text read backwards, in linear time.
pub(crate) fn repetitions(ids: &[u32]) -> Vec<usize> {
    let len = ids.len();
    let at = |place: usize| ids[len - 1 - place];
    let mut same = vec![0; len];
    // The stretch that is known to be equal to the beginning and reaches furthest.
    let (mut start, mut end) = (0, 0);
    for place in 1..len {
        let known = if place < end { same[place - start].min(end - place) } else { 0 };
        let more = (known..len - place).take_while(|&i| at(i) == at(place + i)).count();
        same[place] = known + more;
        if place + same[place] > end {
            (start, end) = (place, place + same[place]);
        }
    }
    same
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_what_comparing_each_place_finds() {
        for seed in 0..50_u32 {
            let len = seed as usize * 2;
            let random = |i: u32| (i * i + seed * 7 + (i ^ seed) * 31) / 8 % 3;
            let ids: Vec<u32> = (0..len as u32).map(random).collect();
            for (back, found) in repetitions(&ids).into_iter().enumerate().skip(1) {
                let earlier = ids[..len - back].iter().rev();
                let same = ids.iter().rev().zip(earlier).take_while(|(a, b)| a == b).count();
                assert_eq!(found, same, "{ids:?}, {back} back");
            }
        }
    }
}
