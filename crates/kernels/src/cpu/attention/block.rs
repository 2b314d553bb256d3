//! The inside of the backward: a block of keys meets a block of queries.

use std::ops::Range;

use super::backward::{BLOCK_KEYS, QUERY_TILES, Scratch};
use super::sight::{Rule, Sight};
use super::tile::{self, Strided, add_product};
use super::vector::{SoftCap, Unit, Vector, exp2};

/// Most register tiles on top of each other in a block of keys.
const PANELS_MAX: usize = BLOCK_KEYS / 4;

/// Where a block is: its first query, its first key, and the first row of its sums over queries.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) query: usize,
    pub(super) key: usize,
    pub(super) row: usize,
}

/// How products of queries and keys become logarithms of probabilities.
#[derive(Clone, Copy)]
pub(super) struct Scores {
    /// The scale, and what makes it powers of two.
    pub(super) factor: f32,
    pub(super) cap: Option<SoftCap>,
}

/// Which register tiles of a block are seen, by panel of keys and tile of queries.
pub(super) struct Seen {
    sight: [[Sight; QUERY_TILES]; PANELS_MAX],
    panels: usize,
    tiles: usize,
}

impl Seen {
    pub(super) fn new<const ROWS: usize>(
        rule: &Rule,
        queries: &Range<usize>,
        keys: &Range<usize>,
        width: usize,
    ) -> Self {
        let mut sight = [[Sight::None; QUERY_TILES]; PANELS_MAX];
        for (tile, start) in queries.clone().step_by(width).enumerate() {
            let watch = rule.watch(&(start..queries.end.min(start + width)));
            for (key, sight) in keys.clone().step_by(ROWS).zip(&mut sight) {
                sight[tile] = watch.sight(key..key + ROWS);
            }
        }
        let (panels, tiles) = (keys.len().div_ceil(ROWS), queries.len().div_ceil(width));
        Self { sight, panels, tiles }
    }

    /// From the first to the last tile of queries that a panel of keys is seen by.
    fn tiles_of(&self, panel: usize) -> Range<usize> {
        extent(self.tiles, |tile| self.sight[panel][tile])
    }

    /// From the first to the last panel of keys that a tile of queries sees.
    fn panels_of(&self, tile: usize) -> Range<usize> {
        extent(self.panels, |panel| self.sight[panel][tile])
    }
}

/// From the first to the last place where something is seen.
fn extent(count: usize, sight: impl Fn(usize) -> Sight) -> Range<usize> {
    let seen = |&place: &usize| sight(place) != Sight::None;
    match (0..count).find(seen) {
        None => 0..0,
        Some(first) => first..(0..count).rev().find(seen).map_or(first, |last| last + 1),
    }
}

/// Fills `p`, `d_s` and `d_s_pairs` where something is seen, with zeros between.
#[inline(always)]
pub(super) unsafe fn gradients_of_scores<U: Unit, const ROWS: usize, const VECTORS: usize>(
    rule: &Rule,
    place: Place,
    (seen, scores): (&Seen, Scores),
    s: &Scratch,
) {
    let (width, depth) = (s.tile * QUERY_TILES, s.tile / U::DEPTH);
    let stride = width / U::DEPTH;
    for tile in 0..seen.tiles {
        for panel in seen.panels_of(tile) {
            // SAFETY: as in the backward's `run`.
            unsafe {
                let at = panel * ROWS * stride + tile * depth;
                let (p, d_s) = (s.p.add(at), s.d_s.add(at));
                let (query, key) = (place.query + tile * s.tile, place.key + panel * ROWS);
                match seen.sight[panel][tile] {
                    Sight::None => {
                        for row in 0..ROWS {
                            p.add(row * stride).write_bytes(0, depth);
                            d_s.add(row * stride).write_bytes(0, depth);
                        }
                    }
                    sight => {
                        let rule = (sight == Sight::Some).then_some(rule);
                        let from = (panel * ROWS, query, key);
                        score_tile::<U, ROWS, VECTORS>(rule, from, (p, d_s), scores, s);
                    }
                }
                let rows = Strided { start: d_s, stride };
                let pairs = s.d_s_pairs.add(panel * ROWS / U::DEPTH * width + tile * s.tile);
                for r in 0..ROWS / U::DEPTH {
                    for lane in (0..s.tile).step_by(U::V::LANES) {
                        let from = rows.start.add(r * U::DEPTH * stride + lane / U::DEPTH);
                        U::interleave(from, stride, pairs.add(r * width + lane));
                    }
                }
            }
        }
    }
}

/// One register tile of probabilities and of the gradients of scores.
#[inline(always)]
unsafe fn score_tile<U: Unit, const ROWS: usize, const VECTORS: usize>(
    rule: Option<&Rule>,
    (row, query, key): (usize, usize, usize),
    (p, d_s): (*mut f32, *mut f32),
    scores: Scores,
    s: &Scratch,
) {
    let (w, lanes) = (s.widths, U::V::LANES);
    let stride = s.tile * QUERY_TILES / U::DEPTH;
    // SAFETY: as in the backward's `run`.
    unsafe {
        let zero = [[U::V::splat(0.0); VECTORS]; ROWS];
        let left = Strided { start: s.k.add(row * w.row), stride: w.row };
        let right = Strided { start: s.q_columns.add(query * w.row), stride: s.tile };
        let mut kept = tile::multiply::<U, ROWS, VECTORS>(zero, left, right, w.depth);
        for (r, kept) in kept.iter_mut().enumerate() {
            let mask = rule.map(|rule| rule.queries_of(key + r, query));
            for (l, kept) in kept.iter_mut().enumerate() {
                let lse = U::V::load(s.lse.add(query + l * lanes));
                let capped = scores.cap.map(|cap| cap.apply::<U>(*kept));
                let score = capped.map_or(*kept, |(score, _)| score);
                let mut x = U::V::sub(U::V::mul(score, U::V::splat(scores.factor)), lse);
                if let Some(mask) = &mask {
                    x = mask.apply(x, l * lanes);
                }
                *kept = exp2::<U>(x);
                U::store(*kept, p.add(r * stride + l * lanes / U::DEPTH));
                if let Some((_, slope)) = capped {
                    *kept = U::V::mul(*kept, slope);
                }
            }
        }
        let left = Strided { start: s.v.add(row * w.row), stride: w.row };
        let right = Strided { start: s.d_out_columns.add(query * w.row), stride: s.tile };
        let sums = tile::multiply::<U, ROWS, VECTORS>(zero, left, right, w.depth);
        for (r, row) in sums.iter().enumerate() {
            for (l, x) in row.iter().enumerate() {
                let delta = U::V::load(s.delta.add(query + l * lanes));
                let x = U::V::mul(kept[r][l], U::V::sub(*x, delta));
                U::store(x, d_s.add(r * stride + l * lanes / U::DEPTH));
            }
        }
    }
}

/// `dv += p do` and `dk += ds q`.
#[inline(always)]
pub(super) unsafe fn add_key_products<U: Unit, const ROWS: usize, const VECTORS: usize>(
    place: Place,
    seen: &Seen,
    s: &Scratch,
) {
    let (lanes, depth) = (s.widths.lanes, s.tile / U::DEPTH);
    let stride = QUERY_TILES * depth;
    for panel in 0..seen.panels {
        let tiles = seen.tiles_of(panel);
        let left = panel * ROWS * stride + tiles.start * depth;
        let right = (place.query / U::DEPTH + tiles.start * depth) * lanes;
        let to = (place.row + panel * ROWS) * lanes;
        let sizes = (tiles.len() * depth, lanes);
        for (sums, left, right) in [
            (s.d_v.wrapping_add(to), s.p.wrapping_add(left), s.d_out_pairs.wrapping_add(right)),
            (s.d_k.wrapping_add(to), s.d_s.wrapping_add(left), s.q_pairs.wrapping_add(right)),
        ] {
            let left = Strided { start: left, stride };
            let right = Strided { start: right, stride: lanes };
            // SAFETY: as in the backward's `run`.
            unsafe { add_product::<U, ROWS, VECTORS>((sums, lanes), left, right, sizes) }
        }
    }
}

/// `dq' += k' ds`.
#[inline(always)]
pub(super) unsafe fn add_query_products<U: Unit, const ROWS: usize, const VECTORS: usize>(
    place: Place,
    seen: &Seen,
    s: &Scratch,
) {
    let (width, lanes) = (s.tile * QUERY_TILES, s.widths.lanes);
    for tile in 0..seen.tiles {
        let panels = seen.panels_of(tile);
        let sizes = (panels.len() * ROWS / U::DEPTH, s.tile);
        let first = panels.start * ROWS / U::DEPTH;
        for d in (0..s.widths.head).step_by(ROWS) {
            // SAFETY: as in the backward's `run`.
            unsafe {
                let stride = BLOCK_KEYS / U::DEPTH;
                let left = Strided { start: s.k_columns.add(d * stride + first), stride };
                let right = s.d_s_pairs.add(first * width + tile * s.tile);
                let right = Strided { start: right, stride: width };
                let to = s.d_q.add((place.query + tile * s.tile) * lanes + d * s.tile);
                add_product::<U, ROWS, VECTORS>((to, s.tile), left, right, sizes);
            }
        }
    }
}
