//! The engine's laws, on small random models.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{MODELS, PROMPT, lively, model, options, request, run};
use danlu_infer::{Dry, Engine, EngineOptions, Error, FinishReason, Mirostat, SAMPLERS, Sampling};
use danlu_models::{CausalLm, ModelInput};

fn engine(name: &str) -> Engine {
    Engine::new(model(name, 2), options()).unwrap()
}

/// What the definition of greedy says, without cache or engine.
fn argmax_continuation(model: &dyn CausalLm, prompt: &[u32], count: usize) -> Vec<u32> {
    let mut ids = prompt.to_vec();
    for _ in 0..count {
        let logits = model.logits(&ModelInput::new(&ids, 1), None).unwrap().to_vec();
        let last = &logits[logits.len() - model.shape().vocab_size..];
        let best = (0..last.len()).rev().max_by(|&a, &b| last[a].total_cmp(&last[b])).unwrap();
        ids.push(best as u32);
    }
    ids[prompt.len()..].to_vec()
}

#[test]
fn greedy_is_the_argmax_of_uncached_logits() {
    for name in MODELS {
        let mut engine = engine(name);
        let (ids, reason) = run(&mut engine, &request(PROMPT, 12, Sampling::greedy()));
        assert_eq!(ids, argmax_continuation(engine.model().as_ref(), PROMPT, 12), "{name}");
        assert_eq!(reason, FinishReason::MaxNewTokens);
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_tokens() {
    for name in MODELS {
        let answer = |threads| {
            let mut engine = Engine::new(model(name, threads), options()).unwrap();
            [Sampling::greedy(), lively(3)].map(|s| run(&mut engine, &request(PROMPT, 20, s)))
        };
        let one = answer(1);
        assert_eq!(one, answer(2), "{name}");
        assert_eq!(one, answer(4), "{name}");
    }
}

#[test]
fn an_answer_is_a_function_of_the_request_whatever_was_asked_before() {
    for name in MODELS {
        let asked = request(PROMPT, 10, lively(5));
        let expected = run(&mut engine(name), &asked);
        let mut used = engine(name);
        for before in [&PROMPT[..6], &[2, 2, 2], &[PROMPT, &[9, 9]].concat(), PROMPT] {
            run(&mut used, &request(before, 7, lively(1)));
            assert_eq!(run(&mut used, &asked), expected, "{name} after {before:?}");
        }
        assert_ne!(run(&mut used, &request(PROMPT, 10, lively(6))), expected, "{name}");
    }
}

#[test]
fn a_prompt_in_other_chunks_gives_the_same_answer() {
    for name in MODELS {
        let asked = request(PROMPT, 10, lively(5));
        let answer = |prefill_chunk| {
            let options = EngineOptions { prefill_chunk, ..options() };
            run(&mut Engine::new(model(name, 2), options).unwrap(), &asked)
        };
        let whole = answer(100);
        assert!([1, 3, 8].into_iter().all(|chunk| answer(chunk) == whole), "{name}");
    }
}

#[test]
fn a_conversation_goes_on_from_the_cache() {
    let mut engine = engine("llama-gqa");
    let (answer, _) = run(&mut engine, &request(PROMPT, 4, Sampling::greedy()));
    // The last token was chosen but never computed.
    let known = [PROMPT, &answer[..3]].concat();
    assert_eq!(engine.cached_ids(0), known);
    let next = request(&[PROMPT, &answer[..], &[11, 12]].concat(), 2, Sampling::greedy());
    let cancel = AtomicBool::new(false);
    assert_eq!(engine.start(&next, &cancel).unwrap().cached_prompt_tokens(), known.len());
    // The same prompt again: all but its last token, whose logits are needed.
    let again = request(PROMPT, 1, Sampling::greedy());
    assert_eq!(engine.start(&again, &cancel).unwrap().cached_prompt_tokens(), PROMPT.len() - 1);
}

#[test]
fn a_stop_id_ends_the_answer_and_is_not_part_of_it() {
    for name in MODELS {
        let mut engine = engine(name);
        let free = run(&mut engine, &request(PROMPT, 12, lively(4))).0;
        let stop = free[5];
        let first = free.iter().position(|id| *id == stop).unwrap();
        let mut asked = request(PROMPT, 12, lively(4));
        asked.stop_ids = vec![stop];
        let expected = (free[..first].to_vec(), FinishReason::Stop(stop));
        assert_eq!(run(&mut engine, &asked), expected, "{name}");
    }
}

#[test]
fn a_cancelled_answer_ends_before_the_next_token_and_can_be_asked_for_again() {
    let mut engine = engine("gpt2");
    let asked = request(PROMPT, 12, lively(4));
    let whole = run(&mut engine, &asked);
    let cancel = AtomicBool::new(false);
    let mut generation = engine.start(&asked, &cancel).unwrap();
    let three: Vec<u32> = generation.by_ref().take(3).map(|token| token.unwrap().id).collect();
    assert_eq!(three, whole.0[..3]);
    cancel.store(true, Ordering::Relaxed);
    assert!(generation.next().is_none());
    assert_eq!(generation.finish_reason(), Some(FinishReason::Cancelled));
    assert!(generation.next().is_none());
    drop(generation);
    assert_eq!(run(&mut engine, &asked), whole);
}

#[test]
fn the_answer_ends_where_the_context_does() {
    for name in MODELS {
        let mut engine = engine(name);
        let (ids, reason) = run(&mut engine, &request(PROMPT, 1000, Sampling::greedy()));
        assert_eq!(reason, FinishReason::ContextFull, "{name}");
        // The token after the last position needs no place of its own.
        assert_eq!(ids.len(), 32 - PROMPT.len() + 1, "{name}");
    }
}

#[test]
fn a_prompt_that_does_not_fit_is_refused_and_never_cut() {
    let mut engine = engine("llama-gqa");
    let cancel = AtomicBool::new(false);
    let full = request(&[5; 32], 3, Sampling::greedy());
    assert_eq!(run(&mut engine, &full).0.len(), 1);
    let long = request(&[5; 33], 3, Sampling::greedy());
    let error = engine.start(&long, &cancel).err().unwrap();
    assert!(matches!(error, Error::PromptTooLong { tokens: 33, room: 32 }), "{error}");
    let empty = request(&[], 3, Sampling::greedy());
    assert!(matches!(engine.start(&empty, &cancel).err().unwrap(), Error::EmptyPrompt));
    let outside = request(&[96], 3, Sampling::greedy());
    assert!(engine.start(&outside, &cancel).err().unwrap().to_string().contains("vocabulary"));
    // What was refused left the cache as it was.
    assert_eq!(engine.cached_ids(0), [5; 32]);
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let plain = || lively(0);
    let mut engine = engine("llama-gqa");
    let cancel = AtomicBool::new(false);
    let mut named = Vec::new();
    for sampling in [
        Sampling { temperature: -1.0, ..plain() },
        Sampling { temperature: f32::NAN, ..plain() },
        Sampling { logit_bias: vec![(3, f32::INFINITY)], ..plain() },
        Sampling { logit_bias: vec![(96, 1.0)], ..plain() },
        Sampling { top_k: Some(0), ..plain() },
        Sampling { top_p: Some(0.0), ..plain() },
        Sampling { top_p: Some(1.5), ..plain() },
        Sampling { min_p: Some(-0.1), ..plain() },
        Sampling { typical_p: Some(0.0), ..plain() },
        Sampling { repetition_penalty: Some(0.0), ..plain() },
        Sampling { frequency_penalty: Some(2.5), ..plain() },
        Sampling { presence_penalty: Some(f32::NAN), ..plain() },
        Sampling { dry: Some(Dry { multiplier: -1.0, ..Dry::default() }), ..plain() },
        Sampling { dry: Some(Dry { base: 0.5, ..Dry::default() }), ..plain() },
        Sampling { dry: Some(Dry { allowed_len: 0, ..Dry::default() }), ..plain() },
        Sampling { mirostat: Some(Mirostat { tau: 0.0, eta: 0.1 }), ..plain() },
    ] {
        let bad = request(PROMPT, 1, sampling.clone());
        match engine.start(&bad, &cancel).err() {
            Some(Error::Setting { name, .. }) => named.push(name),
            other => panic!("{sampling:?} gave {other:?}"),
        }
    }
    for sampler in SAMPLERS {
        assert!(named.contains(&sampler.name), "{} is never refused", sampler.name);
    }
    for (context_len, prefill_chunk) in [(0, 5), (65, 5), (32, 0)] {
        let options = EngineOptions { context_len, prefill_chunk, ..options() };
        assert!(Engine::new(model("llama-gqa", 1), options).is_err(), "{options:?}");
    }
    let none = EngineOptions { slots: 0, ..options() };
    assert!(Engine::new(model("llama-gqa", 1), none).is_err());
    assert!(engine.start(&request(PROMPT, 0, lively(0)), &cancel).is_err());
}
