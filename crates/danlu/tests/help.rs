//! Help for someone who has never trained a model: everywhere, with examples, and not too wide.
#![allow(clippy::unwrap_used)]

mod common;

use common::{assert_clear_error, danlu};

/// Every command, and those that group others.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["data"],
    &["data", "build"],
    &["data", "classifier"],
    &["tokenizer"],
    &["tokenizer", "train"],
    &["tokenizer", "encode"],
    &["tokenizer", "decode"],
    &["tokenizer", "report"],
    &["train"],
    &["generate"],
    &["chat"],
    &["score"],
    &["quantize"],
    &["convert"],
    &["verify"],
    &["inspect"],
    &["bench"],
    &["bench", "train"],
    &["bench", "batch"],
    &["bench", "encode"],
    &["bench", "gemm"],
    &["bench", "bandwidth"],
    &["bench", "decode"],
    &["bench", "prefill"],
    &["doctor"],
];
const COLUMNS: usize = 100;

#[test]
fn every_command_has_help_with_an_example() {
    for command in COMMANDS {
        let help = danlu(&[*command, &["--help"]].concat()).success();
        let name = command.join(" ");
        // The benchmarks show theirs together, in the help of their group.
        let shown_above = command.first().is_some_and(|&group| group == "bench");
        let group = danlu(&["bench", "--help"]).success();
        let help = if shown_above { help + &group } else { help };
        let example = help.lines().any(|line| {
            let line = line.trim_start();
            line.contains(&format!("danlu {name}")) && !line.starts_with("Usage:")
        });
        assert!(example, "`danlu {name} --help` shows no example:\n{help}");
        for line in help.lines() {
            assert!(line.chars().count() <= COLUMNS, "`{name}`: {line}");
        }
        assert!(!help.contains('\u{1b}'), "{name}");
    }
}

#[test]
fn every_command_that_help_lists_is_tested_here() {
    for command in COMMANDS {
        let help = danlu(&[*command, &["--help"]].concat()).success();
        let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
        for line in listed.take_while(|line| !line.is_empty()) {
            // Lines further in go on describing the command above them.
            let Some(name) = line.strip_prefix("  ").filter(|l| !l.starts_with(' ')) else {
                continue;
            };
            let name = name.split_whitespace().next().unwrap();
            let path = [*command, &[name]].concat();
            assert!(name == "help" || COMMANDS.contains(&&path[..]), "{path:?}");
        }
    }
}

#[test]
fn an_unknown_command_or_option_is_refused_with_a_hint() {
    assert_clear_error(&danlu(&["genrate"]), &["generate"]);
    assert_clear_error(&danlu(&["run", "a.toml", "--outt", "b"]), &["--out"]);
    assert_clear_error(&danlu(&["score", "model"]), &["--text"]);
    let said = danlu(&["--version"]);
    assert_eq!(said.success(), format!("danlu {}\n", env!("CARGO_PKG_VERSION")));
}
