//! Parameters by path: names are those of the published checkpoints, so nothing is renamed.

use std::sync::Arc;

use danlu_tensor::{Init, Param, ParamStore, Shape};

/// A place in a model's tree of names, where parameters can be added.
#[derive(Clone)]
pub struct Builder {
    store: Arc<ParamStore>,
    /// The path with its trailing dot, or nothing at the root.
    prefix: String,
}

impl Builder {
    /// The root of a store's names.
    #[must_use]
    pub fn new(store: &Arc<ParamStore>) -> Self {
        Self { store: Arc::clone(store), prefix: String::new() }
    }

    /// The place `name` below this one; `name` may have several parts.
    #[must_use]
    pub fn at(&self, name: &str) -> Self {
        Self { store: Arc::clone(&self.store), prefix: format!("{}{name}.", self.prefix) }
    }

    /// Whether matrices are bound to the bytes of a file.
    #[must_use]
    pub fn freezes_matrices(&self) -> bool {
        self.store.freezes_matrices()
    }

    /// Adds the parameter `name` here.
    #[must_use]
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Param {
        self.store.add(&format!("{}{name}", self.prefix), shape, init)
    }
}

/// Standard deviation of fresh weights, of LLaMA's and GPT-2's published configurations
/// (`initializer_range`).
const INIT_STD: f32 = 0.02;

/// First values of a weight.
#[must_use]
pub fn normal() -> Init {
    Init::Normal(INIT_STD)
}

/// First values of a weight whose output is added to the residual stream: smaller, so that the sum
/// over the `2 * num_layers` such additions keeps its size (GPT-2, Radford et al. 2019, section
/// 2.3).
#[must_use]
pub fn normal_residual(num_layers: usize) -> Init {
    Init::Normal(INIT_STD / (2.0 * num_layers as f32).sqrt())
}
