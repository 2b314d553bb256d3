//! Memory that is taken once and reused: every step asks for the same buffers in the same order.
//!
//! An [`Arena`] owns slabs of address space, in huge pages where the system gives them, and hands
//! out 64-byte aligned [`Buffer`]s by best fit; a dropped buffer returns to its arena. A new buffer
//! holds whatever was there before (zeros in fresh memory), so a kernel must write all of its
//! output.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::element::Pod;

/// Alignment and granularity of buffers: a cache line, and a 512-bit register.
const ALIGN: usize = 64;
/// Slabs are multiples of a huge page.
const HUGE_PAGE: usize = 2 << 20;
/// Smallest slab; larger requests get a slab of their own size.
const SLAB_MIN: usize = 32 << 20;

/// A source of reusable buffers. Clones share the same memory.
#[derive(Clone)]
pub struct Arena(Arc<Mutex<State>>);

struct State {
    slabs: Vec<Slab>,
    in_use: usize,
    peak: usize,
}

struct Slab {
    /// What the system returned: the start of `size + HUGE_PAGE` mapped bytes.
    mapping: *mut u8,
    /// The first huge-page boundary inside the mapping.
    start: *mut u8,
    size: usize,
    /// Free ranges, `offset -> len`, never adjacent to each other.
    free: BTreeMap<usize, usize>,
}

// SAFETY: a slab is plain memory; the mutex in `Arena` orders all access to its bookkeeping.
unsafe impl Send for Slab {}

/// `len` elements of arena memory; dereferences to a slice.
pub struct Buffer<T: Pod> {
    start: *mut T,
    len: usize,
    home: Home,
    marker: PhantomData<T>,
}

struct Home {
    arena: Arena,
    slab: usize,
    offset: usize,
    size: usize,
}

// SAFETY: a buffer owns its range exclusively, like a `Vec<T>`.
unsafe impl<T: Pod> Send for Buffer<T> {}
// SAFETY: shared access only reads.
unsafe impl<T: Pod> Sync for Buffer<T> {}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("in_use", &self.in_use()).field("peak", &self.peak()).finish()
    }
}

impl<T: Pod> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} elements)", self.len)
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Arena {
    /// An empty arena; it takes memory from the system as buffers are asked for.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { slabs: Vec::new(), in_use: 0, peak: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes held by live buffers now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.state().in_use
    }

    /// The most bytes that were ever held at once.
    #[must_use]
    pub fn peak(&self) -> usize {
        self.state().peak
    }

    /// A buffer of `len` elements with unspecified, initialised contents.
    ///
    /// # Panics
    /// When the system refuses the memory; the message says how much was asked for.
    #[must_use]
    pub fn buffer<T: Pod>(&self, len: usize) -> Buffer<T> {
        const { assert!(align_of::<T>() <= ALIGN) };
        let bytes = len.checked_mul(size_of::<T>()).expect("a buffer's size fits in memory");
        let size = bytes.next_multiple_of(ALIGN).max(ALIGN);
        let mut state = self.state();
        let (slab, offset) = state.take(size);
        state.in_use += size;
        state.peak = state.peak.max(state.in_use);
        // SAFETY: `offset` lies inside the slab.
        let start = unsafe { state.slabs[slab].start.add(offset) }.cast();
        drop(state);
        let home = Home { arena: self.clone(), slab, offset, size };
        Buffer { start, len, home, marker: PhantomData }
    }

    /// A buffer of `len` zeros.
    #[must_use]
    pub fn zeros<T: Pod>(&self, len: usize) -> Buffer<T> {
        let mut buffer = self.buffer(len);
        // SAFETY: the all-zero bit pattern is a value of every `Pod`.
        unsafe { std::ptr::write_bytes(Buffer::as_mut_ptr(&mut buffer), 0, len) };
        buffer
    }
}

impl State {
    /// Best fit: the smallest free range that is large enough, else a new slab.
    fn take(&mut self, size: usize) -> (usize, usize) {
        let best = self
            .slabs
            .iter()
            .enumerate()
            .flat_map(|(slab, s)| s.free.iter().map(move |(&offset, &len)| (len, slab, offset)))
            .filter(|&(len, ..)| len >= size)
            .min();
        let (slab, offset) = match best {
            Some((_, slab, offset)) => (slab, offset),
            None => {
                self.slabs.push(Slab::map(size.next_multiple_of(HUGE_PAGE).max(SLAB_MIN)));
                (self.slabs.len() - 1, 0)
            }
        };
        let free = &mut self.slabs[slab].free;
        if let Some(len) = free.remove(&offset)
            && len > size
        {
            free.insert(offset + size, len - size);
        }
        (slab, offset)
    }
}

impl Slab {
    fn map(size: usize) -> Self {
        // One huge page more than asked for, so that the start can be aligned to one.
        let mapped = size + HUGE_PAGE;
        // SAFETY: an anonymous private mapping at an address of the system's choice.
        let raw = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert!(raw != libc::MAP_FAILED, "the system refused {} MiB of memory", mapped >> 20);
        let raw: *mut u8 = raw.cast();
        let start = raw.wrapping_add(raw.align_offset(HUGE_PAGE));
        #[cfg(target_os = "linux")]
        // SAFETY: the range lies inside the mapping; the advice may be refused without harm.
        unsafe {
            libc::madvise(start.cast(), size, libc::MADV_HUGEPAGE);
        }
        Self { mapping: raw, start, size, free: BTreeMap::from([(0, size)]) }
    }

    /// Returns a range and joins it with its free neighbours.
    fn give_back(&mut self, mut offset: usize, mut size: usize) {
        if let Some((&before, &len)) = self.free.range(..offset).next_back()
            && before + len == offset
        {
            self.free.remove(&before);
            offset = before;
            size += len;
        }
        if let Some(len) = self.free.remove(&(offset + size)) {
            size += len;
        }
        debug_assert!(offset + size <= self.size);
        self.free.insert(offset, size);
    }
}

impl<T: Pod> Buffer<T> {
    fn as_mut_ptr(this: &mut Self) -> *mut T {
        this.start
    }

    /// Overwrites every element.
    pub fn fill(&mut self, value: T) {
        <[T]>::fill(self, value);
    }
}

impl<T: Pod> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` elements were reserved at `start`, and any bit pattern is a value.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Pod> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the buffer owns its range exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T: Pod> Drop for Buffer<T> {
    fn drop(&mut self) {
        let mut state = self.home.arena.state();
        state.in_use -= self.home.size;
        state.slabs[self.home.slab].give_back(self.home.offset, self.home.size);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        for slab in &self.slabs {
            // SAFETY: no buffer is alive, since each holds a clone of the arena.
            unsafe { libc::munmap(slab.mapping.cast(), slab.size + HUGE_PAGE) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_round_of_the_same_requests_takes_no_new_memory() {
        let arena = Arena::new();
        let round = || {
            let buffers: Vec<_> =
                [1_usize, 1000, 3 << 20, 17].map(|n| arena.buffer::<f32>(n)).into();
            buffers.iter().map(|b| b.as_ptr() as usize).collect::<Vec<_>>()
        };
        let first = round();
        assert_eq!(arena.in_use(), 0);
        assert_eq!(first, round());
        assert!(first.iter().all(|address| address % ALIGN == 0));
    }

    #[test]
    fn live_buffers_never_overlap_and_freed_neighbours_join() {
        let arena = Arena::new();
        let mut live = Vec::new();
        for round in 0..200_usize {
            let len = 1 + (round * 7919) % 50_000;
            let mut buffer = arena.buffer::<u32>(len);
            buffer.fill(round as u32);
            live.push((round as u32, buffer));
            if round % 3 == 2 {
                live.remove((round * 31) % live.len());
            }
        }
        for (mark, buffer) in &live {
            assert!(buffer.iter().all(|value| value == mark));
        }
        live.clear();
        let state = arena.state();
        assert!(state.slabs.iter().all(|slab| slab.free == BTreeMap::from([(0, slab.size)])));
    }
}
