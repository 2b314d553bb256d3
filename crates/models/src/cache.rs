//! Keys and values of the tokens so far, so that each new token costs one token's work.

use danlu_tensor::{DType, Device, Tensor};

use crate::{CausalLm, Error, ModelInput, Result};

/// The cache of one sequence. Its memory is reserved once and never grows.
pub struct KvCache {
    layers: Vec<LayerCache>,
    /// The ids whose keys and values are held.
    ids: Vec<u32>,
    capacity: usize,
}

/// The cache of one block.
pub struct LayerCache {
    /// `[capacity, K * Dh]`, rotated.
    pub(crate) k: Tensor,
    /// `[capacity, K * Dh]`
    pub(crate) v: Tensor,
    /// Rows filled before the current pass.
    pub(crate) len: usize,
}

impl KvCache {
    /// Reserves an empty cache for `capacity` tokens of a model.
    ///
    /// # Errors
    /// When the model's context has not that many positions, or `capacity` is 0.
    pub fn new(model: &dyn CausalLm, capacity: usize) -> Result<Self> {
        let shape = model.shape();
        if !(1..=shape.context_len).contains(&capacity) {
            return Err(Error::Input(format!(
                "a cache for {capacity} tokens was asked for; the model has a context of 1 to {}",
                shape.context_len
            )));
        }
        let (device, dtype) = (model.params().device(), model.params().precision().into());
        let reserve = || zeros(device, dtype, [capacity, shape.kv_width()]);
        let layer = |_| LayerCache { k: reserve(), v: reserve(), len: 0 };
        let layers = (0..shape.num_layers).map(layer).collect();
        Ok(Self { layers, ids: Vec::with_capacity(capacity), capacity })
    }

    /// Tokens held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether no token is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Tokens there is room for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The ids held.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// How many of the leading `ids` are held.
    #[must_use]
    pub fn common_prefix(&self, ids: &[u32]) -> usize {
        self.ids.iter().zip(ids).take_while(|(held, id)| held == id).count()
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.ids.truncate(len);
    }

    /// Bytes reserved.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let size = |t: &Tensor| t.shape().len() * t.dtype().size_bytes();
        self.layers.iter().map(|layer| size(&layer.k) + size(&layer.v)).sum()
    }

    /// Takes note of tokens whose keys and values every block has added.
    pub(crate) fn advance(&mut self, ids: &[u32]) {
        self.ids.extend_from_slice(ids);
    }

    pub(crate) fn layer_mut(&mut self, index: usize) -> &mut LayerCache {
        let layer = &mut self.layers[index];
        layer.len = self.ids.len();
        layer
    }

    /// Refuses input that does not go on where the cache ends.
    pub(crate) fn check(&self, input: &ModelInput<'_>) -> Result<()> {
        let (held, new) = (self.len(), input.ids.len());
        if held + new > self.capacity {
            return Err(Error::Input(format!(
                "{new} tokens do not fit into a cache that holds {held} of {}",
                self.capacity
            )));
        }
        let follows = (held as u32..).zip(input.positions.iter()).all(|(a, b)| a == *b);
        if input.batch != 1 || input.segments.is_some() || !follows {
            return Err(Error::Input(format!(
                "with a cache that holds {held} tokens, the input must be one row at positions \
                 {held}.., of one document"
            )));
        }
        Ok(())
    }
}

fn zeros(device: &Device, dtype: DType, shape: [usize; 2]) -> Tensor {
    device.tensor(dtype, shape, &vec![0.0; shape[0] * shape[1]])
}
