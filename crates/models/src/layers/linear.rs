//! `y = x W + b`. The weight is hidden, so a block never knows how it is stored.

use danlu_tensor::ops::{self, Layout, LinearWeight};
use danlu_tensor::{Init, Param, Result, Tensor};

use super::Builder;

/// A linear layer.
pub struct Linear {
    weight: Weight,
}

/// How the weight is stored.
enum Weight {
    Dense { weight: Param, bias: Option<Param>, layout: Layout },
}

/// What a linear layer is to be.
#[derive(Clone, Copy, Debug)]
pub struct LinearSpec {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
    /// How the weight lies in the published checkpoints.
    pub layout: Layout,
    /// Whether there is a bias; it starts at zero.
    pub bias: bool,
    /// First values of the weight.
    pub init: Init,
}

impl Linear {
    /// Adds `weight` and, if there is one, `bias` at `at`. Frozen weights are always `[out, in]`.
    #[must_use]
    pub fn build(at: &Builder, spec: LinearSpec) -> Self {
        let LinearSpec { inputs, outputs, bias, init, .. } = spec;
        let layout = if at.freezes_matrices() { Layout::OutIn } else { spec.layout };
        let shape = match layout {
            Layout::OutIn => [outputs, inputs],
            Layout::InOut => [inputs, outputs],
        };
        let weight = at.param("weight", shape, init);
        let bias = bias.then(|| at.param("bias", [outputs], Init::Zeros));
        Self { weight: Weight::Dense { weight, bias, layout } }
    }

    fn dense(&self) -> LinearWeight<'_> {
        let Weight::Dense { weight, bias, layout } = &self.weight;
        LinearWeight { weight, bias: bias.as_ref(), layout: *layout }
    }

    /// `x: [rows, inputs] -> [rows, outputs]`, in the compute type.
    ///
    /// # Errors
    /// When the shape of `x` does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::linear(x, &self.dense())
    }

    /// `residual + forward(x)`, `[rows, outputs]` f32.
    ///
    /// # Errors
    /// When a shape does not fit.
    pub fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        ops::linear_add(x, &self.dense(), residual)
    }

    /// Several layers on the same input, which is read once.
    ///
    /// # Errors
    /// When the shape of `x` does not fit.
    ///
    /// # Panics
    /// Never: there are as many outputs as layers.
    pub fn forward_all<const N: usize>(layers: [&Self; N], x: &Tensor) -> Result<[Tensor; N]> {
        let outputs = ops::linears(x, &layers.map(Self::dense))?;
        Ok(outputs.try_into().unwrap_or_else(|_| unreachable!("one output for each layer")))
    }
}
