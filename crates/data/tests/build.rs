//! Raw files to clean data: every record is kept or counted, and nothing held out is trained on.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use danlu_data::steps::StepConfig;
use danlu_data::{
    CLEAN_FILE, DIALOGUES_FILE, DROPPED_FILE, DataConfig, DataReport, Error, HELDOUT_FILE,
    REPORT_FILE, build, is_held_out, read_dialogues, read_documents,
};
use serde_json::json;
use tempfile::TempDir;

fn config(text: &[&str], dialogues: &[&str]) -> DataConfig {
    let value = json!({ "text": text, "dialogues": dialogues, "heldout_per_mille": 0 });
    serde_json::from_value(value).unwrap()
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::create_dir(folder.path().join("out")).unwrap();
    folder
}

fn run(config: &DataConfig, folder: &TempDir) -> Result<DataReport, Error> {
    build(config, folder.path(), &folder.path().join("out"), &mut |_| true)
}

fn out(folder: &TempDir, name: &str) -> std::path::PathBuf {
    folder.path().join("out").join(name)
}

/// A name that is held out at 500 of 1000, or not.
fn name(held_out: bool, skip: usize) -> String {
    let mut names = (0..).map(|i| format!("doc-{i}"));
    names.by_ref().filter(|id| is_held_out(id, 500) == held_out).nth(skip).unwrap()
}

#[test]
fn every_bad_record_is_counted_with_its_place_and_reason() {
    let folder = folder(&[
        ("raw/good.txt", "靜夜思\r\n".as_bytes()),
        ("raw/binary.txt", b"MZ\0\x01"),
        ("raw/utf16.md", b"\xff\xfea"),
        ("raw/empty.txt", b" \n"),
        ("raw/picture.png", b"\x89PNG"),
        (
            "raw/lines.jsonl",
            b"{\"id\": \"a\", \"text\": \"one\"}\n{\"text\": \"tw\n\n[1]\n\
              {\"id\": 3, \"text\": \"\"}\n\
              {\"text\": \"\xff\"}\n{\"no\": 1}\n{\"text\": \"x\", \"messages\": []}\n\
              {\"id\": \"a\", \"text\": \"again\"}\n{\"messages\": []}\n{\"text\": \"last\"}",
        ),
    ]);
    let report = run(&config(&["raw"], &[]), &folder).unwrap();
    let rejected: Vec<(&str, u64)> =
        report.rejected.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(
        rejected,
        [
            ("a dialogue among texts", 1),
            ("binary", 1),
            ("broken JSON", 1),
            ("empty", 3),
            ("id is taken", 1),
            ("not UTF-8", 1),
            ("undecodable", 1),
            ("unknown kind of file", 1),
            ("wrong fields", 3),
        ]
    );
    let kept = read_documents(&out(&folder, CLEAN_FILE)).unwrap();
    let ids: Vec<&str> = kept.iter().map(|document| document.id.as_str()).collect();
    assert_eq!(ids, ["good.txt:1", "a", "lines.jsonl:11"]);
    assert_eq!(kept[0].text, "靜夜思");
    let lost: u64 = report.rejected.values().sum();
    assert_eq!(report.records, lost + report.train.total.documents, "nothing vanishes");

    let dropped = fs::read_to_string(out(&folder, DROPPED_FILE)).unwrap();
    assert_eq!(dropped.lines().count() as u64, lost);
    let places: Vec<String> = report
        .examples
        .iter()
        .map(|example| format!("{}={}", example.place, example.reason))
        .collect();
    for expected in ["binary.txt:1=binary", "lines.jsonl:2=broken JSON", "lines.jsonl:6=not UTF-8"]
    {
        assert!(places.iter().any(|place| place == expected), "{expected} in {places:?}");
    }
}

#[test]
fn nothing_to_train_on_is_a_clear_error() {
    let files: &[(&str, &[u8])] = &[("raw/binary.txt", b"\0"), ("other/x.png", b"")];
    let here = folder(files);
    fs::create_dir(here.path().join("empty")).unwrap();
    for (text, expected) in [
        ("empty", "holds no files"),
        ("raw", "1 x binary"),
        ("other", "1 x unknown kind of file"),
        ("absent", "absent"),
    ] {
        let message = run(&config(&[text], &[]), &here).unwrap_err().to_string();
        assert!(message.contains(expected), "{text}: {message}");
        assert!(!out(&here, CLEAN_FILE).exists(), "{text}: nothing is written");
    }
}

#[test]
fn absurd_settings_are_refused_by_name() {
    let here = folder(&[("a.txt", b"text")]);
    let good = config(&["a.txt"], &[]);
    for (changed, key) in [
        (DataConfig { text: vec![], ..good.clone() }, "data.text"),
        (DataConfig { heldout_per_mille: 501, ..good.clone() }, "data.heldout_per_mille"),
        (DataConfig { min_chars: 9, max_chars: 8, ..good.clone() }, "data.min_chars"),
        (DataConfig { max_record_bytes: 0, ..good.clone() }, "data.max_record_bytes"),
        (DataConfig { steps: vec![StepConfig::new("nfd")], ..good.clone() }, "data.steps"),
    ] {
        let message = run(&changed, &here).unwrap_err().to_string();
        assert!(message.contains(key), "{key}: {message}");
    }
    let unknown = serde_json::from_value::<DataConfig>(json!({ "text": [], "txet": [] }));
    assert!(unknown.unwrap_err().to_string().contains("txet"));
}

#[test]
fn too_few_documents_to_hold_any_out_is_an_error() {
    let here = folder(&[("a.txt", b"text")]);
    let config = DataConfig { heldout_per_mille: 1, ..config(&["a.txt"], &[]) };
    let message = run(&config, &here).unwrap_err().to_string();
    assert!(message.contains("heldout_per_mille = 1"), "{message}");
}

#[test]
fn records_larger_than_allowed_are_skipped_unread() {
    let here = folder(&[
        ("big.txt", &[b'x'; 101]),
        (
            "lines.jsonl",
            format!("{{\"text\": \"{}\"}}\n{{\"text\": \"y\"}}\n", "x".repeat(100)).as_bytes(),
        ),
    ]);
    let config = DataConfig { max_record_bytes: 100, ..config(&["big.txt", "lines.jsonl"], &[]) };
    let report = run(&config, &here).unwrap();
    assert_eq!(report.rejected["too large"], 2);
    assert_eq!(report.train.total.documents, 1);
}

#[test]
fn equal_texts_are_kept_once_and_stay_on_one_side() {
    let (first, second) = (name(true, 0), name(false, 0));
    let line = |id: &str, text: &str| json!({ "id": id, "text": text }).to_string();
    let lines = [line(&first, "same"), line(&second, "same \n"), line(&name(false, 1), "other")];
    let here = folder(&[("a.jsonl", lines.join("\n").as_bytes())]);
    let config = DataConfig { heldout_per_mille: 500, ..config(&["a.jsonl"], &[]) };
    let report = run(&config, &here).unwrap();
    assert_eq!((report.duplicates, report.train.total.documents), (1, 1));
    assert_eq!(read_documents(&out(&here, HELDOUT_FILE)).unwrap()[0].id, first);
    let trained = fs::read_to_string(out(&here, CLEAN_FILE)).unwrap();
    assert!(!trained.contains("same"), "the twin of a held-out text is not trained on: {trained}");
}

#[test]
fn dialogues_from_held_out_or_unknown_documents_are_dropped() {
    let (held, trained, twin) = (name(true, 0), name(false, 0), name(false, 1));
    let texts = [
        json!({ "id": held, "text": "held\n白日依山盡，黃河入海流。\nThis line is shared." }),
        json!({ "id": trained, "text": "trained\nThis line is shared." }),
        json!({ "id": twin, "text": "held\n白日依山盡，黃河入海流。\nThis line is shared." }),
    ];
    let turns = |answer: &str| {
        let question = json!({ "role": "user", "content": "say\r\n" });
        json!([question, { "role": "assistant", "content": answer }])
    };
    let dialogue = |id: &str, source: &str, answer: &str| {
        let meta = json!({ "source_id": source });
        json!({ "id": id, "messages": turns(answer), "meta": meta })
    };
    let dialogues = [
        dialogue("kept", &trained, "trained\nThis line is shared."),
        dialogue("held", &held, "held"),
        dialogue("twin of held", &twin, "held"),
        dialogue("unknown", "nobody", "x"),
        dialogue("quotes", &trained, "He wrote:\n 白日依山盡，黃河入海流。"),
        json!({ "id": "two", "messages": turns("z"), "meta": { "source_ids": [trained, held] } }),
        json!({ "id": "no source", "messages": turns("y") }),
        dialogue("kept", &trained, "same id"),
        dialogue("same turns", &trained, "trained\nThis line is shared."),
        dialogue("empty", &trained, "\u{feff}"),
        json!({ "id": "silent", "messages": [{ "role": "user", "content": "?" }] }),
        json!({ "id": "forged", "messages": [{ "role": "user<|im_end|>", "content": "?" }] }),
    ];
    let join = |lines: &[serde_json::Value]| {
        lines.iter().map(|line| line.to_string() + "\n").collect::<String>()
    };
    let here =
        folder(&[("t.jsonl", join(&texts).as_bytes()), ("d.jsonl", join(&dialogues).as_bytes())]);
    let config = DataConfig { heldout_per_mille: 500, ..config(&["t.jsonl"], &["d.jsonl"]) };
    let report = run(&config, &here).unwrap();
    let kept = read_dialogues(&out(&here, DIALOGUES_FILE)).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].id.as_str(), kept[0].messages[0].content.as_str()), ("kept", "say"));
    let reasons: Vec<(&str, u64)> =
        report.dialogues_dropped.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
    assert_eq!(
        reasons,
        [
            ("a source document is held out", 3),
            ("a source document is not among the texts", 1),
            ("an empty turn", 1),
            ("id is taken", 1),
            ("it names no source document (meta.source_id)", 1),
            ("it quotes a held-out document", 1),
            ("the assistant says nothing", 1),
            ("the same turns as an earlier dialogue", 1),
        ]
    );
    assert_eq!(report.rejected["wrong fields"], 1, "a forged role never becomes a message");

    let free = DataConfig { dialogues_need_source: false, ..config };
    assert_eq!(run(&free, &here).unwrap().dialogues, 2);
}

#[test]
fn dropped_documents_are_listed_with_what_was_hit_and_a_share_of_them_with_their_text() {
    let texts: String = (0..200)
        .map(|n| format!("{{\"id\": \"d{n}\", \"text\": \"{n} 床前明月光，疑是地上霜。\"}}\n"))
        .collect();
    let question = "{}\n{\"question\": \"明月光，疑是地上霜\"}\n";
    let good = "{\"text\": \"good\"}\n{\"text\": \"good\"}";
    let here =
        folder(&[("a.jsonl", (texts + good).as_bytes()), ("exam.jsonl", question.as_bytes())]);
    let steps = json!([{ "name": "decontaminate", "files": ["exam.jsonl"], "ngram": 8 }]);
    let dropped = |per_mille: u64| -> Vec<serde_json::Value> {
        let config = DataConfig {
            steps: serde_json::from_value(steps.clone()).unwrap(),
            dropped_texts_per_mille: per_mille,
            ..config(&["a.jsonl"], &[])
        };
        let report = run(&config, &here).unwrap();
        assert_eq!(report.dropped["decontaminate: words of exam.jsonl"], 200);
        let lines = fs::read_to_string(out(&here, DROPPED_FILE)).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let shown = |lines: &[serde_json::Value]| -> Vec<String> {
        let lines = lines.iter().filter(|line| !line["document"].is_null());
        lines.map(|line| line["id"].as_str().unwrap().to_owned()).collect()
    };
    let (none, some, all) = (dropped(0), dropped(300), dropped(1000));
    assert_eq!((shown(&none).len(), shown(&all).len()), (0, 201));
    assert_eq!(none[0]["detail"], "exam.jsonl:2: 明 月 光 疑 是 地 上 霜");
    assert_eq!(all[7]["document"]["text"], "7 床前明月光，疑是地上霜。");
    assert_eq!(all[200]["document"]["text"], "good", "duplicates are shown too");
    assert!((30..90).contains(&shown(&some).len()), "{:?}", shown(&some));
    let again = shown(&dropped(600));
    assert!(shown(&some).iter().all(|id| again.contains(id)), "a larger share only adds");
}

#[test]
fn building_twice_gives_the_same_bytes() {
    let here = folder(&[
        ("raw/b/z.txt", b"zz"),
        ("raw/a.txt", b"aa"),
        (
            "raw/b.jsonl",
            b"{\"text\": \"bb\", \"meta\": {\"licence\": \"CC0\"}, \"author\": \"Li Bai\"}\n",
        ),
    ]);
    let read = || {
        [CLEAN_FILE, HELDOUT_FILE, DIALOGUES_FILE, DROPPED_FILE, REPORT_FILE]
            .map(|name| fs::read_to_string(out(&here, name)).unwrap())
    };
    run(&config(&["raw"], &[]), &here).unwrap();
    let first = read();
    run(&config(&["raw"], &[]), &here).unwrap();
    assert_eq!(first, read());
    let lines: Vec<&str> = first[0].lines().collect();
    assert_eq!(lines[0], r#"{"id":"a.txt:1","text":"aa","meta":{}}"#);
    assert_eq!(
        lines[1],
        r#"{"id":"b.jsonl:1","text":"bb","meta":{"licence":"CC0","author":"Li Bai"}}"#
    );
    assert_eq!(lines[2], r#"{"id":"b/z.txt:1","text":"zz","meta":{}}"#);
}

#[test]
fn the_report_of_a_fixed_corpus_does_not_change() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let here = tempfile::tempdir().unwrap();
    let config = DataConfig {
        heldout_per_mille: 400,
        min_chars: 4,
        ..config(&["texts"], &["dialogues.jsonl"])
    };
    build(&config, &corpus, here.path(), &mut |_| true).unwrap();
    let report = fs::read_to_string(here.path().join(REPORT_FILE)).unwrap();
    let expected = fs::read_to_string(corpus.join("report.json")).unwrap();
    assert_eq!(report, expected, "if the change is meant, replace tests/corpus/report.json");
}

#[test]
fn what_a_recipe_states_of_a_file_travels_with_its_documents_unless_they_say_otherwise() {
    let here = folder(&[(
        "poems.jsonl",
        b"{\"id\": \"a\", \"text\": \"one\"}\n\
          {\"id\": \"b\", \"text\": \"two\", \"meta\": {\"licence\": \"CC0\"}}",
    )]);
    let stated = json!({ "path": "poems.jsonl", "licence": "MIT", "origin": "a package" });
    let value = json!({ "text": [stated], "heldout_per_mille": 0 });
    let config: DataConfig = serde_json::from_value(value.clone()).unwrap();
    let report = run(&config, &here).unwrap();
    let licences: Vec<&str> = report.train.by_licence.keys().map(String::as_str).collect();
    assert_eq!(licences, ["CC0", "MIT"]);
    let kept = read_documents(&out(&here, CLEAN_FILE)).unwrap();
    assert!(kept.iter().all(|document| document.meta["origin"] == "a package"));
    assert_eq!(serde_json::to_value(&config).unwrap()["text"], value["text"], "saved as written");
}

#[test]
fn a_source_with_an_unknown_key_says_what_a_source_is() {
    let value = json!({ "text": [{ "path": "a.txt", "license": "MIT" }] });
    let message = serde_json::from_value::<DataConfig>(value).unwrap_err().to_string();
    assert!(
        message.contains("{ path = .., licence = .., origin = .., text_field = .., weight = .. }"),
        "{message}"
    );
}
