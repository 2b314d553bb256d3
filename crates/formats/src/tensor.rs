//! One tensor of a weight file, whatever the format: its name, shape and element type, and its
//! elements where they lie.

use std::borrow::Cow;
use std::ops::Range;

use danlu_kernels::quant::{QuantMatrix, SharedBytes};

use crate::bytes::Source;
use crate::{ElementType, Error, Result};

/// A tensor of an open weight file. Cloning it copies its name and shape, never its elements.
#[derive(Clone, Debug)]
pub struct WeightTensor {
    name: String,
    element: ElementType,
    shape: Vec<usize>,
    source: Source,
    place: Place,
}

/// Where the elements lie in the file's bytes.
#[derive(Clone, Debug)]
enum Place {
    /// One after the other, the last dimension fastest.
    Run(Range<usize>),
    /// The first at byte `begin`, the next in each dimension `strides` elements further.
    Strided { begin: usize, strides: Vec<usize> },
}

impl WeightTensor {
    /// A tensor whose elements fill `range` of the file, which the format's reader has checked.
    pub(crate) fn run(
        source: &Source,
        name: String,
        element: ElementType,
        shape: Vec<usize>,
        range: Range<usize>,
    ) -> Self {
        assert_eq!(element.size_bytes(&shape), Some(range.len()), "bytes of `{name}`");
        assert!(range.end <= source.as_slice().len(), "`{name}` lies beyond its file");
        Self { name, element, shape, source: source.clone(), place: Place::Run(range) }
    }

    /// A view of plain numbers in any order; the reader has checked that the last one lies in the
    /// file. Strides as of a run become a run.
    pub(crate) fn strided(
        source: &Source,
        name: String,
        element: ElementType,
        shape: Vec<usize>,
        (begin, strides): (usize, Vec<usize>),
    ) -> Self {
        assert_eq!(shape.len(), strides.len(), "strides of `{name}`");
        let size = element.size_bytes(&shape).unwrap_or(usize::MAX);
        if size == 0 || is_run(&shape, &strides) {
            return Self::run(source, name, element, shape, begin..begin.saturating_add(size));
        }
        let place = Place::Strided { begin, strides };
        Self { name, element, shape, source: source.clone(), place }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its elements are.
    #[must_use]
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// Its dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The file it lies in, for messages.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.source.file
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all its elements.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.element.size_bytes(&self.shape).unwrap_or(0)
    }

    /// Its elements, little-endian, the last dimension fastest: borrowed from the file, but a copy
    /// for a transposed or otherwise strided PyTorch tensor.
    #[must_use]
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match &self.place {
            Place::Run(range) => Cow::Borrowed(&self.source.as_slice()[range.clone()]),
            Place::Strided { begin, strides } => Cow::Owned(self.gather(*begin, strides)),
        }
    }

    /// The tensor as a matrix [all but the last dimension, the last], sharing the file's bytes (a
    /// strided one owns a copy). A vector is a matrix of one row.
    ///
    /// # Errors
    /// When the elements are neither F32, F16, BF16 nor quantised.
    pub fn matrix(&self) -> Result<QuantMatrix> {
        let Some(format) = self.element.block_format() else {
            return Err(self.mismatch("F32, F16, BF16 or a quantised type".to_owned()));
        };
        let cols = self.shape.last().copied().unwrap_or(1);
        let rows = self.len().checked_div(cols).unwrap_or(0);
        let matrix = match &self.place {
            Place::Run(range) => {
                let shared: SharedBytes = self.source.bytes.clone();
                QuantMatrix::new(format, (rows, cols), shared, range.clone())
            }
            Place::Strided { begin, strides } => {
                QuantMatrix::from_vec(format, (rows, cols), self.gather(*begin, strides))
            }
        };
        matrix.map_err(|error| self.mismatch(error.to_string()))
    }

    /// Converts floats of any width and quantised blocks to f32.
    ///
    /// # Errors
    /// When the elements are integers, or not exactly as many as `out` has places.
    pub fn read_f32(&self, out: &mut [f32]) -> Result<()> {
        if self.len() != out.len() {
            return Err(self.mismatch(format!("{} elements", out.len())));
        }
        let bytes = self.bytes();
        match self.element {
            ElementType::Plain(dtype) if dtype.read_f32(&bytes, out) => Ok(()),
            ElementType::Plain(_) => Err(self.mismatch("floats".to_owned())),
            ElementType::Block(format) => {
                format.dequantize(&bytes, out);
                Ok(())
            }
        }
    }

    /// The elements as f32, as [`WeightTensor::read_f32`] converts them.
    ///
    /// # Errors
    /// When the elements are integers.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let mut out = vec![0.0; self.len()];
        self.read_f32(&mut out)?;
        Ok(out)
    }

    /// The elements of an integer or boolean tensor.
    ///
    /// # Errors
    /// When they have another type, or do not fit 64 signed bits.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        let mut out = vec![0; self.len()];
        match self.element {
            ElementType::Plain(dtype) if dtype.read_i64(&self.bytes(), &mut out) => Ok(out),
            _ => Err(self.mismatch("integers of at most 63 bits".to_owned())),
        }
    }

    /// Gives the memory that holds its part of a mapped file back to the system; it is read again
    /// when next asked for. A loader that converts tensor after tensor so stays small.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn release(&self) -> Result<()> {
        match &self.place {
            Place::Run(range) => self.source.bytes.release(range.clone()),
            Place::Strided { begin, .. } => {
                self.source.bytes.release(*begin..begin + self.size_bytes())
            }
        }
    }

    fn mismatch(&self, expected: String) -> Error {
        Error::Mismatch {
            file: self.source.file.to_string(),
            name: self.name.clone(),
            found: format!("{} {:?}", self.element, self.shape),
            expected,
        }
    }

    /// The elements of a strided view, in order.
    fn gather(&self, begin: usize, strides: &[usize]) -> Vec<u8> {
        let (bytes, size) = (self.source.as_slice(), self.size_bytes() / self.len().max(1));
        let mut out = Vec::with_capacity(self.size_bytes());
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.len() {
            let element: usize = index.iter().zip(strides).map(|(i, stride)| i * stride).sum();
            let at = begin + element * size;
            out.extend_from_slice(&bytes[at..at + size]);
            for (i, &dim) in index.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < dim {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
}

/// Whether elements with these strides lie one after the other. A dimension of one has no stride.
fn is_run(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1;
    shape.iter().zip(strides).rev().filter(|(dim, _)| **dim != 1).all(|(dim, stride)| {
        let fits = *stride == expected;
        expected = expected.saturating_mul(*dim);
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dtype;

    fn view(shape: &[usize], strides: &[usize], begin: usize) -> WeightTensor {
        let bytes = (0..24_u16).flat_map(u16::to_le_bytes).collect();
        let place = (begin, strides.to_vec());
        let source = Source::owned("memory", bytes);
        WeightTensor::strided(&source, "x".into(), Dtype::U16.into(), shape.to_vec(), place)
    }

    #[test]
    fn strided_views_are_read_in_the_order_of_their_indices() {
        assert_eq!(view(&[3, 2], &[1, 3], 0).to_i64().unwrap(), [0, 3, 1, 4, 2, 5]);
        assert_eq!(view(&[2, 2, 2], &[12, 1, 4], 4).to_i64().unwrap()[..4], [2, 6, 3, 7]);
        assert_eq!(view(&[2, 2], &[0, 1], 2).to_i64().unwrap(), [1, 2, 1, 2], "expanded");
    }

    #[test]
    fn runs_are_borrowed_whatever_the_strides_of_single_dimensions() {
        for (shape, strides) in [(&[2, 1, 3][..], &[3, 99, 1][..]), (&[], &[]), (&[0, 5], &[7, 7])]
        {
            let tensor = view(shape, strides, 2);
            assert!(matches!(tensor.bytes(), Cow::Borrowed(_)), "{shape:?} {strides:?}");
            assert_eq!(tensor.bytes().len(), tensor.size_bytes());
        }
        assert!(matches!(view(&[2, 3], &[1, 2], 0).bytes(), Cow::Owned(_)));
    }

    #[test]
    fn integers_are_no_matrix_and_no_floats() {
        let error = view(&[2, 3], &[3, 1], 0).matrix().unwrap_err().to_string();
        assert_eq!(
            error,
            "memory: tensor `x` is U16 [2, 3], expected F32, F16, BF16 or a quantised type"
        );
        assert!(view(&[2, 3], &[3, 1], 0).to_f32().is_err());
    }
}
