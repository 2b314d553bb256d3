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
    /// Shuffles `documents` for an epoch: each gets a number from (seed, epoch, index), and they
    /// are sorted by it. No state is carried, so any epoch can be had directly.
    pub(super) fn new(shard: &TokenShard, documents: &[u32], seed: u64, epoch: u64) -> Self {
        let epoch_key = mix(mix(seed).wrapping_add(epoch));
        let mut keyed: Vec<(u64, u32)> = documents
            .iter()
            .map(|&document| (mix(epoch_key.wrapping_add(u64::from(document))), document))
            .collect();
        keyed.sort_unstable();
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

/// SplitMix64 (Steele, Lea, Flood 2014): a bijection on 64 bits that looks random.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}
