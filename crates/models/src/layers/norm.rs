//! The two norms before a block's parts and after the last block, and the norm of heads.

use danlu_tensor::ops::{self, RmsNormSpec};
use danlu_tensor::{Init, Param, Result, Tensor};

use super::Builder;
use crate::memory::BlockActivations;

/// Root-mean-square norm (Zhang & Sennrich 2019, arXiv:1910.07467): a gain, no bias, no mean.
pub struct RmsNorm {
    weight: Param,
    spec: RmsNormSpec,
}

impl RmsNorm {
    /// Adds `weight` `[width]` at `at`; the gain starts at one.
    #[must_use]
    pub fn build(at: &Builder, width: usize, spec: impl Into<RmsNormSpec>) -> Self {
        let spec = spec.into();
        let init = if spec.offset == 0.0 { Init::Ones } else { Init::Zeros };
        Self { weight: at.param("weight", [width], init), spec }
    }

    /// `x: [rows, D]` -> `[rows, D]` in the compute type.
    ///
    /// # Errors
    /// When the shape of `x` does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.spec)
    }

    /// What it keeps of a row of the residual stream: the row and its root mean square.
    #[must_use]
    pub fn activations(&self) -> BlockActivations {
        let kept_f32 = self.weight.shape().len() + 1;
        BlockActivations { kept_f32, ..BlockActivations::default() }
    }
}

/// [`RmsNorm`] of each head of queries or keys, all with one gain.
pub struct HeadNorm(RmsNorm);

impl HeadNorm {
    /// Adds `weight` `[Dh]` at `at`.
    #[must_use]
    pub fn build(at: &Builder, head_dim: usize, spec: RmsNormSpec) -> Self {
        Self(RmsNorm::build(at, head_dim, spec))
    }

    /// `x: [rows, heads * Dh]` -> the same shape, in the compute type.
    ///
    /// # Errors
    /// When the shape of `x` does not fit.
    pub fn forward(&self, x: Tensor) -> Result<Tensor> {
        let (shape, head_dim) = (x.shape(), self.0.weight.shape().len());
        let heads = x.reshape([shape.len() / head_dim, head_dim])?;
        self.0.forward(&heads)?.reshape(shape)
    }
}

/// Layer norm (Ba et al. 2016, arXiv:1607.06450): mean and variance, a gain and a bias.
pub struct LayerNorm {
    weight: Param,
    bias: Param,
    eps: f32,
}

impl LayerNorm {
    /// Adds `weight` and `bias` `[width]`, ones and zeros, at `at`.
    #[must_use]
    pub fn build(at: &Builder, width: usize, eps: f64) -> Self {
        let weight = at.param("weight", [width], Init::Ones);
        Self { weight, bias: at.param("bias", [width], Init::Zeros), eps: eps as f32 }
    }

    /// `x: [rows, D]` f32 -> `[rows, D]` in the compute type.
    ///
    /// # Errors
    /// When the shape of `x` does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::layer_norm(x, &self.weight, &self.bias, self.eps)
    }

    /// What it keeps of a row of the residual stream: the row, its mean and its deviation.
    #[must_use]
    pub fn activations(&self) -> BlockActivations {
        let kept_f32 = self.weight.shape().len() + 2;
        BlockActivations { kept_f32, ..BlockActivations::default() }
    }
}
