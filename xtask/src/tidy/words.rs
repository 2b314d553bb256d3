//! Words that must not stand in the repository. Each is written in two parts here, so that this
//! file does not hold them either.

use super::Violation;
use super::tree::Tree;

/// What must not be written anywhere, and why.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
    (concat!("../sha", "red"), "a folder outside the repository"),
    (concat!("DESIGN", ".md"), "a document outside the repository: say it or cite ARCHITECTURE.md"),
    (concat!("DESIGN ", "section"), "a document outside the repository"),
    (concat!("STYLE", ".md"), "a document outside the repository"),
    (concat!("BASELINES", ".md"), "a document outside the repository"),
    (concat!("crates", ".io"), "a package registry's host"),
    (concat!("pypi", ".org"), "a package registry's host"),
    (concat!("python", "hosted"), "a package registry's host"),
    (concat!("npmjs", "."), "a package registry's host"),
    (concat!("TO", "DO"), "unfinished work: do it, or file an issue"),
    (concat!("FIX", "ME"), "unfinished work: do it, or file an issue"),
    (concat!("X", "XX"), "unfinished work: do it, or file an issue"),
];

/// Files that tools write, with contents that are theirs.
const WRITTEN_BY_TOOLS: &[&str] = &["Cargo.lock"];

/// No file holds a forbidden word.
pub(super) fn forbidden(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.all().filter(|(path, _)| !WRITTEN_BY_TOOLS.contains(path)) {
        for (index, line) in text.lines().enumerate() {
            for (word, why) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
                violations.push(Violation::new(path, index + 1, format!("`{word}`: {why}")));
            }
        }
    }
    violations
}

#[cfg(test)]
pub(super) mod broken {
    use super::{FORBIDDEN, Tree};

    pub(crate) fn forbidden() -> Tree {
        Tree::of(vec![("docs/notes.md", format!("# Notes\n\nSee {}.\n", FORBIDDEN[0].0))])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_caught_but_not_where_a_tool_wrote_it() {
        for (word, _) in FORBIDDEN {
            let text = format!("a\nb {word} c");
            let tree = Tree::of(vec![("a.md", text.clone()), ("Cargo.lock", text)]);
            let found = forbidden(&tree);
            assert!(found.iter().all(|violation| violation.path == "a.md"), "{word}");
            assert_eq!(found.first().map(|violation| violation.line), Some(2), "{word}");
        }
    }
}
