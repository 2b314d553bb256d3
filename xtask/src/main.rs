//! The project's own tasks: `cargo xtask ci`, `cargo xtask tidy`, `cargo xtask kill --runs N`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports to people")]

mod ci;
mod kill;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

/// A task: its name, what help says of it, and what it does with the arguments after the name.
struct Task {
    name: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task { name: "ci", about: "every check and every test, cheap ones first", run: ci::run },
    Task { name: "tidy", about: "the rules of the tree that no compiler holds", run: tidy::run },
    Task { name: "kill", about: "kill -9 a run at random moments: same bits?", run: kill::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else { bail!("which task?\n{}", help()) };
    match TASKS.iter().find(|task| task.name == name) {
        Some(task) => (task.run)(rest),
        None if name == "help" || name == "--help" => {
            println!("{}", help());
            Ok(())
        }
        None => bail!("there is no task `{name}`\n{}", help()),
    }
}

fn help() -> String {
    let lines: Vec<String> =
        TASKS.iter().map(|task| format!("  cargo xtask {:5} {}", task.name, task.about)).collect();
    format!("tasks:\n{}", lines.join("\n"))
}

/// The folder of the workspace, made the current one so that every path is relative to it.
fn enter_workspace() -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in a folder of the workspace")?
        .to_owned();
    std::env::set_current_dir(&root).with_context(|| root.display().to_string())?;
    Ok(root)
}

fn refuse_arguments(arguments: &[String]) -> Result<()> {
    match arguments.first() {
        Some(argument) => bail!("no arguments are taken here, found `{argument}`"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_task_is_an_error_that_lists_the_tasks() {
        let message = dispatch(&["tidi".to_owned()]).unwrap_err().to_string();
        for task in TASKS {
            assert!(message.contains(task.name), "{message}");
        }
    }
}
