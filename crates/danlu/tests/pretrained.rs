//! The library as people already write it.
#![allow(clippy::unwrap_used)]

use std::ops::ControlFlow;
use std::path::Path;

use danlu::infer::FinishReason;
use danlu::{AutoModelForCausalLM, AutoTokenizer, GenerateOptions, LoadOptions};

fn golden(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden");
    root.join(path).to_str().unwrap().to_owned()
}

const PROMPT: [u32; 3] = [1, 17, 4];

#[test]
fn a_greedy_answer_is_the_likeliest_token_each_time() {
    let model = AutoModelForCausalLM::from_pretrained(&golden("models/llama-gqa")).unwrap();
    let all = model.generate(&PROMPT, &GenerateOptions::new(10).stop_ids(&[])).unwrap();
    assert_eq!((all.len(), &all[..3]), (13, &PROMPT[..]));
    let vocab_size = model.model().shape().vocab_size;
    let input = danlu::models::ModelInput::new(&all, 1);
    let logits = model.model().logits(&input, None).unwrap().to_vec();
    for (place, row) in logits.chunks(vocab_size).enumerate().take(12).skip(2) {
        let best = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(row[all[place + 1] as usize], best, "token {}", place + 1);
    }
}

#[test]
fn an_answer_ends_at_the_models_own_token_or_when_the_caller_says() {
    let path = golden("models/llama-gqa");
    let model = AutoModelForCausalLM::from_pretrained(&path).unwrap();
    assert_eq!(model.stop_ids(), [2], "config.json says so");
    let options = GenerateOptions::new(10).stop_ids(&[]);
    let all = model.generate(&PROMPT, &options).unwrap();
    let second = all[4];
    let ended = model.generate(&PROMPT, &options.clone().stop_ids(&[second])).unwrap();
    let first_such = all[3..].iter().position(|&id| id == second).unwrap();
    assert_eq!(ended, all[..3 + first_such], "the token that ends an answer is not part of it");
    let mut seen = Vec::new();
    let reason = model.generate_each(&PROMPT, &options, |id| {
        seen.push(id);
        Ok(if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    assert_eq!((reason.unwrap(), &seen[..]), (FinishReason::Cancelled, &all[3..7]));
}

#[test]
fn a_name_is_looked_up_in_the_published_layout_of_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let repository = cache.path().join("models--lab--tiny");
    let commit = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";
    let snapshot = repository.join("snapshots").join(commit);
    std::fs::create_dir_all(&snapshot).unwrap();
    for file in ["config.json", "model.safetensors"] {
        let from = golden(&format!("models/llama-gqa/{file}"));
        std::fs::copy(from, snapshot.join(file)).unwrap();
    }
    let options = LoadOptions::new().cache_dir(cache.path());
    let load = |name: &str| AutoModelForCausalLM::from_pretrained_with(name, &options);
    let error = load("lab/tiny").err().unwrap().to_string();
    let reference = repository.join("refs/main");
    for word in ["lab/tiny", reference.to_str().unwrap(), "give the path", "put its files"] {
        assert!(error.contains(word), "what was looked for, and the remedy: {error}");
    }
    std::fs::create_dir(repository.join("refs")).unwrap();
    std::fs::write(&reference, commit).unwrap();
    let by_path = AutoModelForCausalLM::from_pretrained(&golden("models/llama-gqa")).unwrap();
    let expected = by_path.generate(&PROMPT, &GenerateOptions::new(5)).unwrap();
    for name in ["lab/tiny".to_owned(), format!("lab/tiny@{commit}")] {
        let found = load(&name).unwrap().generate(&PROMPT, &GenerateOptions::new(5)).unwrap();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn seeds_threads_and_quantised_weights_do_what_they_say() {
    let path = golden("models/llama-gqa");
    let options = LoadOptions::new().threads(1);
    let one = AutoModelForCausalLM::from_pretrained_with(&path, &options).unwrap();
    let two =
        AutoModelForCausalLM::from_pretrained_with(&path, &options.clone().threads(2)).unwrap();
    let bold = |seed| GenerateOptions::new(20).temperature(1.5).seed(seed).stop_ids(&[]);
    let answer = one.generate(&PROMPT, &bold(1)).unwrap();
    assert_eq!(two.generate(&PROMPT, &bold(1)).unwrap(), answer);
    assert_ne!(one.generate(&PROMPT, &bold(2)).unwrap(), answer);
    let small = options.clone().quantize("Q8_0").unwrap();
    let small = AutoModelForCausalLM::from_pretrained_with(&path, &small).unwrap();
    assert!(format!("{:?}", small.model().params().specs()[0].frozen).contains("Q8_0"));
    assert!(small.generate(&PROMPT, &bold(1)).unwrap().starts_with(&PROMPT));
    let error = options.quantize("Q9").unwrap_err().to_string();
    assert!(error.contains("no type Q9") && error.contains("Q4_K_M"), "{error}");
}

#[test]
fn what_is_not_there_or_makes_no_sense_is_an_error_that_says_so() {
    let name = "nobody/there-is-no-such-model";
    let no_model = AutoModelForCausalLM::from_pretrained(name).err().unwrap().to_string();
    let no_words = AutoTokenizer::from_pretrained(name).unwrap_err().to_string();
    for error in [no_model, no_words] {
        assert!(error.contains(name) && !error.contains('\n'), "{error}");
    }
    let model = AutoModelForCausalLM::from_pretrained(&golden("models/llama-gqa")).unwrap();
    let options = GenerateOptions::new(5);
    assert!(model.generate(&[], &options).is_err(), "no prompt");
    assert!(model.generate(&[96], &options).is_err(), "no such token");
    assert!(model.generate(&[1; 65], &options).is_err(), "longer than the context");
    assert!(model.generate(&PROMPT, &options.temperature(-1.0)).is_err());
}
