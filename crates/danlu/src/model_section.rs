//! The `[model]` section of a recipe: a family and its size, or one dial that sets everything.

use anyhow::{Result, ensure};
use danlu_models::config::SpecialIds;
use danlu_models::{Gpt2Config, LlamaConfig, ModelShape};
use danlu_train::TrainConfig;
use serde::{Deserialize, Serialize};

/// Width of an attention head that the depth dial uses.
const DIAL_HEAD_DIM: usize = 64;
/// Width per layer that the depth dial uses.
const DIAL_WIDTH_PER_LAYER: usize = 64;
/// Training tokens per weight of the blocks and the head that the depth dial aims at: the ratio
/// that makes best use of a fixed amount of computing (Hoffmann et al. 2022, arXiv:2203.15556).
const DIAL_TOKENS_PER_WEIGHT: usize = 20;

/// The sizes that `depth` sets where the recipe does not.
pub const DIAL_MODEL_KEYS: &[&str] =
    &["num_layers", "hidden_size", "num_heads", "num_kv_heads", "ffn_size"];
/// The training settings that `depth` sets where the recipe does not.
pub const DIAL_TRAIN_KEYS: &[&str] =
    &["batch_size", "micro_batch_size", "learning_rate", "steps", "warmup_steps"];

/// A family of models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FamilyName {
    /// LLaMA: RMS norm, rotary positions, SwiGLU, no biases.
    Llama,
    /// GPT-2: layer norm, learned positions, GELU, biases.
    Gpt2,
}

/// The model's family and size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSection {
    /// The family.
    pub family: FamilyName,
    /// One dial: sets layers, width, heads, batch, learning rate and token budget from one number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Number of blocks.
    pub num_layers: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Heads of keys and values; fewer than `num_heads` is grouped-query attention.
    pub num_kv_heads: usize,
    /// Width inside the feed-forward part.
    pub ffn_size: usize,
    /// Longest text in tokens.
    pub context_len: usize,
    /// Whether the output head is the embedding table.
    pub tie_embeddings: bool,
    /// Base of the rotary positions (LLaMA).
    pub rope_theta: f64,
    /// Added under the root of the norms.
    pub norm_eps: f64,
    /// Seed of the first weights.
    pub seed: u64,
}

impl Default for ModelSection {
    fn default() -> Self {
        Self {
            family: FamilyName::Llama,
            depth: None,
            num_layers: 6,
            hidden_size: 384,
            num_heads: 6,
            num_kv_heads: 6,
            ffn_size: 1024,
            context_len: 256,
            tie_embeddings: false,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            seed: 1,
        }
    }
}

impl ModelSection {
    /// Refuses sizes that make no model.
    ///
    /// # Errors
    /// On the first such size, naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [
            ("num_layers", self.num_layers),
            ("hidden_size", self.hidden_size),
            ("num_heads", self.num_heads),
            ("num_kv_heads", self.num_kv_heads),
            ("ffn_size", self.ffn_size),
            ("context_len", self.context_len),
        ] {
            ensure!((1..=1 << 20).contains(&value), "`model.{key}` is {value}; it must be 1..2^20");
        }
        ensure!(
            self.hidden_size.is_multiple_of(self.num_heads)
                && (self.hidden_size / self.num_heads).is_multiple_of(2),
            "`model.hidden_size` ({}) must be an even multiple of `model.num_heads` ({})",
            self.hidden_size,
            self.num_heads
        );
        ensure!(
            self.num_heads.is_multiple_of(self.num_kv_heads),
            "`model.num_heads` ({}) must be a multiple of `model.num_kv_heads` ({})",
            self.num_heads,
            self.num_kv_heads
        );
        ensure!(
            self.family == FamilyName::Llama || self.num_kv_heads == self.num_heads,
            "`model.num_kv_heads`: GPT-2 has no grouped-query attention; set it to num_heads"
        );
        ensure!(
            self.family == FamilyName::Llama || self.tie_embeddings,
            "`model.tie_embeddings`: the head of GPT-2 is its embedding table; set it to true"
        );
        ensure!(
            self.rope_theta.is_finite() && self.rope_theta > 1.0,
            "`model.rope_theta` is {}; it must be greater than 1",
            self.rope_theta
        );
        ensure!(
            self.norm_eps.is_finite() && self.norm_eps > 0.0,
            "`model.norm_eps` is {}; it must be greater than 0",
            self.norm_eps
        );
        Ok(())
    }

    /// Sizes the model from one number of layers: width 64 a layer, heads of 64, SwiGLU of 8/3.
    #[must_use]
    pub fn at_depth(&self, depth: usize) -> Self {
        let hidden_size = depth * DIAL_WIDTH_PER_LAYER;
        let num_heads = (hidden_size / DIAL_HEAD_DIM).max(1);
        Self {
            num_layers: depth,
            hidden_size,
            num_heads,
            num_kv_heads: num_heads,
            ffn_size: (hidden_size * 8 / 3).next_multiple_of(64),
            ..self.clone()
        }
    }

    /// The model's published configuration, `config.json`, for a vocabulary of `vocab_size` tokens.
    #[must_use]
    pub fn config(&self, vocab_size: usize, special_ids: SpecialIds) -> serde_json::Value {
        let shape = ModelShape {
            num_layers: self.num_layers,
            num_heads: self.num_heads,
            num_kv_heads: self.num_kv_heads,
            head_dim: self.hidden_size / self.num_heads,
            hidden_size: self.hidden_size,
            ffn_size: self.ffn_size,
            vocab_size,
            context_len: self.context_len,
        };
        let norm_eps = self.norm_eps;
        match self.family {
            FamilyName::Llama => LlamaConfig {
                shape,
                norm_eps,
                rope_theta: self.rope_theta,
                tie_embeddings: self.tie_embeddings,
                special_ids,
            }
            .write(),
            FamilyName::Gpt2 => Gpt2Config { shape, norm_eps, special_ids }.write(),
        }
    }

    /// Weights that multiply every token: the blocks and the head.
    #[must_use]
    pub fn block_weights(&self, vocab_size: usize) -> usize {
        let head_dim = self.hidden_size / self.num_heads.max(1);
        let attention = self.hidden_size * head_dim * 2 * (self.num_heads + self.num_kv_heads);
        let matrices = if self.family == FamilyName::Llama { 3 } else { 2 };
        let block = attention + matrices * self.hidden_size * self.ffn_size;
        self.num_layers * block + self.hidden_size * vocab_size
    }
}

/// Batch, rate and steps for a model of `depth` layers with `weights` weights in blocks and head.
pub fn apply_depth_to_training(
    train: &mut TrainConfig,
    depth: usize,
    weights: usize,
    steps_given: Option<u64>,
) {
    train.batch_size = (8 * depth).next_multiple_of(8);
    train.micro_batch_size = train.batch_size.min(8);
    // Wider models want smaller rates: 1/width from the rate that suits depth 6 (Yang et al. 2022,
    // arXiv:2203.03466).
    train.learning_rate = 2e-3 * 6.0 / depth.max(1) as f64;
    let steps = (weights * DIAL_TOKENS_PER_WEIGHT).div_ceil(train.tokens_per_step());
    train.steps = steps_given.unwrap_or(steps as u64);
    train.warmup_steps = (train.steps / 50).clamp(1, 200);
}
