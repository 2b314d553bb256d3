//! The two norms before a block's parts and after the last block.

use danlu_tensor::{Init, Param, Result, Tensor, ops};

use super::Builder;

/// Root-mean-square norm (Zhang & Sennrich 2019, arXiv:1910.07467): a gain, no bias, no mean.
pub struct RmsNorm {
    weight: Param,
    eps: f32,
}

impl RmsNorm {
    /// Adds `weight` `[width]`, all ones, at `at`.
    #[must_use]
    pub fn build(at: &Builder, width: usize, eps: f64) -> Self {
        Self { weight: at.param("weight", [width], Init::Ones), eps: eps as f32 }
    }

    /// `x: [rows, D]` f32 -> `[rows, D]` in the compute type.
    ///
    /// # Errors
    /// When the shape of `x` does not fit.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::rms_norm(x, &self.weight, self.eps)
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
}
