//! The program as a user starts it, and the files of a run as hashes.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    fn new(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Its stdout, after it succeeded.
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out
    }

    /// The one JSON value on its stdout, after it succeeded.
    pub fn json(self) -> Value {
        let out = self.success();
        assert_eq!(out.trim_end().lines().count(), 1, "one line of JSON, not {out}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    }
}

/// The program with these arguments and every stream piped. One thread: several run at once here,
/// and the number of threads changes no bit.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_danlu"));
    command.args(arguments).env("DANLU_THREADS", "1").env_remove("DANLU_SIMD");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn danlu(arguments: &[&str]) -> Said {
    Said::new(command(arguments).output().unwrap())
}

pub fn danlu_reading(arguments: &[&str], input: &[u8]) -> Said {
    let mut child = command(arguments).stdin(Stdio::piped()).spawn().unwrap();
    // A command that fails early closes its input, which is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input);
    finish(child)
}

pub fn finish(child: Child) -> Said {
    Said::new(child.wait_with_output().unwrap())
}

pub fn recipe() -> String {
    text(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes/tiny.toml"))
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// `danlu run recipes/tiny.toml --out FOLDER` and more arguments.
pub fn run<'a>(recipe: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["run", recipe, "--out", out], more].concat()
}

/// An empty place for the test of this name, below the build's own temporary folder.
pub fn place(name: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if place.exists() {
        fs::remove_dir_all(&place).unwrap();
    }
    fs::create_dir_all(&place).unwrap();
    place
}

/// A finished run of the tiny recipe that the tests of one file share and do not change.
pub fn finished(name: &str) -> &'static Path {
    static FINISHED: OnceLock<PathBuf> = OnceLock::new();
    FINISHED.get_or_init(|| {
        let out = place(name).join("run");
        danlu(&run(&recipe(), &text(&out), &[])).success();
        out
    })
}

/// sha256 of every file below a folder by path, but for the lock, which is always empty.
pub fn tree(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = text(path.strip_prefix(folder).unwrap());
            if path.is_dir() {
                folders.push(path);
            } else if name != ".lock" {
                let digest = Sha256::digest(fs::read(&path).unwrap());
                found.insert(name, digest.iter().map(|byte| format!("{byte:02x}")).collect());
            }
        }
    }
    found
}

/// Paths that are missing, left over or different.
pub fn differences(
    found: &BTreeMap<String, String>,
    expected: &BTreeMap<String, String>,
) -> Vec<String> {
    let names = found.keys().chain(expected.keys());
    let mut names: Vec<String> =
        names.filter(|name| found.get(*name) != expected.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

/// What must hold however a command fails: a code of its own, one clear line, no panic, no result.
pub fn assert_clear_error(said: &Said, words: &[&str]) {
    assert!(matches!(said.code, Some(1 | 2)), "exit code {:?}: {}", said.code, said.err);
    assert_eq!(said.out, "", "nothing on stdout; stderr: {}", said.err);
    assert!(!said.err.contains("panicked"), "{}", said.err);
    let lines = said.err.lines().filter(|line| line.starts_with("error: ")).count();
    assert_eq!(lines, 1, "one line beginning `error:`, not {}", said.err);
    for word in words {
        assert!(said.err.contains(word), "`{word}` is not in {}", said.err);
    }
}
