//! Guessing ahead changes the speed and not the answers.
#![allow(clippy::unwrap_used)]

mod common;

use common::{PROMPT, lively, model, options, request, run, wide_model};
use danlu_infer::{
    Dry, Engine, EngineOptions, Error, Mirostat, Output, Request, Sampling, Speculation,
};

/// Requests in whose answers every kind of state matters.
fn requests() -> Vec<Request> {
    let again = [5, 6, 7, 8, 5, 6, 7, 8, 5, 6];
    let penalised = Sampling {
        repetition_penalty: Some(1.2),
        frequency_penalty: Some(0.3),
        dry: Some(Dry::default()),
        ..lively(7)
    };
    let mirostat = Sampling { mirostat: Some(Mirostat::default()), top_p: None, ..lively(9) };
    let mut stopped = request(&again, 30, lively(2));
    stopped.stop_ids = (0..20).collect();
    vec![
        request(&again, 40, Sampling::greedy()),
        request(PROMPT, 40, Sampling::greedy()),
        request(&again, 40, lively(1)),
        request(&again, 40, penalised),
        request(&again, 40, mirostat),
        request(&again, 1000, Sampling { temperature: 0.3, ..lively(3) }),
        request(&again, 1, Sampling::greedy()),
        stopped,
    ]
}

fn ways(seed: u64) -> Vec<Speculation> {
    let draft = |seed, most| Speculation::Draft { model: wide_model(64, 64, seed), most };
    vec![
        Speculation::LookUp { most: 16 },
        Speculation::LookUp { most: 1 },
        // A poor draft model, and one that is always right.
        draft(seed + 1, 5),
        draft(seed, 8),
    ]
}

#[test]
fn answers_with_guesses_are_those_without_token_for_token() {
    let options = EngineOptions { context_len: 64, ..options() };
    let engine = || Engine::new(wide_model(64, 64, 4), options).unwrap();
    let plain: Vec<_> = requests().iter().map(|asked| run(&mut engine(), asked)).collect();
    for (way, speculation) in ways(4).into_iter().enumerate() {
        let mut guessing = engine();
        guessing.speculate(speculation).unwrap();
        for (asked, expected) in requests().iter().zip(&plain) {
            assert_eq!(run(&mut guessing, asked), *expected, "way {way}");
        }
        let guessed = guessing.guessed();
        assert!(guessed.tokens > 0, "way {way} guessed nothing");
        if way == 3 {
            assert_eq!(
                guessed.right, guessed.tokens,
                "a model guesses what it would choose itself"
            );
        }
    }
}

#[test]
fn guesses_for_many_at_once_change_no_answer_either() {
    let one = EngineOptions { context_len: 64, ..options() };
    let alone = |asked: &Request| run(&mut Engine::new(wide_model(64, 64, 4), one).unwrap(), asked);
    let expected: Vec<_> = requests().iter().map(alone).collect();
    for speculation in ways(4) {
        let many = EngineOptions { slots: 3, ..one };
        let mut engine = Engine::new(wide_model(64, 64, 4), many).unwrap();
        engine.speculate(speculation).unwrap();
        let ids: Vec<_> = requests().into_iter().map(|it| engine.submit(it).unwrap()).collect();
        let mut answers = vec![(Vec::new(), None); ids.len()];
        while !engine.is_idle() {
            for event in engine.step().unwrap() {
                let place = ids.iter().position(|id| *id == event.request).unwrap();
                match event.output {
                    Output::Token(token) => answers[place].0.push(token.id),
                    Output::End(reason) => answers[place].1 = Some(reason),
                    Output::Failed(error) => panic!("{error}"),
                }
            }
        }
        for (answer, (ids, reason)) in answers.into_iter().zip(&expected) {
            assert_eq!(answer, (ids.clone(), Some(*reason)));
        }
    }
}

#[test]
fn text_that_repeats_is_looked_up_in_few_steps() {
    let options = EngineOptions { context_len: 64, ..options() };
    let mut engine = Engine::new(wide_model(64, 64, 4), options).unwrap();
    engine.speculate(Speculation::LookUp { most: 16 }).unwrap();
    // A bias leaves one token: what comes next is sure.
    let sampling = Sampling { logit_bias: vec![(9, 1e6)], ..Sampling::greedy() };
    engine.submit(request(&[9, 9, 9], 48, sampling)).unwrap();
    let mut steps = 0;
    while !engine.is_idle() {
        engine.step().unwrap();
        steps += 1;
    }
    // Guesses of 3, 6, 12 and 16 tokens, and one more that each step chooses.
    assert!(steps <= 7, "{steps} steps for 48 tokens");
}

#[test]
fn a_draft_model_that_does_not_fit_is_refused() {
    let mut engine = Engine::new(model("llama-gqa", 1), options()).unwrap();
    let refused = |engine: &mut Engine, model| {
        engine.speculate(Speculation::Draft { model, most: 4 }).unwrap_err()
    };
    let error = refused(&mut engine, wide_model(95, 64, 1));
    assert!(matches!(error, Error::DraftVocabulary { draft: 95, model: 96 }), "{error}");
    let error = refused(&mut engine, wide_model(96, 31, 1));
    assert!(matches!(error, Error::DraftContext { draft: 31, model: 32 }), "{error}");
    assert!(engine.speculate(Speculation::LookUp { most: 0 }).is_err());
}
