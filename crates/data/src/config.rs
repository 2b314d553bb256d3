//! The `[data]` section of a recipe.

use serde::{Deserialize, Serialize};

use crate::steps::{DEFAULT_STEPS, StepConfig};
use crate::{Error, Result, Source};

/// The `[data]` section of a recipe. Paths are relative to the recipe's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Files or folders of running text.
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

fn yes() -> bool {
    true
}

impl DataConfig {
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
        if self.min_chars > self.max_chars {
            let found = self.min_chars.to_string();
            let expected = format!("expected at most data.max_chars = {}", self.max_chars);
            return refuse("min_chars", found, &expected);
        }
        if !(1..=1 << 32).contains(&self.max_record_bytes) {
            let found = self.max_record_bytes.to_string();
            return refuse("max_record_bytes", found, "expected 1 to 4294967296");
        }
        self.steps.iter().try_for_each(|entry| entry.step().map(|_| ()))
    }
}
