//! The head of a language model at inference: logits, or the log-probability of given targets.
//!
//! `hidden: [rows, D]` in the compute type, `weight: [V, D]`: `logits = hidden weightᵀ` in f32,
//! or `cap * tanh(logits / cap)` where they have a bound.
//! Neither has a gradient: training uses [`crate::ops::linear_cross_entropy`], which never holds
//! the logits of a batch.

use std::sync::Arc;

use danlu_kernels::cpu::cross_entropy::log_probability;
use danlu_kernels::cpu::gemm::{Epilogue, Matrix, MatrixMut, Packed, Right, gemm};
use danlu_kernels::cpu::quantised::Product;
use danlu_kernels::cpu::soft_cap::soft_cap;
use danlu_kernels::quant::QuantMatrix;

use super::linear_cross_entropy::{check, chunk_rows};
use crate::autograd::refuse_recording;
use crate::frozen::multiply;
use crate::{DType, Device, Param, Result, Tensor};

/// What turns hidden states into logits.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// `[V, D]`
    pub weight: &'a Param,
    /// The bound that logits approach (Gemma 2, arXiv:2408.00118); none if `None`.
    pub cap: Option<f32>,
}

impl<'a> From<&'a Param> for Head<'a> {
    /// A head without a bound.
    fn from(weight: &'a Param) -> Self {
        Self { weight, cap: None }
    }
}

/// The logits of every row, `[rows, V]` f32.
///
/// # Errors
/// When shapes or types do not fit, or gradients would be wanted.
pub fn logits<'a>(hidden: &Tensor, head: impl Into<Head<'a>>) -> Result<Tensor> {
    const OP: &str = "logits";
    let Head { weight, cap } = head.into();
    refuse_recording(OP, &[hidden], weight.wants_gradient())?;
    let (rows, width, vocab_size) = check(OP, hidden, weight)?;
    let mut out = hidden.device().empty(DType::F32, [rows, vocab_size]);
    let x = hidden.as_matrix(rows, width);
    Ready::new(weight).multiply(&x, out.as_matrix_mut(rows, vocab_size));
    if let Some(cap) = cap {
        let Device::Cpu(cpu) = hidden.device();
        soft_cap(cpu, out.as_f32_mut(OP, "out")?, cap);
    }
    Ok(out)
}

/// `ln p(target)` of every row, 0 where the target is -100. The logits exist a chunk at a time.
///
/// # Errors
/// When shapes or types do not fit, a target is outside the vocabulary, or gradients would be
/// wanted.
pub fn linear_log_probs<'a>(
    hidden: &Tensor,
    head: impl Into<Head<'a>>,
    targets: &[i32],
) -> Result<Vec<f32>> {
    const OP: &str = "linear_log_probs";
    let Head { weight, cap } = head.into();
    refuse_recording(OP, &[hidden], weight.wants_gradient())?;
    let (rows, width, vocab_size) = check(OP, hidden, weight)?;
    super::linear_cross_entropy::check_targets(OP, targets, rows, vocab_size)?;
    let Device::Cpu(cpu) = hidden.device();
    let (head, chunk) = (Ready::new(weight), chunk_rows(vocab_size));
    let mut scratch = cpu.arena.buffer::<f32>(chunk.min(rows) * vocab_size);
    let mut scores = vec![0.0; rows];
    for (number, targets) in targets.chunks(chunk).enumerate() {
        let (start, count) = (number * chunk, targets.len());
        let logits = &mut scratch[..count * vocab_size];
        let out = MatrixMut::new(&mut *logits, count, vocab_size);
        head.multiply(&hidden.rows_as_matrix(start, count, width), out);
        if let Some(cap) = cap {
            soft_cap(cpu, logits, cap);
        }
        log_probability(cpu, logits, targets, &mut scores[start..start + count]);
    }
    Ok(scores)
}

/// The weight `[V, D]`, ready for `hidden weightᵀ`.
enum Ready<'a> {
    Packed(&'a Param, Arc<Packed>),
    Frozen(&'a Param, &'a QuantMatrix),
}

impl<'a> Ready<'a> {
    fn new(weight: &'a Param) -> Self {
        match weight.frozen() {
            Some(matrix) => Self::Frozen(weight, matrix),
            None => Self::Packed(weight, weight.packed(true)),
        }
    }

    /// `out = hidden weightᵀ`
    fn multiply(&self, hidden: &Matrix<'_>, mut out: MatrixMut<'_>) {
        let epilogue = Epilogue::default();
        match self {
            Self::Frozen(weight, matrix) => {
                let product = Product { weight: matrix, out, epilogue };
                multiply(weight.store(), hidden, &mut [product]);
            }
            Self::Packed(weight, packed) => {
                let Device::Cpu(cpu) = weight.device();
                let right = Right::Packed(packed);
                gemm(cpu, weight.precision(), hidden, &right, &mut out, &epilogue);
            }
        }
    }
}
