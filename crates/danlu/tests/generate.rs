//! `danlu generate` in all its ways, on a finished run.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{assert_clear_error, danlu, finished, place, text};
use serde_json::Value;

fn model() -> String {
    text(&finished("generate").join("model"))
}

/// One answer as JSON.
fn ask(prompt: &str, more: &[&str]) -> Value {
    danlu(&[&["generate", &model(), "--prompt", prompt, "--json"], more].concat()).json()
}

const LIMIT: &[&str] = &["--max-new-tokens", "20", "--temperature", "1"];

#[test]
fn many_prompts_are_answered_in_order_and_each_as_if_alone() {
    let file = place("prompts").join("prompts.jsonl");
    let prompts = ["春", "HAMLET:", "春", "明月", "To be"];
    let line = |prompt: &&str| serde_json::json!({ "prompt": prompt }).to_string() + "\n";
    fs::write(&file, prompts.iter().map(line).collect::<String>() + "\n").unwrap();
    for slots in ["1", "3", "16"] {
        let many = ["generate", &model(), "--prompts", &text(&file), "--slots", slots];
        let said = danlu(&[&many[..], LIMIT].concat()).success();
        let answers: Vec<Value> =
            said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(answers.len(), prompts.len());
        for (answer, prompt) in answers.iter().zip(prompts) {
            assert_eq!(*answer, ask(prompt, LIMIT), "{slots} slots");
        }
    }
    fs::write(&file, "{\"prompt\": \"a\"}\n{\"promt\": \"b\"}\n").unwrap();
    let bad = danlu(&["generate", &model(), "--prompts", &text(&file)]);
    assert_clear_error(&bad, &["prompts.jsonl", "line 2", "promt"]);
    fs::write(&file, "\n").unwrap();
    assert_clear_error(&danlu(&["generate", &model(), "--prompts", &text(&file)]), &["no prompts"]);
}

#[test]
fn several_answers_differ_and_the_first_is_that_of_a_single_one() {
    let one = ask("春", LIMIT);
    let model = model();
    let several = ["generate", &model, "--prompt", "春", "-n", "3", "--json"];
    let said = danlu(&[&several[..], LIMIT].concat()).success();
    let answers: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<u64> = answers.iter().map(|it| it["answer"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [0, 1, 2]);
    assert_eq!(answers[0]["text"], one["text"]);
    assert_ne!(answers[0]["text"], answers[1]["text"]);
}

#[test]
fn guessing_and_more_exact_caches_change_no_answer() {
    let plain = ask("春春春春", LIMIT);
    assert_eq!(ask("春春春春", &[LIMIT, &["--lookup"]].concat()), plain);
    assert_eq!(ask("春春春春", &[LIMIT, &["--kv-type", "f32", "--context", "60"]].concat()), plain);
    let model = model();
    assert_eq!(ask("春春春春", &[LIMIT, &["--draft", &model]].concat()), plain);
}

#[test]
fn a_stop_text_ends_the_answer_in_every_way_of_writing_it() {
    let whole = ask("春", LIMIT)["text"].as_str().unwrap().to_owned();
    let chars: Vec<char> = whole.chars().collect();
    let stop: String = chars[chars.len() / 2..][..2].iter().collect();
    let expected = whole[..whole.find(&stop).unwrap()].to_owned();
    let stops = [LIMIT, &["--stop", "no such text", "--stop", &stop]].concat();
    let answer = ask("春", &stops);
    assert_eq!((&answer["text"], &answer["finish_reason"]), (&expected.into(), &"stop".into()));
    let model = model();
    let plain = danlu(&[&["generate", &model, "--prompt", "春"], &stops[..]].concat()).success();
    assert_eq!(plain, format!("春{}\n", answer["text"].as_str().unwrap()));
}

#[test]
fn log_probabilities_come_with_each_token_if_asked_for() {
    let answer = ask("春", &["--max-new-tokens", "4", "--temperature", "0", "--logprobs", "3"]);
    let all = answer["log_probs"].as_array().unwrap();
    assert_eq!(all.len() as u64, answer["tokens"].as_u64().unwrap());
    for token in all {
        let top = token["top"].as_array().unwrap();
        assert_eq!((top.len(), &top[0]["id"]), (3, &token["id"]), "greedy takes the likeliest");
        assert_eq!(top[0]["log_prob"], token["log_prob"]);
        assert!(token["log_prob"].as_f64().unwrap() < 0.0);
    }
    assert!(ask("春", LIMIT).get("log_probs").is_none());
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    let model = model();
    for (more, word) in [
        (&["--typical-p", "0"][..], "typical_p"),
        (&["--frequency-penalty", "3"], "frequency_penalty"),
        (&["--presence-penalty", "-3"], "presence_penalty"),
        (&["--dry-multiplier", "-1"], "dry"),
        (&["--mirostat-tau", "0"], "mirostat"),
        (&["--logit-bias", "7"], "42=-3.5"),
        (&["--logit-bias", "9999999=1"], "logit_bias"),
        (&["--max-new-tokens", "0"], "max_new_tokens"),
        (&["--slots", "0"], "slots"),
        (&["-n", "0"], "-n 0"),
        (&["--context", "2"], "room for 2"),
        (&["--draft", "no/such/model"], "no/such/model"),
    ] {
        let asked = ["generate", &model, "--prompt", "To be, or not to be"];
        assert_clear_error(&danlu(&[&asked[..], more].concat()), &[word]);
    }
}
