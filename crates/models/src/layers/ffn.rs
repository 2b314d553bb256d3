//! The feed-forward part of a block, gated or not. All add to the residual stream.

use danlu_tensor::ops::{self, Gelu, Layout};
use danlu_tensor::{Result, Tensor};

use super::builder::{normal, normal_residual};
use super::{Builder, Linear, LinearSpec};
use crate::ModelShape;
use crate::memory::BlockActivations;

/// A feed-forward part, whatever it is made of.
pub trait FeedForward: Send + Sync + 'static {
    /// `mlp(x)`, `[rows, D]` in the compute type; `x: [rows, D]`.
    ///
    /// # Errors
    /// When a shape does not fit.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;

    /// `residual + mlp(x)`, f32; `x, residual: [rows, D]`.
    ///
    /// # Errors
    /// When a shape does not fit.
    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor>;

    /// What it keeps for its backward, a token.
    fn activations(&self) -> BlockActivations;
}

/// `(gate, up) -> [rows, F]`: [`ops::swiglu`] or [`ops::geglu`].
pub type GatedActivation = fn(&Tensor, &Tensor) -> Result<Tensor>;

/// What a gated feed-forward part is to be.
#[derive(Clone, Copy)]
pub struct GatedMlpSpec {
    /// D.
    pub hidden_size: usize,
    /// F.
    pub ffn_size: usize,
    /// Whether the three matrices have biases.
    pub bias: bool,
    /// What the gate goes through.
    pub activation: GatedActivation,
    /// Blocks of the model: its output starts the smaller, the more there are.
    pub num_layers: usize,
    /// Names of gate, up and down.
    pub names: [&'static str; 3],
}

impl GatedMlpSpec {
    /// SwiGLU without biases under LLaMA's names.
    #[must_use]
    pub fn swiglu(shape: &ModelShape) -> Self {
        Self {
            hidden_size: shape.hidden_size,
            ffn_size: shape.ffn_size,
            bias: false,
            activation: ops::swiglu,
            num_layers: shape.num_layers,
            names: ["gate_proj", "up_proj", "down_proj"],
        }
    }
}

/// `down(activation(gate x) * up x)` (Shazeer 2020, arXiv:2002.05202).
pub struct GatedMlp {
    gate: Linear,
    up: Linear,
    down: Linear,
    spec: GatedMlpSpec,
}

impl GatedMlp {
    /// Adds gate and up `[F, D]` and down `[D, F]` at `at`.
    #[must_use]
    pub fn build(at: &Builder, spec: GatedMlpSpec) -> Self {
        let up = LinearSpec {
            inputs: spec.hidden_size,
            outputs: spec.ffn_size,
            layout: Layout::OutIn,
            bias: spec.bias,
            init: normal(),
        };
        let init = normal_residual(spec.num_layers);
        let down = LinearSpec { inputs: up.outputs, outputs: up.inputs, init, ..up };
        let [gate_name, up_name, down_name] = spec.names.map(|name| at.at(name));
        Self {
            gate: Linear::build(&gate_name, up),
            up: Linear::build(&up_name, up),
            down: Linear::build(&down_name, down),
            spec,
        }
    }

    fn inner(&self, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], x)?;
        (self.spec.activation)(&gate, &up)
    }
}

impl FeedForward for GatedMlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&self.inner(x)?)
    }

    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.down.add_to(residual, &self.inner(x)?)
    }

    fn activations(&self) -> BlockActivations {
        BlockActivations {
            kept_f32: 0,
            // Its input; gate, up and their product.
            kept_compute: self.spec.hidden_size + 3 * self.spec.ffn_size,
            // The gradients of gate and up.
            backward_compute: 2 * self.spec.ffn_size,
        }
    }
}

/// What a feed-forward part without a gate is to be.
#[derive(Clone, Copy, Debug)]
pub struct GeluMlpSpec {
    /// Names of the matrix that widens and the one that narrows.
    pub names: [&'static str; 2],
    /// How both lie in the published checkpoints.
    pub layout: Layout,
    /// Which form of GELU.
    pub form: Gelu,
}

/// `down(gelu(up x))` with biases.
pub struct GeluMlp {
    up: Linear,
    down: Linear,
    form: Gelu,
    shape: ModelShape,
}

impl GeluMlp {
    /// Adds both matrices with their biases at `at`.
    #[must_use]
    pub fn build(at: &Builder, shape: &ModelShape, spec: GeluMlpSpec) -> Self {
        let up = LinearSpec {
            inputs: shape.hidden_size,
            outputs: shape.ffn_size,
            layout: spec.layout,
            bias: true,
            init: normal(),
        };
        let init = normal_residual(shape.num_layers);
        let down = LinearSpec { inputs: up.outputs, outputs: up.inputs, init, ..up };
        let [up_name, down_name] = spec.names.map(|name| at.at(name));
        Self {
            up: Linear::build(&up_name, up),
            down: Linear::build(&down_name, down),
            form: spec.form,
            shape: *shape,
        }
    }
}

impl FeedForward for GeluMlp {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.down.forward(&ops::gelu(&self.up.forward(x)?, self.form)?)
    }

    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        self.down.add_to(residual, &ops::gelu(&self.up.forward(x)?, self.form)?)
    }

    fn activations(&self) -> BlockActivations {
        BlockActivations {
            kept_f32: 0,
            // Its input; before and after GELU.
            kept_compute: self.shape.hidden_size + 2 * self.shape.ffn_size,
            // The gradient before GELU.
            backward_compute: self.shape.ffn_size,
        }
    }
}
