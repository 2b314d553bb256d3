//! Models in other files: they say the same, or nothing is left.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{assert_clear_error, command, danlu, finish, finished, place, text};

const RUN: &str = "exports-finished";

fn model() -> String {
    text(&finished(RUN).join("model"))
}

fn says(model: &str) -> String {
    let prompt = ["--prompt", "春", "--temperature", "0", "--max-new-tokens", "12"];
    danlu(&[&["generate", model], &prompt[..]].concat()).success()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_model_goes_to_gguf_and_back_and_says_the_same() {
    let (model, place) = (model(), place("exports-round"));
    let gguf = text(&place.join("model.gguf"));
    let made = danlu(&["convert", &model, "-o", &gguf, "--json"]).json();
    assert_eq!(made["bits_per_weight"], 32.0, "{made}");
    assert!(made["agreement"]["kl_mean"].as_f64().unwrap() < 1e-6, "{made}");
    assert_eq!(says(&gguf), says(&model));

    let folder = text(&place.join("folder"));
    let back = ["convert", &gguf, "-o", &folder, "--type", "F32", "--shard-mib", "1"];
    assert!(danlu(&back).success().contains("beside its source"));
    assert_eq!(says(&folder), says(&model));
    for file in ["tokenizer.json", "chat_template.jinja"] {
        let [one, other] = [&model, &folder].map(|root| fs::read(Path::new(root).join(file)));
        assert_eq!(one.unwrap(), other.unwrap(), "{file}");
    }
    assert_eq!(names(&place), ["folder", "model.gguf"], "nothing else is left");
}

#[test]
fn a_quantised_model_is_smaller_and_recorded_as_compared() {
    let (model, place) = (model(), place("exports-quantised"));
    let gguf = text(&place.join("small.gguf"));
    let made = danlu(&["quantize", &model, "--type", "Q8_0", "-o", &gguf, "--json"]).json();
    assert!(made["bits_per_weight"].as_f64().unwrap() < 12.0, "{made}");
    assert!(made["agreement"]["top1"].as_f64().unwrap() > 0.9, "{made}");
    let inspected = danlu(&["inspect", &gguf, "--json"]).json().to_string();
    assert!(inspected.contains("danlu.verified"), "{inspected}");
    danlu(&["verify", &model, &gguf, "--bits", "8"]).success();
}

#[test]
fn calibration_lowers_the_divergence() {
    let (model, place) = (model(), place("exports-calibrated"));
    let file = text(&place.join("poems.txt"));
    // Not what the result is then compared on.
    let poems = include_str!("../../../recipes/data/poems.jsonl");
    fs::write(&file, poems.lines().take(300).collect::<String>()).unwrap();
    let divergence = |more: &[&str]| {
        let gguf = text(&place.join("small.gguf"));
        let quantize = ["quantize", &model, "--type", "IQ4_NL", "-o", &gguf, "--json"];
        let made = danlu(&[&quantize, more].concat()).json();
        (made["types"].clone(), made["agreement"]["kl_mean"].as_f64().unwrap())
    };
    let (plain, calibrated) = (divergence(&[]), divergence(&["--calibrate", &file]));
    assert_eq!(plain.0, calibrated.0, "the same types");
    assert!(calibrated.1 < 0.95 * plain.1, "{} and {}", plain.1, calibrated.1);
    fs::write(&file, "").unwrap();
    let quantize = ["quantize", &model, "--calibrate", &file, "-o", "no.gguf"];
    assert_clear_error(&danlu(&quantize), &["poems.txt", "no token"]);
}

#[test]
fn what_is_off_is_not_left() {
    let (model, place) = (model(), place("exports-off"));
    let gguf = text(&place.join("off.gguf"));
    let off = danlu(&["quantize", &model, "--type", "Q2_K", "-o", &gguf, "--max-divergence", "0"]);
    assert_clear_error(&off, &["was not left behind", "divergence"]);
    assert_eq!(names(&place), Vec::<String>::new());
}

#[test]
fn a_signal_ends_an_export_and_nothing_is_left() {
    let (model, place) = (model(), place("exports-signal"));
    let (long, out) = (place.join("long.txt"), place.join("out"));
    // To compare on so much text would take minutes.
    fs::write(&long, "The moon over the river, and no end. 床前明月光。\n".repeat(50_000)).unwrap();
    for (name, signal) in [("model.gguf", "-TERM"), ("folder", "-INT")] {
        fs::create_dir(&out).unwrap();
        let (target, long) = (text(&out.join(name)), text(&long));
        let arguments = ["convert", &model, "-o", &target, "--text", &long];
        let child = command(&arguments).spawn().unwrap();
        while names(&out).is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let id = child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
        let said = finish(child);
        assert_eq!(said.code, Some(130), "{}", said.err);
        assert_eq!(said.err.trim_end().lines().count(), 1, "{}", said.err);
        assert!(names(&out).is_empty(), "{:?}", names(&out));
        fs::remove_dir(&out).unwrap();
    }
}

#[test]
fn impossible_exports_are_refused_before_anything_is_written() {
    let (model, place) = (model(), place("exports-refused"));
    let (gguf, folder) = (text(&place.join("x.gguf")), text(&place.join("x")));
    let refused = [
        (vec!["quantize", &model, "--type", "Q9", "-o", &gguf], vec!["Q9", "Q4_K_M"]),
        (vec!["quantize", &model, "-o", &folder], vec![".gguf"]),
        (vec!["convert", &model, "-o", &gguf, "--type", "Q8_0"], vec!["danlu quantize"]),
        (vec!["convert", &model, "-o", "no/such/place/x.gguf"], vec!["no/such/place"]),
        (vec!["convert", &model, "-o", &model], vec!["is there already"]),
        (vec!["convert", "nobody/nothing", "-o", &gguf], vec!["nobody/nothing"]),
    ];
    for (arguments, words) in refused {
        assert_clear_error(&danlu(&arguments), &words);
    }
    assert_eq!(names(&place), Vec::<String>::new());
}
