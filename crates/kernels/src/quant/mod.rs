//! Quantised weights: blocks of numbers as ggml lays them out, and matrices of such blocks.
//!
//! A *block* is a run of consecutive numbers of one row that share their scales. Each format's file
//! says what its bytes are (the layouts are those of `ggml-common.h`,
//! <https://github.com/ggml-org/ggml>) and turns a block into f32, bit for bit as the `gguf` Python
//! package does. Read [`BlockFormat`], then [`QuantMatrix`], then `q4_0` (the simplest) and `q4_k`
//! (scales of scales).
//!
//! **Invariants.** All numbers are little-endian. Nothing here needs its bytes aligned. The loops
//! are plain Rust, the reference for the fast products elsewhere.

mod iq4;
mod matrix;
mod plain;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_k;
mod q5_0;
mod q5_k;
mod q6_k;
mod q8_0;
mod search;
mod super_block;

pub use iq4::IQ4_VALUES;
pub use matrix::{QuantMatrix, ShapeError, SharedBytes};
pub use plain::{bf16_to_f32, f16_to_f32, f32_to_f16};
pub use q3_k::unpack_scales as unpack_scales_q3_k;
pub use q4_k::unpack_scales as unpack_scales_q4_k;

/// Numbers in a block of every format whose name ends in `K` or is `IQ4_XS`.
pub const SUPER_BLOCK: usize = 256;

/// How the numbers of a row are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlockFormat {
    /// 32-bit floats.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// 4 bits, one scale per 32.
    Q4_0,
    /// 4 bits, scale and minimum per 32.
    Q4_1,
    /// 5 bits, one scale per 32.
    Q5_0,
    /// 5 bits, scale and minimum per 32.
    Q5_1,
    /// 8 bits, one scale per 32.
    Q8_0,
    /// 2 bits, 4-bit scale and minimum per 16.
    Q2K,
    /// 3 bits, 6-bit scale per 16.
    Q3K,
    /// 4 bits, 6-bit scale and minimum per 32.
    Q4K,
    /// 5 bits, 6-bit scale and minimum per 32.
    Q5K,
    /// 6 bits, 8-bit scale per 16.
    Q6K,
    /// 4 bits that choose from a table of 16 values, one scale per 32.
    Iq4Nl,
    /// As `Iq4Nl`, 6-bit scale per 32.
    Iq4Xs,
}

/// What there is to know about a format.
struct Row {
    format: BlockFormat,
    name: &'static str,
    ggml_type: u32,
    block_len: usize,
    block_bytes: usize,
    dequantize: Dequantize,
    quantize: Quantize,
}

type Dequantize = fn(&[u8], &mut [f32]);
type Quantize = fn(&[f32], Option<&[f32]>, &mut [u8]);

/// The table of formats, in the order of the variants (a test holds it there).
const TABLE: &[Row] = &[
    row(BlockFormat::F32, "F32", 0, (1, 4), (plain::dequantize_f32, plain::quantize_f32)),
    row(BlockFormat::F16, "F16", 1, (1, 2), (plain::dequantize_f16, plain::quantize_f16)),
    row(BlockFormat::Bf16, "BF16", 30, (1, 2), (plain::dequantize_bf16, plain::quantize_bf16)),
    row(BlockFormat::Q4_0, "Q4_0", 2, (32, 18), (q4_0::dequantize_q4_0, q4_0::quantize_q4_0)),
    row(BlockFormat::Q4_1, "Q4_1", 3, (32, 20), (q4_0::dequantize_q4_1, q4_0::quantize_q4_1)),
    row(BlockFormat::Q5_0, "Q5_0", 6, (32, 22), (q5_0::dequantize_q5_0, q5_0::quantize_q5_0)),
    row(BlockFormat::Q5_1, "Q5_1", 7, (32, 24), (q5_0::dequantize_q5_1, q5_0::quantize_q5_1)),
    row(BlockFormat::Q8_0, "Q8_0", 8, (32, 34), (q8_0::dequantize, q8_0::quantize)),
    row(BlockFormat::Q2K, "Q2_K", 10, (SUPER_BLOCK, 84), (q2_k::dequantize, q2_k::quantize)),
    row(BlockFormat::Q3K, "Q3_K", 11, (SUPER_BLOCK, 110), (q3_k::dequantize, q3_k::quantize)),
    row(BlockFormat::Q4K, "Q4_K", 12, (SUPER_BLOCK, 144), (q4_k::dequantize, q4_k::quantize)),
    row(BlockFormat::Q5K, "Q5_K", 13, (SUPER_BLOCK, 176), (q5_k::dequantize, q5_k::quantize)),
    row(BlockFormat::Q6K, "Q6_K", 14, (SUPER_BLOCK, 210), (q6_k::dequantize, q6_k::quantize)),
    row(BlockFormat::Iq4Nl, "IQ4_NL", 20, (32, 18), (iq4::dequantize_nl, iq4::quantize_nl)),
    row(
        BlockFormat::Iq4Xs,
        "IQ4_XS",
        23,
        (SUPER_BLOCK, 136),
        (iq4::dequantize_xs, iq4::quantize_xs),
    ),
];

const fn row(
    format: BlockFormat,
    name: &'static str,
    ggml_type: u32,
    (block_len, block_bytes): (usize, usize),
    (dequantize, quantize): (Dequantize, Quantize),
) -> Row {
    Row { format, name, ggml_type, block_len, block_bytes, dequantize, quantize }
}

impl BlockFormat {
    /// Every format.
    pub const ALL: &'static [Self] = &{
        let mut all = [Self::F32; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            all[index] = TABLE[index].format;
            index += 1;
        }
        all
    };

    fn entry(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name in GGUF, `Q4_K`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// The format with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.format)
    }

    /// Its number in a GGUF file (`enum ggml_type`).
    #[must_use]
    pub fn ggml_type(self) -> u32 {
        self.entry().ggml_type
    }

    /// The format with this number in a GGUF file.
    #[must_use]
    pub fn from_ggml_type(ggml_type: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.ggml_type == ggml_type).map(|row| row.format)
    }

    /// Numbers per block: 1, 32 or 256.
    #[must_use]
    pub fn block_len(self) -> usize {
        self.entry().block_len
    }

    /// Bytes per block.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        self.entry().block_bytes
    }

    /// Bytes of a row of `cols` numbers; none when `cols` is no whole number of blocks or the sum
    /// overflows.
    #[must_use]
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Whether a number takes less than 16 bits.
    #[must_use]
    pub fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Writes the numbers of whole blocks to `out`.
    ///
    /// # Panics
    /// When `bytes` does not hold exactly `out.len()` numbers in whole blocks.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        assert!(
            self.row_bytes(out.len()) == Some(bytes.len()),
            "{} numbers from {} bytes of {}, which has {} bytes per {} numbers",
            out.len(),
            bytes.len(),
            self.name(),
            self.block_bytes(),
            self.block_len()
        );
        (self.entry().dequantize)(bytes, out);
    }

    /// Writes numbers as whole blocks to `bytes`.
    ///
    /// `importance` has a weight, not negative, for each number of a row: how much an error there
    /// matters. The rows of `values` share it. Without it, the bytes of F16, BF16 and the formats
    /// from Q4_0 to Q8_0 are those of the reference.
    ///
    /// # Errors
    /// When a value is NaN, infinite or too large; F32 and BF16 take any.
    ///
    /// # Panics
    /// When `bytes` has not the length of the blocks, or `values` is no multiple of `importance`.
    pub fn quantize(
        self,
        values: &[f32],
        importance: Option<&[f32]>,
        bytes: &mut [u8],
    ) -> Result<(), NotQuantizable> {
        assert!(
            self.row_bytes(values.len()) == Some(bytes.len()),
            "{} numbers to {} bytes of {}, which has {} bytes per {} numbers",
            values.len(),
            bytes.len(),
            self.name(),
            self.block_bytes(),
            self.block_len()
        );
        if let Some(row) = importance {
            let fits =
                values.len().is_multiple_of(row.len()) && self.row_bytes(row.len()).is_some();
            assert!(fits, "{} values of importance for {} numbers", row.len(), values.len());
        }
        if !matches!(self, Self::F32 | Self::Bf16) {
            let fits = |value: &f32| value.abs() <= VALUE_MAX;
            if let Some(index) = values.iter().position(|value| !fits(value)) {
                return Err(NotQuantizable { index, value: values[index] });
            }
        }
        (self.entry().quantize)(values, importance, bytes);
        Ok(())
    }
}

impl std::fmt::Display for BlockFormat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

/// A value that no format here can hold: NaN, infinite, or beyond what an f16 scale reaches.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("value {index} is {value}; quantised types hold numbers of at most {VALUE_MAX}")]
pub struct NotQuantizable {
    /// Which of the values.
    pub index: usize,
    /// The value.
    pub value: f32,
}

/// Largest magnitude that is quantised: that of an f16.
const VALUE_MAX: f32 = 65504.0;

/// Applies `one` to each block of `BYTES` bytes and `LEN` numbers. Lengths were checked before.
#[inline(always)]
fn each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    one: impl Fn(&[u8; BYTES], &mut [f32; LEN]),
) {
    for (block, out) in bytes.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        one(block, out);
    }
}

/// Applies `one` to each block with its importance, if there is any, which repeats row by row.
#[inline(always)]
fn each_block_of<const LEN: usize, const BYTES: usize>(
    values: &[f32],
    importance: Option<&[f32]>,
    bytes: &mut [u8],
    one: impl Fn(&[f32; LEN], Option<&[f32; LEN]>, &mut [u8; BYTES]),
) {
    let blocks = values.as_chunks().0.iter().zip(bytes.as_chunks_mut().0);
    match importance.map(|row| row.as_chunks().0) {
        None => blocks.for_each(|(values, block)| one(values, None, block)),
        Some(row) => {
            for ((values, block), importance) in blocks.zip(row.iter().cycle()) {
                one(values, Some(importance), block);
            }
        }
    }
}

/// The f16 that begins at byte `at` of a block.
#[inline(always)]
fn f16_at<const BYTES: usize>(block: &[u8; BYTES], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// `LEN` bytes of a block, from byte `at`. Both are constants of a layout.
#[inline(always)]
fn part<const BYTES: usize, const LEN: usize>(block: &[u8; BYTES], at: usize) -> [u8; LEN] {
    std::array::from_fn(|index| block[at + index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_variants() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.format as usize, index, "{} is out of order", row.name);
            assert_eq!(BlockFormat::from_name(row.name), Some(row.format));
            assert_eq!(BlockFormat::from_ggml_type(row.ggml_type), Some(row.format));
            assert_eq!(BlockFormat::ALL[index], row.format);
        }
        assert_eq!(BlockFormat::from_name("q4_k"), None);
        assert_eq!(BlockFormat::from_ggml_type(4), None, "Q4_2 is no longer in use");
    }

    #[test]
    fn a_row_is_whole_blocks_or_nothing() {
        assert_eq!(BlockFormat::Q4K.row_bytes(512), Some(288));
        assert_eq!(BlockFormat::Q4K.row_bytes(128), None);
        assert_eq!(BlockFormat::F32.row_bytes(usize::MAX), None, "overflow");
        assert_eq!(BlockFormat::Q8_0.row_bytes(0), Some(0));
    }
}
