//! kill -9 at any moment: the same command goes on by itself and ends with the same bytes.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use common::{command, danlu, differences, finish, place, recipe, run, text, tree};

/// Of the random moments; printed when the test fails.
const SEED: u64 = 20;
const KILLS: usize = 20;
/// The tiny recipe, long enough to be hit in the middle of everything.
const SETTINGS: &[&str] = &["--set", "pretrain.steps=200", "--set", "sft.steps=60"];
/// Stages in their order.
const STAGES: &[&str] = &["data", "tokenizer", "model", "pretrain", "sft", "eval"];

/// SplitMix64 (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    /// In [0, 1).
    fn fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Starts a run and kills it after `delay`; whether it was still running.
fn kill_after(recipe: &str, out: &str, delay: Duration) -> bool {
    let mut command = command(&run(recipe, out, SETTINGS));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    sleep(delay);
    if let Some(status) = child.try_wait().unwrap() {
        assert!(status.success(), "a resumed run failed by itself: {status}");
        return false;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

#[test]
fn runs_killed_at_random_moments_end_with_the_same_bytes() {
    let (recipe, out) = (recipe(), place("kill-random").join("run"));
    let folder = text(&out);
    let start = Instant::now();
    danlu(&run(&recipe, &folder, SETTINGS)).success();
    let peaceful = start.elapsed();
    let expected = tree(&out);
    let mut random = SplitMix(SEED);
    let mut kills = 0;
    while kills < KILLS {
        fs::remove_dir_all(&out).unwrap();
        while kills < KILLS && kill_after(&recipe, &folder, peaceful.mul_f64(random.fraction())) {
            kills += 1;
        }
        danlu(&run(&recipe, &folder, SETTINGS)).success();
        let differences = differences(&tree(&out), &expected);
        assert!(differences.is_empty(), "seed {SEED}, {kills} kills: {differences:?} differ");
    }
}

/// Starts a run and kills it as soon as a stage begins, or a moment later.
fn kill_in(recipe: &str, out: &Path, stage: &str, later: Duration) {
    let folder = text(out);
    let mut child = command(&run(recipe, &folder, SETTINGS)).spawn().unwrap();
    let begins = format!("{stage}: started");
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.any(|line| line.unwrap() == begins);
    sleep(later);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(found, "{stage} never began");
    assert!(!out.join("stages/eval.json").exists() || stage == "eval", "{stage}: it had ended");
}

#[test]
fn a_run_killed_in_every_stage_ends_with_the_same_bytes() {
    let (recipe, out) = (recipe(), place("kill-stages").join("run"));
    let folder = text(&out);
    danlu(&run(&recipe, &folder, SETTINGS)).success();
    let expected = tree(&out);
    for later in [0, 10] {
        fs::remove_dir_all(&out).unwrap();
        for stage in STAGES {
            kill_in(&recipe, &out, stage, Duration::from_millis(later));
        }
        danlu(&run(&recipe, &folder, SETTINGS)).success();
        let differences = differences(&tree(&out), &expected);
        assert!(differences.is_empty(), "{later} ms into each stage: {differences:?} differ");
    }
}

/// Receipts of the finished parts of a data build with the times at which they were written.
fn finished_parts(work: &Path) -> BTreeMap<String, SystemTime> {
    let Ok(entries) = fs::read_dir(work) else { return BTreeMap::new() };
    let names = entries.map(|entry| entry.unwrap().path());
    let receipts = names.filter(|path| path.to_str().unwrap().ends_with(".receipt.json"));
    // A build that ends just now removes them.
    let timed = receipts.filter_map(|path| {
        Some((text(&path), fs::metadata(&path).and_then(|data| data.modified()).ok()?))
    });
    timed.collect()
}

#[test]
fn a_data_build_killed_after_some_parts_redoes_none_of_them() {
    let (recipe, here) = (recipe(), place("kill-data"));
    let (out, peaceful) = (here.join("killed"), here.join("peaceful"));
    danlu(&run(&recipe, &text(&peaceful), &["--until", "data"])).success();
    let settings = ["--until", "data", "--set", "data.shard_bytes=65536"];
    let (folder, work) = (text(&out), out.join("data/work"));
    let (mut kills, mut finished) = (0, BTreeMap::new());
    loop {
        let mut child = command(&run(&recipe, &folder, &settings)).spawn().unwrap();
        let wanted = finished.len() + 4;
        while child.try_wait().unwrap().is_none() && finished_parts(&work).len() < wanted {
            sleep(Duration::from_millis(1));
        }
        if child.try_wait().unwrap().is_some() {
            finish(child).success();
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        let now = finished_parts(&work);
        assert!(
            finished.iter().all(|(part, time)| now.get(part) == Some(time)),
            "a part was redone"
        );
        finished = now;
    }
    assert!(kills >= 3, "{kills} kills");
    assert_eq!(tree(&out.join("data")), tree(&peaceful.join("data")));
}
