//! The `[data]` section of a recipe.

use serde::{Deserialize, Serialize};

use crate::steps::{DEFAULT_STEPS, StepConfig};
use crate::{DuplicateSpans, Error, MemorySize, NearDuplicates, Result, Source};

/// The `[data]` section of a recipe. Paths are relative to the recipe's folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Files, folders or patterns (`crawl/**/*.warc.gz`) of running text; see
    /// [`READERS`](crate::readers::READERS) for the kinds: plain text, jsonl, csv, Parquet, web
    /// pages, PDF, Word, EPUB, mail, web crawls.
    pub text: Vec<Source>,
    /// Files or folders of dialogues.
    #[serde(default)]
    pub dialogues: Vec<Source>,
    /// Cleaning steps in their order, by name or with settings; see [`crate::steps::STEPS`].
    #[serde(default = "default_steps")]
    pub steps: Vec<StepConfig>,
    /// Of 1000 documents, so many are held out from training; see [`crate::is_held_out`].
    #[serde(default = "default_heldout")]
    pub heldout_per_mille: u64,
    /// Documents with fewer characters are dropped by the step `length`.
    #[serde(default = "default_min_chars")]
    pub min_chars: usize,
    /// Documents with more characters are dropped by the step `length`.
    #[serde(default = "default_max_chars")]
    pub max_chars: usize,
    /// A longer record (a line of jsonl, a text file) is rejected before it is read into memory.
    #[serde(default = "default_max_record_bytes")]
    pub max_record_bytes: u64,
    /// Whether each dialogue must name the document it was made from (`meta.source_id`). Switch it
    /// off only for dialogues that owe nothing to the texts.
    #[serde(default = "yes")]
    pub dialogues_need_source: bool,
    /// Whether a text that an earlier document has too is dropped.
    #[serde(default = "yes")]
    pub exact_duplicates: bool,
    /// Whether and how texts that are nearly the same are dropped; a table, `{}` for the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_duplicates: Option<NearDuplicates>,
    /// Whether and how lines or sentences that recur in the corpus are removed; a table, `{}` for
    /// the defaults, see [`DuplicateSpans`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_spans: Option<DuplicateSpans>,
    /// Of 1000 documents that are dropped, so many are listed with their text, chosen by id; 1000
    /// for all, 0 for none.
    #[serde(default)]
    pub dropped_texts_per_mille: u64,
    /// Threads that clean; all cores where it is not given. The result does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<usize>,
    /// What the build may take of memory; what does not fit goes through files.
    #[serde(default)]
    pub memory: MemorySize,
    /// The input is worked on in stretches of so many bytes; a build that was killed goes on after
    /// the last whole one.
    #[serde(default = "default_shard_bytes")]
    pub shard_bytes: u64,
}

fn default_steps() -> Vec<StepConfig> {
    DEFAULT_STEPS.iter().map(|name| StepConfig::new(name)).collect()
}

fn default_heldout() -> u64 {
    40
}

fn default_min_chars() -> usize {
    1
}

fn default_max_chars() -> usize {
    20_000_000
}

fn default_max_record_bytes() -> u64 {
    64 << 20
}

fn default_shard_bytes() -> u64 {
    256 << 20
}

fn yes() -> bool {
    true
}

impl DataConfig {
    /// Threads that clean.
    pub(crate) fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.workers.unwrap_or_else(cores)
    }

    /// The same with the settings that change no byte of the output at their defaults.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let memory = MemorySize::default();
        Self { workers: None, memory, shard_bytes: default_shard_bytes(), ..self.clone() }
    }

    /// Refuses values that cannot work.
    ///
    /// # Errors
    /// [`Error::Config`] with the key, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key, found: String, expected: &str| {
            Err(Error::Config { key, found, expected: expected.to_owned() })
        };
        if self.text.is_empty() {
            return refuse("text", "[]".to_owned(), "expected at least one file or folder");
        }
        if self.heldout_per_mille > 500 {
            let found = self.heldout_per_mille.to_string();
            return refuse("heldout_per_mille", found, "expected 0 to 500 (half of the documents)");
        }
        if self.dropped_texts_per_mille > 1000 {
            let found = self.dropped_texts_per_mille.to_string();
            return refuse("dropped_texts_per_mille", found, "expected 0 to 1000");
        }
        if self.min_chars > self.max_chars {
            let found = self.min_chars.to_string();
            let expected = format!("expected at most data.max_chars = {}", self.max_chars);
            return refuse("min_chars", found, &expected);
        }
        if !(1..=1 << 32).contains(&self.max_record_bytes) {
            let found = self.max_record_bytes.to_string();
            return refuse("max_record_bytes", found, "expected 1 to 4294967296");
        }
        if self.workers.is_some_and(|workers| !(1..=1024).contains(&workers)) {
            let found = self.worker_count().to_string();
            return refuse("workers", found, "expected 1 to 1024; leave it out to use all cores");
        }
        if self.shard_bytes < 1 << 16 {
            return refuse("shard_bytes", self.shard_bytes.to_string(), "expected at least 65536");
        }
        if let Some(near) = &self.near_duplicates {
            near.validate()?;
        }
        if let Some(spans) = &self.duplicate_spans {
            spans.validate()?;
        }
        self.steps.iter().try_for_each(|entry| entry.step().map(|_| ()))
    }
}
