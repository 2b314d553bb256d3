//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864), in the rotate-half form of the
//! published LLaMA checkpoints: within a head, element `i` is paired with `i + head_dim / 2`.
//!
//! For a pair `(a, b)` at position `p`, with `angle = p * theta^(-2i / head_dim)`:
//! `(a, b) -> (a cos - b sin, b cos + a sin)`. The backward is the rotation the other way.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::{Cpu, Element};

/// Cosines and sines of every angle, `[max_positions, head_dim / 2]` each.
#[derive(Clone, Debug)]
pub struct RopeTables {
    /// `cos[position, i]`
    pub cos: Vec<f32>,
    /// `sin[position, i]`
    pub sin: Vec<f32>,
    /// Width of a head; even.
    pub head_dim: usize,
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
    /// The tables for positions `0..max_positions`, computed in f64.
    ///
    /// # Panics
    /// When `head_dim` is odd or zero.
    #[must_use]
    pub fn new(max_positions: usize, head_dim: usize, theta: f64) -> Self {
        assert!(
            head_dim > 0 && head_dim.is_multiple_of(2),
            "rope: head_dim {head_dim} is not even"
        );
        let half = head_dim / 2;
        let frequency = |i: usize| theta.powf(-2.0 * i as f64 / head_dim as f64);
        let frequencies: Vec<f64> = (0..half).map(frequency).collect();
        let angles = (0..max_positions)
            .flat_map(|position| frequencies.iter().map(move |f| position as f64 * f));
        let (cos, sin) = angles.map(|angle| (angle.cos() as f32, angle.sin() as f32)).unzip();
        Self { cos, sin, head_dim }
    }

    /// Number of positions in the tables.
    #[must_use]
    pub fn max_positions(&self) -> usize {
        self.cos.len() / (self.head_dim / 2)
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
    assert!(heads * tables.head_dim <= width, "rope: {heads} heads in rows of {width}");
    let rows = rows_per_chunk(width);
    for_each(cpu, &(write(x, rows * width), read(positions, rows)), |_, (x, positions)| {
        at_level!(cpu, L => {
            for (row, &position) in x.chunks_exact_mut(width).zip(positions) {
                let row = &mut row[..heads * tables.head_dim];
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
    assert!(
        position < tables.max_positions(),
        "rope: position {position}, tables for {}",
        tables.max_positions()
    );
    let half = tables.head_dim / 2;
    let cos = &tables.cos[position * half..][..half];
    let sin = &tables.sin[position * half..][..half];
    let direction = if rotation == Rotation::Forward { 1.0 } else { -1.0 };
    for head in row.chunks_exact_mut(tables.head_dim) {
        let (first, second) = head.split_at_mut(half);
        for (((first, second), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
            let (a, b, sin) = (first.to_f32(), second.to_f32(), direction * sin);
            *first = X::from_f32(L::mul_add(a, *cos, -(b * sin)));
            *second = X::from_f32(L::mul_add(b, *cos, a * sin));
        }
    }
}
