//! `cargo xtask ci`: every check and every test, cheap ones first; the first failure ends it.
//!
//! All steps share the dev profile and the target folder, so a dependency is checked once (clippy,
//! doc) and built once (test, the suites at lower instruction levels). Nothing is built in small
//! increments: that takes almost twice the time when everything is new.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// One command of the check.
struct Step {
    name: &'static str,
    command: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
    kind: Kind,
}

/// What a step's output means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Its exit status says all.
    Check,
    /// As `Check`, and left out, with a note, where the tool is not installed.
    IfInstalled,
    /// Its output has cargo test's closing lines, which are counted.
    Tests,
}

const fn check(name: &'static str, command: &'static [&'static str]) -> Step {
    Step { name, command, environment: &[], kind: Kind::Check }
}

/// Tests that run once more at a lower level, by the names of their binaries: the kernels', the
/// operations', and the golden values of the families.
const LEVELLED: &[&str] = &[
    "cargo",
    "test",
    "--locked",
    "--workspace",
    "--lib",
    "--test",
    "quant",
    "--test",
    "autograd",
    "--test",
    "errors",
    "--test",
    "op_cases",
    "--test",
    "loss",
    "--test",
    "golden",
    "--test",
    "conformance",
];

/// Runs them at a lower level. Of the whole workspace, because for some packages alone libraries
/// have other features and are built again.
const fn suite_at(name: &'static str, level: &'static [(&'static str, &'static str)]) -> Step {
    Step { name, command: LEVELLED, environment: level, kind: Kind::Tests }
}

const STEPS: &[Step] = &[
    check("format", &["cargo", "fmt", "--all", "--check"]),
    Step {
        name: "licences",
        command: &["cargo", "deny", "--offline", "check", "licenses", "bans", "sources"],
        environment: &[],
        kind: Kind::IfInstalled,
    },
    check(
        "clippy",
        &["cargo", "clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"],
    ),
    Step {
        name: "doc",
        command: &["cargo", "doc", "--locked", "--workspace", "--no-deps"],
        environment: &[("RUSTDOCFLAGS", "-D warnings")],
        kind: Kind::Check,
    },
    Step {
        name: "test",
        command: &["cargo", "test", "--locked", "--workspace"],
        environment: &[],
        kind: Kind::Tests,
    },
    suite_at("test, portable", &[("DANLU_SIMD", "portable")]),
    suite_at("test, avx2", &[("DANLU_SIMD", "avx2")]),
];

/// Counts of cargo test's closing lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
}

/// Runs everything.
///
/// # Errors
/// At the first step that fails, named with its command.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    crate::refuse_arguments(arguments)?;
    crate::enter_workspace()?;
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut tally = Tally::default();

    let start = Instant::now();
    announce("tidy", "cargo xtask tidy");
    crate::tidy::run(&[])?;
    times.push(("tidy", start.elapsed()));

    for step in STEPS.iter().filter(|step| is_possible(step)) {
        let start = Instant::now();
        let ran = run_step(step)?;
        tally = Tally { passed: tally.passed + ran.passed, failed: tally.failed + ran.failed };
        println!("    {} took {:.1} s", step.name, start.elapsed().as_secs_f64());
        times.push((step.name, start.elapsed()));
    }
    ensure!(tally.passed > 0, "no test was run");

    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    println!();
    for (name, time) in times.into_iter().chain([("all", total)]) {
        println!("{name:16} {:7.1} s", time.as_secs_f64());
    }
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    Ok(())
}

/// Says what is left out, and why.
fn is_possible(step: &Step) -> bool {
    let skip = |why: &str| {
        println!("==> {}: left out, {why}", step.name);
        false
    };
    if step.kind == Kind::IfInstalled {
        let version = [step.command[0], step.command[1], "--version"];
        let found = command(&version).stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return skip(&format!("`{}` is not installed", step.command[..2].join(" ")));
        }
    }
    if step.environment.contains(&("DANLU_SIMD", "avx2")) && !has_avx2() {
        return skip("this CPU has no AVX2 with FMA");
    }
    true
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

fn announce(name: &str, command: &str) {
    println!("\n==> {name}: {command}");
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).env("CARGO_INCREMENTAL", "0");
    command
}

fn run_step(step: &Step) -> Result<Tally> {
    let settings: String = step.environment.iter().map(|(k, v)| format!("{k}=\"{v}\" ")).collect();
    let line = format!("{settings}{}", step.command.join(" "));
    announce(step.name, &line);
    let mut command = command(step.command);
    command.envs(step.environment.iter().copied());
    let mut tally = Tally::default();
    let status = if step.kind == Kind::Tests {
        let mut child = command.stdout(Stdio::piped()).spawn().context(step.command[0])?;
        let output = child.stdout.take().context("a piped child has an output")?;
        tally = pass_on(BufReader::new(output), std::io::stdout())?;
        child.wait()?
    } else {
        command.status().context(step.command[0])?
    };
    if !status.success() {
        bail!("the step `{}` failed ({status}); to repeat it alone:\n    {line}", step.name);
    }
    Ok(tally)
}

/// Passes a test run's lines on as they come and adds up its closing lines.
fn pass_on(mut output: impl BufRead, mut to: impl Write) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut line = Vec::new();
    while output.read_until(b'\n', &mut line)? > 0 {
        to.write_all(&line)?;
        if let Some(closing) = closing_line(&String::from_utf8_lossy(&line)) {
            tally.passed += closing.passed;
            tally.failed += closing.failed;
        }
        line.clear();
    }
    Ok(tally)
}

/// `test result: ok. 3 passed; 1 failed; ...`
fn closing_line(line: &str) -> Option<Tally> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |unit: &str| {
        let part = counts.split(';').find_map(|part| part.trim().strip_suffix(unit))?;
        part.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_all_test_binaries_are_added_up() {
        let output = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; \
                      0 filtered out; finished in 0.00s\n\nnot a test result: ok\n\
                      test result: FAILED. 40 passed; 3 failed; 0 ignored; finished in 1.2s\n";
        let mut passed_on = Vec::new();
        let tally = pass_on(output.as_bytes(), &mut passed_on).unwrap();
        assert_eq!(tally, Tally { passed: 42, failed: 3 });
        assert_eq!(passed_on, output.as_bytes());
    }

    #[test]
    fn a_failing_step_is_an_error_that_names_its_command() {
        let step = Step {
            name: "impossible",
            command: &["false", "--sure"],
            environment: &[("A", "b")],
            kind: Kind::Check,
        };
        let message = run_step(&step).unwrap_err().to_string();
        assert!(message.contains("impossible") && message.contains("A=\"b\" false --sure"));
    }
}
