//! The blocks that families are built from.
//!
//! Read in this order: [`builder`] (parameters by path), [`linear`], [`norm`], [`rope`],
//! [`attention`], [`self_attention`], [`ffn`], [`experts`], [`pre_norm`] (the block most families
//! have), [`sandwich`] (Gemma's), [`decoder`] (the model around it); [`run_blocks`] here is the
//! loop over a model's blocks.

pub mod attention;
pub mod builder;
pub mod decoder;
pub mod experts;
pub mod ffn;
pub mod linear;
pub mod norm;
pub mod pre_norm;
pub mod rope;
pub mod sandwich;
pub mod self_attention;

use std::sync::Arc;

use danlu_tensor::{Result, Tensor, recompute};

pub use attention::{Attention, Sight};
pub use builder::Builder;
pub use decoder::{Decoder, DecoderConfig};
pub use experts::{ExpertChoice, Experts};
pub use ffn::{FeedForward, GatedMlp, GatedMlpSpec, GeluMlp, GeluMlpSpec};
pub use linear::{Linear, LinearSpec};
pub use norm::{HeadNorm, LayerNorm, RmsNorm};
pub use pre_norm::PreNormBlock;
pub use sandwich::SandwichBlock;
pub use self_attention::{QkvLayout, SelfAttention, SelfAttentionSpec};

use crate::cache::{KvCache, LayerCache};
use crate::memory::BlockActivations;

/// Who is shown the activations of a forward pass, by name.
pub type Watch = dyn Fn(&str, &Tensor) + Send + Sync;

/// What all blocks of one forward pass share.
#[derive(Clone)]
pub struct Pass {
    /// B.
    pub batch: usize,
    /// Where each token stands in its document. `[B * T]`
    pub positions: Arc<[u32]>,
    /// Which document of its row each token belongs to. `[B * T]`
    pub segments: Option<Arc<[u32]>>,
    /// Who is shown the activations.
    pub watch: Option<Arc<Watch>>,
}

impl Pass {
    /// T: tokens in a row.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.positions.len() / self.batch
    }

    /// Shows an activation to whoever watches.
    pub fn show(&self, name: &str, x: &Tensor) {
        if let Some(watch) = &self.watch {
            watch(name, x);
        }
    }
}

/// One block: attention and feed-forward around the residual stream.
pub trait Block: Send + Sync + 'static {
    /// The residual stream `[B * T, D]` after the block.
    ///
    /// # Errors
    /// When an operation fails.
    fn forward(&self, x: &Tensor, pass: &Pass, cache: Option<&mut LayerCache>) -> Result<Tensor>;

    /// What it needs for its backward pass.
    fn activations(&self) -> BlockActivations;
}

/// The residual stream through all blocks. With `recompute_blocks`, training keeps only what enters
/// each.
///
/// # Errors
/// When an operation fails.
pub fn run_blocks<B: Block>(
    blocks: &[Arc<B>],
    mut x: Tensor,
    pass: &Pass,
    mut cache: Option<&mut KvCache>,
    recompute_blocks: bool,
) -> Result<Tensor> {
    pass.show("embedding", &x);
    for (index, block) in blocks.iter().enumerate() {
        x = match cache.as_deref_mut() {
            Some(cache) => block.forward(&x, pass, Some(cache.layer_mut(index)))?,
            None if recompute_blocks => {
                let (block, pass) = (Arc::clone(block), pass.clone());
                recompute(&x, true, move |x| block.forward(x, &pass, None))?
            }
            None => block.forward(&x, pass, None)?,
        };
        if pass.watch.is_some() {
            pass.show(&format!("layer.{index}"), &x);
        }
    }
    Ok(x)
}
