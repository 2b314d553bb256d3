//! What the elements of a tensor are: plain numbers or quantised blocks.

use danlu_kernels::quant::BlockFormat;

use crate::Dtype;

/// The type of a tensor's elements. F32, F16 and BF16 are always `Plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ElementType {
    /// One number after the other.
    Plain(Dtype),
    /// Blocks of quantised numbers along the last dimension.
    Block(BlockFormat),
}

impl From<Dtype> for ElementType {
    fn from(dtype: Dtype) -> Self {
        Self::Plain(dtype)
    }
}

impl From<BlockFormat> for ElementType {
    fn from(format: BlockFormat) -> Self {
        match format {
            BlockFormat::F32 => Self::Plain(Dtype::F32),
            BlockFormat::F16 => Self::Plain(Dtype::F16),
            BlockFormat::Bf16 => Self::Plain(Dtype::Bf16),
            _ => Self::Block(format),
        }
    }
}

impl ElementType {
    /// Its name in the formats that have it: `BF16`, `I64`, `Q4_K`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.name(),
            Self::Block(format) => format.name(),
        }
    }

    /// As a block format, for types that a [`QuantMatrix`](danlu_kernels::quant::QuantMatrix) has.
    #[must_use]
    pub fn block_format(self) -> Option<BlockFormat> {
        match self {
            Self::Plain(Dtype::F32) => Some(BlockFormat::F32),
            Self::Plain(Dtype::F16) => Some(BlockFormat::F16),
            Self::Plain(Dtype::Bf16) => Some(BlockFormat::Bf16),
            Self::Plain(_) => None,
            Self::Block(format) => Some(format),
        }
    }

    /// Bytes of a tensor of this shape; none when its rows are no whole blocks or the product
    /// overflows.
    #[must_use]
    pub fn size_bytes(self, shape: &[usize]) -> Option<usize> {
        // Of the numbers too, so that their count can be had without another check.
        let len = shape.iter().try_fold(1_usize, |len, &dim| len.checked_mul(dim))?;
        match self {
            Self::Plain(dtype) => len.checked_mul(dtype.size_bytes()),
            Self::Block(format) => {
                let cols = shape.last().copied().unwrap_or(1);
                let rows = len.checked_div(cols).unwrap_or(0);
                format.row_bytes(cols)?.checked_mul(rows)
            }
        }
    }
}

impl std::fmt::Display for ElementType {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_whole_blocks_and_never_overflow() {
        let q4_k = ElementType::from(BlockFormat::Q4K);
        assert_eq!(q4_k.size_bytes(&[2, 3, 512]), Some(6 * 288));
        assert_eq!(q4_k.size_bytes(&[2, 100]), None);
        assert_eq!(q4_k.size_bytes(&[7, 0]), Some(0));
        assert_eq!(q4_k.size_bytes(&[]), None, "a scalar is no block");
        assert_eq!(q4_k.size_bytes(&[1 << 40, 1 << 30]), None);
        let f16 = ElementType::from(BlockFormat::F16);
        assert_eq!(f16, ElementType::Plain(Dtype::F16));
        assert_eq!(f16.size_bytes(&[]), Some(2));
        assert_eq!(f16.size_bytes(&[1 << 33, 1 << 33]), None);
        assert_eq!(ElementType::Plain(Dtype::F64).size_bytes(&[1 << 61]), None);
    }
}
