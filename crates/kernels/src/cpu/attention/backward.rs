//! The backward: blocks of keys on the outside, the queries that see them on the inside, and the
//! probabilities computed again from the log-sum-exp.
//!
//! Scores are held with keys as rows and queries as lanes, so that the row-wise statistics are
//! plain registers and every product finds its operands as they lie:
//! `dv += p do`, `dk += ds q` (sums over queries), `dq' += k' ds` (a sum over keys; ' transposes),
//! with `ds = p * (v do' - delta)` and `delta_i = out_i · do_i`, times the slope of the scores' cap
//! if they have one. The scale of the scores is applied
//! to dq and dk at the end.

use std::ops::Range;

use super::block::{
    Place, Scores, Seen, add_key_products, add_query_products, gradients_of_scores,
};
use super::level::{Problem, Work, run_tasks};
use super::raw::{RawRows, carve, fetch_rows, stage_rows};
use super::sight::{Rule, Sight};
use super::tile::{self, Strided, Widths};
use super::vector::{Unit, Vector};
use crate::{Buffer, Cpu, Precision};

/// Keys of a block.
pub(super) const BLOCK_KEYS: usize = 64;
/// Tiles of queries that meet a block of keys at a time.
pub(super) const QUERY_TILES: usize = 2;

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

/// One task: the query heads that share a key head, one after the other.
struct Task<'a> {
    work: &'a Backward<'a>,
    rule: Rule,
    b: usize,
    kv: usize,
    scratch: Scratch,
}

/// Scratch of a task.
pub(super) struct Scratch {
    pub(super) widths: Widths,
    /// Width of a tile in queries.
    pub(super) tile: usize,
    /// Staged rows of a tile of queries, and `[tile, Dh]` sums.
    rows: *mut f32,
    /// A block of keys and values as left operands for sums over the head.
    pub(super) k: *mut f32,
    pub(super) v: *mut f32,
    /// The block's keys, transposed, as left operand for sums over keys; and on the way to that.
    pub(super) k_columns: *mut f32,
    k_pairs: *mut f32,
    /// All queries and output gradients of a head, a tile after the other, as right operands for
    /// sums over the head.
    pub(super) q_columns: *mut f32,
    pub(super) d_out_columns: *mut f32,
    /// The same as right operands for sums over queries.
    pub(super) q_pairs: *mut f32,
    pub(super) d_out_pairs: *mut f32,
    /// Log-sum-exp in powers of two, and `out · d_out`, of every query.
    pub(super) lse: *mut f32,
    pub(super) delta: *mut f32,
    /// Probabilities and their gradients, `[block, queries]`; the latter also as right operand for
    /// sums over keys.
    pub(super) p: *mut f32,
    pub(super) d_s: *mut f32,
    pub(super) d_s_pairs: *mut f32,
    /// Sums: `[tiles][Dh, tile]`, and `[keys, Dh]` twice: of one block, or of all keys if several
    /// heads add to them.
    pub(super) d_q: *mut f32,
    pub(super) d_k: *mut f32,
    pub(super) d_v: *mut f32,
}

impl Backward<'_> {
    /// Runs all tasks. Not generic, and so compiled once, in this crate.
    pub(super) fn run_all(&self, cpu: &Cpu, precision: Precision) {
        run_tasks(cpu, precision, self, self.tasks());
    }
}

impl Work for Backward<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        let shape = self.problem.shape;
        let (b, kv) = (task / shape.num_kv_heads, task % shape.num_kv_heads);
        let (_buffer, scratch) = self.scratch::<U, VECTORS>();
        let task = Task { work: self, rule: self.problem.rule(b), b, kv, scratch };
        let key_len = self.problem.key_len(b);
        for g in 0..shape.group() {
            let mut prepared = 0;
            for start in (0..key_len).step_by(BLOCK_KEYS) {
                let keys = start..key_len.min(start + BLOCK_KEYS);
                // SAFETY: the caller has the level; every part of the scratch was sized for its
                // use.
                unsafe { task.pass::<U, ROWS, VECTORS>(g, &keys, &mut prepared) }
            }
            // SAFETY: as above.
            unsafe { task.write_queries::<U>(kv * shape.group() + g) }
        }
        // SAFETY: as above.
        unsafe { task.write_unused_keys::<U>(key_len..shape.key_len) }
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
        let keys = if shape.group() == 1 { 1 } else { shape.key_len };
        let keys = keys.next_multiple_of(BLOCK_KEYS);
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
        #[rustfmt::skip]
        let scratch = Scratch {
            widths, tile, rows, k, v, k_columns, k_pairs, q_columns, d_out_columns, q_pairs,
            d_out_pairs, lse, delta, p, d_s, d_s_pairs, d_q, d_k, d_v,
        };
        (buffer, scratch)
    }
}

impl Task<'_> {
    /// Takes a block of keys over the queries that see it. Queries are prepared when the first
    /// block meets them: `prepared` of them are.
    #[inline(always)]
    unsafe fn pass<U: Unit, const ROWS: usize, const VECTORS: usize>(
        &self,
        g: usize,
        keys: &Range<usize>,
        prepared: &mut usize,
    ) {
        let (shape, s) = (self.work.problem.shape, &self.scratch);
        let row = if shape.group() == 1 { 0 } else { keys.start };
        let factor = shape.scale * std::f32::consts::LOG2_E;
        let scores = Scores { factor, cap: shape.soft_cap() };
        let step = s.tile * QUERY_TILES;
        let queries = self.rule.queries(keys, shape.query_len);
        // SAFETY: as in `run`.
        unsafe {
            self.prepare_keys::<U>(keys);
            if g == 0 {
                let (start, len) = (row * s.widths.lanes, BLOCK_KEYS * s.widths.lanes);
                s.d_k.add(start).write_bytes(0, len);
                s.d_v.add(start).write_bytes(0, len);
            }
            for start in (queries.start / step * step..queries.end).step_by(step) {
                let queries = start..shape.query_len.min(start + step);
                while *prepared < queries.end {
                    self.prepare_queries::<U>(self.kv * shape.group() + g, *prepared);
                    *prepared += s.tile;
                }
                if self.rule.watch(&queries).sight(keys.clone()) == Sight::None {
                    continue;
                }
                let seen = Seen::new::<ROWS>(&self.rule, &queries, keys, s.tile);
                let place = Place { query: start, key: keys.start, row };
                gradients_of_scores::<U, ROWS, VECTORS>(&self.rule, place, (&seen, scores), s);
                add_key_products::<U, ROWS, VECTORS>(place, &seen, s);
                add_query_products::<U, ROWS, VECTORS>(place, &seen, s);
            }
            if g + 1 == shape.group() {
                self.write_keys::<U>(keys, row);
            }
        }
    }

    /// Packs a block of keys and values, and asks for the memory of the next and of the gradients.
    #[inline(always)]
    unsafe fn prepare_keys<U: Unit>(&self, keys: &Range<usize>) {
        let Problem { k, v, .. } = self.work.problem;
        let (s, w) = (&self.scratch, self.scratch.widths);
        let (part, column) = ((keys.start, BLOCK_KEYS, keys.end), self.kv * w.head);
        // SAFETY: as in `run`.
        unsafe {
            stage_rows::<U>(|t| k.at(self.b, t, column), part, w.head, s.k, w.row);
            stage_rows::<U>(|t| v.at(self.b, t, column), part, w.head, s.v, w.row);
            let rows = Strided { start: s.k, stride: w.row };
            tile::interleave_rows::<U>(rows, (BLOCK_KEYS, w.lanes), s.k_pairs);
            let pairs = Strided { start: s.k_pairs, stride: w.lanes };
            let depth = BLOCK_KEYS / U::DEPTH;
            tile::transpose_rows::<U::V>(pairs, (depth, w.lanes), s.k_columns, depth);
        }
        let next = keys.end..self.work.problem.key_len(self.b).min(keys.end + BLOCK_KEYS);
        fetch_rows::<U::V, 2>([k, v], (self.b, column), next, w.head);
        let Backward { d_k, d_v, .. } = self.work;
        fetch_rows::<U::V, 2>([*d_k, *d_v], (self.b, column), keys.clone(), w.head);
    }

    /// Packs a tile of a head's queries and output gradients, and asks for the memory of the next.
    /// Queries beyond the last are zeros with an infinite log-sum-exp, so that their probabilities
    /// are zero.
    #[inline(always)]
    unsafe fn prepare_queries<U: Unit>(&self, h: usize, start: usize) {
        let Backward { problem, out, d_out, .. } = self.work;
        let (shape, s, w, b) = (problem.shape, &self.scratch, self.scratch.widths, self.b);
        let (tile, column) = (s.tile, h * w.head);
        let part = (start, tile, shape.query_len);
        let rows = Strided { start: s.rows, stride: w.row };
        // SAFETY: as in `run`.
        unsafe {
            s.d_q.add(start * w.lanes).write_bytes(0, tile * w.lanes);
            for (from, columns, pairs) in
                [(problem.q, s.q_columns, s.q_pairs), (*d_out, s.d_out_columns, s.d_out_pairs)]
            {
                stage_rows::<U>(|t| from.at(b, t, column), part, w.head, s.rows, w.row);
                let columns = columns.add(start * w.row);
                tile::transpose_rows::<U::V>(rows, (tile, w.row), columns, tile);
                let pairs = pairs.add(start / U::DEPTH * w.lanes);
                tile::interleave_rows::<U>(rows, (tile, w.lanes), pairs);
            }
            let first = (b * shape.num_heads + h) * shape.query_len;
            for t in start..start + tile {
                let (mut power, mut delta) = (f32::INFINITY, U::V::splat(0.0));
                if t < shape.query_len {
                    power = self.work.lse[first + t] * std::f32::consts::LOG2_E;
                    let (out, d_out) = (out.at(b, t, column), d_out.at(b, t, column));
                    for d in (0..w.head).step_by(U::V::LANES) {
                        let (x, y) = (out.load(d, w.head), d_out.load(d, w.head));
                        delta = U::V::mul_add(x, y, delta);
                    }
                }
                *s.lse.add(t) = power;
                *s.delta.add(t) = U::V::sum(delta);
            }
        }
        let next = start + tile..shape.query_len.min(start + 2 * tile);
        fetch_rows::<U::V, 3>([problem.q, *out, *d_out], (b, column), next, w.head);
    }

    /// Writes the gradient of a head's queries.
    #[inline(always)]
    unsafe fn write_queries<U: Unit>(&self, h: usize) {
        let (shape, s, w) = (self.work.problem.shape, &self.scratch, self.scratch.widths);
        for start in (0..shape.query_len).step_by(s.tile) {
            let next = start + s.tile..shape.query_len.min(start + 2 * s.tile);
            fetch_rows::<U::V, 1>([self.work.d_q], (self.b, h * w.head), next, w.head);
            // SAFETY: as in `run`; a task writes the rows of its own heads.
            unsafe {
                let sums = Strided { start: s.d_q.add(start * w.lanes), stride: s.tile };
                tile::transpose_rows::<U::V>(sums, (w.lanes, s.tile), s.rows, w.lanes);
                for t in start..shape.query_len.min(start + s.tile) {
                    let row = s.rows.add((t - start) * w.lanes);
                    self.work.d_q.at(self.b, t, h * w.head).write::<U>(row, shape.scale, w.head);
                }
            }
        }
    }

    /// Writes the gradients of a block of keys and values, whose sums begin at `row`.
    #[inline(always)]
    unsafe fn write_keys<U: Unit>(&self, keys: &Range<usize>, row: usize) {
        let (work, s, w) = (self.work, &self.scratch, self.scratch.widths);
        for t in keys.clone() {
            let sums = (row + t - keys.start) * w.lanes;
            // SAFETY: as in `run`; a task writes the rows of its own key head.
            unsafe {
                let (d_k, d_v) = (s.d_k.add(sums), s.d_v.add(sums));
                let column = self.kv * w.head;
                work.d_k.at(self.b, t, column).write::<U>(d_k, work.problem.shape.scale, w.head);
                work.d_v.at(self.b, t, column).write::<U>(d_v, 1.0, w.head);
            }
        }
    }

    /// Writes zeros for keys that no query sees because they do not exist.
    #[inline(always)]
    unsafe fn write_unused_keys<U: Unit>(&self, keys: Range<usize>) {
        let (s, w) = (&self.scratch, self.scratch.widths);
        // SAFETY: as in `write_keys`.
        unsafe {
            s.rows.write_bytes(0, w.lanes);
            for t in keys {
                for to in [self.work.d_k, self.work.d_v] {
                    to.at(self.b, t, self.kv * w.head).write::<U>(s.rows, 1.0, w.head);
                }
            }
        }
    }
}
