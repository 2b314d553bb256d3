//! The backward: blocks of keys on the outside, the queries that see them on the inside, and the
//! probabilities computed again from the log-sum-exp.
//!
//! Scores are held with keys as rows and queries as lanes, so that the row-wise statistics are
//! plain registers and every product finds its operands as they lie:
//! `dv += p do`, `dk += ds q` (sums over queries), `dq' += k' ds` (a sum over keys; ' transposes),
//! with `ds = p * (v do' - delta)` and `delta_i = out_i · do_i`. The scale of the scores is applied
//! to dq and dk at the end.

use std::ops::Range;

use super::level::{Problem, Work};
use super::raw::{RawRows, carve, stage_rows};
use super::sight::{Rule, Sight};
use super::tile::{self, Strided, Widths, add_product};
use super::vector::{Unit, Vector, exp2};
use crate::Buffer;

/// Keys of a block.
const BLOCK_KEYS: usize = 64;
/// Tiles of queries that meet a block of keys at a time.
const QUERY_TILES: usize = 2;
/// Most register tiles on top of each other in a block of keys.
const PANELS_MAX: usize = BLOCK_KEYS / 4;

/// The backward of all batch elements and heads.
pub(super) struct Backward<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) out: RawRows,
    pub(super) d_out: RawRows,
    pub(super) lse: &'a [f32],
    pub(super) d_q: RawRows,
    pub(super) d_k: RawRows,
    pub(super) d_v: RawRows,
}

/// Scratch of a task.
struct Scratch {
    widths: Widths,
    /// Width of a tile in queries.
    tile: usize,
    /// Staged rows of a tile of queries, and `[tile, Dh]` sums.
    rows: *mut f32,
    /// A block of keys and values as left operands for sums over the head.
    k: *mut f32,
    v: *mut f32,
    /// The block's keys, transposed, as left operand for sums over keys; and on the way to that.
    k_columns: *mut f32,
    k_pairs: *mut f32,
    /// All queries and output gradients of a head, a tile after the other, as right operands for
    /// sums over the head.
    q_columns: *mut f32,
    d_out_columns: *mut f32,
    /// The same as right operands for sums over queries.
    q_pairs: *mut f32,
    d_out_pairs: *mut f32,
    /// Log-sum-exp in powers of two, and `out · d_out`, of every query.
    lse: *mut f32,
    delta: *mut f32,
    /// Probabilities and their gradients, `[block, queries]`; the latter also as right operand for
    /// sums over keys.
    p: *mut f32,
    d_s: *mut f32,
    d_s_pairs: *mut f32,
    /// Sums: `[tiles][Dh, tile]`, and `[keys, Dh]` twice.
    d_q: *mut f32,
    d_k: *mut f32,
    d_v: *mut f32,
}

/// Which register tiles of a block are seen, by panel of keys and tile of queries.
struct Seen {
    sight: [[Sight; QUERY_TILES]; PANELS_MAX],
    panels: usize,
    tiles: usize,
}

impl Work for Backward<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let shape = self.problem.shape;
        let (b, kv) = (task / shape.num_kv_heads, task % shape.num_kv_heads);
        let key_len = self.problem.key_len(b);
        let rule = self.problem.rule(b);
        let (_buffer, s) = self.scratch::<U, VECTORS>();
        let all_keys = shape.key_len.next_multiple_of(BLOCK_KEYS) * s.widths.lanes;
        // SAFETY: the caller has the level; every part of the scratch was sized for its use.
        unsafe {
            s.d_k.write_bytes(0, all_keys);
            s.d_v.write_bytes(0, all_keys);
            for h in kv * shape.group()..(kv + 1) * shape.group() {
                self.prepare_queries::<U>((b, h), &s);
                for start in (0..key_len).step_by(BLOCK_KEYS) {
                    let keys = start..key_len.min(start + BLOCK_KEYS);
                    self.pass::<U, ROWS, VECTORS>((b, kv), &rule, &keys, &s);
                }
                self.finish_queries::<U>((b, h), &s);
            }
            for t in 0..shape.key_len {
                let (column, width) = (kv * s.widths.head, s.widths.head);
                let (d_k, d_v) = (s.d_k.add(t * s.widths.lanes), s.d_v.add(t * s.widths.lanes));
                self.d_k.at(b, t, column).write::<U>(d_k, shape.scale, width);
                self.d_v.at(b, t, column).write::<U>(d_v, 1.0, width);
            }
        }
    }
}

impl Backward<'_> {
    pub(super) fn tasks(&self) -> usize {
        self.problem.shape.batch * self.problem.shape.num_kv_heads
    }

    #[inline(always)]
    fn scratch<U: Unit, const VECTORS: usize>(&self) -> (Buffer<f32>, Scratch) {
        let shape = self.problem.shape;
        let (widths, tile) = (Widths::new::<U>(shape.head_dim), VECTORS * U::V::LANES);
        let queries = shape.query_len.next_multiple_of(tile * QUERY_TILES);
        let keys = shape.key_len.next_multiple_of(BLOCK_KEYS);
        let block = BLOCK_KEYS * tile * QUERY_TILES / U::DEPTH;
        let (buffer, parts) = carve(
            &self.problem.cpu.arena,
            [
                tile * widths.row.max(widths.lanes),
                BLOCK_KEYS * widths.row,
                BLOCK_KEYS * widths.row,
                BLOCK_KEYS / U::DEPTH * widths.lanes,
                BLOCK_KEYS / U::DEPTH * widths.lanes,
                queries * widths.row,
                queries * widths.row,
                queries / U::DEPTH * widths.lanes,
                queries / U::DEPTH * widths.lanes,
                queries,
                queries,
                block,
                block,
                block,
                queries * widths.lanes,
                keys * widths.lanes,
                keys * widths.lanes,
            ],
        );
        let [rows, k, v, k_columns, k_pairs, q_columns, d_out_columns, q_pairs, ..] = parts;
        let [.., d_out_pairs, lse, delta, p, d_s, d_s_pairs, d_q, d_k, d_v] = parts;
        let scratch = Scratch {
            widths,
            tile,
            rows,
            k,
            v,
            k_columns,
            k_pairs,
            q_columns,
            d_out_columns,
            q_pairs,
            d_out_pairs,
            lse,
            delta,
            p,
            d_s,
            d_s_pairs,
            d_q,
            d_k,
            d_v,
        };
        (buffer, scratch)
    }

    /// Packs the queries and output gradients of a head; queries beyond the last are zeros with an
    /// infinite log-sum-exp, so that their probabilities are zero.
    #[inline(always)]
    unsafe fn prepare_queries<U: Unit>(&self, (b, h): (usize, usize), s: &Scratch) {
        let shape = self.problem.shape;
        let (w, tile) = (s.widths, s.tile);
        let queries = shape.query_len.next_multiple_of(tile * QUERY_TILES);
        let rows = Strided { start: s.rows, stride: w.row };
        // SAFETY: as in `run`.
        unsafe {
            s.d_q.write_bytes(0, queries * w.lanes);
            for start in (0..queries).step_by(tile) {
                let part = (start, tile, shape.query_len);
                let (columns, pairs) = (start * w.row, start / U::DEPTH * w.lanes);
                let row = |t| self.problem.q.at(b, t, h * w.head);
                stage_rows::<U>(row, part, w.head, s.rows, w.row);
                tile::transpose_rows::<U::V>(rows, (tile, w.row), s.q_columns.add(columns), tile);
                tile::interleave_rows::<U>(rows, (tile, w.lanes), s.q_pairs.add(pairs));
                let row = |t| self.d_out.at(b, t, h * w.head);
                stage_rows::<U>(row, part, w.head, s.rows, w.row);
                let to = s.d_out_columns.add(columns);
                tile::transpose_rows::<U::V>(rows, (tile, w.row), to, tile);
                tile::interleave_rows::<U>(rows, (tile, w.lanes), s.d_out_pairs.add(pairs));
            }
            let lse = &self.lse[(b * shape.num_heads + h) * shape.query_len..][..shape.query_len];
            for t in 0..queries {
                let (mut power, mut delta) = (f32::INFINITY, U::V::splat(0.0));
                if t < shape.query_len {
                    power = lse[t] * std::f32::consts::LOG2_E;
                    let (out, d_out) =
                        (self.out.at(b, t, h * w.head), self.d_out.at(b, t, h * w.head));
                    for d in (0..w.head).step_by(U::V::LANES) {
                        let (x, y) = (out.load(d, w.head), d_out.load(d, w.head));
                        delta = U::V::mul_add(x, y, delta);
                    }
                }
                *s.lse.add(t) = power;
                *s.delta.add(t) = U::V::sum(delta);
            }
        }
    }

    /// Writes the gradient of a head's queries.
    #[inline(always)]
    unsafe fn finish_queries<U: Unit>(&self, (b, h): (usize, usize), s: &Scratch) {
        let shape = self.problem.shape;
        let (w, tile) = (s.widths, s.tile);
        for start in (0..shape.query_len).step_by(tile) {
            // SAFETY: as in `run`.
            unsafe {
                let sums = Strided { start: s.d_q.add(start * w.lanes), stride: tile };
                tile::transpose_rows::<U::V>(sums, (w.lanes, tile), s.rows, w.lanes);
                for t in start..shape.query_len.min(start + tile) {
                    let row = s.rows.add((t - start) * w.lanes);
                    self.d_q.at(b, t, h * w.head).write::<U>(row, shape.scale, w.head);
                }
            }
        }
    }

    /// Packs a block of keys and values and takes it over the queries that see it.
    #[inline(always)]
    unsafe fn pass<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        (b, kv): (usize, usize),
        rule: &Rule,
        keys: &Range<usize>,
        s: &Scratch,
    ) {
        let shape = self.problem.shape;
        let Problem { k, v, .. } = self.problem;
        let (w, part) = (s.widths, (keys.start, BLOCK_KEYS, keys.end));
        // SAFETY: as in `run`.
        unsafe {
            stage_rows::<U>(|t| k.at(b, t, kv * w.head), part, w.head, s.k, w.row);
            stage_rows::<U>(|t| v.at(b, t, kv * w.head), part, w.head, s.v, w.row);
            let rows = Strided { start: s.k, stride: w.row };
            tile::interleave_rows::<U>(rows, (BLOCK_KEYS, w.lanes), s.k_pairs);
            let pairs = Strided { start: s.k_pairs, stride: w.lanes };
            let depth = BLOCK_KEYS / U::DEPTH;
            tile::transpose_rows::<U::V>(pairs, (depth, w.lanes), s.k_columns, depth);
        }
        let step = s.tile * QUERY_TILES;
        let queries = rule.queries(keys, shape.query_len);
        for start in (queries.start / step * step..queries.end).step_by(step) {
            let queries = start..shape.query_len.min(start + step);
            if rule.sight(queries.clone(), keys.clone()) == Sight::None {
                continue;
            }
            let seen = Seen::new::<ROWS>(rule, &queries, keys, s.tile);
            let c = shape.scale * std::f32::consts::LOG2_E;
            // SAFETY: as in `run`.
            unsafe {
                gradients_of_scores::<U, ROWS, VECTORS>(rule, (start, keys.start), (&seen, c), s);
                add_key_products::<U, ROWS, VECTORS>((start, keys.start), &seen, s);
                add_query_products::<U, ROWS, VECTORS>(start, &seen, s);
            }
        }
    }
}

impl Seen {
    fn new<const ROWS: usize>(
        rule: &Rule,
        queries: &Range<usize>,
        keys: &Range<usize>,
        tile: usize,
    ) -> Self {
        let mut sight = [[Sight::None; QUERY_TILES]; PANELS_MAX];
        for (key, sight) in keys.clone().step_by(ROWS).zip(&mut sight) {
            for (query, sight) in queries.clone().step_by(tile).zip(sight) {
                *sight = rule.sight(query..queries.end.min(query + tile), key..key + ROWS);
            }
        }
        let (panels, tiles) = (keys.len().div_ceil(ROWS), queries.len().div_ceil(tile));
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
unsafe fn gradients_of_scores<U: Unit, const ROWS: usize, const VECTORS: usize>(
    rule: &Rule,
    (first_query, first_key): (usize, usize),
    (seen, c): (&Seen, f32),
    s: &Scratch,
) {
    let (width, depth) = (s.tile * QUERY_TILES, s.tile / U::DEPTH);
    let stride = width / U::DEPTH;
    for tile in 0..seen.tiles {
        for panel in seen.panels_of(tile) {
            // SAFETY: as in `Backward::run`.
            unsafe {
                let at = panel * ROWS * stride + tile * depth;
                let (p, d_s) = (s.p.add(at), s.d_s.add(at));
                let (query, key) = (first_query + tile * s.tile, first_key + panel * ROWS);
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
                        score_tile::<U, ROWS, VECTORS>(rule, from, (p, d_s), c, s);
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
    c: f32,
    s: &Scratch,
) {
    let (w, lanes) = (s.widths, U::V::LANES);
    let stride = s.tile * QUERY_TILES / U::DEPTH;
    // SAFETY: as in `Backward::run`.
    unsafe {
        let zero = [[U::V::splat(0.0); VECTORS]; ROWS];
        let left = Strided { start: s.k.add(row * w.row), stride: w.row };
        let right = Strided { start: s.q_columns.add(query * w.row), stride: s.tile };
        let mut kept = tile::multiply::<U, ROWS, VECTORS>(zero, left, right, w.depth);
        for (r, kept) in kept.iter_mut().enumerate() {
            let mask = rule.map(|rule| rule.queries_of(key + r, query));
            for (l, kept) in kept.iter_mut().enumerate() {
                let lse = U::V::load(s.lse.add(query + l * lanes));
                let mut x = U::V::sub(U::V::mul(*kept, U::V::splat(c)), lse);
                if let Some(mask) = &mask {
                    x = mask.apply(x, l * lanes);
                }
                *kept = exp2::<U>(x);
                U::store(*kept, p.add(r * stride + l * lanes / U::DEPTH));
            }
        }
        let left = Strided { start: s.v.add(row * w.row), stride: w.row };
        let right = Strided { start: s.d_out_columns.add(query * w.row), stride: s.tile };
        let sums = tile::multiply::<U, ROWS, VECTORS>(zero, left, right, w.depth);
        for (r, row) in sums.into_iter().enumerate() {
            for (l, x) in row.into_iter().enumerate() {
                let delta = U::V::load(s.delta.add(query + l * lanes));
                let x = U::V::mul(kept[r][l], U::V::sub(x, delta));
                U::store(x, d_s.add(r * stride + l * lanes / U::DEPTH));
            }
        }
    }
}

/// `dv += p do` and `dk += ds q`.
#[inline(always)]
unsafe fn add_key_products<U: Unit, const ROWS: usize, const VECTORS: usize>(
    (first_query, first_key): (usize, usize),
    seen: &Seen,
    s: &Scratch,
) {
    let (lanes, depth) = (s.widths.lanes, s.tile / U::DEPTH);
    let stride = QUERY_TILES * depth;
    for panel in 0..seen.panels {
        let tiles = seen.tiles_of(panel);
        let left = panel * ROWS * stride + tiles.start * depth;
        let right = (first_query / U::DEPTH + tiles.start * depth) * lanes;
        let to = (first_key + panel * ROWS) * lanes;
        let sizes = (tiles.len() * depth, lanes);
        for (sums, left, right) in [
            (s.d_v.wrapping_add(to), s.p.wrapping_add(left), s.d_out_pairs.wrapping_add(right)),
            (s.d_k.wrapping_add(to), s.d_s.wrapping_add(left), s.q_pairs.wrapping_add(right)),
        ] {
            let left = Strided { start: left, stride };
            let right = Strided { start: right, stride: lanes };
            // SAFETY: as in `Backward::run`.
            unsafe { add_product::<U, ROWS, VECTORS>((sums, lanes), left, right, sizes) }
        }
    }
}

/// `dq' += k' ds`.
#[inline(always)]
unsafe fn add_query_products<U: Unit, const ROWS: usize, const VECTORS: usize>(
    first_query: usize,
    seen: &Seen,
    s: &Scratch,
) {
    let (width, lanes) = (s.tile * QUERY_TILES, s.widths.lanes);
    for tile in 0..seen.tiles {
        let panels = seen.panels_of(tile);
        let sizes = (panels.len() * ROWS / U::DEPTH, s.tile);
        let first = panels.start * ROWS / U::DEPTH;
        for d in (0..s.widths.head).step_by(ROWS) {
            // SAFETY: as in `Backward::run`.
            unsafe {
                let stride = BLOCK_KEYS / U::DEPTH;
                let left = Strided { start: s.k_columns.add(d * stride + first), stride };
                let right = s.d_s_pairs.add(first * width + tile * s.tile);
                let right = Strided { start: right, stride: width };
                let to = s.d_q.add((first_query + tile * s.tile) * lanes + d * s.tile);
                add_product::<U, ROWS, VECTORS>((to, s.tile), left, right, sizes);
            }
        }
    }
}
