//! Small integers as Parquet packs them: runs of the same and groups of some bits each (levels,
//! indices of dictionaries), and blocks of differences. Format: Encodings.md of parquet-format.

use std::rc::Rc;

use super::thrift::Result;

/// Part of a page.
#[derive(Clone, Default)]
pub(super) struct Slice {
    page: Rc<Vec<u8>>,
    at: usize,
    end: usize,
}

impl Slice {
    pub(super) fn new(page: Vec<u8>) -> Self {
        let end = page.len();
        Self { page: Rc::new(page), at: 0, end }
    }

    pub(super) fn rest(&self) -> &[u8] {
        &self.page[self.at..self.end]
    }

    /// The next `length` bytes.
    pub(super) fn take(&mut self, length: usize) -> Result<Self> {
        if length > self.end - self.at {
            let left = self.end - self.at;
            return Err(format!("a value of {length} bytes where {left} are left of its page"));
        }
        let found = Self { page: Rc::clone(&self.page), at: self.at, end: self.at + length };
        self.at += length;
        Ok(found)
    }

    /// The next bytes, as many as the array has.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let found = self.rest().first_chunk().copied().ok_or("a page is cut")?;
        self.at += N;
        Ok(found)
    }

    /// A length of four bytes.
    pub(super) fn length(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("an endless number in a page".to_owned())
    }

    fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Bits `at..at + width` (at most 64), the lowest of each byte first.
    fn bits(&self, at: usize, width: usize) -> Result<u64> {
        let bytes = self.rest();
        let (first, shift) = (at / 8, at % 8);
        let last = (at + width).div_ceil(8);
        let bytes = bytes.get(first..last.max(first)).ok_or("packed numbers are cut")?;
        let mut whole = [0; 16];
        whole[..bytes.len()].copy_from_slice(bytes);
        let found = u128::from_le_bytes(whole) >> shift;
        let mask = (1_u128 << width) - 1;
        Ok(u64::try_from(found & mask).unwrap_or(u64::MAX))
    }
}

/// Runs of equal numbers and packed groups of eight, in turn.
pub(super) struct Runs {
    data: Slice,
    width: usize,
    left: u64,
    /// The value of a run of equal ones.
    value: Option<u64>,
    /// Bits of the packed group that were read.
    bit: usize,
}

impl Runs {
    pub(super) fn new(data: Slice, width: u32) -> Result<Self> {
        if width > 32 {
            return Err(format!("packed numbers of {width} bits"));
        }
        Ok(Self { data, width: width as usize, left: 0, value: None, bit: 0 })
    }

    pub(super) fn next(&mut self) -> Result<u64> {
        while self.left == 0 {
            self.data.take(self.bit.div_ceil(8))?;
            self.bit = 0;
            let head = self.data.varint()?;
            if head & 1 == 1 {
                self.left = (head >> 1).saturating_mul(8);
                self.value = None;
            } else {
                self.left = head >> 1;
                let bytes = self.data.take(self.width.div_ceil(8))?;
                self.value = Some(bytes.bits(0, bytes.rest().len() * 8)?);
            }
        }
        self.left -= 1;
        if let Some(value) = self.value {
            return Ok(value);
        }
        let value = self.data.bits(self.bit, self.width)?;
        self.bit += self.width;
        Ok(value)
    }
}

/// A block has at most so many differences.
const MAX_BLOCK: usize = 1 << 20;

/// Numbers by their differences.
#[derive(Clone)]
pub(super) struct Deltas {
    data: Slice,
    block: usize,
    groups: usize,
    left: u64,
    last: i64,
    /// Whether `last` was not given yet.
    first: bool,
    least: i64,
    widths: Vec<u8>,
    group: usize,
    in_group: usize,
}

impl Deltas {
    /// The numbers that `data` begins with.
    pub(super) fn new(mut data: Slice) -> Result<Self> {
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let (block, groups) = (size(data.varint()?), size(data.varint()?));
        let (left, last) = (data.varint()?, data.zigzag()?);
        let fits = groups > 0 && block <= MAX_BLOCK && block > 0 && block.is_multiple_of(groups);
        if !fits || !(block / groups).is_multiple_of(8) {
            return Err(format!("blocks of {block} differences in {groups} groups"));
        }
        let (widths, group) = (Vec::new(), groups);
        let least = 0;
        Ok(Self { data, block, groups, left, last, first: true, least, widths, group, in_group: 0 })
    }

    fn group_len(&self) -> usize {
        self.block / self.groups
    }

    fn begin_block(&mut self) -> Result<()> {
        self.least = self.data.zigzag()?;
        self.widths = self.data.take(self.groups)?.rest().to_vec();
        if let Some(width) = self.widths.iter().find(|&&width| width > 64) {
            return Err(format!("differences of {width} bits"));
        }
        self.group = 0;
        Ok(())
    }

    fn group_bytes(&self) -> usize {
        usize::from(self.widths[self.group]) * self.group_len() / 8
    }

    pub(super) fn next(&mut self) -> Result<i64> {
        self.left = self.left.checked_sub(1).ok_or("fewer differences than values")?;
        if std::mem::take(&mut self.first) {
            return Ok(self.last);
        }
        if self.group == self.groups {
            self.begin_block()?;
        }
        let width = usize::from(self.widths[self.group]);
        let delta = self.data.bits(self.in_group * width, width)?;
        self.last = self.last.wrapping_add(self.least).wrapping_add(delta.cast_signed());
        self.in_group += 1;
        if self.in_group == self.group_len() {
            self.data.take(self.group_bytes())?;
            self.in_group = 0;
            self.group += 1;
        }
        Ok(self.last)
    }

    /// What stands after all of the numbers.
    pub(super) fn after(&self) -> Result<Slice> {
        let mut rest = self.clone();
        let mut left = rest.left.saturating_sub(1);
        while left > 0 {
            rest.begin_block()?;
            for group in 0..rest.groups {
                rest.group = group;
                if left > 0 {
                    rest.data.take(rest.group_bytes())?;
                }
                left = left.saturating_sub(rest.group_len() as u64);
            }
        }
        Ok(rest.data)
    }
}
