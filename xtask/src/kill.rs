//! `cargo xtask kill --runs N`: a run that is killed again and again must end as if it never was.
//!
//! A recipe is run once in peace. Then it is started, killed (SIGKILL) at a random moment and
//! started again, until it finishes by itself; every file must then have the bytes of the
//! undisturbed run. This is repeated from nothing until N kills have landed, always in a folder of
//! the same name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

const HELP: &str =
    "cargo xtask kill [--runs N] [--recipe FILE] [--out DIR] [--seed N] [--danlu FILE]
  --runs    how many kills must land (default 20)
  --recipe  what to run (default recipes/tiny.toml)
  --out     an empty or new folder for the runs (default target/kill)
  --seed    of the random moments (default 1)
  --danlu   the program (default: built in release)";

/// Files that may differ: endings of their names, and why.
const NOT_COMPARED: &[(&str, &str)] =
    &[(".log", "its lines carry the time"), (".lock", "only its being locked matters")];

struct Options {
    kills: usize,
    recipe: PathBuf,
    out: PathBuf,
    seed: u64,
    danlu: Option<PathBuf>,
}

/// Kills and compares.
///
/// # Errors
/// When a run fails by itself, or a killed one ends with other bytes than the undisturbed one.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let root = crate::enter_workspace()?;
    let Some(options) = parse(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    let danlu = match &options.danlu {
        Some(path) => path.clone(),
        None => build(&root)?,
    };
    ensure!(
        !options.out.exists() || fs::read_dir(&options.out)?.next().is_none(),
        "{} is not empty; name another folder with --out",
        options.out.display()
    );
    fs::create_dir_all(&options.out)?;
    let job = Job { danlu, recipe: options.recipe, folder: options.out.join("run") };

    let start = Instant::now();
    let status = job.start()?.wait()?;
    job.require_success(status)?;
    let peaceful = start.elapsed();
    let expected = hashes(&job.folder)?;
    println!("undisturbed: {} files in {:.1} s", expected.len(), peaceful.as_secs_f64());

    let mut random = SplitMix(options.seed);
    let (mut kills, mut finished) = (0, 0);
    while kills < options.kills {
        fs::remove_dir_all(&job.folder)?;
        kills += disturb(&job, &mut random, peaceful, options.kills - kills)?;
        finished += 1;
        let differences = compare(&expected, &hashes(&job.folder)?);
        if !differences.is_empty() {
            let list = differences.join("\n  ");
            bail!("after {kills} kills run {finished} ended with other files:\n  {list}");
        }
        println!("{kills} kills, {finished} finished runs: all files the same");
    }
    Ok(())
}

fn parse(arguments: &[String]) -> Result<Option<Options>> {
    let mut options = Options {
        kills: 20,
        recipe: PathBuf::from("recipes/tiny.toml"),
        out: PathBuf::from("target/kill"),
        seed: 1,
        danlu: None,
    };
    let mut words = arguments.iter();
    while let Some(name) = words.next() {
        if name == "--help" {
            return Ok(None);
        }
        let value = words.next().with_context(|| format!("`{name}` needs a value\n{HELP}"))?;
        let number = || value.parse().with_context(|| format!("{name} {value}: not a number"));
        match name.as_str() {
            "--runs" => options.kills = usize::try_from(number()?)?,
            "--seed" => options.seed = number()?,
            "--recipe" => options.recipe = PathBuf::from(value),
            "--out" => options.out = PathBuf::from(value),
            "--danlu" => options.danlu = Some(PathBuf::from(value)),
            _ => bail!("there is no option `{name}`\n{HELP}"),
        }
    }
    Ok(Some(options))
}

fn build(root: &Path) -> Result<PathBuf> {
    let status =
        Command::new("cargo").args(["build", "--release", "--package", "danlu"]).status()?;
    ensure!(status.success(), "cargo build --release failed");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    Ok(target.join("release/danlu"))
}

/// One recipe, run again and again in one folder.
struct Job {
    danlu: PathBuf,
    recipe: PathBuf,
    folder: PathBuf,
}

impl Job {
    fn start(&self) -> Result<Child> {
        let output = File::create(self.said())?;
        Command::new(&self.danlu)
            .arg("run")
            .arg(&self.recipe)
            .arg("--out")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.danlu.display()))
    }

    /// What the last start printed; beside the folder, not in it.
    fn said(&self) -> PathBuf {
        self.folder.with_extension("txt")
    }

    fn require_success(&self, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let said = fs::read_to_string(self.said()).unwrap_or_default();
        let last: Vec<&str> = said.lines().rev().take(20).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!("the run failed by itself ({status}):\n{}", last.join("\n"))
    }
}

/// Starts the job until it finishes, killing it at most `most` times; how often a kill landed.
fn disturb(job: &Job, random: &mut SplitMix, peaceful: Duration, most: usize) -> Result<usize> {
    for kills in 0..most {
        let mut child = job.start()?;
        sleep(peaceful.mul_f64(random.fraction()));
        // A run that ended by itself before this moment is reaped here, and must have succeeded.
        if let Some(status) = child.try_wait()? {
            job.require_success(status)?;
            return Ok(kills);
        }
        child.kill()?;
        child.wait()?;
    }
    let status = job.start()?.wait()?;
    job.require_success(status)?;
    Ok(most)
}

/// sha256 of every file below a folder, by path.
fn hashes(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let path = entry?.path();
            let name = path.strip_prefix(folder)?.display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if !NOT_COMPARED.iter().any(|(ending, _)| name.ends_with(ending)) {
                let digest = Sha256::digest(fs::read(&path)?);
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                found.insert(name, hex);
            }
        }
    }
    Ok(found)
}

/// What is missing, left over or different, in words.
fn compare(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) -> Vec<String> {
    let missing = expected.keys().filter(|name| !found.contains_key(*name));
    let left_over = found.keys().filter(|name| !expected.contains_key(*name));
    let different = expected
        .iter()
        .filter(|(name, hash)| found.get(*name).is_some_and(|other| other != *hash))
        .map(|(name, _)| name);
    missing
        .map(|name| format!("missing: {name}"))
        .chain(left_over.map(|name| format!("left over: {name}")))
        .chain(different.map(|name| format!("different: {name}")))
        .collect()
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough for random moments that a seed repeats.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program that counts to twenty in a file, a number every 10 ms, going on from where it was.
    fn counter(folder: &Path, on_start: &str) -> Job {
        let script = format!(
            "#!/bin/sh\nmkdir -p \"$4\" && cd \"$4\" || exit 1\n{on_start}\n\
             touch count; date > time.log\n\
             while [ $(wc -l < count) -lt 20 ]; do echo step >> count; sleep 0.01; done\n"
        );
        let danlu = folder.join("danlu");
        fs::write(&danlu, script).unwrap();
        fs::set_permissions(&danlu, fs::Permissions::from_mode(0o755)).unwrap();
        Job { danlu, recipe: PathBuf::from("any.toml"), folder: folder.join("run") }
    }

    fn arguments(job: &Job) -> Vec<String> {
        let out = job.folder.parent().unwrap().join("out").display().to_string();
        let danlu = job.danlu.display().to_string();
        ["--runs", "5", "--danlu", &danlu, "--out", &out].map(str::to_owned).to_vec()
    }

    #[test]
    fn a_program_that_goes_on_where_it_was_passes() {
        let folder = tempfile::tempdir().unwrap();
        run(&arguments(&counter(folder.path(), ""))).unwrap();
    }

    #[test]
    fn a_program_that_does_something_else_after_a_kill_is_caught() {
        let folder = tempfile::tempdir().unwrap();
        let resumed = "[ -e count ] && echo resumed > trace";
        let message = run(&arguments(&counter(folder.path(), resumed))).unwrap_err().to_string();
        assert!(message.contains("left over: trace"), "{message}");
    }

    #[test]
    fn a_program_that_cannot_go_on_is_reported_with_what_it_said() {
        let folder = tempfile::tempdir().unwrap();
        let broken = "[ -e count ] && { echo checkpoint is torn; exit 3; }";
        let message = run(&arguments(&counter(folder.path(), broken))).unwrap_err().to_string();
        assert!(message.contains("checkpoint is torn"), "{message}");
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let tree = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let found =
            compare(&tree(&[("a", "1"), ("b", "1"), ("c", "1")]), &tree(&[("b", "2"), ("c", "1")]));
        assert_eq!(found, ["missing: a", "different: b"]);
        assert_eq!(compare(&tree(&[]), &tree(&[("a", "1")])), ["left over: a"]);
    }
}
