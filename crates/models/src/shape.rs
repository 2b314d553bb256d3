//! The sizes every language model has.

use serde::{Deserialize, Serialize};

use crate::config::ConfigJson;
use crate::{Error, Result};

/// Sizes of a language model, whatever its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Number of blocks.
    pub num_layers: usize,
    /// H: heads of queries.
    pub num_heads: usize,
    /// K: heads of keys and values.
    pub num_kv_heads: usize,
    /// Dh: width of a head.
    pub head_dim: usize,
    /// D: width of the residual stream.
    pub hidden_size: usize,
    /// F: width inside the feed-forward part.
    pub ffn_size: usize,
    /// V: number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Longest text in tokens.
    pub context_len: usize,
}

impl ModelShape {
    /// Refuses sizes that no model has: they are from a damaged or hostile file, or a slip of the
    /// hand, and would ask for absurd amounts of memory.
    ///
    /// # Errors
    /// On the first such size, naming it and `source`, the file it is from.
    pub fn validate(&self, source: &ConfigJson) -> Result<()> {
        let limits = [
            ("num_layers", self.num_layers, 1 << 10),
            ("num_heads", self.num_heads, 1 << 12),
            ("num_kv_heads", self.num_kv_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 10),
            ("hidden_size", self.hidden_size, 1 << 17),
            ("ffn_size", self.ffn_size, 1 << 20),
            ("vocab_size", self.vocab_size, 1 << 22),
            ("context_len", self.context_len, 1 << 20),
        ];
        for (name, value, limit) in limits {
            if !(1..=limit).contains(&value) {
                let message = format!("{name} is {value}; it must be between 1 and {limit}");
                return Err(source.error(message));
            }
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            let Self { num_heads, num_kv_heads, .. } = self;
            return Err(source.error(format!(
                "{num_heads} attention heads cannot share {num_kv_heads} key/value heads evenly; \
                 make the first a multiple of the second"
            )));
        }
        Ok(())
    }

    /// H * Dh: width of all queries together.
    #[must_use]
    pub fn q_width(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// K * Dh: width of all keys together, and of all values.
    #[must_use]
    pub fn kv_width(&self) -> usize {
        self.num_kv_heads * self.head_dim
    }

    /// Refuses ids outside the vocabulary.
    ///
    /// # Errors
    /// On the first such id, naming it.
    pub fn check_ids(&self, ids: &[u32]) -> Result<()> {
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.vocab_size) {
            let vocabulary = self.vocab_size;
            return Err(Error::Input(format!(
                "token id {id} is outside the vocabulary 0..{vocabulary}; was the text encoded \
                 with another tokenizer?"
            )));
        }
        Ok(())
    }

    /// Refuses positions beyond the context.
    pub(crate) fn check_positions(&self, positions: &[u32]) -> Result<()> {
        if let Some(position) = positions.iter().find(|p| **p as usize >= self.context_len) {
            let context = self.context_len;
            return Err(Error::Input(format!(
                "position {position} is beyond the model's context of {context} tokens; shorten \
                 the text"
            )));
        }
        Ok(())
    }
}
