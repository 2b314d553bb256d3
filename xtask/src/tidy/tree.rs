//! The text files of the repository, in memory: a rule can be tested on a tree of three files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Kinds of file that rules look at. Corpora and golden values are data, not source.
const EXTENSIONS: &[&str] =
    &["rs", "toml", "md", "py", "sh", "html", "css", "js", "yml", "yaml", "jinja"];

/// Files without such an extension that are source all the same.
const NAMES: &[&str] = &[".ci/run", ".gitignore", "Cargo.lock"];

/// Every text file by its path from the root of the repository, `/` between folders.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// A tree made by hand.
    #[cfg(test)]
    pub(crate) fn of<P: Into<String>, T: Into<String>>(files: Vec<(P, T)>) -> Self {
        let files = files.into_iter().map(|(path, text)| (path.into(), text.into())).collect();
        Self { files }
    }

    /// The same tree with some files added or replaced.
    #[cfg(test)]
    pub(crate) fn with(mut self, other: Tree) -> Self {
        self.files.extend(other.files);
        self
    }

    /// What git tracks or would track below `root`.
    pub(crate) fn of_repository(root: &Path) -> Result<Self> {
        let listing = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("cannot run git, which tells what belongs to the repository")?;
        ensure!(listing.status.success(), "git ls-files failed in {}", root.display());
        let mut files = BTreeMap::new();
        for name in String::from_utf8(listing.stdout)?.split_terminator('\0') {
            let path = root.join(name);
            if is_source(name) && path.is_file() {
                let text = std::fs::read_to_string(&path).with_context(|| name.to_owned())?;
                files.insert(name.to_owned(), text);
            }
        }
        Ok(Self { files })
    }

    /// Every file.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Every Rust file.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// One file.
    pub(crate) fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Every workspace member: its manifest's path, its folder under `crates/` (or `xtask`), and
    /// the manifest's text.
    pub(crate) fn manifests(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.all().filter_map(|(path, text)| {
            let folder = path.strip_suffix("/Cargo.toml")?;
            let name = folder.strip_prefix("crates/").unwrap_or(folder);
            (!name.contains('/')).then_some((path, name, text))
        })
    }
}

fn is_source(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    EXTENSIONS.contains(&extension) || NAMES.contains(&name)
}
