//! What a language model can do, whatever its family.

use std::collections::BTreeMap;
use std::iter::repeat_n;
use std::sync::{Arc, OnceLock};

use danlu_formats::gguf::Mix;
use danlu_tensor::ops::{self, CrossEntropy, Head};
use danlu_tensor::{Device, Param, ParamStore, Precision, Tensor};
use serde_json::Value;

use crate::layers::Pass;
use crate::memory::BlockActivations;
use crate::{Error, Family, KvCache, ModelShape, Result, damage};

/// Whether a model's matrices can learn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WeightKind {
    /// Copied to f32: they can be trained, and cost four bytes each.
    #[default]
    Trainable,
    /// Read where they lie in the file, in whatever format: for inference, and for adapters beside
    /// them.
    Frozen,
    /// As `Frozen`, but products with quantised weights do not round activations: slow, for
    /// comparisons in which only the weights may differ.
    FrozenExact,
}

/// How a model is built: independent of what it is.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Where it lives.
    pub device: Device,
    /// What it computes in.
    pub precision: Precision,
    /// Whether training keeps only what enters each block and computes the rest again on the way
    /// back: less memory for one more forward pass. Changes no bit of the result.
    pub recompute: bool,
    /// Whether its matrices can learn.
    pub weights: WeightKind,
    /// The types that frozen matrices get on the way; as they are in the file if `None`.
    pub quantize: Option<&'static Mix>,
}

impl BuildOptions {
    /// For training: f32 weights that can learn, activations kept.
    #[must_use]
    pub fn trainable(device: Device, precision: Precision) -> Self {
        let weights = WeightKind::Trainable;
        Self { device, precision, recompute: false, weights, quantize: None }
    }

    /// For inference: weights stay in their file.
    #[must_use]
    pub fn frozen(device: Device, precision: Precision) -> Self {
        Self { weights: WeightKind::Frozen, ..Self::trainable(device, precision) }
    }

    /// An empty store for a model's parameters.
    #[must_use]
    pub fn store(&self) -> Arc<ParamStore> {
        match self.weights {
            WeightKind::Trainable => ParamStore::new(self.device.clone(), self.precision),
            WeightKind::Frozen => ParamStore::frozen(self.device.clone(), self.precision),
            WeightKind::FrozenExact => {
                ParamStore::frozen_exact(self.device.clone(), self.precision)
            }
        }
    }
}

/// Token ids to run a model on: `B` rows of `T`, row after row.
#[derive(Clone, Debug)]
pub struct ModelInput<'a> {
    /// The ids. `[B * T]`
    pub ids: &'a [u32],
    /// B.
    pub batch: usize,
    /// Where each token stands in its document. `[B * T]`
    pub positions: Arc<[u32]>,
    /// Which document of its row each token belongs to; attention stays inside one. With a cache:
    /// which of its slots, the first if `None`. `[B * T]`
    pub segments: Option<Arc<[u32]>>,
}

impl<'a> ModelInput<'a> {
    /// `batch` rows of one document each.
    #[must_use]
    pub fn new(ids: &'a [u32], batch: usize) -> Self {
        let tokens = (ids.len() / batch.max(1)).max(1);
        let positions = (0..ids.len()).map(|i| (i % tokens) as u32).collect();
        Self { ids, batch, positions, segments: None }
    }

    /// One row that goes on where a cache ends.
    #[must_use]
    pub fn after(cache: &KvCache, ids: &'a [u32]) -> Self {
        let start = cache.len() as u32;
        Self {
            ids,
            batch: 1,
            positions: (start..start + ids.len() as u32).collect(),
            segments: None,
        }
    }

    /// Tokens that go on where slots of a cache end: for each slot, so many of the ids.
    #[must_use]
    pub fn of_slots(cache: &KvCache, parts: &[(usize, usize)], ids: &'a [u32]) -> Self {
        let positions = parts.iter().flat_map(|&(slot, count)| {
            let start = cache.ids_of(slot).len() as u32;
            start..start + count as u32
        });
        let slots = parts.iter().flat_map(|&(slot, count)| repeat_n(slot as u32, count));
        let (positions, segments) = (positions.collect(), Some(slots.collect()));
        Self { ids, batch: 1, positions, segments }
    }

    /// Refuses inputs that do not fit themselves or the model.
    fn check(&self, shape: &ModelShape) -> Result<()> {
        let (count, batch) = (self.ids.len(), self.batch);
        let others = [self.positions.len(), self.segments.as_ref().map_or(count, |s| s.len())];
        if batch == 0 || count == 0 || !count.is_multiple_of(batch) || others != [count; 2] {
            return Err(Error::Input(format!(
                "{count} ids in {batch} rows with {} positions and {} segments do not fit together",
                others[0], others[1]
            )));
        }
        shape.check_ids(self.ids)?;
        shape.check_positions(&self.positions)
    }
}

/// What every model has, whatever its family.
pub struct ModelParts {
    /// The family.
    pub family: &'static Family,
    /// The sizes.
    pub shape: ModelShape,
    /// The parameters.
    pub params: Arc<ParamStore>,
    /// The weight `[V, D]` that turns hidden states into logits.
    pub head: Param,
    /// The bound that logits approach; none if `None`.
    pub logit_cap: Option<f32>,
    /// Whether training computes the inside of each block again on the way back.
    pub recompute: bool,
    /// What one block needs for its backward pass.
    pub block_activations: BlockActivations,
    /// The file that each parameter lies in, once they are loaded.
    pub files: OnceLock<BTreeMap<String, String>>,
}

/// A causal language model: a family, its sizes and its parameters. A family implements the first
/// three methods; the rest follows.
pub trait CausalLm: Send + Sync {
    /// What it has in common with every other model.
    fn parts(&self) -> &ModelParts;

    /// Its configuration as published: what `config.json` holds.
    fn config(&self) -> Value;

    /// The layers themselves: hidden states `[B * T, D]` after the final norm, in the compute type.
    /// Callers use [`CausalLm::hidden`], which checks the input and moves the cache on.
    ///
    /// # Errors
    /// When an operation fails.
    fn forward(&self, ids: &[u32], pass: &Pass, cache: Option<&mut KvCache>) -> Result<Tensor>;

    /// Its family.
    fn family(&self) -> &'static Family {
        self.parts().family
    }

    /// Its sizes.
    fn shape(&self) -> &ModelShape {
        &self.parts().shape
    }

    /// Its parameters. Fresh from `build` they have no values: call
    /// [`ParamStore::initialise`] or load a folder.
    fn params(&self) -> &Arc<ParamStore> {
        &self.parts().params
    }

    /// What turns hidden states into logits.
    fn head(&self) -> Head<'_> {
        let ModelParts { head, logit_cap, .. } = self.parts();
        Head { weight: head, cap: *logit_cap }
    }

    /// Hidden states `[B * T, D]` after the final norm. With a cache, the tokens of each slot (all
    /// in one row) come after those the slot holds, and their keys and values are added to it.
    ///
    /// # Errors
    /// When the input does not fit the model or the cache, or gradients are asked for through a
    /// cache.
    fn hidden(&self, input: &ModelInput<'_>, cache: Option<&mut KvCache>) -> Result<Tensor> {
        self.hidden_watched(input, cache, None)
    }

    /// [`CausalLm::hidden`], showing named activations to `watch` on the way: `embedding`,
    /// `layer.N` and `final_norm`, each `[B * T, D]`.
    ///
    /// # Errors
    /// As [`CausalLm::hidden`].
    fn hidden_watched(
        &self,
        input: &ModelInput<'_>,
        cache: Option<&mut KvCache>,
        watch: Option<Arc<crate::layers::Watch>>,
    ) -> Result<Tensor> {
        input.check(self.shape())?;
        let pass = Pass {
            batch: input.batch,
            positions: Arc::clone(&input.positions),
            segments: input.segments.clone(),
            watch,
        };
        let hidden = match cache {
            None => self.forward(input.ids, &pass, None)?,
            Some(cache) => {
                cache.begin(input)?;
                let hidden = self.forward(input.ids, &pass, Some(&mut *cache))?;
                cache.advance(input.ids);
                hidden
            }
        };
        damage::check(self.parts(), &hidden)?;
        Ok(hidden)
    }

    /// `scale` times the sum of the cross-entropies of the targets that are not -100, with the loss
    /// of every row. `targets: [B * T]`, already shifted: target i is what follows token i.
    ///
    /// # Errors
    /// As [`CausalLm::hidden`], or when a target is outside the vocabulary.
    fn loss(&self, input: &ModelInput<'_>, targets: &[i32], scale: f32) -> Result<CrossEntropy> {
        let hidden = self.hidden(input, None)?;
        Ok(ops::linear_cross_entropy(&hidden, self.head(), targets, scale)?)
    }

    /// The logits of every token, `[B * T, V]` f32. Not differentiable.
    ///
    /// # Errors
    /// As [`CausalLm::hidden`].
    fn logits(&self, input: &ModelInput<'_>, cache: Option<&mut KvCache>) -> Result<Tensor> {
        danlu_tensor::no_grad(|| {
            let hidden = self.hidden(input, cache)?;
            let logits = ops::logits(&hidden, self.head())?;
            damage::check(self.parts(), &logits)?;
            Ok(logits)
        })
    }

    /// `ln p(target)` after every token, 0 where the target is -100. `targets: [B * T]`, already
    /// shifted. Not differentiable; the logits exist a few rows at a time.
    ///
    /// # Errors
    /// As [`CausalLm::loss`].
    fn log_probs(&self, input: &ModelInput<'_>, targets: &[i32]) -> Result<Vec<f32>> {
        danlu_tensor::no_grad(|| {
            let hidden = self.hidden(input, None)?;
            let log_probs = ops::linear_log_probs(&hidden, self.head(), targets)?;
            damage::check_numbers(self.parts(), &log_probs)?;
            Ok(log_probs)
        })
    }
}
