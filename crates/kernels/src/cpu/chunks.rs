//! Slices cut into chunks of fixed size and handed to the threads, several slices side by side.
//!
//! `for_each(cpu, &(read(x, 64), write(out, 64)), |index, (x, out)| ..)` runs the closure once for
//! every 64 elements of `x` and `out`. Chunk sizes never depend on the number of threads, so
//! neither does any result. This is the one place where kernels share mutable memory.
#![allow(unsafe_code)]

use crate::{Cpu, par::SharedMut};

/// Elements in a chunk of an elementwise kernel: some microseconds of work, small enough for L2.
pub(crate) const CHUNK: usize = 1 << 14;

/// Rows in a chunk, so that a chunk has about [`CHUNK`] elements.
pub(crate) fn rows_per_chunk(cols: usize) -> usize {
    (CHUNK / cols.max(1)).max(1)
}

/// Something that can be cut into numbered, disjoint chunks.
pub(crate) trait Chunks: Sync {
    /// What a task receives.
    type Chunk;

    /// Number of chunks.
    fn count(&self) -> usize;

    /// The chunk number `index`.
    ///
    /// # Safety
    /// A chunk must not be taken while an earlier one of the same index is alive.
    unsafe fn chunk(&self, index: usize) -> Self::Chunk;
}

/// Chunks that are only read.
pub(crate) struct Read<'a, T> {
    slice: &'a [T],
    size: usize,
}

/// Chunks that are written.
pub(crate) struct Write<'a, T> {
    slice: SharedMut<'a, T>,
    size: usize,
}

/// `slice` in chunks of `size` elements (the last may be shorter), to be read.
pub(crate) fn read<T>(slice: &[T], size: usize) -> Read<'_, T> {
    assert!(size > 0, "a chunk has at least one element");
    Read { slice, size }
}

/// `slice` in chunks of `size` elements (the last may be shorter), to be written.
pub(crate) fn write<T>(slice: &mut [T], size: usize) -> Write<'_, T> {
    assert!(size > 0, "a chunk has at least one element");
    Write { slice: SharedMut::new(slice), size }
}

impl<'a, T: Sync> Chunks for Read<'a, T> {
    type Chunk = &'a [T];

    fn count(&self) -> usize {
        self.slice.len().div_ceil(self.size)
    }

    unsafe fn chunk(&self, index: usize) -> &'a [T] {
        let start = index * self.size;
        &self.slice[start..self.slice.len().min(start + self.size)]
    }
}

impl<'a, T: Send> Chunks for Write<'a, T> {
    type Chunk = &'a mut [T];

    fn count(&self) -> usize {
        self.slice.len.div_ceil(self.size)
    }

    unsafe fn chunk(&self, index: usize) -> &'a mut [T] {
        let start = index * self.size;
        // SAFETY: chunks of different indices do not overlap; the caller keeps equal ones apart.
        unsafe { self.slice.slice(start, self.size.min(self.slice.len - start)) }
    }
}

macro_rules! chunks_of_a_tuple {
    ($($part:ident $position:tt),*) => {
        impl<$($part: Chunks),*> Chunks for ($($part,)*) {
            type Chunk = ($($part::Chunk,)*);

            fn count(&self) -> usize {
                let counts = [$(self.$position.count()),*];
                assert!(counts.iter().all(|&n| n == counts[0]), "uneven chunks: {counts:?}");
                counts[0]
            }

            unsafe fn chunk(&self, index: usize) -> Self::Chunk {
                // SAFETY: the caller's promise holds for every part.
                unsafe { ($(self.$position.chunk(index),)*) }
            }
        }
    };
}
chunks_of_a_tuple!(A 0, B 1);
chunks_of_a_tuple!(A 0, B 1, C 2);
chunks_of_a_tuple!(A 0, B 1, C 2, D 3);
chunks_of_a_tuple!(A 0, B 1, C 2, D 3, E 4);
chunks_of_a_tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
chunks_of_a_tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);

/// Runs `task(index, chunk)` for every chunk on the threads of `cpu`.
pub(crate) fn for_each<C: Chunks>(cpu: &Cpu, chunks: &C, task: impl Fn(usize, C::Chunk) + Sync) {
    cpu.pool.run(chunks.count(), |index| {
        // SAFETY: the pool runs each index once.
        task(index, unsafe { chunks.chunk(index) });
    });
}
