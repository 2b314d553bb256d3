//! Counts of pairs of ids: a hash table with open addressing that forgets what fell to zero.

use crate::byte_level::hash::mix;

/// Two neighbouring ids.
pub(crate) type Pair = (u32, u32);

const EMPTY: u64 = u64::MAX;

/// How often each pair occurs.
pub(crate) struct PairTable {
    slots: Vec<(u64, i64)>,
    used: usize,
}

fn key((left, right): Pair) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// The slot that holds `key`, or the empty one where it would be.
fn find(slots: &[(u64, i64)], key: u64) -> usize {
    let mask = slots.len() - 1;
    let mut slot = mix(key) as usize & mask;
    while slots[slot].0 != key && slots[slot].0 != EMPTY {
        slot = (slot + 1) & mask;
    }
    slot
}

impl PairTable {
    pub(crate) fn new() -> Self {
        Self { slots: vec![(EMPTY, 0); 1 << 16], used: 0 }
    }

    /// Adds `change` to the count of `pair` and returns what it is then.
    pub(crate) fn add(&mut self, pair: Pair, change: i64) -> i64 {
        let mut slot = find(&self.slots, key(pair));
        if self.slots[slot].0 == EMPTY {
            if self.used * 8 > self.slots.len() * 5 {
                self.tidy();
                slot = find(&self.slots, key(pair));
            }
            self.slots[slot].0 = key(pair);
            self.used += 1;
        }
        self.slots[slot].1 += change;
        self.slots[slot].1
    }

    /// The count of `pair`.
    pub(crate) fn get(&self, pair: Pair) -> i64 {
        self.slots[find(&self.slots, key(pair))].1
    }

    /// Leaves out pairs that do not occur, and makes room where that was not enough.
    fn tidy(&mut self) {
        let occur = self.slots.iter().filter(|(_, count)| *count != 0).count();
        let size = (occur * 5 / 2).next_power_of_two().max(self.slots.len());
        let before = std::mem::replace(&mut self.slots, vec![(EMPTY, 0); size]);
        for (key, count) in before.into_iter().filter(|(_, count)| *count != 0) {
            let slot = find(&self.slots, key);
            self.slots[slot] = (key, count);
        }
        self.used = occur;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_map() {
        let (mut table, mut map) = (PairTable::new(), std::collections::BTreeMap::new());
        let mut state = 1_u32;
        for step in 0..400_000_i64 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pair = (state >> 20, (state >> 8) % 60);
            let change = if step % 3 == 0 { -1 } else { 1 };
            let count = map.entry(pair).or_insert(0);
            *count += change;
            assert_eq!(table.add(pair, change), *count);
        }
        assert!(map.into_iter().all(|(pair, count)| table.get(pair) == count));
        assert_eq!(table.get((70_000, 0)), 0);
    }
}
