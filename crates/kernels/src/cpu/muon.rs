//! The elementwise parts of Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in
//! neural networks"). Between the two, the caller orthogonalises the update by Newton-Schulz
//! iteration, which is matrix products.

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::at_level;
use crate::{Cpu, Element};

/// The momentum of one matrix.
#[derive(Clone, Copy, Debug)]
pub struct MuonMomentum {
    /// Share of the old average that stays.
    pub momentum: f32,
    /// Whether the update looks one step ahead (Nesterov).
    pub nesterov: bool,
    /// Factor on every gradient: clipping and the mean over a batch.
    pub grad_scale: f32,
}

/// With `g = grad * grad_scale`: `average += (1 - momentum) * (g - average)`; `out` is
/// `g + momentum * (average - g)` with Nesterov's look ahead, else `average`. All flat.
pub fn muon_momentum<O: Element>(
    cpu: &Cpu,
    settings: MuonMomentum,
    grad: &[f32],
    average: &mut [f32],
    out: &mut [O],
) {
    assert_eq!(grad.len(), average.len(), "muon_momentum: length of grad");
    assert_eq!(out.len(), average.len(), "muon_momentum: length of out");
    let MuonMomentum { momentum, nesterov, grad_scale } = settings;
    let chunks = (read(grad, CHUNK), write(average, CHUNK), write(out, CHUNK));
    for_each(cpu, &chunks, |_, (grad, average, out)| {
        at_level!(cpu, L => {
            for ((grad, average), out) in grad.iter().zip(average).zip(out) {
                let g = grad * grad_scale;
                *average += (1.0 - momentum) * (g - *average);
                let ahead = if nesterov { g + momentum * (*average - g) } else { *average };
                *out = O::from_f32(ahead);
            }
        });
    });
}

/// `value = (1 - lr * weight_decay) * value - lr * scale * update`; flat, of equal length. The
/// published `scale` of a matrix `[rows, cols]` is `√max(1, rows / cols)`.
pub fn muon_update<U: Element>(cpu: &Cpu, settings: MuonUpdate, update: &[U], value: &mut [f32]) {
    assert_eq!(update.len(), value.len(), "muon_update: length of update");
    let keep = 1.0 - settings.lr * settings.weight_decay;
    let rate = settings.lr * settings.scale;
    for_each(cpu, &(read(update, CHUNK), write(value, CHUNK)), |_, (update, value)| {
        at_level!(cpu, L => {
            for (update, value) in update.iter().zip(value) {
                *value = keep * *value - rate * update.to_f32();
            }
        });
    });
}

/// The last step of one matrix.
#[derive(Clone, Copy, Debug)]
pub struct MuonUpdate {
    /// Learning rate.
    pub lr: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Factor for the matrix's shape.
    pub scale: f32,
}
