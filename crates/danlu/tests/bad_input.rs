//! Bad input: a clear error or a counted, reported skip; never a panic, never invented data.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{assert_clear_error, danlu, finished, place, recipe, run, text, tree};

const RUN: &str = "bad-input-finished";
const POEM: &str = "床前明月光，疑是地上霜。举头望明月，低头思故乡。";

/// Settings of a recipe that make no sense, with what the message must name.
const ABSURD: &[(&str, &[&str])] = &[
    ("pretrain.steps=0", &["pretrain.steps", "greater than 0"]),
    ("pretrain.steps=-5", &["steps", "-5"]),
    ("pretrain.learning_rate=nan", &["pretrain.learning_rate"]),
    ("pretrain.learning_rate=inf", &["pretrain.learning_rate"]),
    ("pretrain.learning_rate=fast", &["pretrain", "learning_rate"]),
    ("pretrain.batch_size=0", &["pretrain.batch_size"]),
    ("pretrain.batch_size=1000000000000", &["1000000000000"]),
    ("pretrain.warmup_steps=50", &["pretrain.warmup_steps", "40"]),
    ("pretrain.context_len=100000", &["pretrain.context_len", "model.context_len"]),
    ("sft.beta1=1.0", &["sft.beta1"]),
    ("sft.checkpoint_every=0", &["sft.checkpoint_every"]),
    ("sft.moments=f16", &["sft", "f16", "bf16"]),
    ("sft.context_len=4", &["context_len"]),
    ("tokenizer.vocab_size=3", &["vocab_size", "3", "256"]),
    ("tokenizer.vocab_size=500000", &["vocab_size", "500000"]),
    ("tokenizer.min_frequency=0", &["min_frequency"]),
    ("model.num_heads=3", &["model.hidden_size", "model.num_heads"]),
    ("model.num_heads=0", &["model.num_heads"]),
    ("model.num_layers=0", &["model.num_layers"]),
    ("model.num_kv_heads=3", &["model.num_kv_heads"]),
    ("model.depth=0", &["model.depth"]),
    ("model.depth=1000", &["model.depth", "64"]),
    ("model.family=mamba", &["model", "mamba", "llama"]),
    ("model.hidden_size=1000000", &["head_dim", "1024"]),
    ("model.rope_theta=nan", &["model.rope_theta"]),
    ("eval.temperature=-1.0", &["eval", "temperature"]),
    ("eval.top_p=0.0", &["eval", "top_p"]),
    ("data.heldout_per_mille=900", &["heldout_per_mille", "500"]),
    ("data.text=[]", &["data", "text"]),
    ("data.text=7", &["data", "7"]),
    ("data.steps=['clena']", &["steps", "clena"]),
    ("pretrain.stpes=5", &["stpes", "did you mean `steps`"]),
    ("pretrian.steps=5", &["pretrian", "did you mean `pretrain`"]),
    ("pretrain.steps", &["section.key=value"]),
    ("steps=5", &["section.key"]),
];

/// No file of a failed run was left half-written.
fn assert_nothing_half_written(out: &Path) {
    if !out.exists() {
        return;
    }
    for name in tree(out).keys() {
        let half = [".partial", ".tmp", "writing"].iter().any(|mark| name.contains(mark));
        assert!(!half, "{name} was left in {}", out.display());
    }
}

#[test]
fn absurd_settings_are_refused_by_name() {
    let (recipe, out) = (recipe(), place("bad-settings"));
    for (number, (setting, words)) in ABSURD.iter().enumerate() {
        let out = out.join(number.to_string());
        let said = danlu(&run(&recipe, &text(&out), &["--set", setting]));
        assert_clear_error(&said, words);
        assert_nothing_half_written(&out);
        assert!(!out.join("pretrain/model").exists(), "{setting}");
    }
}

#[test]
fn a_recipe_that_is_none_is_refused() {
    let place = place("bad-recipes");
    let absent = text(&place.join("absent.toml"));
    assert_clear_error(&danlu(&["run", &absent]), &[&absent, "recipe"]);
    let recipes: &[(&str, &[u8], &[&str])] = &[
        ("not-toml", b"[pretrain\nsteps = 5", &["not valid TOML", "line 1"]),
        ("binary", &[0xff, 0, 1, 2], &["cannot read the recipe"]),
        ("empty", b"", &["data", "text"]),
        ("unknown", b"[data]\ntext = ['a']\n[modle]\n", &["modle", "did you mean `model`"]),
        ("no-section", b"data = 5", &["data"]),
        ("twice", b"[data]\ntext = ['a']\ntext = ['b']\n", &["not valid TOML", "duplicate"]),
    ];
    for (name, bytes, words) in recipes {
        let path = place.join(name).with_extension("toml");
        fs::write(&path, bytes).unwrap();
        let out = place.join(name);
        let said = danlu(&run(&text(&path), &text(&out), &[]));
        assert_clear_error(&said, &[words, &[&*text(&path)][..]].concat());
        assert!(!out.exists(), "{name}: nothing was begun");
    }
    let said = danlu(&run(&recipe(), &text(&place.join("out")), &["--until", "pretraining"]));
    assert_clear_error(&said, &["pretraining", "pretrain"]);
}

/// A recipe whose texts are `texts`, which a test fills.
fn recipe_of(place: &Path) -> (String, PathBuf) {
    let texts = place.join("texts");
    fs::create_dir_all(&texts).unwrap();
    let path = place.join("recipe.toml");
    let sizes = "num_layers = 1\nhidden_size = 16\nnum_heads = 1\nnum_kv_heads = 1\nffn_size = 16\n\
                 context_len = 32\n";
    let train = "steps = 2\nbatch_size = 2\ncontext_len = 32\nwarmup_steps = 1\n";
    let recipe = format!(
        "[data]\ntext = ['texts']\nheldout_per_mille = 100\n[tokenizer]\nvocab_size = 280\n\
         [model]\n{sizes}[pretrain]\n{train}[eval]\nyardsticks = false\n"
    );
    fs::write(&path, recipe).unwrap();
    (text(&path), texts)
}

/// Enough different documents to train on.
fn write_poems(folder: &Path) {
    let line = |number: usize| {
        format!("{{\"id\": \"poem {number}\", \"text\": \"{number}: {POEM} the moon {number}\"}}\n")
    };
    fs::write(folder.join("poems.jsonl"), (0..60).map(line).collect::<String>()).unwrap();
}

#[test]
fn texts_that_hold_nothing_are_refused() {
    let place = place("bad-texts");
    let (recipe, texts) = recipe_of(&place);
    let out = place.join("run");
    assert_clear_error(&danlu(&run(&recipe, &text(&out), &[])), &["texts"]);
    let missing = ["--set", "data.text=['absent.txt']"];
    assert_clear_error(&danlu(&run(&recipe, &text(&out), &missing)), &["absent.txt"]);
    let files: &[(&str, &[u8])] = &[
        ("binary.txt", &[0x7f, b'E', b'L', b'F', 0, 0, 1, 0xff]),
        ("utf16.txt", b"\xff\xfea"),
        ("broken.jsonl", b"{\"text\": \"a poem\"\n"),
        ("empty.txt", b""),
    ];
    for (name, bytes) in files {
        fs::write(texts.join(name), bytes).unwrap();
        let said = danlu(&run(&recipe, &text(&out), &[]));
        assert_eq!(said.code, Some(1), "{name}: {}", said.err);
        assert_clear_error(&said, &[]);
        assert!(!out.join("tokens").exists(), "{name}");
        assert_nothing_half_written(&out);
        fs::remove_file(texts.join(name)).unwrap();
    }
}

#[test]
fn what_cannot_be_read_among_good_texts_is_left_out_counted_and_named() {
    let place = place("bad-among-good");
    let (recipe, texts) = recipe_of(&place);
    write_poems(&texts);
    fs::write(texts.join("binary.txt"), [0, 1, 2, 0xff, 0, 0]).unwrap();
    fs::write(texts.join("utf16.txt"), b"\xff\xfea").unwrap();
    let lines = "{\"id\": \"good\", \"text\": \"a good line of text\"}\n{\"text\": \nnot JSON\n";
    fs::write(texts.join("lines.jsonl"), lines).unwrap();
    let out = place.join("run");
    let said = danlu(&["data", "build", &recipe, "--out", &text(&out), "--json"]);
    assert!(!said.err.contains("panicked") && said.err.contains("left out"), "{}", said.err);
    let report = said.json();
    let rejected = report["rejected"].as_object().unwrap();
    let count: u64 = rejected.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(count, 4, "two files and two lines: {report}");
    let dropped = fs::read_to_string(out.join("data/dropped.jsonl")).unwrap();
    for name in ["binary.txt", "utf16.txt", "lines.jsonl"] {
        assert!(dropped.contains(name), "{name} is not in {dropped}");
    }
    let said = danlu(&run(&recipe, &text(&out), &[]));
    assert!(said.err.contains("data: nothing to do"), "{}", said.err);
    said.success();
}

#[test]
fn a_stage_that_the_recipe_does_not_have_is_refused() {
    let place = place("bad-stage");
    let (recipe, texts) = recipe_of(&place);
    write_poems(&texts);
    let out = text(&place.join("run"));
    assert_clear_error(&danlu(&["train", &recipe, "--stage", "sft", "--out", &out]), &["sft"]);
    assert_clear_error(&danlu(&run(&recipe, &out, &["--until", "sft"])), &["[sft]"]);
    danlu(&run(&recipe, &out, &[])).success();
    let model = text(&place.join("run/model"));
    let value = danlu(&["generate", &model, "--prompt", "月", "--max-new-tokens", "3", "--json"]);
    assert_eq!(value.json()["prompt"], "月");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_damaged_model_folder_is_refused_with_the_file() {
    let place = place("bad-models");
    let absent = text(&place.join("absent"));
    let ask = |model: &str| danlu(&["score", model, "--text", "月"]);
    assert_clear_error(&ask(&absent), &[&absent, "danlu run"]);
    let words = text(&place.join("words"));
    let poems = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/data/poems.jsonl");
    let more = ["--vocab-size", "1100", "--out", &words];
    danlu(&[&["tokenizer", "train", &text(&poems)], &more[..]].concat()).success();
    let larger = fs::read(place.join("words/tokenizer.json")).unwrap();
    let weights = fs::read(finished(RUN).join("model/model.safetensors")).unwrap();
    let half = &weights[..weights.len() / 2];
    let damages: &[(&str, &str, Option<&[u8]>)] = &[
        ("truncated", "model.safetensors", Some(half)),
        ("header-only", "model.safetensors", Some(&weights[..6])),
        ("huge-header", "model.safetensors", Some(&[0xff; 64])),
        ("no-weights", "model.safetensors", None),
        ("no-config", "config.json", None),
        ("broken-config", "config.json", Some(b"{\"model_type\": ")),
        ("other-family", "config.json", Some(b"{\"model_type\": \"mamba\"}")),
        ("no-words", "tokenizer.json", None),
        ("broken-words", "tokenizer.json", Some(b"{}")),
        ("other-words", "tokenizer.json", Some(&larger)),
    ];
    for (name, file, bytes) in damages {
        let model = place.join(name);
        copy(&finished(RUN).join("model"), &model);
        match bytes {
            Some(bytes) => fs::write(model.join(file), bytes).unwrap(),
            None => fs::remove_file(model.join(file)).unwrap(),
        }
        let said = ask(&text(&model));
        assert_clear_error(&said, &[file]);
    }
    let model = place.join("no-template");
    copy(&finished(RUN).join("model"), &model);
    fs::remove_file(model.join("chat_template.jinja")).unwrap();
    assert_clear_error(&danlu(&["chat", &text(&model)]), &["chat_template.jinja", "generate"]);
}

#[test]
fn questions_that_cannot_be_answered_are_refused() {
    let model = text(&finished(RUN).join("model"));
    let long = "明月光".repeat(2000);
    let asked: &[(&[&str], &[&str])] = &[
        (&["generate", &model, "--prompt", &long], &["192"]),
        (&["generate", &model, "--prompt", "a", "--temperature", "-1"], &["temperature"]),
        (&["generate", &model, "--prompt", "a", "--temperature", "NaN"], &["temperature"]),
        (&["generate", &model, "--prompt", "a", "--top-p", "0"], &["top_p"]),
        (&["generate", &model, "--prompt", "a", "--min-p", "2"], &["min_p"]),
        (&["score", &model, "--text", ""], &["empty"]),
        (&["score", &model, "--file", "/nowhere/text.txt"], &["/nowhere/text.txt"]),
        (&["tokenizer", "decode", &model, "999999"], &["999999"]),
        (&["tokenizer", "decode", &model, "one"], &["one"]),
        (&["tokenizer", "encode", "/nowhere"], &["/nowhere"]),
        (&["tokenizer", "train", "/nowhere.txt", "--out", "/tmp/never"], &["/nowhere.txt"]),
        (&["inspect", "/nowhere"], &["/nowhere"]),
    ];
    for (question, words) in asked {
        assert_clear_error(&danlu(question), words);
    }
    let mut threads = common::command(&["doctor"]);
    for (name, value) in [("DANLU_THREADS", "many"), ("DANLU_THREADS", "0"), ("DANLU_SIMD", "mmx")]
    {
        let output = threads.env(name, value).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}={value}: {err}");
        assert!(err.contains(value), "{err}");
        threads.env(name, if name == "DANLU_SIMD" { "portable" } else { "2" });
    }
}

#[test]
fn damaged_files_are_never_inspected_as_if_they_were_whole() {
    let place = place("bad-files");
    let shard = fs::read(finished(RUN).join("tokens/pretrain.tok")).unwrap();
    let files: &[(&str, &[u8])] = &[
        ("cut.tok", &shard[..shard.len() / 2]),
        ("empty.tok", b""),
        ("noise.safetensors", &[0xee; 100]),
        ("tokenizer.json", b"[]"),
        ("lines.jsonl", b"{\"a\": 1}\nnot JSON\n"),
        ("binary.jsonl", &[0xff, 0xfe]),
        ("page.json", b"{"),
        ("recipe.toml", b"[nothing]"),
        ("what.xyz", b"text"),
    ];
    for (name, bytes) in files {
        let path = place.join(name);
        fs::write(&path, bytes).unwrap();
        assert_clear_error(&danlu(&["inspect", &text(&path)]), &[name]);
    }
}
