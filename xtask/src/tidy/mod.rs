//! The rules of the tree that no compiler holds. Each stands in [`RULES`] with an example that
//! breaks it; the tests below hold that every example is caught and that a clean tree is not.

mod dependencies;
mod documents;
mod duplicates;
mod lexer;
mod source;
mod tree;
mod words;

use std::fmt;

use anyhow::{Result, bail};
use tree::Tree;

/// A rule, and the smallest tree that breaks it.
pub(crate) struct Rule {
    name: &'static str,
    about: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
    #[cfg(test)]
    broken: fn() -> Tree,
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: String,
    /// Counted from 1; 0 when the file as a whole is meant.
    line: usize,
    message: String,
}

impl Violation {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Declares a rule; `broken` is compiled for the tests only.
macro_rules! rule {
    ($module:ident :: $check:ident, $about:literal) => {
        Rule {
            name: stringify!($check),
            about: $about,
            check: $module::$check,
            #[cfg(test)]
            broken: $module::broken::$check,
        }
    };
}

const RULES: &[Rule] = &[
    rule!(dependencies::direction, "a crate depends only on crates below it"),
    rule!(dependencies::borders, "a library stays in the crates that may use it"),
    rule!(dependencies::once, "versions and lints are declared once, in the workspace"),
    rule!(source::header, "a Rust file opens with its //! header"),
    rule!(source::length, "a source file has at most 500 lines"),
    rule!(source::columns, "a line has at most 100 columns"),
    rule!(source::ascii_code, "code is ASCII; comments and strings need not be"),
    rule!(source::unsafe_places, "unsafe stands only where it is allowed"),
    rule!(source::ignored_tests, "no test is ignored"),
    rule!(source::unreached, "every module file is declared by a module"),
    rule!(words::forbidden, "no machine's paths, no unfinished work, no document outside the tree"),
    rule!(duplicates::runs, "no run of lines is written twice"),
    rule!(documents::present, "the documents every reader expects exist"),
    rule!(documents::translated, "README.md and README.zh-CN.md have one structure"),
];

/// Checks the repository and prints what is wrong.
///
/// # Errors
/// When a rule is broken anywhere.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    crate::refuse_arguments(arguments)?;
    let tree = Tree::of_repository(&crate::enter_workspace()?)?;
    let mut count = 0;
    for rule in RULES {
        let violations = (rule.check)(&tree);
        count += violations.len();
        if !violations.is_empty() {
            eprintln!("tidy: {}: {}", rule.name, rule.about);
        }
        for violation in violations {
            eprintln!("  {violation}");
        }
    }
    if count > 0 {
        bail!("tidy found {count} places that break a rule, listed above");
    }
    println!("tidy: {} rules hold over {} files", RULES.len(), tree.all().count());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in which every rule holds.
    fn clean() -> Tree {
        let readme = "# Danlu\n\n## Start\n```sh\ncargo run\n```\n";
        let manifest = "[package]\nname = \"danlu-kernels\"\n[lints]\nworkspace = true\n";
        Tree::of(vec![
            ("README.md", readme),
            ("README.zh-CN.md", readme),
            ("ARCHITECTURE.md", "# Architecture\n"),
            ("CONTRIBUTING.md", "# Contributing\n"),
            ("CHANGELOG.md", "# Changes\n"),
            ("Cargo.toml", "[workspace]\n"),
            ("deny.toml", "[licenses]\n"),
            ("crates/kernels/Cargo.toml", manifest),
            ("crates/kernels/src/lib.rs", "//! Loops.\n\npub mod cpu;\n"),
            ("crates/kernels/src/cpu.rs", "//! 内核。\n\n/// Adds.\npub fn add() {}\n"),
        ])
    }

    #[test]
    fn a_clean_tree_breaks_no_rule() {
        for rule in RULES {
            assert_eq!((rule.check)(&clean()), vec![], "{}", rule.name);
        }
    }

    #[test]
    fn every_rule_catches_its_own_example() {
        for rule in RULES {
            let tree = clean().with((rule.broken)());
            assert!(!(rule.check)(&tree).is_empty(), "{} catches nothing", rule.name);
        }
    }
}
