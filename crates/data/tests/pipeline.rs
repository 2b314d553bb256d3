//! The same bytes for any number of workers and any memory cap, and after a stop at any moment;
//! planted near-duplicates are found.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use danlu_data::{
    CLEAN_FILE, DROPPED_FILE, DataConfig, Error, HELDOUT_FILE, REPORT_FILE, build, read_documents,
    simplify, words_of,
};
use proptest::prelude::*;
use serde_json::json;

/// A text of `count` pseudo-random words, those at a multiple of `changed` others.
fn text(seed: u64, count: u64, changed: u64, chinese: bool) -> String {
    let mut text = String::new();
    for at in 0..count {
        let other = u64::from(changed > 0 && at.is_multiple_of(changed)) * 77;
        let mut word = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (at + other) << 20;
        word = (word ^ word >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word ^= word >> 32;
        if chinese {
            text.extend(char::from_u32(0x4e00 + (word % 3000) as u32));
        } else {
            // Letters, since numbers do not count when texts are compared.
            let letter = |place: u64| (b'a' + (word / place % 13) as u8) as char;
            text.extend([letter(1), letter(13), letter(169), ' ']);
        }
    }
    text
}

/// 300 texts, each fourth a near-duplicate of the one before, every 30th an exact one.
fn corpus() -> String {
    let mut lines = String::new();
    for number in 0..300_u64 {
        let (seed, changed) = match number {
            n if n % 30 == 7 => (n - 1, 0),
            n if n % 4 == 1 => (n - 1, 90),
            n => (n, 0),
        };
        let menu = format!("\nmenu {}\n", ["a", "b", "c"][seed as usize % 3]);
        let text = text(seed, 200, changed, seed % 8 < 4) + &menu;
        lines += &json!({ "id": format!("d{number}"), "text": text }).to_string();
        lines.push('\n');
    }
    lines
}

fn config(workers: usize, memory: &str) -> DataConfig {
    let value = json!({
        "text": ["texts.jsonl"], "heldout_per_mille": 100, "shard_bytes": 65536,
        "near_duplicates": {}, "workers": workers, "memory": memory,
        "duplicate_spans": {
            "unit": "line", "units_per_span": 1, "min_words": 0, "min_sentences": 0,
        },
    });
    serde_json::from_value(value).unwrap()
}

fn outputs(out: &Path) -> [Vec<u8>; 4] {
    [CLEAN_FILE, HELDOUT_FILE, DROPPED_FILE, REPORT_FILE].map(|n| fs::read(out.join(n)).unwrap())
}

#[test]
fn neither_workers_nor_memory_nor_a_stop_change_a_byte() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("texts.jsonl"), corpus()).unwrap();
    let out = |name: &str| {
        let out = here.path().join(name);
        fs::create_dir_all(&out).unwrap();
        out
    };
    let reference = out("reference");
    build(&config(1, "1 GiB"), here.path(), &reference, &mut |_| true).unwrap();
    let expected = outputs(&reference);
    assert!(!reference.join("work").exists(), "nothing between is left");
    let both = [&expected[0][..], &expected[1]].concat();
    assert_eq!(String::from_utf8(both).unwrap().matches("menu").count(), 3, "each line once");
    for (workers, memory) in [(2, "1 GiB"), (4, "64 MiB"), (5, "32 MiB")] {
        let other = out(&format!("{workers}"));
        build(&config(workers, memory), here.path(), &other, &mut |_| true).unwrap();
        assert_eq!(outputs(&other), expected, "{workers} {memory}");
    }
    // Stopped after each batch; what was finished is not read again.
    let stopped = out("stopped");
    let (mut attempts, mut read) = (0, 0);
    loop {
        attempts += 1;
        let built = build(&config(2, "1 GiB"), here.path(), &stopped, &mut |progress| {
            read += progress.records;
            false
        });
        match built {
            Err(Error::Stopped) => assert!(attempts < 50),
            built => break drop(built.unwrap()),
        }
    }
    assert_eq!((attempts > 1, read), (true, 300), "each record was mapped once");
    assert_eq!(outputs(&stopped), expected);
}

#[test]
fn an_unfinished_part_is_made_again_and_other_inputs_begin_anew() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("texts.jsonl"), corpus()).unwrap();
    let out = here.path().join("out");
    fs::create_dir_all(&out).unwrap();
    let stop = build(&config(2, "1 GiB"), here.path(), &out, &mut |_| false);
    assert!(matches!(stop, Err(Error::Stopped)));
    fs::write(out.join("work/part-00000.receipt.json"), "half of a p").unwrap();
    fs::write(here.path().join("texts.jsonl"), corpus().replace("d299", "new")).unwrap();
    build(&config(2, "1 GiB"), here.path(), &out, &mut |_| true).unwrap();
    let all = [CLEAN_FILE, HELDOUT_FILE, DROPPED_FILE].map(|n| out.join(n));
    let all: String = all.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(all.contains("\"new\"") && !all.contains("d299"));
}

#[test]
fn a_list_of_a_step_that_changes_begins_anew() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("texts.jsonl"), corpus()).unwrap();
    let mut config = config(2, "1 GiB");
    let steps = json!([{ "name": "bad_words", "file": "words.txt" }]);
    config.steps = serde_json::from_value(steps).unwrap();
    fs::write(here.path().join("words.txt"), "absent\n").unwrap();
    let stopped = build(&config, here.path(), here.path(), &mut |_| false);
    assert!(matches!(stopped, Err(Error::Stopped)));
    let first = text(1, 1, 0, true);
    fs::write(here.path().join("words.txt"), format!("absent too\n{}\n", first.trim())).unwrap();
    let mut read = 0;
    let report = build(&config, here.path(), here.path(), &mut |progress| {
        read = progress.records;
        true
    });
    assert_eq!((read, report.unwrap().records), (300, 300), "every record is judged again");
}

#[test]
fn planted_near_duplicates_are_found_and_nothing_else_is() {
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("texts.jsonl"), corpus()).unwrap();
    let config = DataConfig { heldout_per_mille: 0, ..config(2, "1 GiB") };
    let report = build(&config, here.path(), here.path(), &mut |_| true).unwrap();
    let kept = read_documents(&here.path().join(CLEAN_FILE)).unwrap();
    let grams: Vec<BTreeSet<String>> = (kept.iter())
        .map(|document| {
            let simple = simplify(&document.text);
            words_of(&simple).windows(5).map(|gram| gram.join(" ")).collect()
        })
        .collect();
    // What is kept is unlike everything else by the exact measure.
    for (at, left) in grams.iter().enumerate() {
        for right in &grams[..at] {
            let both = left.intersection(right).count();
            assert!(both * 2 < left.len() + right.len() - both, "{}", kept[at].id);
        }
    }
    let planted = (0..300).filter(|n| n % 30 != 7 && n % 4 == 1).count() as u64;
    assert_eq!((report.duplicates, report.near_duplicates), (10, planted));
    assert_eq!(report.clusters, planted);
    assert!(
        report.largest_clusters.iter().all(|cluster| cluster.size as usize == cluster.ids.len())
    );
}

/// Copies the files of a folder and those of the folders in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (entry, target) = (entry.unwrap(), to.to_owned());
        let target = target.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn more_documents_than_a_part_may_hold_under_the_cap_change_no_byte() {
    let here = tempfile::tempdir().unwrap();
    let line = |n: u64| json!({ "id": n.to_string(), "text": text(n % 9000, 6, 0, n % 4 < 2) });
    let lines: String = (0..14_000).map(|n| line(n).to_string() + "\n").collect();
    fs::write(here.path().join("texts.jsonl"), lines).unwrap();
    let [mut small, mut large] = [config(2, "32 MiB"), config(2, "1 GiB")];
    (small.shard_bytes, large.shard_bytes) = (1 << 30, 1 << 30);
    let (mut parts, mut made) = (0, Vec::new());
    for config in [small, large] {
        let out = here.path().join(config.memory.to_string());
        fs::create_dir_all(&out).unwrap();
        build(&config, here.path(), &out, &mut |_| {
            parts += usize::from(out.join("work/part-00000.receipt.json").exists());
            true
        })
        .unwrap();
        made.push((parts > 0, outputs(&out)));
        parts = 0;
    }
    assert_eq!((made[0].0, made[1].0), (true, false), "the cap makes parts smaller");
    assert!(made[0].1 == made[1].1, "the cap changed the output");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// For any corpus: what workers, cap, size of a part and a kill after any batch have in common.
    #[test]
    fn the_bytes_depend_on_the_corpus_only(
        documents in proptest::collection::vec((0_u64..40, 1_u64..60, 0_u64..9), 1..150),
        killed_at in 0_usize..4,
        keep in prop_oneof![Just("first"), Just("longest")],
    ) {
        let here = tempfile::tempdir().unwrap();
        let line = |(n, &(seed, words, changed)): (usize, &(u64, u64, u64))| {
            // Ids repeat too, and some lines are broken.
            let id = format!("d{}", n as u64 % (140 + seed));
            let text = text(seed, words, changed * 10, seed % 2 == 0);
            let text = format!("{text}\nline {}\n{text}", ["a", "b"][seed as usize % 2]);
            let record = json!({ "id": id, "text": text, "meta": { "long": "x".repeat(900) } });
            if changed == 8 { "{".to_owned() } else { record.to_string() }
        };
        let lines: Vec<String> = documents.iter().enumerate().map(line).collect();
        fs::write(here.path().join("texts.jsonl"), lines.join("\n")).unwrap();
        let run = |name: &str, workers: usize, memory: &str, shard: u64| {
            let mut config = config(workers, memory);
            config.shard_bytes = shard;
            let near = json!({ "buckets": 5, "hashes_per_bucket": 2, "ngram": 2, "keep": keep });
            config.near_duplicates = Some(serde_json::from_value(near).unwrap());
            let (out, snapshot) = (here.path().join(name), here.path().join("snapshot"));
            fs::create_dir_all(&out).unwrap();
            let mut batches = 0;
            let built = build(&config, here.path(), &out, &mut |_| {
                batches += 1;
                if batches == killed_at && name == "killed" {
                    // All that a kill leaves.
                    copy(&out, &snapshot);
                }
                true
            });
            (built.map(drop).map_err(|error| error.to_string()), out)
        };
        const FILES: [&str; 4] = [CLEAN_FILE, HELDOUT_FILE, DROPPED_FILE, REPORT_FILE];
        let outputs = |out: &Path| FILES.map(|name| fs::read(out.join(name)).ok());
        let (expected, out) = run("reference", 1, "1 GiB", 1 << 30);
        let expected = (expected, outputs(&out));
        for (name, workers, memory, shard) in [
            ("two", 2, "32 MiB", 1 << 30),
            ("killed", 4, "1 GiB", 1 << 16),
            ("snapshot", 2, "64 MiB", 1 << 16),
        ] {
            let (found, out) = run(name, workers, memory, shard);
            prop_assert!((found, outputs(&out)) == expected, "{}", name);
        }
    }
}
