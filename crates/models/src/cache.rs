//! Keys and values of the tokens so far, so that each new token costs one token's work.
//!
//! A cache has a fixed number of slots, one for each sequence that goes on at the same time. One
//! pass may add tokens to any of them; each token sees its own slot alone. What a method says
//! without naming a slot is about the first, which is the only one of [`KvCache::new`].

use std::sync::Arc;

use danlu_kernels::quant::BlockFormat;
use danlu_tensor::Precision;
use danlu_tensor::ops::{CachedSequence, KvRows};

use crate::{CausalLm, Error, ModelInput, Result};

/// How a cache is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Sequences that go on at the same time.
    pub slots: usize,
    /// Tokens there is room for in each.
    pub capacity: usize,
    /// How keys and values are kept: F32, F16, BF16 or Q8_0; `None` is the type the model computes
    /// in, in which nothing is lost.
    pub format: Option<BlockFormat>,
}

/// The cache of a model. Its memory is reserved once and never grows.
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// The ids whose keys and values each slot holds.
    slots: Vec<Vec<u32>>,
    capacity: usize,
    /// The sequences of the pass that is going on.
    sequences: Arc<[CachedSequence]>,
}

/// The cache of one block.
pub struct LayerCache {
    /// `[slots * capacity, K * Dh]`, rotated.
    pub(crate) k: KvRows,
    /// `[slots * capacity, K * Dh]`
    pub(crate) v: KvRows,
    /// Which tokens of the current pass belong to which rows.
    pub(crate) sequences: Arc<[CachedSequence]>,
}

impl KvCache {
    /// Reserves an empty cache for one sequence of `capacity` tokens, in the type the model
    /// computes in.
    ///
    /// # Errors
    /// As [`KvCache::reserve`].
    pub fn new(model: &dyn CausalLm, capacity: usize) -> Result<Self> {
        Self::reserve(model, CacheOptions { slots: 1, capacity, format: None })
    }

    /// Reserves an empty cache.
    ///
    /// # Errors
    /// When the model's context has not that many positions, an option is 0, or the format does not
    /// fit the model's heads.
    pub fn reserve(model: &dyn CausalLm, options: CacheOptions) -> Result<Self> {
        let CacheOptions { slots, capacity, format } = options;
        let shape = model.shape();
        if slots == 0 || !(1..=shape.context_len).contains(&capacity) {
            return Err(Error::Input(format!(
                "a cache for {slots} sequences of {capacity} tokens was asked for; it has at least \
                 one sequence, and the model a context of 1 to {}",
                shape.context_len
            )));
        }
        let (device, sequences) = (model.params().device(), Arc::from([]));
        let format = format.unwrap_or(match model.params().precision() {
            Precision::F32 => BlockFormat::F32,
            Precision::Bf16 => BlockFormat::Bf16,
        });
        let heads = [shape.num_kv_heads, shape.head_dim];
        let rows = || KvRows::reserve(device, format, slots * capacity, heads);
        let layer =
            |_| Ok(LayerCache { k: rows()?, v: rows()?, sequences: Arc::clone(&sequences) });
        let layers = (0..shape.num_layers).map(layer).collect::<Result<_>>()?;
        let slots = vec![Vec::with_capacity(capacity); slots];
        Ok(Self { layers, slots, capacity, sequences })
    }

    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Tokens there is room for in a slot.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Tokens held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids().len()
    }

    /// Whether no token is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids().is_empty()
    }

    /// The ids held.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        self.ids_of(0)
    }

    /// The ids that a slot holds.
    ///
    /// # Panics
    /// When there is no such slot.
    #[must_use]
    pub fn ids_of(&self, slot: usize) -> &[u32] {
        &self.slots[slot]
    }

    /// How many of the leading `ids` are held.
    #[must_use]
    pub fn common_prefix(&self, ids: &[u32]) -> usize {
        self.common_prefix_of(0, ids)
    }

    /// How many of the leading `ids` a slot holds.
    ///
    /// # Panics
    /// When there is no such slot.
    #[must_use]
    pub fn common_prefix_of(&self, slot: usize, ids: &[u32]) -> usize {
        common_prefix(&self.slots[slot], ids)
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.truncate_slot(0, len);
    }

    /// Forgets all but the first `len` tokens of a slot.
    ///
    /// # Panics
    /// When there is no such slot.
    pub fn truncate_slot(&mut self, slot: usize, len: usize) {
        self.slots[slot].truncate(len);
    }

    /// Makes the first `len` tokens of one slot the tokens of another.
    ///
    /// # Panics
    /// When there are no such slots or not that many tokens.
    pub fn copy_slot(&mut self, from: usize, to: usize, len: usize) {
        let (held, capacity) = (self.slots[from][..len].to_vec(), self.capacity);
        // What they have in common is there already.
        let same = common_prefix(&held, &self.slots[to]);
        for rows in self.layers.iter_mut().flat_map(|layer| [&mut layer.k, &mut layer.v]) {
            rows.copy_within(from * capacity + same, to * capacity + same, len - same);
        }
        self.slots[to].clear();
        self.slots[to].extend(held);
    }

    /// Bytes reserved.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.k.size_bytes() + layer.v.size_bytes()).sum()
    }

    /// Takes note of the tokens of the pass, whose keys and values every block has added.
    pub(crate) fn advance(&mut self, ids: &[u32]) {
        for CachedSequence { queries, keys } in self.sequences.iter() {
            self.slots[keys.start / self.capacity].extend_from_slice(&ids[queries.clone()]);
        }
    }

    pub(crate) fn layer_mut(&mut self, index: usize) -> &mut LayerCache {
        let layer = &mut self.layers[index];
        layer.sequences = Arc::clone(&self.sequences);
        layer
    }

    /// Begins a pass over input whose segments are slots. Refuses what does not go on where they
    /// end.
    pub(crate) fn begin(&mut self, input: &ModelInput<'_>) -> Result<()> {
        let mut sequences: Vec<CachedSequence> = Vec::new();
        let all = [0].repeat(input.ids.len());
        let slots = input.segments.as_deref().unwrap_or(&all);
        let mut next = 0;
        for run in slots.chunk_by(|a, b| a == b) {
            let (slot, queries) = (run[0] as usize, next..next + run.len());
            next = queries.end;
            let start = slot * self.capacity;
            if slot >= self.slots.len() || sequences.iter().any(|one| one.keys.start == start) {
                return Err(Error::Input(format!(
                    "tokens for slot {slot} of a cache with {}, or twice in one pass",
                    self.slots.len()
                )));
            }
            let (held, new) = (self.slots[slot].len(), queries.len());
            if held + new > self.capacity {
                return Err(Error::Input(format!(
                    "{new} tokens do not fit into a cache that holds {held} of {}",
                    self.capacity
                )));
            }
            let positions = &input.positions[queries.clone()];
            let follows = (held as u32..).zip(positions).all(|(a, b)| a == *b);
            if input.batch != 1 || !follows {
                return Err(Error::Input(format!(
                    "with a cache that holds {held} tokens, the input must be one row at positions \
                     {held}.., of one document"
                )));
            }
            sequences.push(CachedSequence { queries, keys: start..start + held + new });
        }
        self.sequences = sequences.into();
        Ok(())
    }
}

/// How many leading ids are the same.
fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
