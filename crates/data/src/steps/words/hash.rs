//! Hash tables for short keys from our own texts: fast, and the same in every run.

use std::hash::{BuildHasherDefault, Hasher};

pub(in crate::steps) type HashMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Fast>>;
pub(in crate::steps) type HashSet<K> = std::collections::HashSet<K, BuildHasherDefault<Fast>>;

/// An empty map with room for `capacity` entries.
pub(in crate::steps) fn new_map<K, V>(capacity: usize) -> HashMap<K, V> {
    HashMap::with_capacity_and_hasher(capacity, BuildHasherDefault::default())
}

/// Folded multiplication of eight bytes at a time.
#[derive(Default)]
pub(in crate::steps) struct Fast(u64);

const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

impl Fast {
    fn add(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(FACTOR);
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(23);
    }
}

impl Hasher for Fast {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().unwrap_or_default()));
        }
        let rest = chunks.remainder();
        let last = rest.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
        self.add(last ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, value: u8) {
        self.0 ^= u64::from(value) << 32;
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
