//! Numbers in fewer bits: of the matrices of a model that is loaded, and of files that are written.

use std::sync::OnceLock;

use danlu_formats::TensorEntry;
use danlu_formats::gguf::{Mix, MixFacts};
use danlu_kernels::Cpu;
use danlu_kernels::quant::{BlockFormat, NotQuantizable, QuantMatrix};
use danlu_tensor::ParamSpec;

use crate::{CausalLm, Error, Result};

/// Numbers that a thread converts at a time, about.
const TASK_NUMBERS: usize = 1 << 16;

/// The type that each of these matrices has in a file of the mix.
pub(crate) fn plan(
    model: &dyn CausalLm,
    mix: &Mix,
    specs: &[&ParamSpec],
) -> Result<Vec<BlockFormat>> {
    let mut num_experts = 0;
    let mut entries = Vec::with_capacity(specs.len());
    for spec in specs {
        let place = model.family().gguf.place(&spec.name).ok_or_else(|| {
            Error::Input(format!("GGUF has no name for `{}`, so no rule for its type", spec.name))
        })?;
        num_experts = num_experts.max(place.expert.map_or(0, |expert| expert + 1));
        let shape = spec.shape.dims().to_vec();
        entries.push(TensorEntry { name: place.name, element: BlockFormat::F32.into(), shape });
    }
    let shape = model.shape();
    let facts = MixFacts {
        num_layers: shape.num_layers,
        heads_per_kv_head: shape.num_heads / shape.num_kv_heads,
        num_experts,
        has_importance: false,
    };
    Ok(mix.plan(&facts, &entries))
}

/// Whether numbers take fewer bits in one type than in the other.
pub(crate) fn is_smaller(one: BlockFormat, other: BlockFormat) -> bool {
    one.block_bytes() * other.block_len() < other.block_bytes() * one.block_len()
}

/// A matrix in another type, or what is wrong with its numbers. Beside both, only some rows are in
/// memory as f32.
pub(crate) fn matrix(
    cpu: &Cpu,
    source: &QuantMatrix,
    format: BlockFormat,
) -> std::result::Result<QuantMatrix, String> {
    let shape = (source.rows(), source.cols());
    let read = |row: usize, out: &mut [f32]| source.dequantize_row(row, out);
    let bytes = encode_rows(cpu, format, shape, None, &read)?;
    QuantMatrix::from_vec(format, shape, bytes).map_err(|error| error.to_string())
}

/// Rows of `cols` numbers in a type, or what is wrong with them.
pub(crate) fn encode(
    cpu: &Cpu,
    format: BlockFormat,
    (values, cols): (&[f32], usize),
    importance: Option<&[f32]>,
) -> std::result::Result<Vec<u8>, String> {
    let read = |row: usize, out: &mut [f32]| {
        out.copy_from_slice(&values[row * cols..(row + 1) * cols]);
    };
    encode_rows(cpu, format, (values.len() / cols.max(1), cols), importance, &read)
}

/// Rows in a type, on all threads: `read` writes the numbers of a row to their place.
fn encode_rows(
    cpu: &Cpu,
    format: BlockFormat,
    (rows, cols): (usize, usize),
    importance: Option<&[f32]>,
    read: &(dyn Fn(usize, &mut [f32]) + Sync),
) -> std::result::Result<Vec<u8>, String> {
    let row_bytes = format.row_bytes(cols).ok_or_else(|| {
        format!("has rows of {cols} numbers, which are no whole blocks of {format}")
    })?;
    let rows_of_a_task = (TASK_NUMBERS / cols.max(1)).clamp(1, rows.max(1));
    let mut bytes = vec![0; rows * row_bytes];
    let fault = OnceLock::new();
    cpu.pool.for_each_chunk(&mut bytes, rows_of_a_task * row_bytes, |task, out| {
        let first = task * rows_of_a_task;
        let mut values = vec![0.0; out.len() / row_bytes * cols];
        for (index, row) in values.chunks_exact_mut(cols).enumerate() {
            read(first + index, row);
        }
        if let Err(NotQuantizable { index, value }) = format.quantize(&values, importance, out) {
            fault.get_or_init(|| NotQuantizable { index: first * cols + index, value }.to_string());
        }
    });
    match fault.into_inner() {
        Some(problem) => Err(format!("cannot be {format}: {problem}")),
        None => Ok(bytes),
    }
}
