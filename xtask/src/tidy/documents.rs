//! Rules on the documents: they exist, and both languages say the same.

use super::Violation;
use super::tree::Tree;

const REQUIRED: &[&str] = &[
    "README.md",
    "README.zh-CN.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "deny.toml",
];

/// Fenced blocks of these languages are commands or settings, the same in every language.
const COMMANDS: &[&str] = &["sh", "bash", "console", "toml", "rust", "json"];

/// Documents that exist in both languages.
const TRANSLATED: &[(&str, &str)] = &[("README.md", "README.zh-CN.md")];

/// Every document a reader looks for is there and not empty.
pub(super) fn present(tree: &Tree) -> Vec<Violation> {
    let is_missing = |path: &&&str| tree.get(path).is_none_or(|text| text.trim().is_empty());
    REQUIRED
        .iter()
        .filter(is_missing)
        .map(|path| Violation::new(path, 0, "this file is missing or empty"))
        .collect()
}

/// Translations have the same headings (by level), commands and numbers of table rows and points.
pub(super) fn translated(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (english, chinese) in TRANSLATED {
        let (Some(first), Some(second)) = (tree.get(english), tree.get(chinese)) else { continue };
        let (first, second) = (outline(first), outline(second));
        let differs = |(a, b): &(&Part, &Part)| a.what != b.what;
        if let Some((a, b)) = first.iter().zip(&second).find(differs) {
            let message = format!("{} here, {} at {english}:{}", b.what, a.what, a.line);
            violations.push(Violation::new(chinese, b.line, message));
        } else if first.len() != second.len() {
            let message = format!("{} parts here, {} in {english}", second.len(), first.len());
            violations.push(Violation::new(chinese, 0, message));
        }
    }
    violations
}

/// A part of a document that does not depend on its language.
struct Part {
    line: usize,
    what: String,
}

fn outline(text: &str) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if let Some(language) = trimmed.strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language) };
            continue;
        }
        let what = match fence {
            Some(language) if COMMANDS.contains(&language) => command(trimmed),
            Some(_) => None,
            None => structure(trimmed),
        };
        parts.extend(what.map(|what| Part { line: index + 1, what }));
    }
    parts
}

/// A command without its comment, which is translated.
fn command(line: &str) -> Option<String> {
    let said = if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or("") };
    (!said.trim().is_empty()).then(|| format!("`{}`", said.trim()))
}

/// A heading with its level, a table row with its columns, or a point of a list.
fn structure(line: &str) -> Option<String> {
    let level = line.chars().take_while(|c| *c == '#').count();
    if level > 0 {
        return Some(format!("a heading of level {level}"));
    }
    if line.starts_with('|') {
        return Some(format!("a table row of {} bars", line.matches('|').count()));
    }
    let is_number = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u32>().is_ok());
    (line.starts_with("- ") || is_number).then(|| "a point of a list".to_owned())
}

#[cfg(test)]
pub(super) mod broken {
    use super::Tree;

    pub(crate) fn present() -> Tree {
        Tree::of(vec![("CHANGELOG.md", "")])
    }

    pub(crate) fn translated() -> Tree {
        let chinese = "# 丹炉\n\n## 开始\n```sh\ncargo test\n```\n";
        Tree::of(vec![("README.zh-CN.md", chinese)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(english: &str, chinese: &str) -> usize {
        translated(&Tree::of(vec![("README.md", english), ("README.zh-CN.md", chinese)])).len()
    }

    #[test]
    fn words_and_comments_are_translated_and_the_rest_is_not() {
        assert_eq!(found("# A\ntext\n```sh\n# say\nls # all\n```\n", "# 甲\n```sh\nls\n```\n"), 0);
        assert_eq!(found("```\npicture\n```\n", "```\n图\n```\n"), 0, "a picture is words");
        assert_eq!(found("# A\n## B\n", "# 甲\n"), 1, "a missing heading");
        assert_eq!(found("# A\n## B\n", "# 甲\n### 乙\n"), 1, "another level");
        assert_eq!(found("| a | b |\n", "| 甲 |\n"), 1, "a missing column");
        assert_eq!(found("- a\n- b\n", "- 甲\n"), 1, "a missing point");
        assert_eq!(found("```sh\nls\n```\n", "```sh\nls -l\n```\n"), 1, "another command");
    }
}
