//! Attention to what a cache holds of one or several sequences, and the rows it holds.
//!
//! `q, out: [rows, H * Dh]`, the new tokens of each sequence one after the other; keys and values
//! are rows of `K * Dh` numbers as [`KvRows`] keeps them. The formula is that of
//! [`super::attention`](fn@super::attention). Not differentiable.

use std::ops::Range;

use danlu_kernels::Buffer;
use danlu_kernels::cpu::attention::{self as kernel, CachedRows, Rows, RowsMut};
use danlu_kernels::quant::BlockFormat;

pub use kernel::CachedSequence;

use super::attention::{AttentionSpec, precision_of};
use crate::autograd::refuse_recording;
use crate::{Device, Error, Result, Storage, Tensor, with_elements};

const OP: &str = "attention_cached";

/// Keys or values of many tokens, in f32, f16, bf16, or Q8_0 with a scale for each 32 numbers.
pub struct KvRows {
    device: Device,
    format: BlockFormat,
    rows: usize,
    width: usize,
    bytes: Buffer<u8>,
}

impl KvRows {
    /// Reserves `rows` rows of `heads` times `head_dim` numbers; what is in them is not specified.
    ///
    /// # Errors
    /// When a cache cannot have the format, or a head is no whole number of its blocks.
    pub fn reserve(
        device: &Device,
        format: BlockFormat,
        rows: usize,
        [heads, head_dim]: [usize; 2],
    ) -> Result<Self> {
        let error = |message| Err(Error::Value { op: OP, message });
        if !CachedRows::FORMATS.contains(&format) {
            let [a, b, c, d] = CachedRows::FORMATS;
            return error(format!("a cache cannot be {format}; choose {a}, {b}, {c} or {d}"));
        }
        let Some(head_bytes) = format.row_bytes(head_dim) else {
            return error(format!(
                "a cache in {format} needs heads of a multiple of {} numbers, this model's have \
                 {head_dim}; choose F16",
                format.block_len()
            ));
        };
        let Device::Cpu(cpu) = device;
        let bytes = cpu.arena.buffer(rows * heads * head_bytes);
        Ok(Self { device: device.clone(), format, rows, width: heads * head_dim, bytes })
    }

    /// Bytes reserved.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    fn row_bytes(&self) -> usize {
        self.bytes.len() / self.rows.max(1)
    }

    /// Writes the rows `from` of `x` `[_, K * Dh]` over the rows from `start` on.
    ///
    /// # Errors
    /// When the rows do not fit, a number is too large for the format, or gradients would be
    /// wanted.
    pub fn write(&mut self, x: &Tensor, from: Range<usize>, start: usize) -> Result<()> {
        refuse_recording(OP, &[x], false)?;
        let (width, row_bytes) = (self.width, self.row_bytes());
        x.expect_shape(OP, "x", [x.shape().rows(), width])?;
        if from.end > x.shape().rows() || start + from.len() > self.rows {
            let expected = format!("rows {from:?} to write to row {start} of {}", self.rows);
            return Err(x.shape_error(OP, "x", expected));
        }
        let bytes = &mut self.bytes[start * row_bytes..][..from.len() * row_bytes];
        let part = from.start * width..from.end * width;
        let written = match x.storage() {
            Storage::F32(x) => self.format.quantize(&x[part], None, bytes),
            Storage::Bf16(x) => {
                let Device::Cpu(cpu) = &self.device;
                let mut numbers = cpu.arena.buffer::<f32>(part.len());
                numbers.iter_mut().zip(&x[part]).for_each(|(to, x)| *to = x.to_f32());
                self.format.quantize(&numbers, None, bytes)
            }
        };
        written.map_err(|error| Error::Value {
            op: OP,
            message: format!("a key or value cannot be kept: {error}; choose F32 for the cache"),
        })
    }

    /// Copies `rows` rows, from row `from` on, over those from row `to` on.
    ///
    /// # Panics
    /// When there are not that many.
    pub fn copy_within(&mut self, from: usize, to: usize, rows: usize) {
        let row_bytes = self.row_bytes();
        self.bytes.copy_within(from * row_bytes..(from + rows) * row_bytes, to * row_bytes);
    }

    fn cached(&self) -> CachedRows<'_> {
        CachedRows::new(&self.bytes, self.format)
    }
}

/// Attention of the new tokens `q` of some sequences to all that a cache holds of each.
///
/// # Errors
/// When shapes do not fit each other, or gradients would be wanted.
pub fn attention_cached(
    q: &Tensor,
    [k, v]: [&KvRows; 2],
    sequences: &[CachedSequence],
    spec: &AttentionSpec,
) -> Result<Tensor> {
    refuse_recording(OP, &[q], false)?;
    spec.check_heads(OP, q)?;
    let (width, kv_width) = spec.widths();
    let mut rows = 0;
    for CachedSequence { queries, keys } in sequences {
        let held = k.rows.min(v.rows);
        if queries.start != rows || queries.len() > keys.len() || keys.end > held {
            let expected = format!("queries {queries:?} of keys {keys:?} among {held}");
            return Err(q.shape_error(OP, "q", expected));
        }
        rows = queries.end;
    }
    q.expect_shape(OP, "q", [rows, width])?;
    if [k.width, v.width] != [kv_width; 2] {
        let expected = format!("key heads of {kv_width} numbers together, as the cache");
        return Err(q.shape_error(OP, "q", expected));
    }
    let Device::Cpu(cpu) = q.device();
    let mut out = q.device().empty(q.dtype(), q.shape());
    let cpu = (&**cpu, precision_of(q.dtype()));
    with_elements!((q.storage(), out.storage_mut()), |q, out| {
        let (q, mut out) =
            (Rows::contiguous(q, rows, width), RowsMut::contiguous(out, rows, width));
        let cached = [k.cached(), v.cached()];
        kernel::attention_cached(cpu, &spec.shape(0, 0), sequences, &q, cached, &mut out);
    });
    Ok(out)
}
