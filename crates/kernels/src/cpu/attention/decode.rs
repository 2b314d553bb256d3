//! The forward for a few queries, as when text is generated: memory is the limit, so keys and
//! values are read once, in the order they lie in, without packing, and products are f32 whatever
//! the precision.
//!
//! Each task takes some keys for all heads and leaves the weighted sum of their values, the sum of
//! the weights and the largest score of every query; these parts are then joined in order. See Dao
//! et al., "Flash-Decoding for long-context inference" (2023).

use std::ops::Range;

use super::level::{Problem, Work, run_tasks};
use super::raw::{RawRow, RawRows, carve};
use super::tile::Widths;
use super::vector::{Unit, Vector, exp2};
use crate::Precision;
use crate::par::SharedMut;

/// Most queries for which this is faster than packing keys and values.
pub(super) const QUERIES_MAX: usize = 4;
/// Keys of a part.
const PART_KEYS: usize = 256;
/// Rows whose scores are computed at a time.
const ROWS_AT_ONCE: usize = 4;
/// Keys whose values are added at a time.
const KEYS_AT_ONCE: usize = 4;
/// The largest score of a query that sees no key of a part: below every score, but finite.
const LOWEST_SCORE: f32 = -1e30;

/// The first half: parts of keys. A row is a query of a head, `h * Tq + i`.
struct Parts<'a> {
    problem: &'a Problem<'a>,
    /// `[B, parts, rows, Dh]`.
    sums: SharedMut<'a, f32>,
    /// `[B, parts, rows, 2]`: largest score and sum of weights.
    statistics: SharedMut<'a, f32>,
}

/// The second half: a task for each head of each batch element.
struct Join<'a> {
    problem: &'a Problem<'a>,
    sums: &'a [f32],
    statistics: &'a [[f32; 2]],
    out: RawRows,
    lse: SharedMut<'a, f32>,
}

/// One task of the first half.
struct Task<'a> {
    problem: &'a Problem<'a>,
    b: usize,
    widths: Widths,
    /// Queries as f32 `[rows, Dh]`.
    q: *mut f32,
    /// Scores, then weights `[rows, PART_KEYS]`.
    scores: *mut f32,
}

/// See [`super::attention`].
pub(super) fn attention(problem: &Problem<'_>, out: RawRows, lse: SharedMut<'_, f32>) {
    let (cpu, shape) = (problem.cpu, problem.shape);
    let tasks = shape.batch * parts(problem);
    let mut sums = cpu.arena.buffer(tasks * rows(problem) * shape.head_dim);
    let mut statistics = cpu.arena.buffer(tasks * rows(problem) * 2);
    let (sums_out, statistics_out) = (SharedMut::new(&mut sums), SharedMut::new(&mut statistics));
    let work = Parts { problem, sums: sums_out, statistics: statistics_out };
    run_tasks(cpu, Precision::F32, &work, tasks);
    let statistics = statistics.as_chunks().0;
    let work = Join { problem, sums: &sums, statistics, out, lse };
    run_tasks(cpu, Precision::F32, &work, shape.batch * shape.num_heads);
}

/// Number of parts, the same for all batch elements.
fn parts(problem: &Problem<'_>) -> usize {
    problem.shape.key_len.div_ceil(PART_KEYS)
}

/// Queries of all heads.
fn rows(problem: &Problem<'_>) -> usize {
    problem.shape.num_heads * problem.shape.query_len
}

impl Work for Parts<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let (problem, parts, rows) = (self.problem, parts(self.problem), rows(self.problem));
        let (b, start) = (task / parts, task % parts * PART_KEYS);
        let widths = Widths::new::<U>(problem.shape.head_dim);
        let head = widths.head;
        let (_buffer, [q, scores, padded]) =
            carve(&problem.cpu.arena, [rows * widths.lanes, rows * PART_KEYS, rows * widths.lanes]);
        let task_parts = Task { problem, b, widths, q, scores };
        let rule = problem.rule(b);
        let seen = rule.keys(&(0..problem.shape.query_len));
        let keys = seen.start.max(start)..seen.end.min(start + PART_KEYS);
        // SAFETY: the caller has the level; the scratch was sized for its use, and every task has a
        // part of the outputs of its own.
        unsafe {
            padded.write_bytes(0, rows * widths.lanes);
            let statistics = self.statistics.slice(task * rows * 2, rows * 2).as_chunks_mut().0;
            statistics.fill([LOWEST_SCORE, 0.0]);
            if !keys.is_empty() {
                task_parts.score::<U>(start, &keys);
                for (row, statistics) in statistics.iter_mut().enumerate() {
                    let mask = rule.keys_of(row % problem.shape.query_len, start);
                    let scores = scores.add(row * PART_KEYS);
                    for j in (0..PART_KEYS).step_by(U::V::LANES) {
                        let x = mask.apply(U::V::load(scores.add(j)), j);
                        U::V::store(x, scores.add(j));
                    }
                    *statistics = weigh::<U>(scores, problem.shape.scale);
                }
                task_parts.add_values::<U>(start, &keys, padded);
            }
            let sums = self.sums.slice(task * rows * head, rows * head);
            for (row, sums) in sums.chunks_exact_mut(head).enumerate() {
                let from = padded.add(row * widths.lanes);
                sums.copy_from_slice(std::slice::from_raw_parts(from, head));
            }
        }
    }
}

impl Task<'_> {
    /// `scores = q k` for the keys of a part that begins at `start`.
    #[inline(always)]
    unsafe fn score<U: Unit>(&self, start: usize, keys: &Range<usize>) {
        let Problem { shape, q, k, .. } = self.problem;
        let (w, group) = (self.widths, shape.group() * shape.query_len);
        // SAFETY: as in `run`.
        unsafe {
            for h in 0..shape.num_heads {
                for i in 0..shape.query_len {
                    let (from, row) = (q.at(self.b, i, h * w.head), h * shape.query_len + i);
                    for d in (0..w.head).step_by(U::V::LANES) {
                        U::V::store(from.load(d, w.head), self.q.add(row * w.lanes + d));
                    }
                }
            }
            for t in keys.clone() {
                for kv in 0..shape.num_kv_heads {
                    let key = k.at(self.b, t, kv * w.head);
                    let (rows, place) = (kv * group..(kv + 1) * group, t - start);
                    let whole = rows.start + rows.len() / ROWS_AT_ONCE * ROWS_AT_ONCE;
                    for row in (rows.start..whole).step_by(ROWS_AT_ONCE) {
                        self.dot::<U, ROWS_AT_ONCE>(key, row, place);
                    }
                    for row in whole..rows.end {
                        self.dot::<U, 1>(key, row, place);
                    }
                }
            }
        }
    }

    /// The scores of a key, at `place` in its part, for `N` rows.
    #[inline(always)]
    unsafe fn dot<U: Unit, const N: usize>(&self, key: RawRow, row: usize, place: usize) {
        let w = self.widths;
        // SAFETY: as in `run`.
        unsafe {
            let mut sums = [U::V::splat(0.0); N];
            for d in (0..w.head).step_by(U::V::LANES) {
                let key = key.load(d, w.head);
                for (r, sum) in sums.iter_mut().enumerate() {
                    let q = U::V::load(self.q.add((row + r) * w.lanes + d));
                    *sum = U::V::mul_add(q, key, *sum);
                }
            }
            for (r, sum) in sums.iter().enumerate() {
                *self.scores.add((row + r) * PART_KEYS + place) = U::V::sum(*sum);
            }
        }
    }

    /// `sums += weights v`, `[rows, Dh]` with rows padded to whole registers.
    #[inline(always)]
    unsafe fn add_values<U: Unit>(&self, start: usize, keys: &Range<usize>, sums: *mut f32) {
        let Problem { shape, v, .. } = self.problem;
        let (w, group) = (self.widths, shape.group() * shape.query_len);
        for t in keys.clone().step_by(KEYS_AT_ONCE) {
            let count = KEYS_AT_ONCE.min(keys.end - t);
            for kv in 0..shape.num_kv_heads {
                for d in (0..w.head).step_by(U::V::LANES) {
                    // SAFETY: as in `run`.
                    unsafe {
                        let mut values = [U::V::splat(0.0); KEYS_AT_ONCE];
                        for (i, value) in values.iter_mut().take(count).enumerate() {
                            *value = v.at(self.b, t + i, kv * w.head).load(d, w.head);
                        }
                        for row in kv * group..(kv + 1) * group {
                            let at = sums.add(row * w.lanes + d);
                            let weights = self.scores.add(row * PART_KEYS + t - start);
                            let mut sum = U::V::load(at);
                            for (i, value) in values.iter().take(count).enumerate() {
                                sum = U::V::mul_add(U::V::splat(*weights.add(i)), *value, sum);
                            }
                            U::V::store(sum, at);
                        }
                    }
                }
            }
        }
    }
}

/// Turns the scores of a part into weights; returns the largest score and the sum of weights.
#[inline(always)]
unsafe fn weigh<U: Unit>(scores: *mut f32, scale: f32) -> [f32; 2] {
    let c = scale * std::f32::consts::LOG2_E;
    // SAFETY: as in `Parts::run`.
    unsafe {
        let mut top = U::V::splat(LOWEST_SCORE);
        for j in (0..PART_KEYS).step_by(U::V::LANES) {
            top = U::V::max(top, U::V::load(scores.add(j)));
        }
        let largest = U::V::largest(top);
        let (shift, mut total) = (U::V::splat(-largest * c), U::V::splat(0.0));
        for j in (0..PART_KEYS).step_by(U::V::LANES) {
            let x = U::V::mul_add(U::V::load(scores.add(j)), U::V::splat(c), shift);
            let weight = exp2::<U>(x);
            total = U::V::add(total, weight);
            U::V::store(weight, scores.add(j));
        }
        [largest, U::V::sum(total)]
    }
}

impl Work for Join<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let (shape, parts, rows) = (self.problem.shape, parts(self.problem), rows(self.problem));
        let (b, h) = (task / shape.num_heads, task % shape.num_heads);
        let w = Widths::new::<U>(shape.head_dim);
        let (_buffer, [sums]) = carve(&self.problem.cpu.arena, [w.lanes]);
        let c = shape.scale * std::f32::consts::LOG2_E;
        for i in 0..shape.query_len {
            let row = |part: usize| (b * parts + part) * rows + h * shape.query_len + i;
            let largest = (0..parts)
                .map(|part| self.statistics[row(part)][0])
                .fold(LOWEST_SCORE, |a, b| if b > a { b } else { a });
            let mut total = 0.0;
            // SAFETY: the caller has the level; `sums` holds whole registers; a task writes the
            // rows of its own head.
            unsafe {
                sums.write_bytes(0, w.lanes);
                for part in 0..parts {
                    let [top, weight] = self.statistics[row(part)];
                    let share = U::V::largest(exp2::<U>(U::V::splat((top - largest) * c)));
                    total += share * weight;
                    let part = &self.sums[row(part) * w.head..][..w.head];
                    let sums = std::slice::from_raw_parts_mut(sums, w.head);
                    for (sum, x) in sums.iter_mut().zip(part) {
                        *sum += share * x;
                    }
                }
                let lse = self.lse.slice(task * shape.query_len + i, 1);
                lse[0] = largest * shape.scale + total.ln();
                self.out.at(b, i, h * w.head).write::<U>(sums, 1.0 / total, w.head);
            }
        }
    }
}
