//! Weights in the layout that matrix products read, made from the master values and kept as long as
//! these do not change.
//!
//! Kept only where no gradients are wanted: training uses each layout once a step, so keeping it
//! would cost memory and save nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use danlu_kernels::cpu::gemm::{Matrix, Packed};

use crate::{Device, Param};

/// The packed weights of a store, by parameter and whether it is transposed.
#[derive(Default)]
pub(crate) struct PackedWeights(Mutex<BTreeMap<(usize, bool), Kept>>);

/// A packed weight and the version of the store that it was made from.
struct Kept {
    version: u64,
    packed: Arc<Packed>,
}

impl PackedWeights {
    /// `weight` as the right-hand matrix of a product: `[rows, cols]` as it is stored, or its
    /// transpose.
    pub(crate) fn get(&self, weight: &Param, index: usize, transposed: bool) -> Arc<Packed> {
        let version = weight.store().version();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&(index, transposed))
            && found.version == version
        {
            return Arc::clone(&found.packed);
        }
        let packed = Arc::new(pack(weight, transposed));
        if !weight.wants_gradient() {
            let entry = Kept { version, packed: Arc::clone(&packed) };
            kept.insert((index, transposed), entry);
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
