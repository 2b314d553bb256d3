//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864): the elements of a head are paired
//! up, and each pair turns with the position at a frequency of its own.
//!
//! For a pair `(a, b)` at position `p`, with `angle = p * frequency`:
//! `(a, b) -> m * (a cos - b sin, b cos + a sin)`, `m` being 1 but for a few ways of stretching the
//! context. The backward is the rotation the other way, by the same `m`. Elements beyond the pairs
//! stay as they are.

use std::sync::OnceLock;

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::{Cpu, Element};

/// Which elements of a head are a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pairs {
    /// `i` and `i + pairs`, as in published checkpoints ("rotate half").
    #[default]
    Halves,
    /// `2 i` and `2 i + 1`, as in the paper and in GGUF files of the LLaMA architecture.
    Adjacent,
}

/// What the rotation of a model is.
#[derive(Clone, Debug, PartialEq)]
pub struct RopeSpec {
    /// Positions there are.
    pub max_positions: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Radians a position, for each pair; a head has at least twice as many elements.
    pub frequencies: Vec<f64>,
    /// `m`, what every rotated pair is multiplied by.
    pub magnitude: f64,
    /// Which elements are a pair.
    pub pairs: Pairs,
}

impl RopeSpec {
    /// The published form: as many pairs as fit, at the frequencies `theta^(-2i / head_dim)`.
    #[must_use]
    pub fn new(max_positions: usize, head_dim: usize, theta: f64) -> Self {
        let frequencies = frequencies(head_dim, theta);
        Self { max_positions, head_dim, frequencies, magnitude: 1.0, pairs: Pairs::Halves }
    }
}

/// `theta^(-2i / width)` for each of the `width / 2` pairs.
#[must_use]
pub fn frequencies(width: usize, theta: f64) -> Vec<f64> {
    (0..width / 2).map(|i| theta.powf(-2.0 * i as f64 / width as f64)).collect()
}

/// Positions whose angles are computed at once.
const BLOCK: usize = 512;

/// Cosines and sines of every angle. They are computed when a position is first asked for, so that
/// a context of a million tokens costs what is used of it.
#[derive(Clone, Debug)]
pub struct RopeTables {
    spec: RopeSpec,
    /// For each [`BLOCK`] positions, the cosines of a position's pairs and then their sines.
    blocks: Vec<OnceLock<Vec<f32>>>,
}

/// Which way to rotate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The operation itself.
    Forward,
    /// Its inverse, which is also its backward.
    Backward,
}

impl RopeTables {
    /// The tables of [`RopeSpec::new`], computed in f64.
    ///
    /// # Panics
    /// When `head_dim` is odd or zero.
    #[must_use]
    pub fn new(max_positions: usize, head_dim: usize, theta: f64) -> Self {
        assert!(head_dim.is_multiple_of(2), "rope: head_dim {head_dim} is not even");
        Self::from_spec(RopeSpec::new(max_positions, head_dim, theta))
    }

    /// The tables of a rotation.
    ///
    /// # Panics
    /// When there is no pair, or there are more than fit into a head.
    #[must_use]
    pub fn from_spec(spec: RopeSpec) -> Self {
        let (pairs, head_dim) = (spec.frequencies.len(), spec.head_dim);
        assert!(pairs > 0 && 2 * pairs <= head_dim, "rope: {pairs} pairs in heads of {head_dim}");
        let blocks = vec![OnceLock::new(); spec.max_positions.div_ceil(BLOCK)];
        Self { spec, blocks }
    }

    /// What the rotation is.
    #[must_use]
    pub fn spec(&self) -> &RopeSpec {
        &self.spec
    }

    /// The cosines and the sines of a position's pairs, times the magnitude.
    fn angles(&self, position: usize) -> (&[f32], &[f32]) {
        let RopeSpec { max_positions, frequencies, .. } = &self.spec;
        assert!(position < *max_positions, "rope: position {position}, tables for {max_positions}");
        let pairs = frequencies.len();
        let block = self.blocks[position / BLOCK].get_or_init(|| self.block(position / BLOCK));
        block[position % BLOCK * 2 * pairs..][..2 * pairs].split_at(pairs)
    }

    fn block(&self, number: usize) -> Vec<f32> {
        let RopeSpec { max_positions, frequencies, magnitude, .. } = &self.spec;
        let positions = number * BLOCK..((number + 1) * BLOCK).min(*max_positions);
        let mut block = Vec::with_capacity(positions.len() * 2 * frequencies.len());
        for position in positions {
            let angles = || frequencies.iter().map(|frequency| position as f64 * frequency);
            block.extend(angles().map(|angle| (magnitude * angle.cos()) as f32));
            block.extend(angles().map(|angle| (magnitude * angle.sin()) as f32));
        }
        block
    }
}

/// Rotates the first `heads` heads of every row of `x` in place. `x: [positions.len(), width]` with
/// `width >= heads * head_dim`: queries, keys and values side by side may pass `heads = H + K`.
pub fn rope<X: Element>(
    cpu: &Cpu,
    x: &mut [X],
    heads: usize,
    tables: &RopeTables,
    positions: &[u32],
    rotation: Rotation,
) {
    if positions.is_empty() {
        assert!(x.is_empty(), "rope: {} elements without a position", x.len());
        return;
    }
    let width = x.len() / positions.len();
    assert_eq!(x.len(), width * positions.len(), "rope: length of x");
    assert!(heads * tables.spec.head_dim <= width, "rope: {heads} heads in rows of {width}");
    let rows = rows_per_chunk(width);
    for_each(cpu, &(write(x, rows * width), read(positions, rows)), |_, (x, positions)| {
        at_level!(cpu, L => {
            for (row, &position) in x.chunks_exact_mut(width).zip(positions) {
                let row = &mut row[..heads * tables.spec.head_dim];
                rotate_row::<L, _>(row, tables, position as usize, rotation);
            }
        });
    });
}

#[inline(always)]
fn rotate_row<L: Level, X: Element>(
    row: &mut [X],
    tables: &RopeTables,
    position: usize,
    rotation: Rotation,
) {
    let (cos, sin) = tables.angles(position);
    let direction = if rotation == Rotation::Forward { 1.0 } else { -1.0 };
    let rotate = |first: &mut X, second: &mut X, cos: f32, sin: f32| {
        let (a, b, sin) = (first.to_f32(), second.to_f32(), direction * sin);
        *first = X::from_f32(L::mul_add(a, cos, -(b * sin)));
        *second = X::from_f32(L::mul_add(b, cos, a * sin));
    };
    for head in row.chunks_exact_mut(tables.spec.head_dim) {
        let head = &mut head[..2 * cos.len()];
        match tables.spec.pairs {
            Pairs::Halves => {
                let (first, second) = head.split_at_mut(cos.len());
                for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin)
                {
                    rotate(first, second, *cos, *sin);
                }
            }
            Pairs::Adjacent => {
                for ((pair, cos), sin) in head.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
                    let [first, second] = pair;
                    rotate(first, second, *cos, *sin);
                }
            }
        }
    }
}
