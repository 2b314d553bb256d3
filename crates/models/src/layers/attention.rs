//! Causal attention over heads, with or without a cache: the only block that knows of one.

use danlu_tensor::ops::{self, AttentionSpec, CachedKeysValues};
use danlu_tensor::{Result, Tensor};

use super::Pass;
use crate::ModelShape;
use crate::cache::LayerCache;
