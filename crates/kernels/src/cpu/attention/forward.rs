//! The forward: a strip of queries passes over the tiles of keys it sees, keeping a running
//! maximum, a running sum and the weighted sum of values.

use std::ops::Range;

use super::level::{Problem, Work};
use super::raw::{RawRows, carve, fetch_rows, stage_rows};
use super::sight::{Rule, Sight};
use super::tile::{self, Strided, Widths, add_product};
use super::vector::{Unit, Vector, exp2};
use crate::par::SharedMut;

/// Queries, counted once for each head of a group, that a task handles.
const TASK_QUERIES: usize = 1024;
/// Tiles of keys that are packed at a time: with values, 256 KiB at the widest tile and Dh = 64.
const BLOCK_TILES: usize = 32;
/// Tiles whose scores are held at a time.
const SCORE_TILES: usize = 8;
/// Register tiles on top of each other in a strip of queries.
const STRIP_TILES: usize = 2;
/// Where a running maximum starts: below every score, but finite.
const LOWEST_SCORE: f32 = -1e30;

/// The forward of all batch elements and heads.
pub(super) struct Forward<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) out: RawRows,
    pub(super) lse: SharedMut<'a, f32>,
}

/// One task: some queries of the heads that share a key head, and its scratch. Rows are queries of
/// one head after the other, each head's rounded up to whole strips.
struct Task<'a> {
    work: &'a Forward<'a>,
    rule: Rule,
    b: usize,
    kv: usize,
    queries: Range<usize>,
    widths: Widths,
    /// Width of a tile in keys, and rows of a strip.
    tile: usize,
    strip: usize,
    /// Packed keys and values, a tile after the other.
    k: *mut f32,
    v: *mut f32,
    /// Staged rows: queries of a strip, keys or values of a tile.
    rows: *mut f32,
    /// Scores of a strip and the largest of each lane, then probabilities.
    scores: *mut f32,
    tops: *mut f32,
    p: *mut f32,
    /// For each row: weighted sum of values, sum of probabilities by lane, maximum.
    sums: *mut f32,
    totals: *mut f32,
    largest: *mut f32,
}

/// A tile that a strip sees: its place in the block, and whether all of it is seen.
#[derive(Clone, Copy)]
struct SeenTile {
    index: usize,
    whole: bool,
}

/// A strip: its head, its first row in the scratch, its queries.
struct Strip {
    h: usize,
    row: usize,
    queries: Range<usize>,
}

impl Forward<'_> {
    /// A fixed number, whatever the threads.
    fn queries_per_task(&self) -> usize {
        let shape = self.problem.shape;
        (TASK_QUERIES / shape.group()).clamp(1, shape.query_len.max(1))
    }

    pub(super) fn tasks(&self) -> usize {
        let shape = self.problem.shape;
        let chunks = shape.query_len.div_ceil(self.queries_per_task());
        shape.batch * shape.num_kv_heads * chunks
    }
}

impl Work for Forward<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let shape = self.problem.shape;
        let per_task = self.queries_per_task();
        let chunks = shape.query_len.div_ceil(per_task);
        let (head, start) = (task / chunks, task % chunks * per_task);
        let (b, kv) = (head / shape.num_kv_heads, head % shape.num_kv_heads);
        let queries = start..shape.query_len.min(start + per_task);
        let rule = self.problem.rule(b);

        let widths = Widths::new::<U>(shape.head_dim);
        let (tile, strip) = (VECTORS * U::V::LANES, ROWS * STRIP_TILES);
        let rows = queries.len().next_multiple_of(strip) * shape.group();
        let keys = rule.keys(&queries);
        let keys = keys.start / tile * tile..keys.end;
        let block = keys.len().next_multiple_of(tile).min(BLOCK_TILES * tile);
        let (_buffer, [k, v, staged, scores, tops, p, sums, totals, largest]) = carve(
            &self.problem.cpu.arena,
            [
                block * widths.row,
                block / U::DEPTH * widths.lanes,
                tile.max(strip) * widths.row,
                strip * SCORE_TILES * tile,
                strip * U::V::LANES,
                strip * SCORE_TILES * tile / U::DEPTH,
                rows * widths.lanes,
                rows * U::V::LANES,
                rows,
            ],
        );
        let (work, rows) = (self, staged);
        #[rustfmt::skip]
        let task = Task {
            work, rule, b, kv, queries, widths, tile, strip,
            k, v, rows, scores, tops, p, sums, totals, largest,
        };
        for start in keys.clone().step_by(block) {
            let part = start..keys.end.min(start + block);
            // SAFETY: the caller has the level; every part of the scratch was sized for its use.
            unsafe { task.pass_block::<U, ROWS, VECTORS>(&keys, &part) }
        }
    }
}

impl Task<'_> {
    /// Takes all strips over a block of keys, which is packed while they advance.
    #[inline(always)]
    unsafe fn pass_block<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        all_keys: &Range<usize>,
        keys: &Range<usize>,
    ) {
        let group = self.work.problem.shape.group();
        let head_rows = self.queries.len().next_multiple_of(self.strip);
        let mut packed = keys.start;
        for query in self.queries.clone().step_by(self.strip) {
            let queries = query..self.queries.end.min(query + self.strip);
            let needed = self.rule.keys(&queries).end.min(keys.end);
            // SAFETY: as in `run`.
            unsafe {
                while packed < needed {
                    self.pack_tile::<U>(packed, keys);
                    packed += self.tile;
                }
                for g in 0..group {
                    let row = g * head_rows + query - self.queries.start;
                    let strip = Strip { h: self.kv * group + g, row, queries: queries.clone() };
                    if keys.start == all_keys.start {
                        self.start::<U>(&strip);
                    }
                    self.pass::<U, ROWS, VECTORS>(&strip, keys);
                    if keys.end == all_keys.end {
                        self.finish::<U>(&strip);
                    }
                }
            }
        }
    }

    /// Packs a tile of keys and values, zeros behind the last of the block, and asks for the memory
    /// of the next.
    #[inline(always)]
    unsafe fn pack_tile<U: Unit>(&self, start: usize, keys: &Range<usize>) {
        let Problem { k, v, .. } = self.work.problem;
        let (w, tile) = (self.widths, self.tile);
        let (part, place) = ((start, tile, keys.end), start - keys.start);
        let rows = Strided { start: self.rows, stride: w.row };
        // SAFETY: the scratch holds a tile of staged rows and every packed tile of the block.
        unsafe {
            let row = |t| k.at(self.b, t, self.kv * w.head);
            stage_rows::<U>(row, part, w.head, self.rows, w.row);
            tile::transpose_rows::<U::V>(rows, (tile, w.row), self.k.add(place * w.row), tile);
            let row = |t| v.at(self.b, t, self.kv * w.head);
            stage_rows::<U>(row, part, w.head, self.rows, w.row);
            let to = self.v.add(place / U::DEPTH * w.lanes);
            tile::interleave_rows::<U>(rows, (tile, w.lanes), to);
        }
        let next = start + tile..keys.end.min(start + 2 * tile);
        fetch_rows::<U::V, 2>([k, v], (self.b, self.kv * w.head), next, w.head);
    }

    /// Clears the sums of a strip, and asks for the memory of its output.
    #[inline(always)]
    unsafe fn start<U: Unit>(&self, strip: &Strip) {
        let (row, rows, column) = (strip.row, self.strip, strip.h * self.widths.head);
        let (out, width) = (self.work.out, self.widths.head);
        fetch_rows::<U::V, 1>([out], (self.b, column), strip.queries.clone(), width);
        // SAFETY: as in `run`.
        unsafe {
            self.sums.add(row * self.widths.lanes).write_bytes(0, rows * self.widths.lanes);
            self.totals.add(row * U::V::LANES).write_bytes(0, rows * U::V::LANES);
            std::slice::from_raw_parts_mut(self.largest.add(row), rows).fill(LOWEST_SCORE);
        }
    }

    /// Takes a strip over the tiles of a block that it sees.
    #[inline(always)]
    unsafe fn pass<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        strip: &Strip,
        keys: &Range<usize>,
    ) {
        let mut seen = [SeenTile { index: 0, whole: true }; BLOCK_TILES];
        let mut count = 0;
        let watch = self.rule.watch(&strip.queries);
        let needed = keys.start..keys.end.min(self.rule.keys(&strip.queries).end);
        for (index, start) in needed.step_by(self.tile).enumerate() {
            match watch.sight(start..start + self.tile) {
                Sight::None => continue,
                sight => seen[count] = SeenTile { index, whole: sight == Sight::All },
            }
            count += 1;
        }
        if count == 0 {
            return;
        }
        let (q, w) = (self.work.problem.q, self.widths);
        // SAFETY: as in `run`.
        unsafe {
            let part = (strip.queries.start, self.strip, strip.queries.end);
            let row = |t| q.at(self.b, t, strip.h * w.head);
            stage_rows::<U>(row, part, w.head, self.rows, w.row);
            let next = strip.queries.end..self.queries.end.min(strip.queries.end + self.strip);
            fetch_rows::<U::V, 1>([q], (self.b, strip.h * w.head), next, w.head);
            let runs = seen[..count].chunk_by(|a, b| a.index + 1 == b.index);
            for tiles in runs.flat_map(|run| run.chunks(SCORE_TILES)) {
                self.score::<U, ROWS, VECTORS>((strip.queries.start, keys.start), tiles);
                self.exponentiate::<U>(tiles.len(), strip.row);
                self.add_values::<U, ROWS, VECTORS>(tiles, strip.row);
            }
        }
    }

    /// Writes a strip: the weighted sum by the sum of probabilities, and its logarithm.
    #[inline(always)]
    unsafe fn finish<U: Unit>(&self, strip: &Strip) {
        let (shape, w, queries) = (self.work.problem.shape, self.widths, &strip.queries);
        let start = (self.b * shape.num_heads + strip.h) * shape.query_len + queries.start;
        // SAFETY: as in `run`; a task writes the rows of its own queries and heads.
        unsafe {
            let lse = self.work.lse.slice(start, queries.len());
            for (i, lse) in lse.iter_mut().enumerate() {
                let row = strip.row + i;
                let total = U::V::sum(U::V::load(self.totals.add(row * U::V::LANES)));
                *lse = *self.largest.add(row) * shape.scale + total.ln();
                let out = self.work.out.at(self.b, queries.start + i, strip.h * w.head);
                out.write::<U>(self.sums.add(row * w.lanes), 1.0 / total, w.head);
            }
        }
    }

    /// `scores = q k`, minus infinity where a query does not see a key, and the largest by lane.
    #[inline(always)]
    unsafe fn score<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        (first_query, first_key): (usize, usize),
        tiles: &[SeenTile],
    ) {
        let (w, lanes) = (self.widths, U::V::LANES);
        for (t, seen) in tiles.iter().enumerate() {
            for r in (0..self.strip).step_by(ROWS) {
                // SAFETY: as in `run`.
                unsafe {
                    let left = Strided { start: self.rows.add(r * w.row), stride: w.row };
                    let right = self.k.add(seen.index * self.tile * w.row);
                    let right = Strided { start: right, stride: self.tile };
                    let zero = [[U::V::splat(0.0); VECTORS]; ROWS];
                    let mut sums = tile::multiply::<U, ROWS, VECTORS>(zero, left, right, w.depth);
                    if !seen.whole {
                        for (i, row) in sums.iter_mut().enumerate() {
                            let key = first_key + seen.index * self.tile;
                            let mask = self.rule.keys_of(first_query + r + i, key);
                            for (c, sum) in row.iter_mut().enumerate() {
                                *sum = mask.apply(*sum, c * lanes);
                            }
                        }
                    }
                    let stride = SCORE_TILES * self.tile;
                    tile::store(&sums, self.scores.add(r * stride + t * self.tile), stride);
                    for (i, row) in sums.iter().enumerate() {
                        let tops = self.tops.add((r + i) * lanes);
                        let mut top = if t == 0 { row[0] } else { U::V::load(tops) };
                        for x in row {
                            top = U::V::max(top, *x);
                        }
                        U::V::store(top, tops);
                    }
                }
            }
        }
    }

    /// Turns scores into probabilities that share the row's new maximum.
    #[inline(always)]
    unsafe fn exponentiate<U: Unit>(&self, tiles: usize, first_row: usize) {
        let (lanes, width) = (U::V::LANES, self.widths.lanes);
        let c = self.work.problem.shape.scale * std::f32::consts::LOG2_E;
        for r in 0..self.strip {
            // SAFETY: as in `run`.
            unsafe {
                let row = first_row + r;
                let (totals, largest) = (self.totals.add(row * lanes), self.largest.add(row));
                let mut total = U::V::load(totals);
                let top = U::V::largest(U::V::load(self.tops.add(r * lanes)));
                if top > *largest {
                    let keep = exp2::<U>(U::V::splat((*largest - top) * c));
                    total = U::V::mul(total, keep);
                    let sums = self.sums.add(row * width);
                    for d in (0..width).step_by(lanes) {
                        U::V::store(U::V::mul(U::V::load(sums.add(d)), keep), sums.add(d));
                    }
                    *largest = top;
                }
                let shift = U::V::splat(-*largest * c);
                let scores = self.scores.add(r * SCORE_TILES * self.tile);
                let p = self.p.add(r * SCORE_TILES * self.tile / U::DEPTH);
                for j in (0..tiles * self.tile).step_by(lanes) {
                    let x = U::V::mul_add(U::V::load(scores.add(j)), U::V::splat(c), shift);
                    let x = exp2::<U>(x);
                    total = U::V::add(total, x);
                    U::store(x, p.add(j / U::DEPTH));
                }
                U::V::store(total, totals);
            }
        }
    }

    /// `sums += p v` for neighbouring tiles.
    #[inline(always)]
    unsafe fn add_values<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        tiles: &[SeenTile],
        first_row: usize,
    ) {
        let (lanes, depth) = (self.widths.lanes, self.tile / U::DEPTH);
        for r in (0..self.strip).step_by(ROWS) {
            // SAFETY: as in `run`.
            unsafe {
                let stride = SCORE_TILES * depth;
                let left = Strided { start: self.p.add(r * stride), stride };
                let right = self.v.add(tiles[0].index * depth * lanes);
                let right = Strided { start: right, stride: lanes };
                let sums = (self.sums.add((first_row + r) * lanes), lanes);
                let sizes = (tiles.len() * depth, lanes);
                add_product::<U, ROWS, VECTORS>(sums, left, right, sizes);
            }
        }
    }
}
