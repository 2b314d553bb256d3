//! What formats, instruction levels and tasks agree on.

use super::words::{Columns, LANES, Lanes, Source, Words};

/// Numbers that share a scale of the activations, and depth of a [`WeightBlock`].
pub(super) const BLOCK: usize = 32;
/// Words of four quants in a block.
pub(super) const UNITS: usize = BLOCK / 4;
/// Sixteen-column strips of a tile.
pub(super) const STRIPS: usize = 2;
/// Columns of a tile.
pub(super) const COLS: usize = STRIPS * LANES;
/// Blocks of depth in a tile: one super-block of the K formats, so that a tile stays in L1.
pub(super) const TILE_BLOCKS: usize = 8;

/// 32 numbers of a row of activations: a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct ActivationBlock {
    /// The numbers divided by `scale`, -127 to 127.
    pub(super) quants: [i8; BLOCK],
    pub(super) scale: f32,
    /// The sum of all quants, of the first half and of the second.
    pub(super) sums: [i32; 3],
    /// The same as f32.
    pub(super) sums_f32: [f32; 3],
    pub(super) unused: u32,
}

/// The same 32 numbers of depth of sixteen weight rows.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct WeightBlock {
    pub(super) quants: [Words; UNITS],
    pub(super) scales: [Words; 2],
    pub(super) minima: [Words; 2],
}

/// Weights as the micro-kernel reads them, unpacked for some depth of 32 columns.
#[repr(C, align(64))]
pub(super) struct Tile {
    pub(super) strips: [[WeightBlock; TILE_BLOCKS]; STRIPS],
}

/// How quants become weights: `scale * (quant - zero)`, or `scale * quant + minimum`.
pub(super) trait Kind {
    /// Scales of a block: 1, or 2 when each half has its own.
    const SCALES: usize;
    /// Whether there are minima, as many as scales; then zero is 0.
    const MINIMA: bool;
    /// Whether quants use all eight bits; otherwise they are below 64.
    const WIDE: bool;
}

/// Declares the kinds.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident: $scales:literal, $minima:literal, $wide:literal;)*) => {$(
        $(#[$doc])*
        pub(super) enum $name {}
        impl Kind for $name {
            const SCALES: usize = $scales;
            const MINIMA: bool = $minima;
            const WIDE: bool = $wide;
        }
    )*};
}
kinds! {
    /// One scale, quants of eight bits.
    WideScale: 1, false, true;
    /// One scale.
    OneScale: 1, false, false;
    /// One scale and minimum.
    OneMinimum: 1, true, false;
    /// A scale for each half.
    TwoScales: 2, false, false;
    /// A scale and a minimum for each half.
    TwoMinima: 2, true, false;
}

/// A block format, told by how it is unpacked.
pub(super) trait Format {
    type Kind: Kind;
    /// The quant that stands for zero.
    const ZERO: u8;
    /// Bytes of a block of the format.
    const BYTES: usize;
    /// Blocks of 32 numbers in a block of the format.
    const BLOCKS: usize;

    /// Unpacks one block of sixteen weight rows.
    fn unpack<L: Level>(columns: &Columns<L>, out: &mut impl Sink<L::Lanes>);
}

/// Where unpacked blocks go.
pub(super) trait Sink<V> {
    /// Takes block `index` of a block of the format. A format with one scale gives it twice.
    fn block(&mut self, index: usize, quants: [V; UNITS], scales: [V; 2], minima: Option<[V; 2]>);
}

/// Some rows of activations, from some block on.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub(super) start: *const ActivationBlock,
    /// Blocks from one row to the next.
    pub(super) stride: usize,
}

/// Unpacks as many blocks of depth of sixteen weight rows as there are places for.
pub(super) type Unpack = unsafe fn(Source, &mut [WeightBlock]);
/// `(rows, tile, (blocks, zero), sums)`: adds the products of some rows to their sums.
pub(super) type Multiply = unsafe fn(Rows, &Tile, (usize, i32), *mut [f32; COLS]);
/// `(rows, weights, blocks, sums)`: adds the products of some rows and sixteen weight rows, which
/// are unpacked on the way, to the rows' sums.
pub(super) type Stream = unsafe fn(Rows, Source, usize, *mut [f32; COLS]);

/// An instruction level.
pub(super) trait Level {
    type Lanes: Lanes;

    /// The unpacker of a format, compiled for this level.
    fn unpack<F: Format>() -> Unpack;
    /// Micro-kernels for one row of activations, two rows, and so on.
    fn multiply<K: Kind>() -> &'static [Multiply];
    /// The kernels that unpack on the way, for one row, two rows, and so on.
    fn stream<F: Format>() -> [Stream; 4];
}
