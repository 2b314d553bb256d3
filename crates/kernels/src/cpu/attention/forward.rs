//! The forward: a strip of queries passes over the tiles of keys it sees, keeping a running maximum,
//! a running sum and the weighted sum of values.

use std::ops::Range;

use super::level::{Problem, Work};
use super::raw::{RawRows, carve, stage_rows};
use super::sight::{Rule, Sight};
use super::tile::{self, Strided, Widths, add_product};
use super::vector::{Unit, Vector, exp2};
use crate::par::SharedMut;

/// Queries, counted once for each head of a group, that a task handles.
const TASK_QUERIES: usize = 512;
/// Tiles of keys that are packed at a time: with values, 256 KiB at the widest tile and Dh = 64.
const BLOCK_TILES: usize = 32;
/// Tiles whose scores are held at a time.
const SCORE_TILES: usize = 4;
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

/// Scratch of a task. Rows are queries of one head after the other, each head's rounded up to whole
/// strips.
struct Scratch {
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

/// A strip: its first row in the scratch, its first query.
#[derive(Clone, Copy)]
struct Strip {
    row: usize,
    query: usize,
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
        let (head, chunk) = (task / chunks, task % chunks);
        let (b, kv) = (head / shape.num_kv_heads, head % shape.num_kv_heads);
        let start = chunk * per_task;
        let queries = start..shape.query_len.min(start + per_task);
        let rule = self.problem.rule(b);

        let widths = Widths::new::<U>(shape.head_dim);
        let (tile, strip) = (VECTORS * U::V::LANES, ROWS * STRIP_TILES);
        let head_rows = queries.len().next_multiple_of(strip);
        let rows = head_rows * shape.group();
        let keys = rule.keys(&queries);
        let first_key = keys.start / tile * tile;
        let block = (keys.end - first_key).next_multiple_of(tile).min(BLOCK_TILES * tile);
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
        let scratch = Scratch {
            widths,
            tile,
            strip,
            k,
            v,
            rows: staged,
            scores,
            tops,
            p,
            sums,
            totals,
            largest,
        };
        // SAFETY: the caller has the level; every part of the scratch was sized for its use.
        unsafe {
            sums.write_bytes(0, rows * widths.lanes);
            totals.write_bytes(0, rows * U::V::LANES);
            std::slice::from_raw_parts_mut(largest, rows).fill(LOWEST_SCORE);
            for start in (first_key..keys.end).step_by(block) {
                let keys = start..keys.end.min(start + block);
                self.pack::<U>((b, kv), &keys, &scratch);
                for g in 0..shape.group() {
                    for query in queries.clone().step_by(strip) {
                        let at = Strip { row: g * head_rows + query - queries.start, query };
                        let rows = query..queries.end.min(query + strip);
                        let h = kv * shape.group() + g;
                        self.pass::<U, ROWS, VECTORS>(
                            (b, h),
                            &rule,
                            (&rows, &keys),
                            (at, &scratch),
                        );
                    }
                }
            }
            for g in 0..shape.group() {
                self.finish::<U>((b, kv * shape.group() + g), &queries, g * head_rows, &scratch);
            }
        }
    }
}

impl Forward<'_> {
    /// Packs a block of keys and values, zeros behind the last.
    #[inline(always)]
    unsafe fn pack<U: Unit>(&self, (b, kv): (usize, usize), keys: &Range<usize>, s: &Scratch) {
        let Problem { k, v, .. } = self.problem;
        let (w, tile) = (s.widths, s.tile);
        let rows = Strided { start: s.rows, stride: w.row };
        for (i, start) in keys.clone().step_by(tile).enumerate() {
            let part = (start, tile, keys.end);
            // SAFETY: the scratch holds a tile of staged rows and every packed tile of the block.
            unsafe {
                let row = |t| k.at(b, t, kv * w.head);
                stage_rows::<U>(row, part, w.head, s.rows, w.row);
                let to = s.k.add(i * tile * w.row);
                tile::transpose_rows::<U::V>(rows, (tile, w.row), to, tile);
                let row = |t| v.at(b, t, kv * w.head);
                stage_rows::<U>(row, part, w.head, s.rows, w.row);
                let to = s.v.add(i * tile / U::DEPTH * w.lanes);
                tile::interleave_rows::<U>(rows, (tile, w.lanes), to);
            }
        }
    }

    /// Takes a strip over the tiles of a block that it sees.
    #[inline(always)]
    unsafe fn pass<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        (b, h): (usize, usize),
        rule: &Rule,
        (queries, keys): (&Range<usize>, &Range<usize>),
        (at, s): (Strip, &Scratch),
    ) {
        let mut seen = [SeenTile { index: 0, whole: true }; BLOCK_TILES];
        let mut count = 0;
        for (index, start) in keys.clone().step_by(s.tile).enumerate() {
            match rule.sight(queries.clone(), start..start + s.tile) {
                Sight::None => continue,
                sight => seen[count] = SeenTile { index, whole: sight == Sight::All },
            }
            count += 1;
        }
        if count == 0 {
            return;
        }
        let q = self.problem.q;
        // SAFETY: as in `run`.
        unsafe {
            let part = (queries.start, s.strip, queries.end);
            let row = |t| q.at(b, t, h * s.widths.head);
            stage_rows::<U>(row, part, s.widths.head, s.rows, s.widths.row);
            let runs = seen[..count].chunk_by(|a, b| a.index + 1 == b.index);
            for tiles in runs.flat_map(|run| run.chunks(SCORE_TILES)) {
                scores::<U, ROWS, VECTORS>(rule, (keys.start, at.query), tiles, s);
                let c = self.problem.shape.scale * std::f32::consts::LOG2_E;
                probabilities::<U>(c, tiles.len(), at.row, s);
                add_values::<U, ROWS, VECTORS>(tiles, at.row, s);
            }
        }
    }

    /// Writes a head's rows: the weighted sum by the sum of probabilities, and its logarithm.
    #[inline(always)]
    unsafe fn finish<U: Unit>(
        &self,
        (b, h): (usize, usize),
        queries: &Range<usize>,
        first_row: usize,
        s: &Scratch,
    ) {
        let shape = self.problem.shape;
        let start = (b * shape.num_heads + h) * shape.query_len + queries.start;
        // SAFETY: as in `run`; a task writes the rows of its own queries and heads.
        unsafe {
            let lse = self.lse.slice(start, queries.len());
            for (i, lse) in lse.iter_mut().enumerate() {
                let row = first_row + i;
                let total = U::V::sum(U::V::load(s.totals.add(row * U::V::LANES)));
                *lse = *s.largest.add(row) * shape.scale + total.ln();
                let sums = s.sums.add(row * s.widths.lanes);
                let out = self.out.at(b, queries.start + i, h * s.widths.head);
                out.write::<U>(sums, 1.0 / total, s.widths.head);
            }
        }
    }
}

/// `scores = q k`, minus infinity where a query does not see a key, and the largest by lane.
#[inline(always)]
unsafe fn scores<U: Unit, const ROWS: usize, const VECTORS: usize>(
    rule: &Rule,
    (first_key, first_query): (usize, usize),
    tiles: &[SeenTile],
    s: &Scratch,
) {
    let lanes = U::V::LANES;
    for (t, seen) in tiles.iter().enumerate() {
        for r in (0..s.strip).step_by(ROWS) {
            // SAFETY: as in `run`.
            unsafe {
                let left = Strided { start: s.rows.add(r * s.widths.row), stride: s.widths.row };
                let right = s.k.add(seen.index * s.tile * s.widths.row);
                let right = Strided { start: right, stride: s.tile };
                let zero = [[U::V::splat(0.0); VECTORS]; ROWS];
                let mut sums =
                    tile::multiply::<U, ROWS, VECTORS>(zero, left, right, s.widths.depth);
                if !seen.whole {
                    for (i, row) in sums.iter_mut().enumerate() {
                        let key = first_key + seen.index * s.tile;
                        let mask = rule.keys_of(first_query + r + i, key);
                        for (c, sum) in row.iter_mut().enumerate() {
                            *sum = mask.apply(*sum, c * lanes);
                        }
                    }
                }
                let stride = SCORE_TILES * s.tile;
                tile::store(sums, s.scores.add(r * stride + t * s.tile), stride);
                for (i, row) in sums.into_iter().enumerate() {
                    let tops = s.tops.add((r + i) * lanes);
                    let mut top = if t == 0 { row[0] } else { U::V::load(tops) };
                    for x in row {
                        top = U::V::max(top, x);
                    }
                    U::V::store(top, tops);
                }
            }
        }
    }
}

/// Turns scores into probabilities that share the row's new maximum.
#[inline(always)]
unsafe fn probabilities<U: Unit>(c: f32, tiles: usize, first_row: usize, s: &Scratch) {
    let lanes = U::V::LANES;
    for r in 0..s.strip {
        // SAFETY: as in `run`.
        unsafe {
            let row = first_row + r;
            let (totals, largest) = (s.totals.add(row * lanes), s.largest.add(row));
            let mut total = U::V::load(totals);
            let top = U::V::largest(U::V::load(s.tops.add(r * lanes)));
            if top > *largest {
                let keep = exp2::<U>(U::V::splat((*largest - top) * c));
                total = U::V::mul(total, keep);
                let sums = s.sums.add(row * s.widths.lanes);
                for d in (0..s.widths.lanes).step_by(lanes) {
                    U::V::store(U::V::mul(U::V::load(sums.add(d)), keep), sums.add(d));
                }
                *largest = top;
            }
            let shift = U::V::splat(-*largest * c);
            let scores = s.scores.add(r * SCORE_TILES * s.tile);
            let p = s.p.add(r * SCORE_TILES * s.tile / U::DEPTH);
            for j in (0..tiles * s.tile).step_by(lanes) {
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
    tiles: &[SeenTile],
    first_row: usize,
    s: &Scratch,
) {
    let (lanes, depth) = (s.widths.lanes, s.tile / U::DEPTH);
    for r in (0..s.strip).step_by(ROWS) {
        // SAFETY: as in `run`.
        unsafe {
            let stride = SCORE_TILES * depth;
            let left = Strided { start: s.p.add(r * stride), stride };
            let right = Strided { start: s.v.add(tiles[0].index * depth * lanes), stride: lanes };
            let sums = (s.sums.add((first_row + r) * lanes), lanes);
            let sizes = (tiles.len() * depth, lanes);
            add_product::<U, ROWS, VECTORS>(sums, left, right, sizes);
        }
    }
}
