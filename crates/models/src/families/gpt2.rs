//! GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners"). What is
//! special:
//!
//! - the norm comes before each part: mean and variance, gain and bias;
//! - positions are a learned table that is added to the embeddings;
//! - queries, keys and values come out of one matrix, `c_attn`;
//! - matrices lie `[in, out]` in the published files, all with biases;
//! - the feed-forward part is GELU in its tanh form, four times as wide unless said otherwise;
//! - the head is the embedding table.

use std::sync::{Arc, OnceLock};

use danlu_tensor::ops::{Gelu, Layout, embedding_with_positions};
use danlu_tensor::{Param, Tensor};
use serde_json::{Value, json};

use crate::cache::LayerCache;
use crate::config::{ConfigJson, SpecialIds};
use crate::gguf::{GgufNames, names};
use crate::layers::builder::{normal, normal_residual};
use crate::layers::{
    Attention, Block, Builder, FeedForward, GeluMlp, GeluMlpSpec, LayerNorm, Linear, LinearSpec,
    Pass, Sight, run_blocks,
};
use crate::memory::BlockActivations;
use crate::{BuildOptions, CausalLm, Family, KvCache, ModelParts, ModelShape, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "gpt2",
    architecture: "GPT2LMHeadModel",
    base_prefix: "transformer.",
    constants: &["attn.bias", "attn.masked_bias"],
    gguf: GgufNames {
        architecture: "gpt2",
        has_experts: false,
        keys: names::GPT2_KEYS,
        tensors: &[names::GPT2],
        implied: |_| (),
    },
    build: |json, options| Ok(Box::new(Gpt2::build(Gpt2Config::read(json)?, options)?)),
};

const MLP: GeluMlpSpec =
    GeluMlpSpec { names: ["c_fc", "c_proj"], layout: Layout::InOut, form: Gelu::Tanh };

/// What a GPT-2 is, apart from its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Gpt2Config {
    /// The sizes; as many key/value heads as heads, whose widths add up to the model's.
    pub shape: ModelShape,
    /// Added to the variance under the root of the norms.
    pub norm_eps: f64,
    /// Begin, end and padding.
    pub special_ids: SpecialIds,
}

impl Gpt2Config {
    /// From the published keys; absent ones have the reference library's defaults.
    ///
    /// # Errors
    /// When a key is missing, absurd, or asks for a variant that is not implemented.
    pub fn read(json: &ConfigJson) -> Result<Self> {
        json.only("activation_function", "gelu_new")?;
        json.only("tie_word_embeddings", true)?;
        json.only("scale_attn_weights", true)?;
        json.only("scale_attn_by_inverse_layer_idx", false)?;
        json.only("add_cross_attention", false)?;
        let (hidden_size, num_heads): (usize, usize) = (json.get("n_embd")?, json.get("n_head")?);
        let shape = ModelShape {
            num_layers: json.get("n_layer")?,
            num_heads,
            num_kv_heads: num_heads,
            head_dim: hidden_size / num_heads.max(1),
            hidden_size,
            ffn_size: json.get_or("n_inner", hidden_size.saturating_mul(4))?,
            vocab_size: json.get("vocab_size")?,
            context_len: json.get("n_positions")?,
        };
        let config = Self {
            shape,
            norm_eps: json.get_or("layer_norm_epsilon", 1e-5)?,
            special_ids: SpecialIds::read(json)?,
        };
        config.validate(json)?;
        Ok(config)
    }

    fn validate(&self, source: &ConfigJson) -> Result<()> {
        let shape = &self.shape;
        shape.validate(source)?;
        if shape.q_width() != shape.hidden_size || shape.kv_width() != shape.hidden_size {
            return Err(source.error(format!(
                "GPT-2's width {} must be its {} heads ({} for keys) times their width {}",
                shape.hidden_size, shape.num_heads, shape.num_kv_heads, shape.head_dim
            )));
        }
        Ok(())
    }

    /// Under the published keys.
    #[must_use]
    pub fn write(&self) -> Value {
        let shape = &self.shape;
        let mut json = json!({
            "architectures": [FAMILY.architecture],
            "model_type": FAMILY.model_type,
            "vocab_size": shape.vocab_size,
            "n_positions": shape.context_len,
            "n_embd": shape.hidden_size,
            "n_layer": shape.num_layers,
            "n_head": shape.num_heads,
            "n_inner": shape.ffn_size,
            "activation_function": "gelu_new",
            "layer_norm_epsilon": self.norm_eps,
            "scale_attn_weights": true,
            "scale_attn_by_inverse_layer_idx": false,
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "tie_word_embeddings": true,
            "torch_dtype": "float32",
            "dtype": "float32",
        });
        self.special_ids.write(&mut json);
        json
    }
}

/// A GPT-2.
pub struct Gpt2 {
    config: Gpt2Config,
    parts: ModelParts,
    wte: Param,
    wpe: Param,
    layers: Vec<Arc<Layer>>,
    ln_f: LayerNorm,
}

struct Layer {
    ln_1: LayerNorm,
    c_attn: Linear,
    attention: Attention,
    c_proj: Linear,
    ln_2: LayerNorm,
    mlp: GeluMlp,
}

impl Gpt2 {
    /// Adds the parameters to a new store; they have no values yet.
    ///
    /// # Errors
    /// When the configuration is absurd.
    pub fn build(config: Gpt2Config, options: &BuildOptions) -> Result<Self> {
        config.validate(&ConfigJson::new("the model's configuration", config.write()))?;
        let shape = config.shape;
        let params = options.store();
        let model = Builder::new(&params).at("transformer");
        let width = shape.hidden_size;
        let table = |name: &str, rows| model.at(name).param("weight", [rows, width], normal());
        let (wte, wpe) = (table("wte", shape.vocab_size), table("wpe", shape.context_len));
        let layer = |index| Layer::build(&model.at(&format!("h.{index}")), &config);
        let layers: Vec<_> = (0..shape.num_layers).map(|index| Arc::new(layer(index))).collect();
        let block_activations = layers[0].activations();
        let ln_f = LayerNorm::build(&model.at("ln_f"), width, config.norm_eps);
        let (head, recompute) = (wte.clone(), options.recompute);
        let parts = ModelParts {
            family: &FAMILY,
            shape,
            params,
            head,
            logit_cap: None,
            files: OnceLock::new(),
            recompute,
            block_activations,
        };
        Ok(Self { config, parts, wte, wpe, layers, ln_f })
    }
}

impl Layer {
    fn build(at: &Builder, config: &Gpt2Config) -> Self {
        let Gpt2Config { shape, norm_eps, .. } = config;
        let norm = |name| LayerNorm::build(&at.at(name), shape.hidden_size, *norm_eps);
        let linear = |name, outputs, init| {
            let inputs = shape.hidden_size;
            let spec = LinearSpec { inputs, outputs, layout: Layout::InOut, bias: true, init };
            Linear::build(&at.at("attn").at(name), spec)
        };
        Self {
            ln_1: norm("ln_1"),
            c_attn: linear("c_attn", 3 * shape.hidden_size, normal()),
            attention: Attention::new(shape, Sight::default()),
            c_proj: linear("c_proj", shape.hidden_size, normal_residual(shape.num_layers)),
            ln_2: norm("ln_2"),
            mlp: GeluMlp::build(&at.at("mlp"), shape, MLP),
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
        let qkv = self.c_attn.forward(&self.ln_1.forward(x)?)?;
        let x = self.c_proj.add_to(x, &self.attention.forward_packed(&qkv, pass, cache)?)?;
        let h = self.ln_2.forward(&x)?;
        self.mlp.add_to(&x, &h)
    }

    fn activations(&self) -> BlockActivations {
        let shape = self.attention.shape();
        let attention = BlockActivations {
            // Attention's log-sum-exp; its input, queries, keys and values, and their mix.
            kept_f32: shape.num_heads,
            kept_compute: 5 * shape.hidden_size,
            backward_compute: 0,
        };
        self.ln_1.activations() + attention + self.ln_2.activations() + self.mlp.activations()
    }
}

impl CausalLm for Gpt2 {
    fn parts(&self) -> &ModelParts {
        &self.parts
    }

    fn config(&self) -> Value {
        self.config.write()
    }

    fn forward(&self, ids: &[u32], pass: &Pass, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let x = embedding_with_positions(&self.wte, &self.wpe, ids, &pass.positions)?;
        let x = run_blocks(&self.layers, x, pass, cache, self.parts.recompute)?;
        let hidden = self.ln_f.forward(&x)?;
        pass.show("final_norm", &hidden);
        Ok(hidden)
    }
}
