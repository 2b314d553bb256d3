//! Weights that are no numbers, in matrices that are read where they lie.
//!
//! What is copied to learn is checked as it is copied. Frozen matrices are not read when a file is
//! opened, so that is found out by what they do: hidden states are looked at after every pass, some
//! thousand numbers, as are the results of the head, and only if one is no number are the matrices
//! searched for the cause.

use danlu_tensor::{Storage, Tensor};

use crate::{Error, ModelParts, Result};

/// The first frozen matrix of a model that holds a number that is none.
#[must_use]
pub fn find_damage(parts: &ModelParts) -> Option<Error> {
    parts.params.specs().iter().find_map(|spec| {
        let matrix = spec.frozen.as_ref()?.get()?;
        let mut row = vec![0.0; matrix.cols()];
        let value = (0..matrix.rows()).find_map(|index| {
            matrix.dequantize_row(index, &mut row);
            row.iter().copied().find(|value| !value.is_finite())
        })?;
        let file = parts.files.get().and_then(|files| files.get(&spec.name));
        Some(Error::Weights {
            file: file.cloned().unwrap_or_else(|| "the model's file".to_owned()),
            tensor: spec.name.clone(),
            problem: not_finite(value),
        })
    })
}

/// What is wrong with a tensor that holds `value`, and what to do.
pub(crate) fn not_finite(value: f32) -> String {
    format!("holds {value}; the file is damaged or its training failed, fetch it again")
}

/// Refuses results that are no numbers because of a frozen matrix.
pub(crate) fn check(parts: &ModelParts, result: &Tensor) -> Result<()> {
    check_if(parts, || match result.storage() {
        Storage::F32(x) => x.iter().all(|x| x.is_finite()),
        Storage::Bf16(x) => x.iter().all(|x| x.is_finite()),
    })
}

/// [`check`] for numbers that are no tensor.
pub(crate) fn check_numbers(parts: &ModelParts, results: &[f32]) -> Result<()> {
    check_if(parts, || results.iter().all(|x| x.is_finite()))
}

fn check_if(parts: &ModelParts, is_finite: impl FnOnce() -> bool) -> Result<()> {
    if !parts.params.freezes_matrices() || is_finite() {
        return Ok(());
    }
    find_damage(parts).map_or(Ok(()), Err)
}
