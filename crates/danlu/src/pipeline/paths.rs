//! Where a run keeps its files: one place that knows every name.

use std::path::{Path, PathBuf};

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The paths under `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The run's folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The effective recipe.
    #[must_use]
    pub fn recipe(&self) -> PathBuf {
        self.root.join("recipe.toml")
    }

    /// Cleaned documents and their report.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The vocabulary and the token shards.
    #[must_use]
    pub fn tokens(&self) -> PathBuf {
        self.root.join("tokens")
    }

    /// The model's plan: sizes and memory.
    #[must_use]
    pub fn plan(&self) -> PathBuf {
        self.root.join("plan.json")
    }

    /// A training stage's checkpoints, log and model.
    #[must_use]
    pub fn training(&self, stage: &str) -> PathBuf {
        self.root.join(stage)
    }

    /// Scores and samples.
    #[must_use]
    pub fn eval(&self) -> PathBuf {
        self.root.join("eval")
    }

    /// The finished model.
    #[must_use]
    pub fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    /// The page for people.
    #[must_use]
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }
}
