//! The laws of sampling, on logits made up for the purpose.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::{Dry, Mirostat};

/// Logits with some equal ones, of which the most likely ids are known: 3, then 1 and 4, ...
const LOGITS: [f32; 8] = [0.1, 2.0, -1.0, 3.5, 2.0, 0.0, -3.0, 1.0];

/// Strong enough to be seen.
fn dry() -> Dry {
    Dry { multiplier: 10.0, base: 2.0, ..Dry::default() }
}

fn plain(seed: u64) -> Sampling {
    Sampling { temperature: 1.0, seed, ..Sampling::greedy() }
}

fn left_by(sampling: &Sampling, logits: &[f32], prompt: &[u32]) -> Vec<Candidate> {
    let mut sampler = Sampler::new(logits.len());
    sampler.choose(logits, sampling, &mut History::new(prompt, sampling)).unwrap();
    let mut list = sampler.candidates.list().to_vec();
    list.sort_unstable_by(Candidate::order);
    list
}

/// So many tokens after a prompt, from the same logits each time.
fn answer(logits: &[f32], sampling: &Sampling, prompt: &[u32], tokens: usize) -> Vec<u32> {
    let mut sampler = Sampler::new(logits.len());
    let mut history = History::new(prompt, sampling);
    (0..tokens).map(|_| sampler.choose(logits, sampling, &mut history).unwrap()).collect()
}

fn ids_left_by(sampling: &Sampling) -> Vec<u32> {
    left_by(sampling, &LOGITS, &[]).iter().map(|candidate| candidate.id).collect()
}

fn many_logits() -> Vec<f32> {
    (0..5000).map(|i| Philox::new(3, 0).normal(i) as f32 * 2.0).collect()
}

fn probabilities(logits: &[f32]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
    logits.iter().map(|&l| f64::from(l).exp() / total).collect()
}

#[test]
fn temperature_zero_takes_the_most_likely_and_of_equals_the_smaller_id() {
    assert_eq!(answer(&LOGITS, &Sampling::greedy(), &[], 1), [3]);
    assert_eq!(answer(&[1.0; 8], &Sampling::greedy(), &[], 1), [0]);
}

#[test]
fn the_quick_way_at_temperature_zero_chooses_as_the_steps_do() {
    for len in [1, 15, 16, 17, 100, 5000] {
        for round in 0..20 {
            // Few values, so that the largest is there several times.
            let value = |i: u64| (Philox::new(round, len).normal(i) * 2.0).round() as f32 + 9.0;
            let logits: Vec<f32> = (0..len).map(value).collect();
            let by_steps = Sampling { repetition_penalty: Some(1.0), ..Sampling::greedy() };
            let expected = answer(&logits, &by_steps, &[], 1);
            assert_eq!(answer(&logits, &Sampling::greedy(), &[], 1), expected);
        }
    }
}

#[test]
fn top_k_leaves_the_k_most_likely() {
    for (k, expected) in
        [(1, &[3][..]), (2, &[3, 1]), (3, &[3, 1, 4]), (99, &[3, 1, 4, 7, 0, 5, 2, 6])]
    {
        assert_eq!(ids_left_by(&Sampling { top_k: Some(k), ..plain(0) }), expected, "k = {k}");
    }
}

#[test]
fn top_p_leaves_the_smallest_most_likely_set_that_reaches_p() {
    for logits in [LOGITS.to_vec(), many_logits()] {
        let all = probabilities(&logits);
        for p in [0.05_f32, 0.3, 0.6, 0.9, 0.99, 1.0] {
            let kept = left_by(&Sampling { top_p: Some(p), ..plain(0) }, &logits, &[]);
            let sum = |kept: &[Candidate]| kept.iter().map(|c| all[c.id as usize]).sum::<f64>();
            assert!(sum(&kept) >= f64::from(p) - 1e-5, "{p}: too few");
            assert!(sum(&kept[..kept.len() - 1]) <= f64::from(p) + 1e-5, "{p}: one too many");
            let dropped = all.len() - kept.len();
            let least = kept.last().unwrap().logit;
            let unlikelier = left_by(&plain(0), &logits, &[]);
            assert!(unlikelier[kept.len()..].iter().all(|c| c.logit <= least), "{dropped}");
        }
    }
}

#[test]
fn min_p_leaves_those_with_that_share_of_the_most_likely() {
    let all = probabilities(&LOGITS);
    for min_p in [0.0_f32, 0.05, 0.2, 0.5, 1.0] {
        let kept = ids_left_by(&Sampling { min_p: Some(min_p), ..plain(0) });
        let expected = all.iter().filter(|&&p| p >= f64::from(min_p) * all[3] * (1.0 - 1e-6));
        assert_eq!(kept.len(), expected.count(), "min_p = {min_p}");
    }
}

#[test]
fn the_repetition_penalty_makes_what_was_there_less_likely_whatever_its_sign() {
    let sampling = Sampling { repetition_penalty: Some(2.0), ..plain(0) };
    let with = |prompt| left_by(&sampling, &LOGITS, prompt);
    let logit = |list: &[Candidate], id| list.iter().find(|c| c.id == id).unwrap().logit;
    let (before, after) = (with(&[]), with(&[1, 6]));
    // Logits are relative to the largest, that of token 3, which was not there.
    assert_eq!(logit(&before, 1) - logit(&after, 1), 1.0);
    assert_eq!(logit(&before, 6) - logit(&after, 6), 3.0);
    assert_eq!(logit(&before, 7), logit(&after, 7));
}

#[test]
fn what_was_generated_is_penalised_like_the_prompt() {
    let sampling = Sampling { repetition_penalty: Some(4.0), ..Sampling::greedy() };
    assert_eq!(answer(&LOGITS, &sampling, &[], 3), [3, 1, 4]);
}

#[test]
fn tokens_are_drawn_as_often_as_their_probabilities_say() {
    let draws = 20_000;
    for temperature in [1.0_f32, 0.5] {
        let scaled: Vec<f32> = LOGITS.iter().map(|l| l / temperature).collect();
        let expected = probabilities(&scaled);
        let mut counts = [0_u32; LOGITS.len()];
        for id in answer(&LOGITS, &Sampling { temperature, ..plain(11) }, &[], draws) {
            counts[id as usize] += 1;
        }
        for (count, p) in counts.iter().zip(expected) {
            let deviation = (p * (1.0 - p) / draws as f64).sqrt();
            let found = f64::from(*count) / draws as f64;
            assert!((found - p).abs() < 5.0 * deviation + 1e-9, "{found} instead of {p}");
        }
    }
}

#[test]
fn a_draw_depends_on_seed_answer_and_place_alone() {
    let logits = many_logits();
    let run = |seed| answer(&logits, &plain(seed), &[], 20);
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    assert_ne!(run(1), answer(&logits, &Sampling { answer: 1, ..plain(1) }, &[], 20));
    let mut history = History::new(&[5, 6], &plain(1));
    (0..7).for_each(|_| history.push(3));
    assert_eq!(Sampler::new(5000).choose(&logits, &plain(1), &mut history).unwrap(), run(1)[7]);
}

#[test]
fn a_logit_that_is_no_number_is_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = LOGITS;
        logits[5] = bad;
        let mut history = History::new(&[], &plain(0));
        let error = Sampler::new(8).choose(&logits, &plain(0), &mut history).unwrap_err();
        assert!(matches!(error, Error::NotFinite { id: 5, .. }), "{error}");
    }
}

#[test]
fn extreme_settings_still_choose_a_token() {
    for sampling in [
        Sampling { temperature: f32::MIN_POSITIVE, ..plain(0) },
        Sampling { temperature: f32::MAX, ..plain(0) },
        Sampling { top_p: Some(f32::MIN_POSITIVE), top_k: Some(1), min_p: Some(1.0), ..plain(0) },
        Sampling { repetition_penalty: Some(f32::MIN_POSITIVE), ..plain(0) },
        Sampling { typical_p: Some(f32::MIN_POSITIVE), ..plain(0) },
        Sampling { typical_p: Some(1.0), temperature: f32::MIN_POSITIVE, ..plain(0) },
        Sampling { mirostat: Some(Mirostat { tau: f32::MIN_POSITIVE, eta: 1.0 }), ..plain(0) },
        Sampling { dry: Some(Dry { base: f32::MAX, allowed_len: 1, ..dry() }), ..plain(0) },
    ] {
        sampling.validate().unwrap();
        let logits = [f32::MAX, -f32::MAX, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(answer(&logits, &sampling, &[3, 1, 0], 3).iter().all(|&id| id < 8));
    }
}

/// What the reference library's processors leave; see `golden/samplers/make.py`.
#[test]
fn what_is_left_equals_the_reference() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../golden/samplers/golden.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows: Vec<Vec<f32>> = serde_json::from_value(golden["logits"].clone()).unwrap();
    let history: Vec<u32> = serde_json::from_value(golden["history"].clone()).unwrap();
    for case in golden["cases"].as_array().unwrap() {
        let settings = &case["settings"];
        let share = |name: &str| settings[name].as_f64().map(|value| value as f32);
        let bias = settings["logit_bias"].clone();
        let sampling = Sampling {
            temperature: share("temperature").unwrap_or(1.0),
            logit_bias: serde_json::from_value(bias).unwrap_or_default(),
            repetition_penalty: share("repetition_penalty"),
            top_k: settings["top_k"].as_u64().map(|k| k as usize),
            top_p: share("top_p"),
            min_p: share("min_p"),
            typical_p: share("typical_p"),
            ..plain(0)
        };
        let logits = &rows[case["logits"].as_u64().unwrap() as usize];
        let mut left = left_by(&sampling, logits, &history);
        left.sort_unstable_by_key(|candidate| candidate.id);
        let expected: BTreeMap<u32, f64> = serde_json::from_value(case["left"].clone()).unwrap();
        let logits: Vec<f32> = left.iter().map(|candidate| candidate.logit).collect();
        // The reference drops what has no probability left in f64; so little is dropped here too.
        let found: Vec<(u32, f64)> = left
            .iter()
            .map(|candidate| candidate.id)
            .zip(probabilities(&logits))
            .filter(|(id, p)| *p > 1e-300 || expected.contains_key(id))
            .collect();
        let ids: Vec<u32> = found.iter().map(|(id, _)| *id).collect();
        assert_eq!(ids, expected.keys().copied().collect::<Vec<_>>(), "{case}");
        for (id, p) in found {
            let reference = expected[&id];
            assert!((p - reference).abs() < 1e-5 * reference + 1e-9, "{id}: {p} in {case}");
        }
    }
}

#[test]
fn frequency_and_presence_penalties_count_the_answer_and_not_the_prompt() {
    let sampling =
        Sampling { frequency_penalty: Some(0.5), presence_penalty: Some(0.25), ..plain(0) };
    let mut history = History::new(&[1, 1, 6], &sampling);
    [4, 7, 4, 4].into_iter().for_each(|id| history.push(id));
    let mut sampler = Sampler::new(LOGITS.len());
    sampler.choose(&LOGITS, &sampling, &mut history).unwrap();
    for candidate in sampler.candidates.list() {
        let taken = match candidate.id {
            4 => 3.0 * 0.5 + 0.25,
            7 => 0.5 + 0.25,
            _ => 0.0,
        };
        // Relative to the largest, which was not there.
        let expected = LOGITS[candidate.id as usize] - taken - LOGITS[3];
        assert_eq!(candidate.logit, expected, "{candidate:?}");
    }
}

/// The rule as its author states it, place by place.
fn dry_penalty(ids: &[u32], token: u32, dry: &Dry) -> f32 {
    let ids = &ids[ids.len() - dry.window.unwrap_or(ids.len()).min(ids.len())..];
    let mut longest = 0;
    for next in (1..ids.len()).filter(|&next| ids[next] == token) {
        let same = (0..next).take_while(|&i| {
            let id = ids[ids.len() - 1 - i];
            ids[next - 1 - i] == id && !dry.breakers.contains(&id)
        });
        longest = longest.max(same.count());
    }
    match longest.checked_sub(dry.allowed_len) {
        Some(more) => dry.multiplier * dry.base.powi(more as i32),
        None => 0.0,
    }
}

#[test]
fn dry_takes_from_what_would_go_on_with_a_repetition() {
    let texts: [&[u32]; 6] = [
        &[],
        &[1],
        &[5, 1, 2, 3, 0, 1, 2],
        &[1, 2, 1, 2, 1, 2, 1, 2],
        &[4, 4, 4, 4, 4, 4],
        &[0, 5, 1, 2, 6, 0, 5, 1, 7, 5, 1, 2, 6, 3, 0, 5, 1],
    ];
    let mut penalties = 0;
    for ids in texts {
        for allowed_len in [1, 2, 4] {
            for (window, breakers) in
                [(None, vec![]), (Some(5), vec![]), (None, vec![5]), (Some(0), vec![2, 4])]
            {
                let dry = Dry { allowed_len, window, breakers, ..dry() };
                let sampling = Sampling { dry: Some(dry.clone()), ..plain(0) };
                let left = left_by(&sampling, &LOGITS, ids);
                let with = |id: u32| LOGITS[id as usize] - dry_penalty(ids, id, &dry);
                let max = (0..8).map(with).fold(f32::MIN, f32::max);
                for Candidate { id, logit } in left {
                    assert!((logit - (with(id) - max)).abs() < 1e-4, "{id} after {ids:?}, {dry:?}");
                    penalties += usize::from(with(id) != LOGITS[id as usize]);
                }
            }
        }
    }
    assert!(penalties > 20, "{penalties} penalties were seen");
}

#[test]
fn mirostat_leaves_what_surprises_little_and_keeps_near_its_target() {
    let logits = many_logits();
    let all = probabilities(&logits);
    for tau in [2.0_f32, 4.0, 6.0] {
        let sampling = Sampling { mirostat: Some(Mirostat { tau, eta: 0.1 }), ..plain(5) };
        let mut sampler = Sampler::new(logits.len());
        let mut history = History::new(&[], &sampling);
        let (mut surprise, mut limit, steps) = (0.0, 2.0 * f64::from(tau), 2000);
        for _ in 0..steps {
            let id = sampler.choose(&logits, &sampling, &mut history).unwrap();
            let kept: Vec<f64> = all.iter().copied().filter(|p| -p.log2() <= limit).collect();
            let most = all.iter().copied().fold(0.0, f64::max);
            let total = if kept.is_empty() { most } else { kept.iter().sum() };
            assert_eq!(sampler.candidates.list().len(), kept.len().max(1));
            let seen = -(all[id as usize] / total).log2();
            limit -= 0.1 * (seen - f64::from(tau));
            // Ours is kept in f32; the sets above depend on it.
            assert!((limit - f64::from(history.surprise_max)).abs() < 1e-3);
            limit = f64::from(history.surprise_max);
            surprise += seen / f64::from(steps);
        }
        assert!((surprise - f64::from(tau)).abs() < 0.2, "{surprise} instead of {tau}");
    }
}

#[test]
fn log_probabilities_are_the_models_own() {
    let all = probabilities(&LOGITS);
    let log_probs = Sampler::new(LOGITS.len()).log_probs(&LOGITS, 6, 3);
    let close = |found: f32, id: usize| (f64::from(found) - all[id].ln()).abs() < 1e-5;
    assert!(close(log_probs.chosen, 6), "{log_probs:?}");
    assert_eq!(log_probs.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 1, 4]);
    assert!(log_probs.top.iter().all(|&(id, found)| close(found, id as usize)), "{log_probs:?}");
}

#[test]
fn a_history_goes_back_to_a_mark() {
    let sampling = Sampling { mirostat: Some(Mirostat::default()), ..plain(0) };
    let mut history = History::new(&[1, 2], &sampling);
    history.push(2);
    let (mark, before) = (history.mark(), format!("{history:?}"));
    let mut sampler = Sampler::new(LOGITS.len());
    (0..5).for_each(|_| _ = sampler.choose(&LOGITS, &sampling, &mut history).unwrap());
    assert_ne!(format!("{history:?}"), before);
    history.rewind(mark);
    assert_eq!(format!("{history:?}"), before);
}
