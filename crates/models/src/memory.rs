//! What a training step will need, before it is run.
//!
//! Weights, gradients and optimiser state are there all the time. On top come the activations that
//! the forward pass keeps for the backward pass, and the larger of two peaks: while the loss and
//! its gradient are computed in chunks of rows, and while the last block walks back. A test holds
//! the sum to what the arena measures.

use std::ops::Add;

use danlu_tensor::DType;

use crate::CausalLm;

/// What a block needs for its backward pass, in numbers a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockActivations {
    /// f32 numbers kept by the forward pass: the residual stream, and what norms and attention
    /// remember of each row.
    pub kept_f32: usize,
    /// Numbers kept in the compute type: everything between.
    pub kept_compute: usize,
    /// Numbers in the compute type that come on top while the feed-forward part, the widest, walks
    /// back.
    pub backward_compute: usize,
}

impl Add for BlockActivations {
    type Output = Self;
    /// What two parts of a block need, which walk back one after the other.
    fn add(self, other: Self) -> Self {
        Self {
            kept_f32: self.kept_f32 + other.kept_f32,
            kept_compute: self.kept_compute + other.kept_compute,
            backward_compute: self.backward_compute.max(other.backward_compute),
        }
    }
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

/// Logits that the loss holds at once, and the fewest rows of them.
const HEAD_CHUNK: (usize, usize) = (1 << 21, 128);

/// What training `model` needs at its worst moment. The model need not have values yet.
#[must_use]
pub fn memory_plan(model: &dyn CausalLm, setup: &TrainingSetup) -> MemoryPlan {
    let shape = model.shape();
    let (layers, rows) = (shape.num_layers, setup.batch * setup.tokens);
    let element = DType::from(model.params().precision()).size_bytes();
    let flat = model.params().flat_len();
    let residual = rows * shape.hidden_size * 4;
    let BlockActivations { kept_f32, kept_compute, backward_compute } =
        model.parts().block_activations;
    let block = rows * (kept_f32 * 4 + kept_compute * element);
    let activations = layers * if model.parts().recompute { residual } else { block };

    // The loss: the residual stream and its norm, the gradient of that, a chunk of logits with its
    // gradient, and the head packed for both products.
    let chunk = (HEAD_CHUNK.0 / shape.vocab_size).max(HEAD_CHUNK.1).min(rows);
    let hidden = rows * shape.hidden_size * element;
    let packed_head = shape.vocab_size * shape.hidden_size * element;
    let head = residual + 2 * hidden + chunk * shape.vocab_size * (4 + element) + 2 * packed_head;
    // The last block: the gradient that arrives and those inside, and what was not kept.
    let again = if model.parts().recompute { block - residual } else { 0 };
    let inside = residual + rows * backward_compute * element + again;
    MemoryPlan {
        weights: flat * 4,
        gradients: flat * 4,
        optimizer: flat * setup.optimizer_bytes_per_weight,
        activations,
        working: head.max(inside),
    }
}
