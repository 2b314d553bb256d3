//! Where tensors live and operations run, as a value.

use std::sync::Arc;

use danlu_kernels::{Cpu, Element, Simd};

use crate::{DType, Result, Shape, Storage, Tensor};

/// A device. Cheap to clone; clones are the same device.
#[derive(Clone, Debug)]
pub enum Device {
    /// This machine's processor, with its threads and memory.
    Cpu(Arc<Cpu>),
}

impl Device {
    /// The CPU with `threads` threads, at the best instruction level or the one in `DANLU_SIMD`.
    ///
    /// # Errors
    /// When `DANLU_SIMD` names a level this CPU lacks.
    pub fn cpu(threads: usize) -> Result<Self> {
        Ok(Self::Cpu(Arc::new(Cpu::new(threads)?)))
    }

    /// The CPU at a given instruction level, for tests.
    #[must_use]
    pub fn cpu_with_simd(threads: usize, simd: Simd) -> Self {
        Self::Cpu(Arc::new(Cpu::with_simd(threads, simd)))
    }

    /// A tensor with unspecified contents, for operations that write all of it.
    #[must_use]
    pub fn empty(&self, dtype: DType, shape: impl Into<Shape>) -> Tensor {
        let shape = shape.into();
        match self {
            Self::Cpu(cpu) => {
                let storage = match dtype {
                    DType::F32 => Storage::F32(cpu.arena.buffer(shape.len())),
                    DType::Bf16 => Storage::Bf16(cpu.arena.buffer(shape.len())),
                };
                Tensor::from_storage(self.clone(), storage, shape)
            }
        }
    }

    /// A tensor holding `values`, converted to `dtype`.
    ///
    /// # Panics
    /// When there are not exactly as many values as the shape has elements.
    #[must_use]
    pub fn tensor(&self, dtype: DType, shape: impl Into<Shape>, values: &[f32]) -> Tensor {
        let shape = shape.into();
        assert_eq!(values.len(), shape.len(), "values for a tensor of shape {shape}");
        let mut tensor = self.empty(dtype, shape);
        match tensor.storage_mut() {
            Storage::F32(buffer) => buffer.copy_from_slice(values),
            Storage::Bf16(buffer) => {
                for (to, from) in buffer.iter_mut().zip(values) {
                    *to = Element::from_f32(*from);
                }
            }
        }
        tensor
    }
}
