//! Rows by address, in any type that a cache keeps them in: how operands enter scratch memory and
//! results leave it.

use std::any::TypeId;
use std::ops::Range;

use super::rows::{Rows, RowsMut};
use super::tile::{Strided, Widths};
use super::vector::{Unit, Vector};
use crate::quant::{BlockFormat, f16_to_f32};
use crate::{Arena, Buffer, Element, bf16};

/// Most lanes of any level.
pub(super) const LANES_MAX: usize = 16;

/// The rows of [`Rows`] or [`RowsMut`] without their type. Whoever holds one keeps the view
/// borrowed.
#[derive(Clone, Copy)]
pub(super) struct RawRows {
    start: *mut u8,
    /// Bytes from row to row.
    row: usize,
    /// Bytes from batch element to batch element.
    batch: usize,
    kind: Kind,
}

/// What elements are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    F32,
    Bf16,
    F16,
    /// Blocks of an f16 scale and 32 signed bytes.
    Q8_0,
}

/// Elements and bytes of a block of Q8_0, and bytes before its numbers.
const BLOCK: (usize, usize, usize) = (32, 34, 2);

impl Kind {
    /// Of the formats that a cache may have.
    pub(super) fn of(format: BlockFormat) -> Option<Self> {
        match format {
            BlockFormat::F32 => Some(Self::F32),
            BlockFormat::Bf16 => Some(Self::Bf16),
            BlockFormat::F16 => Some(Self::F16),
            BlockFormat::Q8_0 => Some(Self::Q8_0),
            _ => None,
        }
    }

    /// Bytes of so many elements, which are whole blocks.
    fn bytes(self, elements: usize) -> usize {
        match self {
            Self::F32 => 4 * elements,
            Self::Bf16 | Self::F16 => 2 * elements,
            Self::Q8_0 => elements / BLOCK.0 * BLOCK.1,
        }
    }

    fn is_unit<U: Unit>(self) -> bool {
        match self {
            Self::F32 => U::IS_F32,
            Self::Bf16 => U::IS_BF16,
            Self::F16 | Self::Q8_0 => false,
        }
    }
}

// SAFETY: tasks read, or write disjoint rows; see the functions.
unsafe impl Sync for RawRows {}

/// The address of some elements of a row.
#[derive(Clone, Copy)]
pub(super) struct RawRow {
    start: *mut u8,
    kind: Kind,
}

fn kind_of<E: Element>() -> Kind {
    let (id, name) = (TypeId::of::<E>(), E::NAME);
    assert!(
        id == TypeId::of::<f32>() || id == TypeId::of::<bf16>(),
        "attention computes with f32 and bf16, not {name}"
    );
    if id == TypeId::of::<bf16>() { Kind::Bf16 } else { Kind::F32 }
}

impl RawRows {
    pub(super) fn new<E: Element>(rows: &Rows<'_, E>) -> Self {
        let (start, row, batch) = rows.parts();
        Self::of::<E>(start.cast_mut(), row, batch)
    }

    pub(super) fn new_mut<E: Element>(rows: &mut RowsMut<'_, E>) -> Self {
        let (start, row, batch) = rows.parts();
        Self::of::<E>(start, row, batch)
    }

    fn of<E: Element>(start: *mut E, row: usize, batch: usize) -> Self {
        let size = size_of::<E>();
        Self { start: start.cast(), row: row * size, batch: batch * size, kind: kind_of::<E>() }
    }

    /// One sequence of `width` elements a row, to be read.
    pub(super) fn of_bytes(bytes: &[u8], kind: Kind, width: usize) -> Self {
        let start = bytes.as_ptr().cast_mut();
        Self { start, row: kind.bytes(width), batch: 0, kind }
    }

    /// The rows from row `t` on.
    pub(super) fn skip_rows(self, t: usize) -> Self {
        Self { start: self.start.wrapping_add(t * self.row), ..self }
    }

    /// The elements of row `t` of batch element `b` from `column` on.
    pub(super) fn at(&self, b: usize, t: usize, column: usize) -> RawRow {
        let offset = b * self.batch + t * self.row + self.kind.bytes(column);
        RawRow { start: self.start.wrapping_add(offset), kind: self.kind }
    }

    /// The rows of a head from row `t` on as units, if they are units as they lie and whole
    /// registers of them.
    pub(super) fn units_at<U: Unit>(
        &self,
        (b, t, column): (usize, usize, usize),
        widths: &Widths,
    ) -> Option<Strided> {
        let ready = self.kind.is_unit::<U>();
        let whole = widths.row * U::DEPTH == widths.head && self.row.is_multiple_of(4);
        let start = self.at(b, t, column).start.cast_const().cast();
        (ready && whole).then_some(Strided { start, stride: self.row / 4 })
    }
}

impl RawRow {
    /// Elements `from .. from + LANES`, zeros from `width` on.
    ///
    /// # Safety
    /// As for [`Vector`]; the row holds `width` elements.
    #[inline(always)]
    pub(super) unsafe fn load<V: Vector>(self, from: usize, width: usize) -> V {
        // SAFETY: whole registers lie inside the row; the rest goes by way of an array.
        unsafe {
            if from + V::LANES <= width {
                return match self.kind {
                    Kind::F32 => V::load(self.start.cast::<f32>().add(from)),
                    Kind::Bf16 => V::load_bf16(self.start.cast::<bf16>().add(from)),
                    Kind::F16 => V::load_f16(self.start.cast::<u16>().add(from)),
                    // Registers begin at multiples of their lanes: each lies inside one block.
                    Kind::Q8_0 => {
                        let (scale, numbers) = self.block(from);
                        V::mul(V::load_i8(numbers), V::splat(scale))
                    }
                };
            }
            let mut values = [0.0; LANES_MAX];
            for (i, value) in values.iter_mut().take(width.saturating_sub(from)).enumerate() {
                *value = self.element(from + i);
            }
            V::load(values.as_ptr())
        }
    }

    /// Element `index`.
    ///
    /// # Safety
    /// The row holds it.
    #[inline(always)]
    unsafe fn element(self, index: usize) -> f32 {
        // SAFETY: passed on to the caller.
        unsafe {
            match self.kind {
                Kind::F32 => self.start.cast::<f32>().add(index).read(),
                Kind::Bf16 => self.start.cast::<bf16>().add(index).read().to_f32(),
                Kind::F16 => f16_to_f32(self.start.cast::<u16>().add(index).read()),
                Kind::Q8_0 => {
                    let (scale, numbers) = self.block(index);
                    scale * f32::from(numbers.read())
                }
            }
        }
    }

    /// The scale of the block that element `index` is in, and the address of its number.
    ///
    /// # Safety
    /// The row holds the element, and is of Q8_0.
    #[inline(always)]
    unsafe fn block(self, index: usize) -> (f32, *const i8) {
        let (elements, bytes, numbers) = BLOCK;
        // SAFETY: passed on to the caller.
        unsafe {
            let block = self.start.add(index / elements * bytes);
            let scale = f16_to_f32(block.cast::<u16>().read_unaligned());
            (scale, block.add(numbers + index % elements).cast())
        }
    }

    /// Writes the first `width - from` lanes, at most all, to the elements from `from` on.
    ///
    /// # Safety
    /// As for [`Vector`]; the row is of f32 or bf16, of `width` elements that nothing else uses.
    #[inline(always)]
    pub(super) unsafe fn store<U: Unit>(self, x: U::V, from: usize, width: usize) {
        // SAFETY: whole registers lie inside the row; the rest goes by way of an array.
        unsafe {
            if from + U::V::LANES <= width {
                return match self.kind == Kind::Bf16 {
                    true => U::store_bf16(x, self.start.cast::<bf16>().add(from)),
                    false => U::V::store(x, self.start.cast::<f32>().add(from)),
                };
            }
            let mut values = [0.0; LANES_MAX];
            U::V::store(x, values.as_mut_ptr());
            for (i, value) in values.into_iter().take(width.saturating_sub(from)).enumerate() {
                match self.kind == Kind::Bf16 {
                    true => self.start.cast::<bf16>().add(from + i).write(Element::from_f32(value)),
                    false => self.start.cast::<f32>().add(from + i).write(value),
                }
            }
        }
    }

    /// Asks for the memory of `width` elements ahead of their use.
    #[inline(always)]
    fn fetch<V: Vector>(self, width: usize) {
        let bytes = self.kind.bytes(width);
        for line in (0..bytes).step_by(64) {
            V::fetch(self.start.wrapping_add(line));
        }
    }

    /// Copies `width` elements into `units` units, zeros behind them.
    ///
    /// # Safety
    /// As for [`Vector`]; `units` is a multiple of the lanes and holds `width` elements.
    #[inline(always)]
    pub(super) unsafe fn stage<U: Unit>(self, width: usize, to: *mut f32, units: usize) {
        let (lanes, ready) = (U::V::LANES, self.kind.is_unit::<U>());
        for unit in (0..units).step_by(lanes) {
            let first = unit * U::DEPTH;
            // SAFETY: passed on to the caller.
            unsafe {
                if ready && first + lanes * U::DEPTH <= width {
                    U::V::store(U::V::load(self.start.cast::<f32>().add(unit)), to.add(unit));
                    continue;
                }
                for part in 0..U::DEPTH {
                    let x = self.load(first + part * lanes, width);
                    U::store(x, to.add(unit + part * lanes / U::DEPTH));
                }
            }
        }
    }

    /// Writes `factor` times the `width` sums at `from`, which are padded to whole registers.
    ///
    /// # Safety
    /// As for [`RawRow::store`].
    #[inline(always)]
    pub(super) unsafe fn write<U: Unit>(self, from: *const f32, factor: f32, width: usize) {
        for first in (0..width).step_by(U::V::LANES) {
            // SAFETY: passed on to the caller.
            unsafe {
                let x = U::V::mul(U::V::load(from.add(first)), U::V::splat(factor));
                self.store::<U>(x, first, width);
            }
        }
    }
}

/// Copies `width` elements of up to `count` rows into as many rows of `units` units; rows from
/// `end` on are zeros.
///
/// # Safety
/// As for [`RawRow::stage`].
#[inline(always)]
pub(super) unsafe fn stage_rows<U: Unit>(
    row: impl Fn(usize) -> RawRow,
    (start, count, end): (usize, usize, usize),
    width: usize,
    to: *mut f32,
    units: usize,
) {
    for i in 0..count {
        // SAFETY: passed on to the caller.
        unsafe {
            let to = to.add(i * units);
            if start + i < end {
                row(start + i).stage::<U>(width, to, units);
            } else {
                to.write_bytes(0, units);
            }
        }
    }
}

/// Asks for the memory of a head's rows ahead of their use.
#[inline(always)]
pub(super) fn fetch_rows<V: Vector, const N: usize>(
    from: [RawRows; N],
    (b, column): (usize, usize),
    rows: Range<usize>,
    width: usize,
) {
    for t in rows {
        for from in from {
            from.at(b, t, column).fetch::<V>(width);
        }
    }
}

/// One buffer cut into parts of the given lengths, each aligned to a cache line.
pub(super) fn carve<const N: usize>(
    arena: &Arena,
    lens: [usize; N],
) -> (Buffer<f32>, [*mut f32; N]) {
    let lens = lens.map(|len| len.next_multiple_of(LANES_MAX));
    let mut buffer = arena.buffer::<f32>(lens.iter().sum());
    let mut next = buffer.as_mut_ptr();
    let parts = lens.map(|len| {
        let part = next;
        next = next.wrapping_add(len);
        part
    });
    (buffer, parts)
}
