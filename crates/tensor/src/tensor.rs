//! Values with a shape: storage, number type, and the edge to the operation that made them.

use std::sync::Arc;

use danlu_kernels::cpu::elementwise::convert;
use danlu_kernels::cpu::gemm::{Matrix, MatrixMut};
use danlu_kernels::{Buffer, Element, Precision, bf16};

use crate::autograd::Edge;
use crate::{Device, Error, Result, Shape};

/// The number type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DType {
    /// 32-bit IEEE floats.
    F32,
    /// The upper half of an f32.
    Bf16,
}

impl DType {
    /// Bytes per element.
    #[must_use]
    pub fn size_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

impl From<Precision> for DType {
    /// The type that activations have at a precision.
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// The memory behind a tensor.
#[derive(Debug)]
pub enum Storage {
    /// f32 elements in CPU memory.
    F32(Buffer<f32>),
    /// bf16 elements in CPU memory.
    Bf16(Buffer<bf16>),
}

/// Binds the typed slice in a [`Storage`] and runs the body for either element type. Several
/// storages in parentheses must have the same type, which the caller has checked.
#[macro_export]
macro_rules! with_elements {
    ($storage:expr, |$slice:ident| $body:expr) => {
        match $storage {
            $crate::Storage::F32($slice) => $body,
            $crate::Storage::Bf16($slice) => $body,
        }
    };
    (($($storage:expr),+), |$($slice:ident),+| $body:expr) => {
        match ($($storage),+) {
            ($($crate::Storage::F32($slice)),+) => $body,
            ($($crate::Storage::Bf16($slice)),+) => $body,
            _ => unreachable!("storages of different types"),
        }
    };
}

/// A dense, row-major array on a device. Clones share memory and are cheap.
#[derive(Clone)]
pub struct Tensor {
    storage: Arc<Storage>,
    shape: Shape,
    device: Device,
    edge: Option<Edge>,
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tensor({:?} {})", self.dtype(), self.shape)
    }
}

impl Tensor {
    pub(crate) fn from_storage(device: Device, storage: Storage, shape: Shape) -> Self {
        Self { storage: Arc::new(storage), shape, device, edge: None }
    }

    /// The shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The number type.
    #[must_use]
    pub fn dtype(&self) -> DType {
        match *self.storage {
            Storage::F32(_) => DType::F32,
            Storage::Bf16(_) => DType::Bf16,
        }
    }

    /// Where it lives.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The memory, to read.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// The memory of a tensor that nobody else holds, to write.
    ///
    /// # Panics
    /// When the tensor is shared. Operations call this on tensors they just made.
    pub fn storage_mut(&mut self) -> &mut Storage {
        let shape = self.shape;
        Arc::get_mut(&mut self.storage)
            .unwrap_or_else(|| panic!("a tensor of shape {shape} is shared and cannot be written"))
    }

    /// Whether this is the only handle on its memory, so that an operation may work in place.
    #[must_use]
    pub fn is_unique(&mut self) -> bool {
        Arc::get_mut(&mut self.storage).is_some()
    }

    /// The f32 elements.
    ///
    /// # Errors
    /// When the tensor is not f32.
    pub fn as_f32(&self, op: &'static str, what: &'static str) -> Result<&[f32]> {
        match &*self.storage {
            Storage::F32(buffer) => Ok(buffer),
            Storage::Bf16(_) => {
                Err(Error::DType { op, what, found: self.dtype(), expected: DType::F32 })
            }
        }
    }

    /// The f32 elements of a tensor that nobody else holds, to write.
    ///
    /// # Errors
    /// When the tensor is not f32.
    ///
    /// # Panics
    /// When the tensor is shared.
    pub fn as_f32_mut(&mut self, op: &'static str, what: &'static str) -> Result<&mut [f32]> {
        self.expect_dtype(op, what, DType::F32)?;
        match self.storage_mut() {
            Storage::F32(buffer) => Ok(buffer),
            Storage::Bf16(_) => unreachable!("the type was checked"),
        }
    }

    /// All elements as f32 values, copied.
    #[must_use]
    pub fn to_vec(&self) -> Vec<f32> {
        with_elements!(self.storage(), |x| x.iter().map(|v| v.to_f32()).collect())
    }

    /// The value of a tensor with one element.
    ///
    /// # Panics
    /// When there is not exactly one element.
    #[must_use]
    pub fn scalar(&self) -> f32 {
        assert_eq!(self.shape.len(), 1, "a scalar was read from a tensor of shape {}", self.shape);
        with_elements!(self.storage(), |x| x[0].to_f32())
    }

    /// The same memory under another shape of as many elements. Differentiable.
    ///
    /// # Errors
    /// When the numbers of elements differ.
    pub fn reshape(mut self, shape: impl Into<Shape>) -> Result<Self> {
        let shape = shape.into();
        if shape.len() != self.shape.len() {
            return Err(Error::Shape {
                op: "reshape",
                what: "the new shape",
                found: shape,
                expected: format!("{} elements, as {}", self.shape.len(), self.shape),
            });
        }
        // Gradients are accumulated by element, so the edge can stay: see `autograd`.
        self.shape = shape;
        Ok(self)
    }

    /// The same values without the history that made them; what an operation saves for its
    /// backward.
    #[must_use]
    pub fn detach(&self) -> Self {
        Self { edge: None, ..self.clone() }
    }

    /// The elements as a matrix of kernels, `[rows, cols]`.
    pub(crate) fn as_matrix(&self, rows: usize, cols: usize) -> Matrix<'_> {
        with_elements!(self.storage(), |x| Matrix::new(&**x, rows, cols))
    }

    /// The elements of a tensor that nobody else holds as a matrix to write, `[rows, cols]`.
    pub(crate) fn as_matrix_mut(&mut self, rows: usize, cols: usize) -> MatrixMut<'_> {
        with_elements!(self.storage_mut(), |x| MatrixMut::new(&mut **x, rows, cols))
    }

    /// Rows `start .. start + rows` of `[_, cols]` as a matrix of kernels.
    pub(crate) fn rows_as_matrix(&self, start: usize, rows: usize, cols: usize) -> Matrix<'_> {
        with_elements!(self.storage(), |x| Matrix::new(&x[start * cols..], rows, cols))
    }

    /// [`Tensor::rows_as_matrix`] of a tensor that nobody else holds, to write.
    pub(crate) fn rows_as_matrix_mut(
        &mut self,
        start: usize,
        rows: usize,
        cols: usize,
    ) -> MatrixMut<'_> {
        with_elements!(self.storage_mut(), |x| MatrixMut::new(&mut x[start * cols..], rows, cols))
    }

    /// A copy of the values as `dtype`, without history.
    #[must_use]
    pub(crate) fn copy_as(&self, dtype: DType) -> Self {
        let Device::Cpu(cpu) = &self.device;
        let mut copy = self.device.empty(dtype, self.shape);
        with_elements!(self.storage(), |x| with_elements!(copy.storage_mut(), |out| convert(
            cpu, x, out
        )));
        copy
    }

    /// The values as `dtype`, without history: the same memory if that is their type already.
    #[must_use]
    pub(crate) fn into_dtype(self, dtype: DType) -> Self {
        if self.dtype() == dtype { Self { edge: None, ..self } } else { self.copy_as(dtype) }
    }

    /// The values without history in memory that nobody else holds: copied if somebody does.
    #[must_use]
    pub(crate) fn into_unique(mut self) -> Self {
        if self.is_unique() { Self { edge: None, ..self } } else { self.copy_as(self.dtype()) }
    }

    /// The edge to the operation that made this tensor, if it was recorded.
    #[must_use]
    pub(crate) fn edge(&self) -> Option<&Edge> {
        self.edge.as_ref()
    }

    pub(crate) fn with_edge(mut self, edge: Edge) -> Self {
        self.edge = Some(edge);
        self
    }

    /// Checks the shape of the argument `what` of `op`.
    ///
    /// # Errors
    /// When it differs from `expected`.
    pub(crate) fn expect_shape(
        &self,
        op: &'static str,
        what: &'static str,
        expected: impl Into<Shape>,
    ) -> Result<()> {
        let expected = expected.into();
        if self.shape == expected {
            return Ok(());
        }
        Err(self.shape_error(op, what, expected.to_string()))
    }

    /// Checks the number type of the argument `what` of `op`.
    ///
    /// # Errors
    /// When it differs from `expected`.
    pub(crate) fn expect_dtype(
        &self,
        op: &'static str,
        what: &'static str,
        expected: DType,
    ) -> Result<()> {
        let found = self.dtype();
        if found == expected { Ok(()) } else { Err(Error::DType { op, what, found, expected }) }
    }

    /// An error about this tensor's shape.
    #[must_use]
    pub fn shape_error(
        &self,
        op: &'static str,
        what: &'static str,
        expected: impl Into<String>,
    ) -> Error {
        Error::Shape { op, what, found: self.shape, expected: expected.into() }
    }
}
