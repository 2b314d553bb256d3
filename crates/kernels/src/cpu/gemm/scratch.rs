//! Scratch memory that belongs to a thread.
//!
//! A line that another core wrote or read last costs tens of nanoseconds to write, more than all
//! the work that packing does on it, so copies of left panels and partial sums are never taken from
//! memory that threads share. A thread keeps what it needed most, below 2 MiB.

use std::cell::RefCell;

/// A cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u32; LINE]);

/// 32-bit numbers in a cache line.
const LINE: usize = 16;

thread_local! {
    static LINES: RefCell<Vec<Line>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `units` and `sums` numbers of unspecified, initialised scratch, each beginning
/// at a cache line.
pub(super) fn with<R>(
    units: usize,
    sums: usize,
    work: impl FnOnce(&mut [u32], &mut [f32]) -> R,
) -> R {
    LINES.with_borrow_mut(|lines| {
        let [unit_lines, sum_lines] = [units, sums].map(|numbers| numbers.div_ceil(LINE));
        if lines.len() < unit_lines + sum_lines {
            lines.resize(unit_lines + sum_lines, Line([0; LINE]));
        }
        let (first, second) = lines.split_at_mut(unit_lines);
        // SAFETY: lines are numbers without gaps, any bit pattern is an f32, and the two parts do
        // not overlap.
        let (units, sums) = unsafe {
            (
                std::slice::from_raw_parts_mut(first.as_mut_ptr().cast(), units),
                std::slice::from_raw_parts_mut(second.as_mut_ptr().cast(), sums),
            )
        };
        work(units, sums)
    })
}
