//! The forward: a strip of rows passes over the tiles of keys it sees, keeping a running maximum,
//! a running sum and the weighted sum of values.
//!
//! A row is a query of one head. Rows that share a key head are numbered query by query, the heads
//! of the group inside, so that a single query of a group fills a register tile.
//!
//! What a row adds up, and in which order, depends on the places of its keys alone: not on the rows
//! beside it, nor on how many there are. Scores are held for [`SCORE_KEYS`] keys at a time, from
//! multiples of that number on, and a tile that a row does not see changes neither its maximum nor
//! its sums.

use std::ops::Range;

use super::level::{Problem, Work, run_tasks};
use super::raw::{RawRow, RawRows, carve, fetch_rows, stage_rows};
use super::sight::{Rule, Sight};
use super::tile::{self, Strided, Widths, add_product};
use super::vector::{Unit, Vector, exp2};
use crate::par::SharedMut;
use crate::{Cpu, Precision};

/// Rows that a task handles at most.
const TASK_ROWS: usize = 1024;
/// Keys whose scores are held at a time, a multiple of every tile's width.
const SCORE_KEYS: usize = 256;
/// Keys that are packed at a time: with values, 256 KiB at Dh = 64.
const BLOCK_KEYS: usize = 4 * SCORE_KEYS;
/// Most tiles of `SCORE_KEYS` keys.
const SCORE_TILES: usize = SCORE_KEYS / 8;
/// Register tiles on top of each other in a strip of rows, if there are enough.
const STRIP_TILES: usize = 2;
/// Where a running maximum starts: below every score, but finite.
const LOWEST_SCORE: f32 = -1e30;

/// The forward of all batch elements and heads.
pub(super) struct Forward<'a> {
    pub(super) problem: Problem<'a>,
    pub(super) out: RawRows,
    pub(super) lse: SharedMut<'a, f32>,
}

/// One task: some rows of a key head, and its scratch.
struct Task<'a> {
    work: &'a Forward<'a>,
    rule: Rule,
    b: usize,
    kv: usize,
    rows: Range<usize>,
    widths: Widths,
    /// Width of a tile in keys, and rows of a strip.
    tile: usize,
    strip: usize,
    /// Whether the values of whole tiles are read where they lie: for a few rows, copies would not
    /// pay.
    values_in_place: bool,
    /// Packed keys and values, a tile after the other.
    k: *mut f32,
    v: *mut f32,
    /// Staged rows: queries of a strip, keys or values of a tile.
    staged: *mut f32,
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

/// Some neighbouring rows, the queries they belong to, and where their sums are in the scratch.
struct Strip {
    rows: Range<usize>,
    queries: Range<usize>,
    place: usize,
}

impl Forward<'_> {
    /// Rows of a key head.
    fn rows(&self) -> usize {
        self.problem.shape.query_len * self.problem.shape.group()
    }

    /// Fewer when threads would have nothing to do; that changes no bits.
    fn rows_per_task(&self) -> usize {
        let heads = self.problem.shape.batch * self.problem.shape.num_kv_heads;
        let parts = self.problem.cpu.pool.threads().div_ceil(heads.max(1));
        self.rows().div_ceil(parts).clamp(1, TASK_ROWS)
    }

    pub(super) fn tasks(&self) -> usize {
        let shape = self.problem.shape;
        shape.batch * shape.num_kv_heads * self.rows().div_ceil(self.rows_per_task())
    }

    #[inline(always)]
    unsafe fn run_rows<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        head: usize,
        rows: Range<usize>,
    ) {
        let shape = self.problem.shape;
        let (b, kv) = (head / shape.num_kv_heads, head % shape.num_kv_heads);
        let rule = self.problem.rule(b);
        let widths = Widths::new::<U>(shape.head_dim);
        let tile = VECTORS * U::V::LANES;
        let (strip, block) = match rows.len() <= ROWS {
            true => (ROWS, SCORE_KEYS),
            false => (ROWS * STRIP_TILES, BLOCK_KEYS),
        };
        let sums = rows.len().next_multiple_of(strip);
        let keys = rule.keys(&queries_of(&rows, shape.group()));
        let start = keys.start / SCORE_KEYS * SCORE_KEYS;
        let held = (keys.end - start).next_multiple_of(tile).min(block);
        let (_buffer, [k, v, staged, scores, tops, p, sums, totals, largest]) = carve(
            &self.problem.cpu.arena,
            [
                held * widths.row,
                held / U::DEPTH * widths.lanes,
                tile.max(strip) * widths.row,
                strip * SCORE_KEYS,
                strip * U::V::LANES,
                strip * SCORE_KEYS / U::DEPTH,
                sums * widths.lanes,
                sums * U::V::LANES,
                sums,
            ],
        );
        let values_in_place = block == SCORE_KEYS && U::DEPTH == 1;
        #[rustfmt::skip]
        let task = Task {
            work: self, rule, b, kv, rows, widths, tile, strip, values_in_place,
            k, v, staged, scores, tops, p, sums, totals, largest,
        };
        for start in (start..keys.end).step_by(block) {
            let part = start..keys.end.min(start + block);
            // SAFETY: the caller has the level; every part of the scratch was sized for its use.
            unsafe { task.pass_block::<U, ROWS, VECTORS>(&keys, &part) }
        }
    }
}

/// Forwards of several sequences, each with the number of its first task.
pub(super) struct Forwards<'a> {
    pub(super) parts: Vec<(usize, Forward<'a>)>,
}

impl Forwards<'_> {
    /// Runs all `tasks`. Not generic, and so compiled once, in this crate.
    pub(super) fn run_all(&self, cpu: &Cpu, precision: Precision, tasks: usize) {
        run_tasks(cpu, precision, self, tasks);
    }
}

impl Work for Forwards<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let part = self.parts.partition_point(|(first, _)| *first <= task) - 1;
        let (first, forward) = &self.parts[part];
        // SAFETY: passed on to the caller.
        unsafe { forward.run::<U, ROWS, VECTORS>(task - first) }
    }
}

impl Forward<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let per_task = self.rows_per_task();
        let chunks = self.rows().div_ceil(per_task);
        let (head, start) = (task / chunks, task % chunks * per_task);
        let rows = start..self.rows().min(start + per_task);
        // SAFETY: passed on to the caller.
        unsafe {
            match rows.len() {
                1 => self.run_rows::<U, 1, 4>(head, rows),
                2 => self.run_rows::<U, 2, 4>(head, rows),
                3 | 4 => self.run_rows::<U, 4, VECTORS>(head, rows),
                _ => self.run_rows::<U, ROWS, VECTORS>(head, rows),
            }
        }
    }
}

/// The queries that some rows belong to.
fn queries_of(rows: &Range<usize>, group: usize) -> Range<usize> {
    rows.start / group..rows.end.div_ceil(group)
}

impl Task<'_> {
    /// The element of a tensor of queries where a row's head begins.
    #[inline(always)]
    fn row_of(&self, from: RawRows, row: usize) -> RawRow {
        let group = self.work.problem.shape.group();
        from.at(self.b, row / group, (self.kv * group + row % group) * self.widths.head)
    }

    /// Asks for the memory of the rows of some queries.
    #[inline(always)]
    fn fetch_queries<V: Vector>(&self, from: RawRows, queries: Range<usize>) {
        let width = self.work.problem.shape.group() * self.widths.head;
        fetch_rows::<V, 1>([from], (self.b, self.kv * width), queries, width);
    }

    /// Takes all strips over a block of keys, which is packed while they advance.
    #[inline(always)]
    unsafe fn pass_block<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        all_keys: &Range<usize>,
        keys: &Range<usize>,
    ) {
        let mut packed = keys.start.max(all_keys.start / self.tile * self.tile);
        for row in self.rows.clone().step_by(self.strip) {
            let rows = row..self.rows.end.min(row + self.strip);
            let queries = queries_of(&rows, self.work.problem.shape.group());
            let needed = self.rule.keys(&queries).end.min(keys.end);
            let strip = Strip { rows, queries, place: row - self.rows.start };
            // SAFETY: as in `run`.
            unsafe {
                while packed < needed {
                    self.pack_tile::<U>(packed, keys, all_keys.end);
                    packed += self.tile;
                }
                if keys.start <= all_keys.start {
                    self.start::<U>(&strip);
                }
                self.pass::<U, ROWS, VECTORS>(&strip, keys);
                if keys.end == all_keys.end {
                    self.finish::<U>(&strip);
                }
            }
        }
    }

    /// Packs a tile of keys and values, zeros behind the last of the block, and asks for the memory
    /// of the next.
    #[inline(always)]
    unsafe fn pack_tile<U: Unit>(&self, start: usize, keys: &Range<usize>, end: usize) {
        let Problem { k, v, .. } = self.work.problem;
        let (w, tile, place) = (self.widths, self.tile, start - keys.start);
        // SAFETY: the scratch holds every packed tile of the block.
        unsafe {
            let rows = self.units_of_tile::<U>(k, start, end);
            tile::transpose_rows::<U::V>(rows, (tile, w.row), self.k.add(place * w.row), tile);
            if self.values_at::<U>(start).is_none() {
                let rows = self.units_of_tile::<U>(v, start, end);
                let to = self.v.add(place / U::DEPTH * w.lanes);
                tile::interleave_rows::<U>(rows, (tile, w.lanes), to);
            }
        }
        let next = start + tile..end.min(start + 2 * tile);
        fetch_rows::<U::V, 2>([k, v], (self.b, self.kv * w.head), next, w.head);
    }

    /// The values of the tile at key `start` where they lie, if they are read there.
    #[inline(always)]
    fn values_at<U: Unit>(&self, start: usize) -> Option<Strided> {
        let whole = start + self.tile <= self.work.problem.key_len(self.b);
        let place = (self.b, start, self.kv * self.widths.head);
        (self.values_in_place && whole)
            .then(|| self.work.problem.v.units_at::<U>(place, &self.widths))
            .flatten()
    }

    /// The rows of a tile of keys or values as units: where they lie if they are, else staged.
    #[inline(always)]
    unsafe fn units_of_tile<U: Unit>(&self, from: RawRows, start: usize, end: usize) -> Strided {
        let (w, column) = (self.widths, self.kv * self.widths.head);
        if start + self.tile <= end
            && let Some(rows) = from.units_at::<U>((self.b, start, column), &w)
        {
            return rows;
        }
        let row = |t| from.at(self.b, t, column);
        // SAFETY: the scratch holds a tile of staged rows.
        unsafe { stage_rows::<U>(row, (start, self.tile, end), w.head, self.staged, w.row) };
        Strided { start: self.staged, stride: w.row }
    }

    /// Clears the sums of a strip, and asks for the memory of its output.
    #[inline(always)]
    unsafe fn start<U: Unit>(&self, strip: &Strip) {
        let (place, rows) = (strip.place, self.strip);
        self.fetch_queries::<U::V>(self.work.out, strip.queries.clone());
        // SAFETY: as in `run`.
        unsafe {
            self.sums.add(place * self.widths.lanes).write_bytes(0, rows * self.widths.lanes);
            self.totals.add(place * U::V::LANES).write_bytes(0, rows * U::V::LANES);
            std::slice::from_raw_parts_mut(self.largest.add(place), rows).fill(LOWEST_SCORE);
        }
    }

    /// Takes a strip over the tiles of a block that it sees.
    #[inline(always)]
    unsafe fn pass<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        strip: &Strip,
        keys: &Range<usize>,
    ) {
        let (q, w, watch) = (self.work.problem.q, self.widths, self.rule.watch(&strip.queries));
        let end = keys.end.min(self.rule.keys(&strip.queries).end);
        let mut staged = false;
        for start in (keys.start..end).step_by(SCORE_KEYS) {
            let mut seen = [SeenTile { index: 0, whole: true }; SCORE_TILES];
            let mut count = 0;
            for first in (start..end.min(start + SCORE_KEYS)).step_by(self.tile) {
                let sight = watch.sight(first..first + self.tile);
                if sight != Sight::None {
                    let index = (first - keys.start) / self.tile;
                    seen[count] = SeenTile { index, whole: sight == Sight::All };
                    count += 1;
                }
            }
            if count == 0 {
                continue;
            }
            // SAFETY: as in `run`.
            unsafe {
                if !staged {
                    let part = (strip.rows.start, self.strip, strip.rows.end);
                    let row = |row| self.row_of(q, row);
                    stage_rows::<U>(row, part, w.head, self.staged, w.row);
                    let next = strip.rows.end..self.rows.end.min(strip.rows.end + self.strip);
                    let group = self.work.problem.shape.group();
                    self.fetch_queries::<U::V>(q, queries_of(&next, group));
                    staged = true;
                }
                let seen = &seen[..count];
                self.score::<U, ROWS, VECTORS>(strip, keys.start, seen);
                self.exponentiate::<U>(count, strip.place);
                self.add_values::<U, ROWS, VECTORS>((seen, keys.start), strip.place);
            }
        }
    }

    /// Writes a strip: the weighted sum by the sum of probabilities, and its logarithm.
    #[inline(always)]
    unsafe fn finish<U: Unit>(&self, strip: &Strip) {
        let (shape, w) = (self.work.problem.shape, self.widths);
        let group = shape.group();
        for (row, place) in strip.rows.clone().zip(strip.place..) {
            let (query, h) = (row / group, self.kv * group + row % group);
            // SAFETY: as in `run`; a task writes its own rows.
            unsafe {
                let total = U::V::sum(U::V::load(self.totals.add(place * U::V::LANES)));
                let lse = (self.b * shape.num_heads + h) * shape.query_len + query;
                let largest = *self.largest.add(place);
                self.work.lse.slice(lse, 1)[0] = largest * shape.scale + total.ln();
                let out = self.row_of(self.work.out, row);
                out.write::<U>(self.sums.add(place * w.lanes), 1.0 / total, w.head);
            }
        }
    }

    /// `scores = q k`, minus infinity where a query does not see a key, and the largest by lane.
    #[inline(always)]
    unsafe fn score<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        strip: &Strip,
        first_key: usize,
        tiles: &[SeenTile],
    ) {
        let (w, lanes, shape) = (self.widths, U::V::LANES, self.work.problem.shape);
        let (group, cap) = (shape.group(), shape.soft_cap());
        for (t, seen) in tiles.iter().enumerate() {
            for r in (0..self.strip).step_by(ROWS) {
                // SAFETY: as in `run`.
                unsafe {
                    let left = Strided { start: self.staged.add(r * w.row), stride: w.row };
                    let right = self.k.add(seen.index * self.tile * w.row);
                    let right = Strided { start: right, stride: self.tile };
                    let zero = [[U::V::splat(0.0); VECTORS]; ROWS];
                    let mut sums = tile::multiply::<U, ROWS, VECTORS>(zero, left, right, w.depth);
                    if let Some(cap) = cap {
                        for sum in sums.iter_mut().flatten() {
                            *sum = cap.apply::<U>(*sum).0;
                        }
                    }
                    if !seen.whole {
                        for (i, row) in sums.iter_mut().enumerate() {
                            let key = first_key + seen.index * self.tile;
                            let mask = self.rule.keys_of((strip.rows.start + r + i) / group, key);
                            for (c, sum) in row.iter_mut().enumerate() {
                                *sum = mask.apply(*sum, c * lanes);
                            }
                        }
                    }
                    tile::store(&sums, self.scores.add(r * SCORE_KEYS + t * self.tile), SCORE_KEYS);
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
                let scores = self.scores.add(r * SCORE_KEYS);
                let p = self.p.add(r * SCORE_KEYS / U::DEPTH);
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

    /// `sums += p v`, neighbouring tiles at once.
    #[inline(always)]
    unsafe fn add_values<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        (tiles, first_key): (&[SeenTile], usize),
        first_row: usize,
    ) {
        let (lanes, depth, stride) =
            (self.widths.lanes, self.tile / U::DEPTH, SCORE_KEYS / U::DEPTH);
        let key = |tile: &SeenTile| first_key + tile.index * self.tile;
        let lies = |tile: &SeenTile| self.values_at::<U>(key(tile)).is_some();
        let joined = |a: &SeenTile, b: &SeenTile| a.index + 1 == b.index && lies(a) == lies(b);
        for r in (0..self.strip).step_by(ROWS) {
            let mut done = 0;
            for run in tiles.chunk_by(joined) {
                // SAFETY: as in `run`.
                unsafe {
                    let left = Strided { start: self.p.add(r * stride + done * depth), stride };
                    let packed = self.v.add(run[0].index * depth * lanes);
                    let packed = Strided { start: packed, stride: lanes };
                    let right = self.values_at::<U>(key(&run[0])).unwrap_or(packed);
                    let sums = (self.sums.add((first_row + r) * lanes), lanes);
                    let sizes = (run.len() * depth, lanes);
                    add_product::<U, ROWS, VECTORS>(sums, left, right, sizes);
                }
                done += run.len();
            }
        }
    }
}
