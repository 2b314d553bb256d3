//! The local cache of published models, in the layout that the hub's own tools use:
//! `models--organisation--model/refs/main` holds a commit, `snapshots/COMMIT/` the files.

use std::path::{Path, PathBuf};

use crate::name::Name;
use crate::{Error, Result};

/// The cache's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    root: Option<PathBuf>,
}

impl Cache {
    /// A cache in this folder.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: Some(root.into()) }
    }

    /// Where the hub's own tools have it: `HF_HUB_CACHE`, or `hub` in `HF_HOME`, or
    /// `huggingface/hub` in `XDG_CACHE_HOME` or in `.cache` of the home folder.
    #[must_use]
    pub fn from_environment() -> Self {
        Self::from_variables(|name| std::env::var_os(name).map(PathBuf::from))
    }

    /// [`Cache::from_environment`] with the variables given.
    #[must_use]
    pub fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
        let root = set("HF_HUB_CACHE").or_else(|| {
            let caches = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
            let home = set("HF_HOME").or_else(|| Some(caches()?.join("huggingface")))?;
            Some(home.join("hub"))
        });
        Self { root }
    }

    /// The file or folder that is meant: what exists as a path is that path, else the files of a
    /// published model of this name, if they are in the cache.
    ///
    /// # Errors
    /// When it is neither; the message says what was looked for.
    pub fn locate(&self, path_or_name: &str) -> Result<PathBuf> {
        let path = Path::new(path_or_name);
        if path.exists() {
            return Ok(path.to_owned());
        }
        let name = Name::parse(path_or_name)?;
        let Some(root) = &self.root else {
            return Err(Error::NoCache { name: name.to_string() });
        };
        let repository = root.join(format!("models--{}", name.repository.replace('/', "--")));
        let missing =
            |path: &Path| Error::NotCached { name: name.to_string(), missing: path.to_owned() };
        if !repository.is_dir() {
            return Err(missing(&repository));
        }
        let reference = repository.join("refs").join(&name.revision);
        if !reference.is_file() {
            let snapshot = repository.join("snapshots").join(&name.revision);
            return if snapshot.is_dir() { Ok(snapshot) } else { Err(missing(&reference)) };
        }
        let commit = std::fs::read_to_string(&reference)
            .map_err(|source| Error::Read { path: reference.clone(), source })?;
        let revision = commit.trim();
        let snapshot = repository.join("snapshots").join(revision);
        let is_commit = !revision.is_empty() && revision.chars().all(|c| c.is_ascii_alphanumeric());
        if !is_commit || !snapshot.is_dir() {
            let revision = revision.chars().take(64).collect();
            return Err(Error::BrokenReference { reference, revision, snapshot });
        }
        Ok(snapshot)
    }
}
