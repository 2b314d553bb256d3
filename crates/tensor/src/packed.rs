//! Weights in the layout that matrix products read, made from the master values and kept as long as
//! these do not change.
//!
//! Kept only where no gradients are wanted: training uses each layout once a step, so keeping it
//! would cost memory and save nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use danlu_kernels::cpu::gemm::{Matrix, Packed};

use crate::{Device, Param};

/// The packed weights of a store: by parameter and whether it is transposed, with the version of
/// the store that they were made from.
#[derive(Default)]
pub(crate) struct PackedWeights(Mutex<BTreeMap<(usize, bool), (u64, Arc<Packed>)>>);

impl PackedWeights {
    /// `weight` as the right-hand matrix of a product: `[rows, cols]` as it is stored, or its
    /// transpose.
    pub(crate) fn get(&self, weight: &Param, index: usize, transposed: bool) -> Arc<Packed> {
        let version = weight.store().version();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_from, packed)) = kept.get(&(index, transposed))
            && *made_from == version
        {
            return Arc::clone(packed);
        }
        let packed = Arc::new(pack(weight, transposed));
        if !weight.wants_gradient() {
            kept.insert((index, transposed), (version, Arc::clone(&packed)));
        }
        packed
    }
}

fn pack(weight: &Param, transposed: bool) -> Packed {
    let Device::Cpu(cpu) = weight.device();
    let values = weight.values();
    let (rows, cols) = (weight.shape().rows(), weight.shape().cols());
    let matrix = Matrix::new(&*values, rows, cols);
    Packed::new(cpu, weight.precision(), &if transposed { matrix.t() } else { matrix })
}
