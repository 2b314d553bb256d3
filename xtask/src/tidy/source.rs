//! Rules on single source files: headers, sizes, characters, unsafe, reachability.

use super::Violation;
use super::lexer::{code_only, is_word};
use super::tree::Tree;

const MOST_LINES: usize = 500;
const MOST_COLUMNS: usize = 100;

/// Kinds of file whose length and width are limited. Documents may have long tables.
const LIMITED: &[&str] = &[".rs", ".py", ".sh", ".js", ".css"];

/// Where `unsafe` may stand: a folder or a file.
const UNSAFE_PLACES: &[&str] = &["crates/kernels/", "crates/formats/src/mapping.rs"];

/// The first thing in a Rust file, but for attributes, is a `//!` line.
pub(super) fn header(tree: &Tree) -> Vec<Violation> {
    let opens_well = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines
            .find(|line| !line.is_empty() && !line.starts_with("#!["))
            .is_some_and(|line| line.starts_with("//! "))
    };
    tree.rust()
        .filter(|(_, text)| !opens_well(text))
        .map(|(path, _)| Violation::new(path, 1, "say in a //! line what the file is"))
        .collect()
}

/// No file grows beyond what is read in one go.
pub(super) fn length(tree: &Tree) -> Vec<Violation> {
    limited(tree)
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| {
            Violation::new(path, 0, format!("{lines} lines, at most {MOST_LINES}"))
        })
        .collect()
}

/// No line is wider than a split screen. A wide (Chinese) character is one column here.
pub(super) fn columns(tree: &Tree) -> Vec<Violation> {
    let check = |path: &str, number, line: &str| {
        let width = line.chars().count();
        (width > MOST_COLUMNS).then(|| {
            Violation::new(path, number, format!("{width} columns, at most {MOST_COLUMNS}"))
        })
    };
    each_line(limited(tree), check)
}

/// Names and operators are ASCII.
pub(super) fn ascii_code(tree: &Tree) -> Vec<Violation> {
    let check = |path: &str, number, line: &str| {
        let found = line.chars().find(|c| !c.is_ascii())?;
        Some(Violation::new(path, number, format!("`{found}` outside comments and strings")))
    };
    each_code_line(tree, check)
}

/// `unsafe` stands only in [`UNSAFE_PLACES`].
pub(super) fn unsafe_places(tree: &Tree) -> Vec<Violation> {
    let check = |path: &str, number, line: &str| {
        let allowed = UNSAFE_PLACES.iter().any(|place| path.starts_with(place));
        (!allowed && line.split(|c| !is_word(c)).any(|word| word == "unsafe"))
            .then(|| Violation::new(path, number, "unsafe is not allowed in this file"))
    };
    each_code_line(tree, check)
}

/// A test that is not run is not a test; nor is one that is content with any panic.
pub(super) fn ignored_tests(tree: &Tree) -> Vec<Violation> {
    let check = |path: &str, number, line: &str| {
        let found =
            ["#[ignore", "#[should_panic"].into_iter().find(|found| line.contains(found))?;
        Some(Violation::new(path, number, format!("`{found}` is not used here")))
    };
    each_code_line(tree, check)
}

/// A file that no `mod` line names is never compiled.
pub(super) fn unreached(tree: &Tree) -> Vec<Violation> {
    tree.rust()
        .filter(|(path, _)| is_module(path) && !is_declared(tree, path))
        .map(|(path, _)| Violation::new(path, 0, "no `mod` line names this file"))
        .collect()
}

/// Whether the file is a module below some `src/`, not the root of a crate or a binary.
fn is_module(path: &str) -> bool {
    let Some((_, inside)) = path.split_once("/src/") else { return false };
    inside != "lib.rs" && inside != "main.rs" && !inside.starts_with("bin/")
}

fn is_declared(tree: &Tree, path: &str) -> bool {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    let Some((folder, name)) = stem.rsplit_once('/') else { return false };
    let parents = ["lib.rs", "main.rs", "mod.rs"].map(|file| format!("{folder}/{file}"));
    let parents = parents.into_iter().chain([format!("{folder}.rs")]);
    let declares = |parent: String| {
        tree.get(&parent).is_some_and(|text| {
            let code = code_only(text);
            code.lines().any(|line| declared_module(line) == Some(name))
        })
    };
    parents.into_iter().any(declares)
}

/// `name` in `pub(crate) mod name;`.
fn declared_module(line: &str) -> Option<&str> {
    let (before, name) = line.trim().strip_suffix(';')?.split_once("mod ")?;
    let is_declaration = before.is_empty() || before.starts_with("pub") || before.starts_with("#[");
    is_declaration.then_some(name)
}

fn limited(tree: &Tree) -> impl Iterator<Item = (&str, &str)> {
    tree.all().filter(|(path, _)| LIMITED.iter().any(|ending| path.ends_with(ending)))
}

fn each_line<'a>(
    files: impl Iterator<Item = (&'a str, &'a str)>,
    check: impl Fn(&str, usize, &str) -> Option<Violation>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in files {
        for (index, line) in text.lines().enumerate() {
            violations.extend(check(path, index + 1, line));
        }
    }
    violations
}

fn each_code_line(
    tree: &Tree,
    check: impl Fn(&str, usize, &str) -> Option<Violation>,
) -> Vec<Violation> {
    let code: Vec<(&str, String)> =
        tree.rust().map(|(path, text)| (path, code_only(text))).collect();
    each_line(code.iter().map(|(path, text)| (*path, text.as_str())), check)
}

#[cfg(test)]
pub(super) mod broken {
    use super::{MOST_COLUMNS, MOST_LINES, Tree};

    fn tensor(code: impl Into<String>) -> Tree {
        Tree::of(vec![("crates/tensor/src/lib.rs", code)])
    }

    pub(crate) fn header() -> Tree {
        tensor("#![allow(dead_code)]\n\nuse std::fs;\n//! Late.\n")
    }

    pub(crate) fn length() -> Tree {
        tensor("//! Long.\n".repeat(MOST_LINES + 1))
    }

    pub(crate) fn columns() -> Tree {
        tensor(format!("//! {}\n", "丹".repeat(MOST_COLUMNS - 3)))
    }

    pub(crate) fn ascii_code() -> Tree {
        tensor("//! Names.\nlet μ = 1;\n")
    }

    pub(crate) fn unsafe_places() -> Tree {
        tensor("//! Tensors.\nfn f() { unsafe { g() } }\n")
    }

    pub(crate) fn ignored_tests() -> Tree {
        tensor("//! Tests.\n#[ignore = \"slow\"]\nfn f() {}\n")
    }

    pub(crate) fn unreached() -> Tree {
        Tree::of(vec![
            ("crates/tensor/src/lib.rs", "//! Tensors.\n// mod lost;\n"),
            ("crates/tensor/src/lost.rs", "//! Lost.\n"),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernels(code: &str) -> Tree {
        Tree::of(vec![("crates/kernels/src/cpu.rs", code), ("crates/tensor/src/a.rs", code)])
    }

    #[test]
    fn unsafe_is_allowed_in_its_places_and_in_words() {
        assert_eq!(unsafe_places(&kernels("unsafe fn f() {}\n")).len(), 1);
        assert_eq!(unsafe_places(&kernels("// unsafe\n#![deny(unsafe_code)]\n\"unsafe\"")), vec![]);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_fine() {
        assert_eq!(columns(&kernels(&"a".repeat(MOST_COLUMNS))), vec![]);
        assert_eq!(length(&kernels(&"a\n".repeat(MOST_LINES))), vec![]);
    }

    #[test]
    fn a_module_may_be_declared_in_any_of_the_four_places() {
        for (parent, line, child) in [
            ("crates/a/src/lib.rs", "pub mod b;", "crates/a/src/b.rs"),
            ("crates/a/src/main.rs", "mod b;", "crates/a/src/b/mod.rs"),
            ("crates/a/src/x.rs", "pub(crate) mod b;", "crates/a/src/x/b.rs"),
            ("crates/a/src/x/mod.rs", "#[cfg(test)] mod b;", "crates/a/src/x/b.rs"),
        ] {
            let is_lost = |line: &str| {
                let tree = Tree::of(vec![(parent, line), (child, "")]);
                unreached(&tree).iter().any(|violation| violation.path == child)
            };
            assert!(!is_lost(line), "{parent}");
            assert!(is_lost("mod other;"), "{parent}");
        }
    }
}
