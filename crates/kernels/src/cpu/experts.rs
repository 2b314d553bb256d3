//! Mixture of experts (Shazeer et al. 2017, arXiv:1701.06538): which experts a row is given to, and
//! the sum of what they make of it.
//!
//! A row has `k` slots, one for each expert it is given to: slot `s` is of row `s / k`. An expert's
//! rows lie together in a part of their own; a [`Place`] says where a slot's row is there. With
//! `y[s]` the row at the place of slot `s`: `out[row] = Σ_s weights[s] * y[s]` over the row's slots
//! in order; `d_y[s] = weights[s] * d_out[row]`, `d_weights[s] = d_out[row] · y[s]`.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::{Level, at_level};
use crate::cpu::lanes::sum2;
use crate::{Cpu, Element};

/// Where the row of a slot lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The number of its part.
    pub part: u32,
    /// Its row there.
    pub row: u32,
}

/// The `k` largest of every row of `p` `[rows, cols]`, largest first, the first of equals: their
/// columns in `chosen` `[rows, k]`. A NaN counts as larger than any number.
///
/// # Panics
/// When `k` is 0 or more than `cols`, or lengths do not fit.
pub fn choose(cpu: &Cpu, p: &[f32], cols: usize, k: usize, chosen: &mut [u32]) {
    assert!((1..=cols).contains(&k), "choose: {k} of {cols}");
    assert_eq!(p.len() / cols * k, chosen.len(), "choose: length of chosen");
    let rows = rows_per_chunk(cols);
    for_each(cpu, &(read(p, rows * cols), write(chosen, rows * k)), |_, (p, chosen)| {
        for (p, chosen) in p.chunks_exact(cols).zip(chosen.chunks_exact_mut(k)) {
            for slot in 0..k {
                let (before, rest) = chosen.split_at_mut(slot);
                let free = (0..cols as u32).filter(|column| !before.contains(column));
                let larger =
                    |a: &u32, b: &u32| p[*a as usize].total_cmp(&p[*b as usize]).then(b.cmp(a));
                rest[0] = free.max_by(larger).unwrap_or_default();
            }
        }
    });
}

/// `out[row] = Σ_s weights[s] * y[s]`; `parts[n]: [_, cols]`, `places, weights: [rows, k]`,
/// `out: [rows, cols]`.
///
/// # Panics
/// When lengths do not fit, or a place is in no part.
pub fn mix<X: Element, O: Element>(
    cpu: &Cpu,
    parts: &[&[X]],
    places: &[Place],
    weights: &[f32],
    k: usize,
    out: &mut [O],
) {
    let cols = columns(out.len(), places, k);
    assert_eq!(weights.len(), places.len(), "mix: a weight for each slot");
    let rows = rows_per_chunk(cols * k);
    let chunks = (read(places, rows * k), read(weights, rows * k), write(out, rows * cols));
    for_each(cpu, &chunks, |_, (places, weights, out)| {
        at_level!(cpu, L => {
            let slots = places.chunks_exact(k).zip(weights.chunks_exact(k));
            for (out, (places, weights)) in out.chunks_exact_mut(cols).zip(slots) {
                mix_row::<L, X, O>(parts, places, weights, out);
            }
        });
    });
}

#[inline(always)]
fn mix_row<L: Level, X: Element, O: Element>(
    parts: &[&[X]],
    places: &[Place],
    weights: &[f32],
    out: &mut [O],
) {
    const WIDTH: usize = 64;
    let cols = out.len();
    for (block, out) in out.chunks_mut(WIDTH).enumerate() {
        let mut sums = [0.0; WIDTH];
        for (place, &weight) in places.iter().zip(weights) {
            let y = &row_at(parts, *place, cols)[block * WIDTH..][..out.len()];
            for (sum, y) in sums.iter_mut().zip(y) {
                *sum = L::mul_add(weight, y.to_f32(), *sum);
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = O::from_f32(sum);
        }
    }
}

/// `d_weights[s] = d_out[row] · y[s]`; arguments as of [`mix`].
///
/// # Panics
/// As [`mix`].
pub fn mix_backward_weights<X: Element, G: Element>(
    cpu: &Cpu,
    parts: &[&[X]],
    places: &[Place],
    d_out: &[G],
    k: usize,
    d_weights: &mut [f32],
) {
    let cols = columns(d_out.len(), places, k);
    assert_eq!(d_weights.len(), places.len(), "mix: a weight for each slot");
    let rows = rows_per_chunk(cols * k);
    let chunks = (read(places, rows * k), read(d_out, rows * cols), write(d_weights, rows * k));
    for_each(cpu, &chunks, |_, (places, d_out, d_weights)| {
        at_level!(cpu, L => {
            for (slot, (d_weight, place)) in d_weights.iter_mut().zip(places).enumerate() {
                let d_out = &d_out[slot / k * cols..][..cols];
                *d_weight = dot(row_at(parts, *place, cols), d_out);
            }
        });
    });
}

#[inline(always)]
fn dot<X: Element, G: Element>(x: &[X], y: &[G]) -> f32 {
    sum2(x, y, |x, y| x * y)
}

/// `d_y[i] = weights[slots[i]] * d_out[slots[i] / k]`: the gradient of the part whose rows are
/// those of `slots`, `d_part: [slots, cols]`.
///
/// # Panics
/// When lengths do not fit.
pub fn mix_backward_part<G: Element, O: Element>(
    cpu: &Cpu,
    slots: &[u32],
    weights: &[f32],
    d_out: &[G],
    k: usize,
    d_part: &mut [O],
) {
    let cols = d_out.len() / (weights.len() / k).max(1);
    assert_eq!(d_part.len(), slots.len() * cols, "mix: length of d_part");
    let rows = rows_per_chunk(cols);
    for_each(cpu, &(read(slots, rows), write(d_part, rows * cols)), |_, (slots, d_part)| {
        for (&slot, d_part) in slots.iter().zip(d_part.chunks_exact_mut(cols)) {
            let (slot, weight) = (slot as usize, weights[slot as usize]);
            for (d, d_out) in d_part.iter_mut().zip(&d_out[slot / k * cols..]) {
                *d = O::from_f32(weight * d_out.to_f32());
            }
        }
    });
}

#[inline(always)]
fn row_at<'a, X>(parts: &[&'a [X]], place: Place, cols: usize) -> &'a [X] {
    &parts[place.part as usize][place.row as usize * cols..][..cols]
}

/// The columns of `[rows, cols]` with `len` elements whose rows have `k` slots each.
fn columns(len: usize, places: &[Place], k: usize) -> usize {
    assert!(k > 0 && places.len().is_multiple_of(k), "{} slots, {k} a row", places.len());
    let rows = places.len() / k;
    assert!(rows > 0 && len.is_multiple_of(rows) && len > 0, "{len} elements in {rows} rows");
    len / rows
}
