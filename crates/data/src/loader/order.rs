//! The order of documents in an epoch: a function of (seed, epoch) and nothing else.

use crate::shard::TokenShard;

/// The documents of an epoch in their order.
#[derive(Debug)]
pub(super) struct Order {
    /// Which epoch, from 0.
    pub(super) epoch: u64,
    /// Indices in the shard.
    pub(super) documents: Vec<u32>,
    /// Tokens before each document in this order; one more entry than documents.
    pub(super) starts: Vec<u64>,
}

impl Order {
    /// Shuffles `documents`, each as often as its weight says, for an epoch: each copy gets a
    /// number from (seed, epoch, index, copy), and they are sorted by it. No state is carried, so
    /// any epoch can be had directly. It takes some 28 bytes of memory for each.
    pub(super) fn new(shard: &TokenShard, documents: &[u32], seed: u64, epoch: u64) -> Self {
        let epoch_key = mix(mix(seed).wrapping_add(epoch));
        let mut keyed = Vec::with_capacity(documents.len());
        for &document in documents {
            let key = mix(epoch_key.wrapping_add(u64::from(document)));
            let copies = copies(shard, document, seed, epoch);
            keyed.extend((0..copies).map(|copy| (key ^ mix(copy) ^ mix(0), document)));
        }
        keyed.sort_unstable();
        if keyed.is_empty() {
            keyed.extend(any(shard, documents, epoch_key, epoch));
        }
        let documents: Vec<u32> = keyed.into_iter().map(|(_, document)| document).collect();
        let mut starts = Vec::with_capacity(documents.len() + 1);
        let mut tokens = 0;
        starts.push(0);
        for &document in &documents {
            tokens += shard.document(document as usize).len() as u64;
            starts.push(tokens);
        }
        Self { epoch, documents, starts }
    }

    /// Tokens in the epoch.
    pub(super) fn tokens(&self) -> u64 {
        self.starts[self.documents.len()]
    }
}

/// One of the documents with a weight, for an epoch that has none by small fractions.
fn any(shard: &TokenShard, documents: &[u32], key: u64, epoch: u64) -> Option<(u64, u32)> {
    let weighs = |index: u32| shard.weight(index as usize).is_none_or(|w| w.at(epoch) > 0.0);
    let possible = documents.iter().filter(|&&document| weighs(document));
    possible.map(|&document| (mix(key.wrapping_add(u64::from(document))), document)).min()
}

/// How often `epoch` has a document.
fn copies(shard: &TokenShard, document: u32, seed: u64, epoch: u64) -> u64 {
    let Some(weight) = shard.weight(document as usize) else { return 1 };
    // The upper 53 bits are a number in [0, 1); it must not follow the order of an epoch.
    let draw = mix(!mix(seed).wrapping_add(u64::from(document))) >> 11;
    weight.copies(epoch, draw as f64 / (1_u64 << 53) as f64)
}

/// SplitMix64 (Steele, Lea, Flood 2014): a bijection on 64 bits that looks random.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
