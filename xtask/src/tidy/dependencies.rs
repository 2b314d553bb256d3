//! Which crate may use which: ours by direction, others by border.

use toml::{Table, Value};

use super::Violation;
use super::tree::Tree;

/// Our crates and those directly below each; what is below those may be used too.
const BELOW: &[(&str, &[&str])] = &[
    ("kernels", &[]),
    ("tensor", &["kernels"]),
    ("formats", &["tensor"]),
    ("models", &["formats"]),
    ("infer", &["models"]),
    ("tokenizer", &[]),
    ("data", &["tokenizer"]),
    ("train", &["infer", "data"]),
    ("control", &["tokenizer"]),
    ("eval", &["infer", "tokenizer", "data", "control"]),
    ("hub", &[]),
    ("serve", &["infer", "tokenizer", "control", "hub"]),
    ("danlu", &["train", "eval", "serve"]),
    ("xtask", &[]),
];

/// Crates that may be used without what lies below them: token shards are mapped by the one module
/// outside the kernels that has unsafe code, and data stay without tensors.
const ALSO: &[(&str, &str)] = &[("data", "formats")];

/// Libraries of others that only some of our crates may name.
const BORDERS: &[(&str, &[&str])] = &[
    ("half", &["kernels"]),
    ("libc", &["kernels"]),
    ("matrixmultiply", &["kernels"]),
    ("faer", &["kernels"]),
    ("rayon", &["kernels"]),
    ("rayon-core", &["kernels"]),
    ("cudarc", &["kernels"]),
    ("memmap2", &["formats"]),
    ("tokenizers", &["tokenizer"]),
    ("minijinja", &["tokenizer"]),
    ("minijinja-contrib", &["tokenizer"]),
    ("tokio", &["serve", "hub"]),
    ("axum", &["serve", "hub"]),
    ("clap", &["danlu"]),
    ("indicatif", &["danlu"]),
    ("ctrlc", &["danlu"]),
    ("anyhow", &["danlu", "xtask"]),
];

const SECTIONS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Our crates depend on each other only downwards, in tests too.
pub(super) fn direction(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, name, text) in tree.manifests() {
        if !BELOW.iter().any(|(known, _)| *known == name) {
            violations.push(Violation::new(path, 0, format!("`{name}` has no place in BELOW")));
            continue;
        }
        for (section, dependency, _) in dependencies(text) {
            let Some(ours) = our_folder(&dependency) else { continue };
            if !is_below(ours, name) {
                let message = format!("[{section}] `{name}` may not depend on `{dependency}`");
                violations.push(Violation::new(path, line_of(text, &dependency), message));
            }
        }
    }
    violations
}

/// A library with a border is named only inside it.
pub(super) fn borders(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, name, text) in tree.manifests() {
        for (_, dependency, _) in dependencies(text) {
            let border = BORDERS.iter().find(|(library, _)| *library == dependency);
            if let Some((library, allowed)) = border
                && !allowed.contains(&name)
            {
                let message = format!("`{library}` may be used only in {}", allowed.join(", "));
                violations.push(Violation::new(path, line_of(text, library), message));
            }
        }
    }
    violations
}

/// Every member takes its versions and its lints from the workspace.
pub(super) fn once(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, _, text) in tree.manifests() {
        let inherits = |value: &Value| value.get("workspace").and_then(Value::as_bool);
        let lints = parse(text).get("lints").and_then(inherits);
        if lints != Some(true) {
            violations.push(Violation::new(path, 0, "needs `[lints] workspace = true`"));
        }
        for (_, dependency, value) in dependencies(text) {
            if inherits(&value) != Some(true) {
                let message = format!("`{dependency}` needs `{{ workspace = true }}`");
                violations.push(Violation::new(path, line_of(text, &dependency), message));
            }
        }
    }
    violations
}

/// (section, package, its value) of all dependencies, those of one target included.
fn dependencies(text: &str) -> Vec<(&'static str, String, Value)> {
    let manifest = parse(text);
    let targets = manifest.get("target").and_then(Value::as_table);
    let per_target = targets.into_iter().flatten().filter_map(|(_, value)| value.as_table());
    let mut found = Vec::new();
    for table in std::iter::once(&manifest).chain(per_target) {
        for section in SECTIONS {
            let listed = table.get(*section).and_then(Value::as_table);
            for (name, value) in listed.into_iter().flatten() {
                let package = value.get("package").and_then(Value::as_str).unwrap_or(name);
                found.push((*section, package.to_owned(), value.clone()));
            }
        }
    }
    found
}

/// A manifest that is not TOML has no dependencies here; cargo itself will say what is wrong.
fn parse(text: &str) -> Table {
    text.parse().unwrap_or_default()
}

/// The folder of one of our packages.
fn our_folder(package: &str) -> Option<&str> {
    if package == "danlu" || package == "xtask" {
        return Some(package);
    }
    package.strip_prefix("danlu-")
}

fn is_below(lower: &str, upper: &str) -> bool {
    let direct = BELOW.iter().find(|(name, _)| *name == upper).map_or(&[][..], |(_, list)| list);
    ALSO.contains(&(upper, lower))
        || direct.iter().any(|name| *name == lower || is_below(lower, name))
}

fn line_of(text: &str, dependency: &str) -> usize {
    let starts = |line: &str| line.trim_start().starts_with(dependency);
    text.lines().position(starts).map_or(0, |index| index + 1)
}

#[cfg(test)]
pub(super) mod broken {
    use super::Tree;

    fn kernels(dependencies: &str) -> Tree {
        let manifest = format!("[dependencies]\n{dependencies}\n[lints]\nworkspace = true\n");
        Tree::of(vec![("crates/kernels/Cargo.toml", manifest)])
    }

    pub(crate) fn direction() -> Tree {
        kernels("danlu-tensor = { workspace = true }")
    }

    pub(crate) fn borders() -> Tree {
        kernels("tokio = { workspace = true }")
    }

    pub(crate) fn once() -> Tree {
        kernels("libc = \"0.2\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, text: &str) -> Tree {
        Tree::of(vec![(format!("crates/{name}/Cargo.toml"), text.to_owned())])
    }

    #[test]
    fn what_lies_below_the_crate_below_may_be_used_and_nothing_else() {
        for (lower, upper, allowed) in [
            ("kernels", "train", true),
            ("tokenizer", "train", true),
            ("tokenizer", "eval", true),
            ("train", "eval", false),
            ("tensor", "data", false),
            ("formats", "data", true),
            ("kernels", "data", false),
            ("formats", "tensor", false),
            ("infer", "infer", false),
            ("danlu", "serve", false),
        ] {
            assert_eq!(is_below(lower, upper), allowed, "{lower} <- {upper}");
        }
    }

    #[test]
    fn tests_and_targets_and_renames_may_not_point_up_either() {
        for text in [
            "[dev-dependencies]\ndanlu-train = { workspace = true }",
            "[target.'cfg(unix)'.dependencies]\ndanlu-train = { workspace = true }",
            "[dependencies]\ntraining = { workspace = true, package = \"danlu-train\" }",
        ] {
            assert_eq!(direction(&member("models", text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_crate_that_the_table_does_not_know_is_caught() {
        assert_eq!(direction(&member("extras", "")).len(), 1);
    }
}
