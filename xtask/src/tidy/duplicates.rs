//! Code written twice: the same run of lines in two places.

use std::collections::BTreeMap;

use super::Violation;
use super::tree::Tree;

/// Lines of code that may be alike by chance; one more is a copy.
const MOST_EQUAL_LINES: usize = 12;

/// No two places share a longer run of lines. Comments, blank lines and imports do not count, nor
/// do indentation and lines that are only brackets.
pub(super) fn runs(tree: &Tree) -> Vec<Violation> {
    let window = MOST_EQUAL_LINES + 1;
    let mut seen: BTreeMap<Vec<&str>, (&str, usize)> = BTreeMap::new();
    let mut violations = Vec::new();
    for (path, text) in tree.rust() {
        let lines = counted_lines(text);
        let mut reported_until = 0;
        for (index, run) in lines.windows(window).enumerate() {
            let key: Vec<&str> = run.iter().map(|(_, line)| *line).collect();
            let Some((other, line)) = seen.get(&key) else {
                seen.insert(key, (path, run[0].0));
                continue;
            };
            if index >= reported_until {
                let message = format!("the same {window} lines of code as at {other}:{line}");
                violations.push(Violation::new(path, run[0].0, message));
            }
            reported_until = index + window;
        }
    }
    violations
}

/// (number, text) of the lines that say something.
fn counted_lines(text: &str) -> Vec<(usize, &str)> {
    let says_something = |line: &str| {
        line.chars().any(char::is_alphanumeric)
            && !line.starts_with("//")
            && !line.starts_with("use ")
    };
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    numbered.filter(|(_, line)| says_something(line)).collect()
}

#[cfg(test)]
pub(super) mod broken {
    use super::{MOST_EQUAL_LINES, Tree};

    /// `count` different lines.
    pub(super) fn lines(count: usize) -> String {
        (0..count).map(|n| format!("let value_{n} = {n};\n")).collect()
    }

    pub(crate) fn runs() -> Tree {
        let run = lines(MOST_EQUAL_LINES + 1);
        let indented = run.replace("let", "    // why\n    let");
        Tree::of(vec![("crates/a/src/one.rs", run), ("crates/a/src/two.rs", indented)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_may_be_alike_and_a_long_one_is_reported_once() {
        let two = |count| {
            let run = broken::lines(count);
            Tree::of(vec![("a.rs", run.clone()), ("b.rs", run)])
        };
        assert_eq!(runs(&two(MOST_EQUAL_LINES)), vec![]);
        let found = runs(&two(3 * MOST_EQUAL_LINES));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].path.as_str(), found[0].line), ("b.rs", 1));
    }
}
