//! The feed-forward part of a block, gated or not. Both add to the residual stream.

use danlu_tensor::ops::{self, Gelu, Layout};
use danlu_tensor::{Result, Tensor};

use super::builder::{normal, normal_residual};
use super::{Builder, Linear, LinearSpec};
use crate::ModelShape;

/// `down(silu(gate x) * up x)`, without biases (SwiGLU, Shazeer 2020, arXiv:2002.05202).
pub struct SwigluMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl SwigluMlp {
    /// Adds `gate_proj`, `up_proj` `[F, D]` and `down_proj` `[D, F]` at `at`.
    #[must_use]
    pub fn build(at: &Builder, shape: &ModelShape) -> Self {
        let (width, inner) = (shape.hidden_size, shape.ffn_size);
        let up = LinearSpec {
            inputs: width,
            outputs: inner,
            layout: Layout::OutIn,
            bias: false,
            init: normal(),
        };
        let init = normal_residual(shape.num_layers);
        let down = LinearSpec { inputs: inner, outputs: width, init, ..up };
        Self {
            gate_proj: Linear::build(&at.at("gate_proj"), up),
            up_proj: Linear::build(&at.at("up_proj"), up),
            down_proj: Linear::build(&at.at("down_proj"), down),
        }
    }

    /// `residual + mlp(x)`; `x, residual: [rows, D]`.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = Linear::forward_all([&self.gate_proj, &self.up_proj], x)?;
        self.down_proj.add_to(residual, &ops::swiglu(&gate, &up)?)
    }
}

/// `c_proj(gelu(c_fc x))` with biases, GELU in its tanh form, as in GPT-2.
pub struct GeluMlp {
    c_fc: Linear,
    c_proj: Linear,
}

impl GeluMlp {
    /// Adds `c_fc` `[D, F]` and `c_proj` `[F, D]` with their biases at `at`.
    #[must_use]
    pub fn build(at: &Builder, shape: &ModelShape) -> Self {
        let (width, inner) = (shape.hidden_size, shape.ffn_size);
        let up = LinearSpec {
            inputs: width,
            outputs: inner,
            layout: Layout::InOut,
            bias: true,
            init: normal(),
        };
        let init = normal_residual(shape.num_layers);
        let down = LinearSpec { inputs: inner, outputs: width, init, ..up };
        Self {
            c_fc: Linear::build(&at.at("c_fc"), up),
            c_proj: Linear::build(&at.at("c_proj"), down),
        }
    }

    /// `residual + mlp(x)`; `x, residual: [rows, D]`.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        let inner = self.c_fc.forward(x)?;
        self.c_proj.add_to(residual, &ops::gelu(&inner, Gelu::Tanh)?)
    }
}
