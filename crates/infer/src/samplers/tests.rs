//! The laws of sampling, on logits made up for the purpose.

use super::*;

/// Logits with some equal ones, of which the most likely ids are known: 3, then 1 and 4, ...
const LOGITS: [f32; 8] = [0.1, 2.0, -1.0, 3.5, 2.0, 0.0, -3.0, 1.0];

fn plain(seed: u64) -> Sampling {
    Sampling { temperature: 1.0, seed, ..Sampling::greedy() }
}

fn left_by(sampling: &Sampling, logits: &[f32], prompt: &[u32]) -> Vec<Candidate> {
    let mut sampler = Sampler::new(logits.len());
    sampler.start(prompt);
    sampler.choose(logits, sampling, 0).unwrap();
    let mut list = sampler.candidates.list().to_vec();
    list.sort_unstable_by(Candidate::order);
    list
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
    let mut sampler = Sampler::new(LOGITS.len());
    assert_eq!(sampler.choose(&LOGITS, &Sampling::greedy(), 0).unwrap(), 3);
    assert_eq!(sampler.choose(&[1.0; 8], &Sampling::greedy(), 0).unwrap(), 0);
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
    let mut sampler = Sampler::new(LOGITS.len());
    sampler.start(&[]);
    let chosen: Vec<u32> = (0..3).map(|i| sampler.choose(&LOGITS, &sampling, i).unwrap()).collect();
    assert_eq!(chosen, [3, 1, 4]);
}

#[test]
fn tokens_are_drawn_as_often_as_their_probabilities_say() {
    let draws = 20_000;
    for temperature in [1.0_f32, 0.5] {
        let scaled: Vec<f32> = LOGITS.iter().map(|l| l / temperature).collect();
        let expected = probabilities(&scaled);
        let mut counts = [0_u32; LOGITS.len()];
        let mut sampler = Sampler::new(LOGITS.len());
        let sampling = Sampling { temperature, ..plain(11) };
        for step in 0..draws {
            counts[sampler.choose(&LOGITS, &sampling, step).unwrap() as usize] += 1;
        }
        for (count, p) in counts.iter().zip(expected) {
            let deviation = (p * (1.0 - p) / draws as f64).sqrt();
            let found = f64::from(*count) / draws as f64;
            assert!((found - p).abs() < 5.0 * deviation + 1e-9, "{found} instead of {p}");
        }
    }
}

#[test]
fn a_draw_depends_on_seed_and_step_alone() {
    let logits = many_logits();
    let run = |seed| -> Vec<u32> {
        let mut sampler = Sampler::new(logits.len());
        (0..20).map(|step| sampler.choose(&logits, &plain(seed), step).unwrap()).collect()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let mut fresh = Sampler::new(logits.len());
    assert_eq!(fresh.choose(&logits, &plain(1), 7).unwrap(), run(1)[7]);
}

#[test]
fn a_logit_that_is_no_number_is_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = LOGITS;
        logits[5] = bad;
        let error = Sampler::new(8).choose(&logits, &plain(0), 0).unwrap_err();
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
    ] {
        sampling.validate().unwrap();
        let mut sampler = Sampler::new(8);
        sampler.start(&[3, 1, 0]);
        let id = sampler.choose(&[f32::MAX, -f32::MAX, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &sampling, 0);
        assert!(id.unwrap() < 8);
    }
}
