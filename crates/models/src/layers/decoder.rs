//! A model of LLaMA's outline: an embedding table, blocks, a last norm, a head. Families of that
//! outline differ in their blocks only.

use std::sync::{Arc, OnceLock};

use danlu_tensor::ops::{RmsNormSpec, RopeSpec, RopeTables, embedding, scale};
use danlu_tensor::{Param, Tensor};
use serde_json::Value;

use super::attention::Sight;
use super::builder::normal;
use super::rope::read_rope;
use super::{Block, Builder, Pass, QkvLayout, RmsNorm, SelfAttentionSpec, run_blocks};
use crate::config::ConfigJson;
use crate::{BuildOptions, CausalLm, Family, KvCache, ModelParts, ModelShape, Result};

/// What the keys say that every such family publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderConfig {
    /// The sizes.
    pub shape: ModelShape,
    /// How positions rotate.
    pub rope: RopeSpec,
    /// The constants of the norms.
    pub norm: RmsNormSpec,
    /// Whether the head is the embedding table.
    pub tie_embeddings: bool,
    /// What embeddings are multiplied by: 1 but in Gemma.
    pub embedding_scale: f32,
    /// The bound that logits approach; none if `None`.
    pub logit_cap: Option<f32>,
}

impl DecoderConfig {
    /// From the published keys; `json` has the family's defaults already.
    ///
    /// # Errors
    /// When a key is missing or absurd.
    pub fn read(json: &ConfigJson) -> Result<Self> {
        let mut shape = read_shape(json)?;
        let rope = read_rope(json, &shape)?;
        shape.context_len = rope.max_positions;
        Ok(Self {
            shape,
            rope,
            norm: RmsNormSpec::from(json.get::<f32>("rms_norm_eps")?),
            tie_embeddings: json.get("tie_word_embeddings")?,
            embedding_scale: 1.0,
            logit_cap: None,
        })
    }

    /// Attention of these sizes: no window, no bias, no norm of heads.
    #[must_use]
    pub fn attention(&self) -> SelfAttentionSpec {
        SelfAttentionSpec {
            shape: self.shape,
            rope: Arc::new(RopeTables::from_spec(self.rope.clone())),
            sight: Sight::default(),
            qkv: QkvLayout::Separate,
            qkv_bias: false,
            output_name: "o_proj",
            output_bias: false,
            head_norm: None,
        }
    }
}

/// The sizes under their published keys.
///
/// # Errors
/// When a key is missing or a size absurd.
pub fn read_shape(json: &ConfigJson) -> Result<ModelShape> {
    let (hidden_size, num_heads) = (json.get("hidden_size")?, json.get("num_attention_heads")?);
    let shape = ModelShape {
        num_layers: json.get("num_hidden_layers")?,
        num_heads,
        num_kv_heads: json.get_or("num_key_value_heads", num_heads)?,
        head_dim: json.get_or("head_dim", hidden_size / num_heads.max(1))?,
        hidden_size,
        ffn_size: json.get("intermediate_size")?,
        vocab_size: json.get("vocab_size")?,
        context_len: json.get("max_position_embeddings")?,
    };
    shape.validate(json)?;
    Ok(shape)
}

/// A configuration as it is written beside weights that are f32.
#[must_use]
pub fn written_config(json: &ConfigJson, family: &Family) -> Value {
    let mut value = json.value().clone();
    value["architectures"] = Value::from(vec![family.architecture]);
    for key in ["dtype", "torch_dtype"] {
        value[key] = "float32".into();
    }
    value
}

/// A model whose blocks are `B`.
pub struct Decoder<B> {
    config: Value,
    parts: ModelParts,
    embed_tokens: Param,
    embedding_scale: f32,
    layers: Vec<Arc<B>>,
    norm: RmsNorm,
}

impl<B: Block> Decoder<B> {
    /// Adds the parameters to a new store; they have no values yet. `block` adds those of the block
    /// with a number.
    pub fn build(
        family: &'static Family,
        json: &ConfigJson,
        config: &DecoderConfig,
        options: &BuildOptions,
        block: impl Fn(&Builder, usize) -> B,
    ) -> Self {
        let DecoderConfig { shape, norm, tie_embeddings, .. } = *config;
        let params = options.store();
        let root = Builder::new(&params);
        let model = root.at("model");
        let table = [shape.vocab_size, shape.hidden_size];
        let embed_tokens = model.at("embed_tokens").param("weight", table, normal());
        let layer = |index| Arc::new(block(&model.at(&format!("layers.{index}")), index));
        let layers: Vec<_> = (0..shape.num_layers).map(layer).collect();
        let norm = RmsNorm::build(&model.at("norm"), shape.hidden_size, norm);
        let head = if tie_embeddings {
            embed_tokens.clone()
        } else {
            root.at("lm_head").param("weight", table, normal())
        };
        // Blocks may differ, as those with experts do: the plan is for the last.
        let block_activations = layers[layers.len() - 1].activations();
        let recompute = options.recompute;
        let &DecoderConfig { embedding_scale, logit_cap, .. } = config;
        let parts = ModelParts {
            family,
            shape,
            params,
            head,
            logit_cap,
            recompute,
            block_activations,
            files: OnceLock::new(),
        };
        let config = written_config(json, family);
        Self { config, parts, embed_tokens, embedding_scale, layers, norm }
    }
}

impl<B: Block> CausalLm for Decoder<B> {
    fn parts(&self) -> &ModelParts {
        &self.parts
    }

    fn config(&self) -> Value {
        self.config.clone()
    }

    fn forward(&self, ids: &[u32], pass: &Pass, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let mut x = embedding(&self.embed_tokens, ids)?;
        if self.embedding_scale != 1.0 {
            x = scale(x, self.embedding_scale)?;
        }
        let x = run_blocks(&self.layers, x, pass, cache, self.parts.recompute)?;
        let hidden = self.norm.forward(&x)?;
        pass.show("final_norm", &hidden);
        Ok(hidden)
    }
}
