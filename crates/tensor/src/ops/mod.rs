//! Operations, one file each: formula and shapes, the forward, and the backward beside it.
//!
//! Activations are `[rows, cols]` with `rows = B * T`. The residual stream is f32; what flows
//! between it (norms, projections, attention, feed-forward) has the compute type of the parameters'
//! store, see [`ParamStore::precision`](crate::ParamStore::precision). Parameters and reductions
//! are f32 always. A gradient comes back in the type of its activation, or in f32 where several are
//! summed.

mod add;
mod attention;
mod cached_attention;
mod convert;
mod embedding;
mod experts;
mod gated;
mod gelu;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod logits;
mod rms_norm;
mod rope;
mod scale;
mod select_rows;
mod softmax;
mod split_columns;

pub use add::add;
pub use attention::{AttentionSpec, attention};
pub use cached_attention::{CachedSequence, KvRows, attention_cached};
pub use convert::convert;
pub use embedding::{embedding, embedding_with_positions};
pub use experts::{Group, Routing, mix, route};
pub use gated::{geglu, swiglu};
pub use gelu::{Gelu, gelu};
pub use layer_norm::{add_layer_norm, layer_norm};
pub use linear::{Layout, LinearWeight, linear, linear_add, linears};
pub use linear_cross_entropy::{CrossEntropy, linear_cross_entropy};
pub use logits::{Head, linear_log_probs, logits};
pub use rms_norm::{RmsNormSpec, add_rms_norm, rms_norm};
pub use rope::{Pairs, RopeSpec, RopeTables, frequencies, rope};
pub use scale::scale;
pub use select_rows::select_rows;
pub use softmax::softmax;
pub use split_columns::split_columns;

/// Operations that have no gradient and refuse to be recorded.
pub const NOT_DIFFERENTIABLE: &[&str] = &["attention_cached", "linear_log_probs", "logits"];
