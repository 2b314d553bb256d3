//! `danlu run` from beginning to end: what it leaves, what it does not do twice, how it stops.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use common::{command, danlu, differences, finish, finished, place, recipe, run, text, tree};

/// The shared run of this file.
const RUN: &str = "run-finished";
/// Stages of the tiny recipe in their order.
const STAGES: &[&str] = &["data", "tokenizer", "model", "pretrain", "sft", "eval"];
/// Everything a run leaves outside its checkpoints.
const FILES: &[&str] = &[
    "recipe.toml",
    "plan.json",
    "report.html",
    "data/clean.jsonl",
    "data/heldout.jsonl",
    "data/dialogues.jsonl",
    "data/dropped.jsonl",
    "data/report.json",
    "tokens/tokenizer.json",
    "tokens/report.json",
    "tokens/pretrain.tok",
    "tokens/sft.tok",
    "pretrain/metrics.jsonl",
    "sft/metrics.jsonl",
    "eval/results.json",
];
/// What makes a folder a model that other programs open.
const MODEL_FILES: &[&str] = &[
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
];
/// Steps that keep a run busy until it is stopped.
const ENDLESS: &[&str] = &["--set", "pretrain.steps=1000000"];

#[test]
fn a_run_leaves_every_file_and_nothing_half_written() {
    let out = finished(RUN);
    let tree = tree(out);
    let stages = STAGES.iter().map(|stage| format!("stages/{stage}.json"));
    let models = ["pretrain/model", "sft/model", "model"];
    let models = models.iter().flat_map(|m| MODEL_FILES.iter().map(move |f| format!("{m}/{f}")));
    for file in FILES.iter().map(|&file| file.to_owned()).chain(stages).chain(models) {
        assert!(tree.contains_key(&file), "{file} is missing from {:?}", tree.keys());
    }
    for name in tree.keys() {
        assert!(!name.contains("partial") && !name.contains("writing"), "{name} was left over");
    }
    for stage in ["pretrain", "sft"] {
        let count = fs::read_dir(out.join(stage).join("checkpoints")).unwrap().count();
        assert_eq!(count, 2, "the newest checkpoint and one to fall back on");
    }
}

fn times(folder: &Path, names: &BTreeMap<String, String>) -> Vec<(String, SystemTime)> {
    let time = |name: &String| fs::metadata(folder.join(name)).unwrap().modified().unwrap();
    names.keys().map(|name| (name.clone(), time(name))).collect()
}

#[test]
fn a_second_run_does_nothing() {
    let out = place("run-twice");
    let (recipe, folder) = (recipe(), text(&out));
    danlu(&run(&recipe, &folder, &[])).success();
    let before = tree(&out);
    let times_before = times(&out, &before);
    let said = danlu(&run(&recipe, &folder, &[]));
    for stage in STAGES {
        assert!(said.err.contains(&format!("{stage}: nothing to do")), "{}", said.err);
    }
    assert!(said.success().contains("danlu chat"));
    assert_eq!(tree(&out), before);
    assert_eq!(times(&out, &before), times_before, "no file was written again");
}

#[test]
fn until_stops_after_its_stage_and_the_rest_can_follow() {
    let out = place("run-until");
    let (recipe, folder) = (recipe(), text(&out));
    danlu(&run(&recipe, &folder, &["--until", "tokenizer"])).success();
    let names: Vec<String> = tree(&out).into_keys().collect();
    assert!(names.iter().any(|name| name == "tokens/pretrain.tok"), "{names:?}");
    for later in ["plan.json", "pretrain", "sft", "model", "eval", "report.html"] {
        assert!(!out.join(later).exists(), "{later} was made");
    }
    let said = danlu(&run(&recipe, &folder, &["--until", "model"]));
    assert!(said.err.contains("tokenizer: nothing to do"), "{}", said.err);
    assert_eq!(said.code, Some(0));
}

#[test]
fn another_setting_redoes_what_depends_on_it_and_no_more() {
    let out = place("run-changed");
    let (recipe, folder) = (recipe(), text(&out));
    danlu(&run(&recipe, &folder, &[])).success();
    let before = tree(&out);
    let said = danlu(&run(&recipe, &folder, &["--set", "eval.seed=9"]));
    assert!(said.err.contains("sft: nothing to do"), "{}", said.err);
    assert!(!said.err.contains("eval: nothing to do"), "{}", said.err);
    assert_eq!(
        differences(&tree(&out), &before),
        ["eval/results.json", "recipe.toml", "report.html", "stages/eval.json"]
    );
}

#[test]
fn a_damaged_result_is_made_again() {
    let out = place("run-damaged");
    let (recipe, folder) = (recipe(), text(&out));
    danlu(&run(&recipe, &folder, &[])).success();
    let before = tree(&out);
    for name in ["tokens/sft.tok", "sft/model/model.safetensors", "model/config.json"] {
        fs::write(out.join(name), "damaged").unwrap();
        danlu(&run(&recipe, &folder, &[])).success();
        assert_eq!(differences(&tree(&out), &before), [""; 0], "{name}");
    }
}

#[test]
fn nothing_in_a_pipe_is_meant_for_a_terminal() {
    let out = place("run-plain");
    let said = danlu(&run(&recipe(), &text(&out), &[]));
    assert!(!said.out.contains('\u{1b}') && !said.err.contains('\u{1b}'), "{said:?}");
    assert!(!said.err.contains('\r'), "{}", said.err);
    for stage in STAGES {
        assert!(said.err.contains(&format!("{stage}: started")), "{stage}: {}", said.err);
    }
}

#[test]
fn a_second_process_in_the_same_folder_is_refused_and_ctrl_c_stops_the_first_cleanly() {
    let out = place("run-stopped").join("run");
    let (recipe, folder) = (recipe(), text(&out));
    let mut child = command(&run(&recipe, &folder, ENDLESS)).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("pretrain: step")).unwrap().unwrap();

    let second = danlu(&run(&recipe, &folder, &[]));
    common::assert_clear_error(&second, &["another danlu is working in", &folder, "--out"]);

    let number = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &number]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    let said = finish(child);
    assert_eq!(said.code, Some(0), "{rest:?}");
    assert!(said.out.contains("stopped; run the same command again"), "{}", said.out);
    assert!(!out.join("pretrain/model").exists());

    let again =
        danlu(&run(&recipe, &folder, &["--set", "pretrain.steps=1000000", "--until", "model"]));
    assert!(again.err.contains("model: nothing to do"), "{}", again.err);
}

#[test]
fn a_run_stopped_by_ctrl_c_ends_with_the_same_weights() {
    let (recipe, steps) = (recipe(), &["--set", "pretrain.steps=400"]);
    let expected = place("run-interrupted-not").join("run");
    danlu(&run(&recipe, &text(&expected), steps)).success();
    let out = place("run-interrupted").join("run");
    let folder = text(&out);
    let mut child = command(&run(&recipe, &folder, steps)).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("pretrain: step")).unwrap().unwrap();
    let number = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &number]).status().unwrap().success());
    lines.for_each(drop);
    assert!(finish(child).success().contains("stopped"));

    let again = danlu(&run(&recipe, &folder, steps));
    assert!(again.err.contains("going on from step"), "{}", again.err);
    // The checkpoint kept to fall back on may be the one of the stop; report.html names the folder.
    let mut differences = differences(&tree(&out), &tree(&expected));
    differences.retain(|name| !name.contains("/checkpoints/step-"));
    assert_eq!(differences, ["report.html", "stages/eval.json"]);
    for name in ["model.safetensors", "optimizer.safetensors", "train_state.json"] {
        let read = |folder: &Path| {
            fs::read(folder.join("pretrain/checkpoints/step-00000400").join(name)).unwrap()
        };
        assert!(read(&out) == read(&expected), "{name}");
    }
}

#[test]
fn training_can_end_at_either_stage_and_begin_again() {
    let out = place("run-train");
    let (recipe, folder) = (recipe(), text(&out));
    let train = |more: &[&str]| {
        let said = danlu(&[&["train", &recipe, "--out", &folder, "--json"], more].concat());
        (said.err.clone(), said.json())
    };
    let (_, value) = train(&["--stage", "pretrain"]);
    assert_eq!((&value["finished"], &value["stage"]), (&true.into(), &"pretrain".into()));
    assert!(out.join("pretrain/model").exists() && !out.join("sft").exists());
    let before = tree(&out);
    let (err, _) = train(&["--stage", "pretrain", "--fresh"]);
    assert!(!err.contains("pretrain: nothing to do"), "{err}");
    assert_eq!(tree(&out), before, "the same recipe gives the same bytes");
    let (err, value) = train(&["--resume"]);
    assert!(err.contains("pretrain: nothing to do") && value["stage"] == "sft", "{err}");
}
