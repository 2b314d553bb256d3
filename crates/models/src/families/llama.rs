//! LLaMA (Touvron et al. 2023, arXiv:2302.13971), with the grouped heads of LLaMA 2
//! (arXiv:2307.09288). What is special:
//!
//! - the norm comes before each part and is RMS only: a gain, no mean, no bias;
//! - positions enter by rotating queries and keys, nowhere else (RoPE, arXiv:2104.09864);
//! - several query heads share one key/value head (GQA, Ainslie et al. 2023, arXiv:2305.13245);
//! - the feed-forward part is gated: SwiGLU (arXiv:2002.05202);
//! - no biases anywhere; the head is the embedding table or a matrix of its own.

use std::sync::Arc;

use danlu_tensor::ops::{Layout, RopeTables, embedding, rope};
use danlu_tensor::{Param, ParamStore, Tensor};
use serde_json::{Value, json};

use crate::cache::LayerCache;
use crate::config::{ConfigJson, SpecialIds};
use crate::layers::builder::{normal, normal_residual};
use crate::layers::{
    Attention, Block, Builder, Linear, LinearSpec, Pass, RmsNorm, SwigluMlp, run_blocks,
};
use crate::memory::BlockActivations;
use crate::{BuildOptions, CausalLm, Family, KvCache, ModelParts, ModelShape, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "llama",
    architecture: "LlamaForCausalLM",
    base_prefix: "model.",
    constants: &["rotary_emb.inv_freq"],
    build: |json, options| Ok(Box::new(Llama::build(LlamaConfig::read(json)?, options)?)),
};

/// What a LLaMA is, apart from its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// The sizes.
    pub shape: ModelShape,
    /// Added to the mean square under the root of the norms.
    pub norm_eps: f64,
    /// Base of the rotation frequencies.
    pub rope_theta: f64,
    /// Whether the head is the embedding table.
    pub tie_embeddings: bool,
    /// Begin, end and padding.
    pub special_ids: SpecialIds,
}

impl LlamaConfig {
    /// From the published keys; absent ones have the reference library's defaults.
    ///
    /// # Errors
    /// When a key is missing, absurd, or asks for a variant that is not implemented.
    pub fn read(json: &ConfigJson) -> Result<Self> {
        json.only("hidden_act", "silu")?;
        json.only("attention_bias", false)?;
        json.only("mlp_bias", false)?;
        json.only("rope_scaling", Value::Null)?;
        // Since version 5 the reference library keeps the base in an object of its own.
        let rope = json.object("rope_parameters").unwrap_or_else(|| json.clone());
        rope.only("rope_type", "default")?;
        let (hidden_size, num_heads) = (json.get("hidden_size")?, json.get("num_attention_heads")?);
        let shape = ModelShape {
            num_layers: json.get("num_hidden_layers")?,
            num_heads,
            num_kv_heads: json.get_or("num_key_value_heads", num_heads)?,
            head_dim: json.get_or("head_dim", hidden_size / num_heads.max(1))?,
            hidden_size,
            ffn_size: json.get("intermediate_size")?,
            vocab_size: json.get("vocab_size")?,
            context_len: json.get_or("max_position_embeddings", 2048)?,
        };
        let config = Self {
            shape,
            norm_eps: json.get_or("rms_norm_eps", 1e-6)?,
            rope_theta: rope.get_or("rope_theta", 10_000.0)?,
            tie_embeddings: json.get_or("tie_word_embeddings", false)?,
            special_ids: SpecialIds::read(json)?,
        };
        config.validate(json)?;
        Ok(config)
    }

    fn validate(&self, source: &ConfigJson) -> Result<()> {
        let Self { shape, rope_theta, .. } = self;
        shape.validate(source)?;
        if !shape.head_dim.is_multiple_of(2) || *rope_theta <= 1.0 {
            let head_dim = shape.head_dim;
            return Err(source.error(format!(
                "positions rotate pairs at a base above 1: head_dim {head_dim} must be even, \
                 rope_theta {rope_theta} larger than 1"
            )));
        }
        Ok(())
    }

    /// Under the published keys, old and new, so that every version of the reference library
    /// understands them.
    #[must_use]
    pub fn write(&self) -> Value {
        let shape = &self.shape;
        let mut json = json!({
            "architectures": [FAMILY.architecture],
            "model_type": FAMILY.model_type,
            "vocab_size": shape.vocab_size,
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.ffn_size,
            "num_hidden_layers": shape.num_layers,
            "num_attention_heads": shape.num_heads,
            "num_key_value_heads": shape.num_kv_heads,
            "head_dim": shape.head_dim,
            "max_position_embeddings": shape.context_len,
            "rms_norm_eps": self.norm_eps,
            "rope_theta": self.rope_theta,
            "rope_parameters": { "rope_type": "default", "rope_theta": self.rope_theta },
            "hidden_act": "silu",
            "attention_bias": false,
            "mlp_bias": false,
            "tie_word_embeddings": self.tie_embeddings,
            "torch_dtype": "float32",
            "dtype": "float32",
        });
        self.special_ids.write(&mut json);
        json
    }
}

/// A LLaMA.
pub struct Llama {
    config: LlamaConfig,
    parts: ModelParts,
    embed_tokens: Param,
    layers: Vec<Arc<Layer>>,
    norm: RmsNorm,
}

struct Layer {
    input_layernorm: RmsNorm,
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    attention: Attention,
    o_proj: Linear,
    post_attention_layernorm: RmsNorm,
    mlp: SwigluMlp,
    rope: Arc<RopeTables>,
}

impl Llama {
    /// Adds the parameters to a new store; they have no values yet.
    ///
    /// # Errors
    /// When the configuration is absurd.
    pub fn build(config: LlamaConfig, options: &BuildOptions) -> Result<Self> {
        config.validate(&ConfigJson::new("the model's configuration", config.write()))?;
        let LlamaConfig { shape, norm_eps, rope_theta, .. } = config;
        let params = ParamStore::new(options.device.clone(), options.precision);
        let root = Builder::new(&params);
        let model = root.at("model");
        let table = [shape.vocab_size, shape.hidden_size];
        let rope = Arc::new(RopeTables::new(shape.context_len, shape.head_dim, rope_theta));
        let embed_tokens = model.at("embed_tokens").param("weight", table, normal());
        let layer = |index| Layer::build(&model.at(&format!("layers.{index}")), &config, &rope);
        let layers = (0..shape.num_layers).map(|index| Arc::new(layer(index))).collect();
        let norm = RmsNorm::build(&model.at("norm"), shape.hidden_size, norm_eps);
        let head = if config.tie_embeddings {
            embed_tokens.clone()
        } else {
            root.at("lm_head").param("weight", table, normal())
        };
        let block_activations = BlockActivations {
            // What enters both norms with its root mean square; attention's log-sum-exp.
            kept_f32: 2 * (shape.hidden_size + 1) + shape.num_heads,
            // What leaves both norms; queries, keys, values and what attention makes of them;
            // gate, up and their product.
            kept_compute: 2 * (shape.hidden_size + shape.q_width() + shape.kv_width())
                + 3 * shape.ffn_size,
            // The gradients of gate and up.
            backward_compute: 2 * shape.ffn_size,
        };
        let recompute = options.recompute;
        let parts =
            ModelParts { family: &FAMILY, shape, params, head, recompute, block_activations };
        Ok(Self { config, parts, embed_tokens, layers, norm })
    }
}

impl Layer {
    fn build(at: &Builder, config: &LlamaConfig, rope: &Arc<RopeTables>) -> Self {
        let LlamaConfig { shape, norm_eps, .. } = config;
        let norm = |name| RmsNorm::build(&at.at(name), shape.hidden_size, *norm_eps);
        let linear = |name, inputs, outputs, init| {
            let spec = LinearSpec { inputs, outputs, layout: Layout::OutIn, bias: false, init };
            Linear::build(&at.at("self_attn").at(name), spec)
        };
        let width = shape.hidden_size;
        let (q_width, kv_width) = (shape.q_width(), shape.kv_width());
        Self {
            input_layernorm: norm("input_layernorm"),
            q_proj: linear("q_proj", width, q_width, normal()),
            k_proj: linear("k_proj", width, kv_width, normal()),
            v_proj: linear("v_proj", width, kv_width, normal()),
            attention: Attention::new(shape),
            o_proj: linear("o_proj", q_width, width, normal_residual(shape.num_layers)),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: SwigluMlp::build(&at.at("mlp"), shape),
            rope: Arc::clone(rope),
        }
    }
}

impl Block for Layer {
    fn forward(
        &self,
        x: &Tensor,
        pass: &Pass,
        cache: Option<&mut LayerCache>,
    ) -> danlu_tensor::Result<Tensor> {
        let shape = self.attention.shape();
        let h = self.input_layernorm.forward(x)?;
        let [q, k, v] = Linear::forward_all([&self.q_proj, &self.k_proj, &self.v_proj], &h)?;
        let q = rope(q, &pass.positions, &self.rope, shape.num_heads)?;
        let k = rope(k, &pass.positions, &self.rope, shape.num_kv_heads)?;
        let x = self.o_proj.add_to(x, &self.attention.forward([q, k, v], pass, cache)?)?;
        let h = self.post_attention_layernorm.forward(&x)?;
        self.mlp.add_to(&x, &h)
    }
}

impl CausalLm for Llama {
    fn parts(&self) -> &ModelParts {
        &self.parts
    }

    fn config(&self) -> Value {
        self.config.write()
    }

    fn forward(&self, ids: &[u32], pass: &Pass, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let x = embedding(&self.embed_tokens, ids)?;
        let x = run_blocks(&self.layers, x, pass, cache, self.parts.recompute)?;
        let hidden = self.norm.forward(&x)?;
        pass.show("final_norm", &hidden);
        Ok(hidden)
    }
}
