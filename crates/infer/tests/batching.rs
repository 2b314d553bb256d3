//! Many requests at once: each is answered as if it were alone.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use common::{MODELS, PROMPT, lively, model, options, request, run, wide_model};
use danlu_infer::{
    Engine, EngineOptions, Error, Event, FinishReason, Output, Request, RequestId, Sampling,
};
use danlu_kernels::quant::BlockFormat;

type Answer = (Vec<u32>, Option<FinishReason>);

/// Requests that differ in all that could matter.
fn requests() -> Vec<Request> {
    let mut repeated = request(&[5, 6, 5, 6, 5, 6, 5], 20, Sampling::greedy());
    repeated.sampling.repetition_penalty = Some(1.3);
    let mut stopped = request(&[PROMPT, &[3, 3]].concat(), 15, lively(4));
    stopped.stop_ids = (0..30).collect();
    vec![
        request(PROMPT, 9, Sampling::greedy()),
        request(&[9], 17, lively(2)),
        repeated,
        request(&[PROMPT, PROMPT, &[11]].concat(), 3, lively(3)),
        stopped,
        request(&PROMPT[..5], 1000, lively(5)),
        request(PROMPT, 1, lively(6)),
    ]
}

fn collect(events: Vec<Event>, answers: &mut BTreeMap<RequestId, Answer>) {
    for Event { request, output } in events {
        let answer = answers.entry(request).or_default();
        assert!(answer.1.is_none(), "{request:?} goes on after its end");
        match output {
            Output::Token(token) => answer.0.push(token.id),
            Output::End(reason) => answer.1 = Some(reason),
            Output::Failed(error) => panic!("{error}"),
        }
    }
}

fn finish(engine: &mut Engine) -> BTreeMap<RequestId, Answer> {
    let mut answers = BTreeMap::new();
    while !engine.is_idle() {
        collect(engine.step().unwrap(), &mut answers);
    }
    answers
}

#[test]
fn requests_in_any_company_get_the_answers_they_get_alone() {
    for name in MODELS {
        let alone: Vec<Answer> = requests()
            .iter()
            .map(|request| run(&mut Engine::new(model(name, 1), options()).unwrap(), request))
            .map(|(ids, reason)| (ids, Some(reason)))
            .collect();
        for (slots, threads, prefill_chunk) in [(1, 2, 5), (2, 1, 3), (3, 4, 100), (7, 2, 11)] {
            let options = EngineOptions { slots, prefill_chunk, ..options() };
            let mut engine = Engine::new(model(name, threads), options).unwrap();
            // Later ones join while earlier ones are being answered.
            let (mut answers, mut ids) = (BTreeMap::new(), Vec::new());
            for (index, request) in requests().into_iter().chain(requests()).enumerate() {
                ids.push(engine.submit(request).unwrap());
                for _ in 0..index % 3 {
                    collect(engine.step().unwrap(), &mut answers);
                }
            }
            while !engine.is_idle() {
                collect(engine.step().unwrap(), &mut answers);
            }
            for (id, expected) in ids.iter().zip(alone.iter().chain(&alone)) {
                assert_eq!(answers[id], *expected, "{name}, {slots} slots, {id:?}");
            }
        }
    }
}

#[test]
fn a_cancelled_request_leaves_the_others_as_they_are_and_its_slot_to_the_next() {
    let expected = run(&mut Engine::new(model("gpt2", 2), options()).unwrap(), &requests()[1]);
    let mut engine =
        Engine::new(model("gpt2", 2), EngineOptions { slots: 2, ..options() }).unwrap();
    let [cancelled, kept, waiting, next] = [3, 1, 0, 1].map(|index| requests()[index].clone());
    let cancelled = engine.submit(cancelled).unwrap();
    let kept = engine.submit(kept).unwrap();
    let waiting = engine.submit(waiting).unwrap();
    let next = engine.submit(next).unwrap();
    let mut answers = BTreeMap::new();
    for _ in 0..3 {
        collect(engine.step().unwrap(), &mut answers);
    }
    assert!(engine.cancel(cancelled) && !engine.cancel(cancelled));
    assert!(engine.cancel(waiting), "one that waits can be cancelled too");
    while !engine.is_idle() {
        collect(engine.step().unwrap(), &mut answers);
    }
    for id in [kept, next] {
        assert_eq!(answers[&id], (expected.0.clone(), Some(expected.1)));
    }
    assert!(!answers.contains_key(&waiting));
}

#[test]
fn a_prompt_is_computed_in_chunks_between_the_tokens_of_the_others() {
    let options = EngineOptions { slots: 2, prefill_chunk: 4, ..options() };
    let mut engine = Engine::new(model("llama-gqa", 2), options).unwrap();
    let writing = engine.submit(request(&[1], 20, Sampling::greedy())).unwrap();
    engine.step().unwrap();
    let reading = engine.submit(request(&[9; 14], 2, Sampling::greedy())).unwrap();
    // 14 tokens by at most 4: its first token comes with the fourth step.
    for step in 1..=4 {
        let from = engine.step().unwrap().into_iter().map(|event| event.request);
        let expected = if step < 4 { vec![writing] } else { vec![writing, reading] };
        assert_eq!(from.collect::<Vec<_>>(), expected, "step {step}");
    }
}

#[test]
fn several_answers_to_one_prompt_read_it_once() {
    let prompt: Vec<u32> = (0..20).map(|i| i * 7 % 47).collect();
    let asked = |answer| {
        let sampling = Sampling { answer, ..lively(8) };
        request(&prompt, 8, sampling)
    };
    let options = EngineOptions { slots: 4, prefill_chunk: 32, ..options() };
    let mut engine = Engine::new(model("qwen3", 2), options).unwrap();
    let ids: Vec<_> = (0..4).map(|answer| engine.submit(asked(answer)).unwrap()).collect();
    // The others wait for the first to have read the prompt, then all write together.
    let steps: Vec<usize> = (0..2).map(|_| engine.step().unwrap().len()).collect();
    assert_eq!(steps, [1, 4]);
    let mut answers = finish(&mut engine);
    let mut texts: Vec<Answer> = ids.iter().map(|id| answers.remove(id).unwrap()).collect();
    for (answer, text) in texts.iter().enumerate() {
        let mut alone = Engine::new(model("qwen3", 2), common::options()).unwrap();
        let (expected, _) = run(&mut alone, &asked(answer as u32));
        assert!(expected.ends_with(&text.0), "answer {answer}");
    }
    texts.dedup();
    assert_eq!(texts.len(), 4, "each answer draws numbers of its own");
}

#[test]
fn a_conversation_finds_its_slot_again_whatever_was_asked_in_between() {
    let options = EngineOptions { slots: 3, context_len: 64, ..options() };
    let mut engine = Engine::new(model("llama-gqa", 2), options).unwrap();
    let talks: Vec<Vec<u32>> = (0..3).map(|talk| vec![talk + 40; 12]).collect();
    let mut texts = Vec::new();
    for talk in &talks {
        let (answer, _) = run(&mut engine, &request(talk, 5, Sampling::greedy()));
        texts.push([&talk[..], &answer].concat());
    }
    let cancel = AtomicBool::new(false);
    for text in texts.iter().rev() {
        let next = request(&[&text[..], &[1, 2]].concat(), 2, Sampling::greedy());
        let generation = engine.start(&next, &cancel).unwrap();
        // All but the last token of the answer, which was never computed.
        assert_eq!(generation.cached_prompt_tokens(), text.len() - 1);
        assert_eq!(generation.map(Result::unwrap).count(), 2);
    }
    // The beginning of one that is busy is copied.
    let first = engine.submit(request(&talks[0], 20, Sampling::greedy())).unwrap();
    engine.step().unwrap();
    let same = [&talks[0][..], &[3; 4]].concat();
    engine.submit(request(&same, 1, Sampling::greedy())).unwrap();
    assert!(engine.cancel(first));
    let others = finish(&mut engine);
    let mut alone = Engine::new(model("llama-gqa", 2), common::options()).unwrap();
    let expected = run(&mut alone, &request(&same, 1, Sampling::greedy())).0;
    assert_eq!(others.into_values().map(|(ids, _)| ids).collect::<Vec<_>>(), [expected]);
}

#[test]
fn one_request_at_a_time_is_refused_beside_others() {
    let mut engine = Engine::new(model("gpt2", 1), options()).unwrap();
    let id = engine.submit(request(PROMPT, 3, Sampling::greedy())).unwrap();
    let cancel = AtomicBool::new(false);
    let asked = request(PROMPT, 3, Sampling::greedy());
    assert!(matches!(engine.start(&asked, &cancel).err().unwrap(), Error::Busy));
    assert!(engine.cancel(id));
    assert!(engine.start(&asked, &cancel).is_ok());
}

/// Log-probabilities of the likeliest token along a text, by an engine whose cache has this format.
fn log_probs(format: Option<BlockFormat>, text: &[u32]) -> (Vec<f32>, usize) {
    let options =
        EngineOptions { slots: 2, context_len: 128, prefill_chunk: 16, kv_format: format };
    let mut engine = Engine::new(wide_model(64, 128, 3), options).unwrap();
    let cancel = AtomicBool::new(false);
    let mut found = Vec::new();
    for len in (1..text.len()).step_by(7) {
        let mut asked = request(&text[..len], 1, Sampling::greedy());
        asked.log_probs = Some(64);
        let token = engine.start(&asked, &cancel).unwrap().next().unwrap().unwrap();
        let mut all = token.log_probs.unwrap().top;
        all.sort_unstable_by_key(|(id, _)| *id);
        found.extend(all.into_iter().map(|(_, log_prob)| log_prob));
    }
    (found, engine.cache_size_bytes())
}

#[test]
fn a_cache_of_fewer_bits_is_smaller_and_close() {
    let text: Vec<u32> = (0..100).map(|i| i * i % 61).collect();
    let (exact, size) = log_probs(None, &text);
    let of = |format| log_probs(Some(format), &text);
    assert_eq!(of(BlockFormat::F32), (exact.clone(), size), "the type the model computes in");
    // Relative to f32: bytes of 32 numbers, and half a unit in the last place.
    let formats = [
        (BlockFormat::F16, 64, 5e-4),
        (BlockFormat::Bf16, 64, 4e-3),
        (BlockFormat::Q8_0, 34, 4e-3),
    ];
    for (format, bytes, error) in formats {
        let (found, small) = of(format);
        assert_eq!(small * 128, size * bytes, "{format}");
        let pairs = found.iter().zip(&exact);
        let most = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(most > 0.0 && most < error, "{format}: off by {most}");
    }
}

#[test]
fn a_format_that_does_not_fit_the_heads_is_refused() {
    let refused = |format| {
        let options = EngineOptions { kv_format: Some(format), ..options() };
        Engine::new(model("gpt2", 1), options).err().unwrap().to_string()
    };
    assert!(refused(BlockFormat::Q8_0).contains("multiple of 32"));
    assert!(refused(BlockFormat::Q4K).contains("choose F32, F16, BF16 or Q8_0"));
}
