//! The loss of a language model: the last linear layer and the cross-entropy after it, in chunks of
//! rows, so that the logits of a batch never exist.
//!
//! `hidden: [rows, D]` in the compute type, `weight: [V, D]`, `targets: [rows]`, each in `0..V` or
//! -100 (ignored): `row_loss = -ln softmax(hidden weightᵀ)[target]`, `loss = scale * Σ row_loss`.
//!
//! The gradients are computed on the way forward, while a chunk of logits is there: `d_logits =
//! scale * (softmax - onehot)`, `d_hidden = d_logits weight`, `d_weight += d_logitsᵀ hidden`. So
//! the factor must be known before: it is `scale`, and the gradient that arrives at the loss must
//! be 1.

use std::sync::Arc;

use danlu_kernels::Buffer;
use danlu_kernels::cpu::cross_entropy::{self as kernel, IGNORE};
use danlu_kernels::cpu::gemm::{Epilogue, MatrixMut, Packed, Right, gemm};

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

/// Rows of logits that exist at once; depends on the vocabulary only, so every split of a batch
/// sums in the same order.
pub(super) fn chunk_rows(vocab_size: usize) -> usize {
    (CHUNK_LOGITS / vocab_size.max(1)).max(CHUNK_ROWS_MIN)
}

/// The loss of `hidden` `[rows, D]` under the head `weight` `[V, D]`.
///
/// # Errors
/// When shapes or types do not fit, or a target is neither -100 nor in the vocabulary.
pub fn linear_cross_entropy(
    hidden: &Tensor,
    weight: &Param,
    targets: &[i32],
    scale: f32,
) -> Result<CrossEntropy> {
    let (rows, _, vocab_size) = check(OP, hidden, weight)?;
    check_targets(OP, targets, rows, vocab_size)?;
    let trains = weight.wants_gradient();
    let mut pass = Pass::new(hidden, weight, is_recording(&[hidden], trains));
    let mut row_losses = vec![0.0; rows];
    let chunk = chunk_rows(vocab_size);
    for (number, (targets, losses)) in
        targets.chunks(chunk).zip(row_losses.chunks_mut(chunk)).enumerate()
    {
        pass.chunk(number * chunk, targets, scale, losses);
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
    Ok(CrossEntropy { loss, row_losses })
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

/// The walk over the chunks: what is packed once, and where gradients go.
struct Pass<'a> {
    hidden: &'a Tensor,
    weight: &'a Param,
    forward: Arc<Packed>,
    /// The weight for `d_hidden`; there only when something asks for it.
    backward: Option<Arc<Packed>>,
    d_hidden: Option<Tensor>,
    logits: Buffer<f32>,
    /// The gradient of the logits in the compute type.
    d_logits: Tensor,
    recording: bool,
}

impl<'a> Pass<'a> {
    fn new(hidden: &'a Tensor, weight: &'a Param, recording: bool) -> Self {
        let Device::Cpu(cpu) = hidden.device();
        let vocab_size = weight.shape().rows();
        let rows = chunk_rows(vocab_size).min(hidden.shape().rows());
        let wants_d_hidden = recording && hidden.edge().is_some();
        let place = || hidden.device().empty(hidden.dtype(), hidden.shape());
        let d_rows = if recording { rows } else { 0 };
        Self {
            hidden,
            weight,
            forward: weight.packed(true),
            backward: wants_d_hidden.then(|| weight.packed(false)),
            d_hidden: wants_d_hidden.then(place),
            logits: cpu.arena.buffer(rows * vocab_size),
            d_logits: hidden.device().empty(hidden.dtype(), [d_rows, vocab_size]),
            recording,
        }
    }

    /// Losses of the rows from `start` on and, when recording, all gradients.
    fn chunk(&mut self, start: usize, targets: &[i32], scale: f32, losses: &mut [f32]) {
        let Device::Cpu(cpu) = self.hidden.device();
        let (vocab_size, width) = (self.weight.shape().rows(), self.weight.shape().cols());
        let (rows, precision) = (targets.len(), self.weight.precision());
        let hidden = self.hidden.rows_as_matrix(start, rows, width);
        let logits = &mut self.logits[..rows * vocab_size];
        let mut out = MatrixMut::new(&mut *logits, rows, vocab_size);
        let plain = Epilogue::default();
        gemm(cpu, precision, &hidden, &Right::Packed(&self.forward), &mut out, &plain);
        if !self.recording {
            return kernel::cross_entropy(cpu, logits, targets, losses);
        }
        with_elements!(self.d_logits.storage_mut(), |d_logits| {
            let d_logits = &mut d_logits[..rows * vocab_size];
            kernel::cross_entropy_backward(cpu, logits, targets, scale, losses, d_logits);
        });
        let d_logits = self.d_logits.rows_as_matrix(0, rows, vocab_size);
        if let (Some(d_hidden), Some(packed)) = (&mut self.d_hidden, &self.backward) {
            let mut out = d_hidden.rows_as_matrix_mut(start, rows, width);
            gemm(cpu, precision, &d_logits, &Right::Packed(packed), &mut out, &plain);
        }
        if self.weight.wants_gradient() {
            self.weight.add_gradient(|d_weight, accumulate| {
                let mut out = MatrixMut::new(d_weight, vocab_size, width);
                let add = Epilogue { accumulate, ..Epilogue::default() };
                gemm(cpu, precision, &d_logits.t(), &Right::Matrix(hidden), &mut out, &add);
            });
        }
    }
}
