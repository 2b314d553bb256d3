//! The loss of a language model: the last linear layer and the cross-entropy after it, so that the
//! logits of a batch never exist: f32 logits exist for a chunk of rows, their gradient in the
//! compute type for a block of chunks.
//!
//! `hidden: [rows, D]` in the compute type, `weight: [V, D]`, `targets: [rows]`, each in `0..V` or
//! -100 (ignored): `row_loss = -ln softmax(hidden weightᵀ)[target]`, `loss = scale * Σ row_loss`.
//! Logits may have a bound, `cap * tanh(logits / cap)`; its slope is a factor of their gradient.
//!
//! The gradients are computed on the way forward, after each block: `d_logits = scale * (softmax -
//! onehot)`, `d_hidden = d_logits weight`, `d_weight += d_logitsᵀ hidden`. So the factor must be
//! known before: it is `scale`, and the gradient that arrives at the loss must be 1.

use danlu_kernels::Buffer;
use danlu_kernels::cpu::cross_entropy::{self as kernel, IGNORE};
use danlu_kernels::cpu::gemm::{Epilogue, MatrixMut, Right, gemm};
use danlu_kernels::cpu::soft_cap::{soft_cap, soft_cap_backward};

use super::logits::Head;
use crate::autograd::{is_recording, record};
use crate::{DType, Device, Error, Param, Result, Tensor, with_elements};

const OP: &str = "linear_cross_entropy";

/// A loss and what it is made of.
#[derive(Debug)]
pub struct CrossEntropy {
    /// `scale * Σ row_losses`, a scalar.
    pub loss: Tensor,
    /// `-ln p(target)` of every row in nats, 0 where the target is ignored. `[rows]`
    pub row_losses: Vec<f32>,
}

/// Logits that exist at once: some MiB, which stay in the last cache until they are used up.
const CHUNK_LOGITS: usize = 1 << 21;
/// Fewer rows would make the products narrow.
const CHUNK_ROWS_MIN: usize = 128;
/// Logits whose gradient exists at once.
const BLOCK_LOGITS: usize = 1 << 24;
/// A block reads the weight twice and its gradient once, which takes a fair part of the time of the
/// products of fewer rows.
const BLOCK_ROWS_MIN: usize = 1024;

/// Rows of logits that exist at once; depends on the vocabulary only, so every split of a batch
/// sums in the same order.
pub(super) fn chunk_rows(vocab_size: usize) -> usize {
    (CHUNK_LOGITS / vocab_size.max(1)).max(CHUNK_ROWS_MIN)
}

/// Rows of a block: whole chunks; depends on the vocabulary only, as a chunk does.
fn block_rows(vocab_size: usize) -> usize {
    let chunk = chunk_rows(vocab_size);
    (BLOCK_LOGITS / vocab_size.max(1)).max(BLOCK_ROWS_MIN).next_multiple_of(chunk)
}

/// The loss of `hidden` `[rows, D]` under a head `[V, D]`.
///
/// # Errors
/// When shapes or types do not fit, or a target is neither -100 nor in the vocabulary.
pub fn linear_cross_entropy<'a>(
    hidden: &Tensor,
    head: impl Into<Head<'a>>,
    targets: &[i32],
    scale: f32,
) -> Result<CrossEntropy> {
    let head = head.into();
    let (rows, _, vocab_size) = check(OP, hidden, head.weight)?;
    check_targets(OP, targets, rows, vocab_size)?;
    Ok(in_blocks(hidden, head, (targets, scale), block_rows(vocab_size)))
}

/// [`linear_cross_entropy`] of what was checked, in blocks of so many rows.
fn in_blocks(
    hidden: &Tensor,
    head: Head<'_>,
    (targets, scale): (&[i32], f32),
    block: usize,
) -> CrossEntropy {
    let trains = head.weight.wants_gradient();
    let mut pass = Pass::new(hidden, head, (is_recording(&[hidden], trains), block));
    let mut row_losses = vec![0.0; targets.len()];
    for (number, (targets, losses)) in
        targets.chunks(block).zip(row_losses.chunks_mut(block)).enumerate()
    {
        pass.forward(number * block, targets, scale, losses);
        pass.backward(number * block, targets.len());
    }
    let sum: f64 = row_losses.iter().map(|&loss| f64::from(loss)).sum();
    let loss = hidden.device().tensor(DType::F32, [], &[(sum * f64::from(scale)) as f32]);
    let d_hidden = pass.d_hidden;
    let loss = record(&[hidden], trains, loss, move |d_loss| {
        // Weight gradients are already added, so a factor would come too late.
        if d_loss.scalar() != 1.0 {
            let message = format!("the gradient of the loss is {}, it must be 1", d_loss.scalar());
            return Err(Error::Value { op: OP, message });
        }
        Ok(vec![d_hidden])
    });
    CrossEntropy { loss, row_losses }
}

/// `(rows, D, V)`, after a check that they fit.
pub(super) fn check(
    op: &'static str,
    hidden: &Tensor,
    weight: &Param,
) -> Result<(usize, usize, usize)> {
    let &[vocab_size, width] = weight.shape().dims() else {
        return Err(weight.shape_error(op, "the weight", "a matrix [V, D]"));
    };
    let rows = hidden.shape().rows();
    hidden.expect_shape(op, "hidden", [rows, width])?;
    hidden.expect_dtype(op, "hidden", weight.precision().into())?;
    Ok((rows, width, vocab_size))
}

/// One target a row, each in the vocabulary or -100.
pub(super) fn check_targets(
    op: &'static str,
    targets: &[i32],
    rows: usize,
    vocab_size: usize,
) -> Result<()> {
    if targets.len() != rows {
        let message = format!("{} targets for {rows} rows", targets.len());
        return Err(Error::Value { op, message });
    }
    let fits = |target: i32| target == IGNORE || (0..vocab_size as i64).contains(&target.into());
    match targets.iter().find(|&&target| !fits(target)) {
        None => Ok(()),
        Some(target) => {
            let message = format!("target {target} is neither -100 nor in 0..{vocab_size}");
            Err(Error::Value { op, message })
        }
    }
}

/// The walk over the blocks.
struct Pass<'a> {
    hidden: &'a Tensor,
    weight: &'a Param,
    cap: Option<f32>,
    /// There only when something asks for it.
    d_hidden: Option<Tensor>,
    logits: Buffer<f32>,
    /// A copy of the logits under a bound, for its slope; empty if there is none, or no recording.
    capped: Buffer<f32>,
    /// The gradient of a block's logits in the compute type; empty unless recording.
    d_logits: Tensor,
    recording: bool,
}

impl<'a> Pass<'a> {
    fn new(hidden: &'a Tensor, head: Head<'a>, (recording, block): (bool, usize)) -> Self {
        let Head { weight, cap } = head;
        let Device::Cpu(cpu) = hidden.device();
        let (rows, vocab_size) = (hidden.shape().rows(), weight.shape().rows());
        let d_rows = if recording { block.min(rows) } else { 0 };
        let chunk = chunk_rows(vocab_size).min(rows) * vocab_size;
        let wants_d_hidden = recording && hidden.edge().is_some();
        Self {
            hidden,
            weight,
            cap,
            d_hidden: wants_d_hidden.then(|| hidden.device().empty(hidden.dtype(), hidden.shape())),
            logits: cpu.arena.buffer(chunk),
            capped: cpu.arena.buffer(if cap.is_some() && recording { chunk } else { 0 }),
            d_logits: hidden.device().empty(hidden.dtype(), [d_rows, vocab_size]),
            recording,
        }
    }

    /// Losses of the block of rows from `start` on and, when recording, the gradient of its logits.
    fn forward(&mut self, start: usize, targets: &[i32], scale: f32, losses: &mut [f32]) {
        let Device::Cpu(cpu) = self.hidden.device();
        let (vocab_size, width) = (self.weight.shape().rows(), self.weight.shape().cols());
        let (packed, chunk) = (self.weight.packed(true), chunk_rows(vocab_size));
        let chunks = targets.chunks(chunk).zip(losses.chunks_mut(chunk));
        for (first, (targets, losses)) in (0..).step_by(chunk).zip(chunks) {
            let rows = targets.len();
            let hidden = self.hidden.rows_as_matrix(start + first, rows, width);
            let logits = &mut self.logits[..rows * vocab_size];
            let mut out = MatrixMut::new(&mut *logits, rows, vocab_size);
            let (precision, plain) = (self.weight.precision(), Epilogue::default());
            gemm(cpu, precision, &hidden, &Right::Packed(&packed), &mut out, &plain);
            if let Some(cap) = self.cap {
                soft_cap(cpu, logits, cap);
            }
            if !self.recording {
                kernel::cross_entropy(cpu, logits, targets, losses);
                continue;
            }
            let capped = self.capped.get_mut(..logits.len());
            capped.into_iter().for_each(|capped| capped.copy_from_slice(logits));
            with_elements!(self.d_logits.storage_mut(), |d_logits| {
                let d_logits = &mut d_logits[first * vocab_size..][..rows * vocab_size];
                kernel::cross_entropy_backward(cpu, logits, targets, scale, losses, d_logits);
                if let Some(cap) = self.cap {
                    soft_cap_backward(cpu, &self.capped[..rows * vocab_size], cap, d_logits);
                }
            });
        }
    }

    /// The gradients that a block of rows gives, when recording.
    fn backward(&mut self, start: usize, rows: usize) {
        if !self.recording {
            return;
        }
        let Device::Cpu(cpu) = self.hidden.device();
        let (vocab_size, width) = (self.weight.shape().rows(), self.weight.shape().cols());
        let (precision, plain) = (self.weight.precision(), Epilogue::default());
        let d_logits = self.d_logits.rows_as_matrix(0, rows, vocab_size);
        if let Some(d_hidden) = &mut self.d_hidden {
            let packed = self.weight.packed(false);
            let mut out = d_hidden.rows_as_matrix_mut(start, rows, width);
            gemm(cpu, precision, &d_logits, &Right::Packed(&packed), &mut out, &plain);
        }
        if self.weight.wants_gradient() {
            let hidden = self.hidden.rows_as_matrix(start, rows, width);
            self.weight.add_gradient(|d_weight, accumulate| {
                let mut out = MatrixMut::new(d_weight, vocab_size, width);
                let add = Epilogue { accumulate, ..Epilogue::default() };
                gemm(cpu, precision, &d_logits.t(), &Right::Matrix(hidden), &mut out, &add);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, ParamStore, Precision, backward};

    #[test]
    fn blocks_of_any_size_give_the_same_loss_and_gradients() {
        const ROWS: usize = 70;
        let device = Device::cpu(2).unwrap();
        let targets: Vec<i32> = (0..ROWS as i32).map(|i| i * 7 % 30).collect();
        let values: Vec<f32> =
            (0..ROWS * 8).map(|i| ((i * 37 % 64) as f32 - 32.0) / 32.0).collect();
        let run = |precision: Precision, block| {
            let store = ParamStore::new(device.clone(), precision);
            let weight = store.add("head", [30, 8], Init::Normal(0.3));
            store.initialise(1);
            store.enable_gradients();
            let hidden = device.tensor(precision.into(), [ROWS, 8], &values).leaf();
            let head = Head { weight: &weight, cap: Some(2.0) };
            let out = in_blocks(&hidden, head, (&targets, 0.1), block);
            let one = device.tensor(DType::F32, [], &[1.0]);
            let d_hidden = backward(&out.loss, one).unwrap().take(&hidden).unwrap();
            (out.row_losses, d_hidden.to_vec(), weight.gradient())
        };
        for precision in [Precision::F32, Precision::Bf16] {
            let (losses, d_hidden, d_weight) = run(precision, ROWS);
            for block in [1, 16, 69] {
                let blocks = run(precision, block);
                assert_eq!((&blocks.0, &blocks.1), (&losses, &d_hidden), "{precision:?} {block}");
                for (a, b) in blocks.2.iter().zip(&d_weight) {
                    assert!((a - b).abs() < 1e-5, "{precision:?} by {block}: {a} and {b}");
                }
            }
        }
    }
}
