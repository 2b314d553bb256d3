//! What a training step will need, before it is run.
//!
//! Weights, gradients and optimiser state are there all the time. On top come the activations that
//! the forward pass keeps for the backward pass, and the larger of two peaks: while the loss and its
//! gradient are computed in chunks of rows, and while the last block walks back. A test holds the
//! sum to what the arena measures.

use danlu_tensor::DType;

use crate::CausalLm;

/// What one block keeps for its backward pass, in numbers a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptActivations {
    /// f32 numbers: the residual stream, and what norms and attention remember of each row.
    pub f32_columns: usize,
    /// Numbers in the compute type: everything between.
    pub compute_columns: usize,
}

/// How a model is to be trained, as far as memory is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrainingSetup {
    /// B: rows computed at once (of a micro-batch).
    pub batch: usize,
    /// T: tokens in a row.
    pub tokens: usize,
    /// Bytes of optimiser state a weight.
    pub optimizer_bytes_per_weight: usize,
}

/// Bytes that a training step needs, by what for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MemoryPlan {
    /// Master weights, f32.
    pub weights: usize,
    /// Their gradients, f32.
    pub gradients: usize,
    /// What the optimiser remembers.
    pub optimizer: usize,
    /// What the forward pass keeps for the backward pass.
    pub activations: usize,
    /// What comes on top at the worst moment: a chunk of logits, or the gradients inside a block.
    pub working: usize,
}

impl MemoryPlan {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> usize {
        self.weights + self.gradients + self.optimizer + self.activations + self.working
    }
}

/// What training `model` needs at its worst moment. The model need not have values yet.
#[must_use]
pub fn memory_plan(model: &dyn CausalLm, setup: &TrainingSetup) -> MemoryPlan {
    let shape = model.shape();
    let rows = setup.batch * setup.tokens;
    let element = DType::from(model.params().precision()).size_bytes();
    let flat = model.params().flat_len();
    let kept = model.kept_by_block();
    let block = rows * (kept.f32_columns * 4 + kept.compute_columns * element);
    let residual = rows * shape.hidden_size * 4;
    let activations = if model.recompute() {
        shape.num_layers * residual + block
    } else {
        shape.num_layers * block
    };
    MemoryPlan {
        weights: flat * 4,
        gradients: flat * 4,
        optimizer: flat * setup.optimizer_bytes_per_weight,
        activations,
        working: 0,
    }
}
