//! Rows of a table looked up by index, and the gradient added back to them.

use crate::cpu::chunks::{for_each, read, rows_per_chunk, write};
use crate::cpu::dispatch::at_level;
use crate::cpu::elementwise::{map, map2, update};
use crate::par::SharedMut;
use crate::{Cpu, Element};

/// A table of positions that is added to the table of tokens.
#[derive(Clone, Copy, Debug)]
pub struct PositionTable<'a> {
    /// `[max_positions, D]`
    pub table: &'a [f32],
    /// The position of each row of the output.
    pub positions: &'a [u32],
}

/// `out[i] = table[ids[i]]`; `table: [V, D]`, `out: [ids.len(), D]`.
///
/// # Panics
/// When an id is not below `V`.
pub fn embedding<O: Element>(cpu: &Cpu, table: &[f32], ids: &[u32], out: &mut [O]) {
    let Some(cols) = width(ids, out.len()) else { return };
    let rows = rows_per_chunk(cols);
    for_each(cpu, &(read(ids, rows), write(out, rows * cols)), |_, (ids, out)| {
        at_level!(cpu, L => {
            for (&id, out) in ids.iter().zip(out.chunks_exact_mut(cols)) {
                map(row(table, id, cols), out, |x| x);
            }
        });
    });
}

/// `out[i] = table[ids[i]] + positions.table[positions.positions[i]]`, added in f32.
///
/// # Panics
/// When an id or a position is outside its table.
pub fn embedding_with_positions<O: Element>(
    cpu: &Cpu,
    table: &[f32],
    ids: &[u32],
    positions: PositionTable<'_>,
    out: &mut [O],
) {
    assert_eq!(ids.len(), positions.positions.len(), "embedding: number of positions");
    let Some(cols) = width(ids, out.len()) else { return };
    let rows = rows_per_chunk(cols);
    let inputs = (read(ids, rows), read(positions.positions, rows));
    for_each(cpu, &(inputs, write(out, rows * cols)), |_, ((ids, places), out)| {
        at_level!(cpu, L => {
            for ((&id, &place), out) in ids.iter().zip(places).zip(out.chunks_exact_mut(cols)) {
                let place = row(positions.table, place, cols);
                map2(row(table, id, cols), place, out, |token, place| token + place);
            }
        });
    });
}

/// `d_table[ids[i]] += d_out[i]`, in the order of `i`; `d_out: [ids.len(), D]`, `d_table: [V, D]`.
/// Also the gradient of a position table, with positions for ids.
///
/// # Panics
/// When an id is not below `V`.
#[allow(unsafe_code)]
pub fn embedding_backward<G: Element>(cpu: &Cpu, d_out: &[G], ids: &[u32], d_table: &mut [f32]) {
    /// Columns of a task: every task walks all ids, so repeated ids never meet.
    const COLS: usize = 64;
    let Some(cols) = width(ids, d_out.len()) else { return };
    let table = SharedMut::new(d_table);
    cpu.pool.run(cols.div_ceil(COLS), |task| {
        let first = task * COLS;
        let len = COLS.min(cols - first);
        at_level!(cpu, L => {
            for (&id, d_out) in ids.iter().zip(d_out.chunks_exact(cols)) {
                // SAFETY: tasks have different columns, and a task holds one part at a time.
                let part = unsafe { table.slice(id as usize * cols + first, len) };
                update(part, &d_out[first..first + len], |sum, d| sum + d);
            }
        });
    });
}

#[inline(always)]
fn row(table: &[f32], index: u32, cols: usize) -> &[f32] {
    let index = index as usize;
    assert!(index < table.len() / cols, "index {index} in a table of {} rows", table.len() / cols);
    &table[index * cols..][..cols]
}

/// The width of a row; `None` when there are no rows.
fn width(ids: &[u32], len: usize) -> Option<usize> {
    if ids.is_empty() {
        assert_eq!(len, 0, "embedding: rows without ids");
        return None;
    }
    assert!(len > 0 && len.is_multiple_of(ids.len()), "embedding: {len} for {} ids", ids.len());
    Some(len / ids.len())
}
