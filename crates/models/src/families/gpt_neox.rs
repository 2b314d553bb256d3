//! GPT-NeoX (Black et al. 2022, arXiv:2204.06745) and Pythia (Biderman et al. 2023,
//! arXiv:2304.01373). What is special:
//!
//! - attention and feed-forward read the same residual stream side by side, unless
//!   `use_parallel_residual` is false;
//! - norms have mean and variance, gain and bias; all matrices have biases;
//! - queries, keys and values come out of one matrix, head by head;
//! - only the first part of each head is rotated (`rotary_pct`);
//! - the head is a matrix of its own, `embed_out`.

use std::sync::{Arc, OnceLock};

use danlu_tensor::ops::{Gelu, Layout, RopeTables, embedding};
use danlu_tensor::{Param, Tensor};
use serde_json::{Value, json};

use crate::cache::LayerCache;
use crate::config::ConfigJson;
use crate::gguf::{GgufNames, names};
use crate::layers::builder::normal;
use crate::layers::decoder::{read_shape, written_config};
use crate::layers::rope::read_rope;
use crate::layers::{
    Block, Builder, FeedForward, GeluMlp, GeluMlpSpec, LayerNorm, Pass, QkvLayout, SelfAttention,
    SelfAttentionSpec, Sight, run_blocks,
};
use crate::memory::BlockActivations;
use crate::{BuildOptions, CausalLm, Family, KvCache, ModelParts, Result};

/// The registry's entry.
pub const FAMILY: Family = Family {
    model_type: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    base_prefix: "gpt_neox.",
    constants: &["attention.bias", "attention.masked_bias", "rotary_emb.inv_freq"],
    gguf: GgufNames {
        architecture: "gptneox",
        has_experts: false,
        keys: names::KEYS,
        tensors: &[names::GPT_NEOX],
        implied: |_| (),
    },
    build: |json, options| Ok(Box::new(GptNeox::build(json, options)?)),
};

/// What is absent in a published file; old files have other names for the rotation.
fn defaults(json: &ConfigJson) -> Result<Value> {
    Ok(json!({
        "max_position_embeddings": 2048,
        "layer_norm_eps": 1e-5,
        "tie_word_embeddings": false,
        "use_parallel_residual": true,
        "attention_bias": true,
        "hidden_act": "gelu",
        "rope_theta": json.get_or("rotary_emb_base", 10_000.0)?,
        "partial_rotary_factor": json.get_or("rotary_pct", 0.25)?,
    }))
}

/// What the blocks share.
struct BlockSpec {
    attention: SelfAttentionSpec,
    mlp: GeluMlpSpec,
    norm_eps: f64,
    parallel: bool,
}

impl BlockSpec {
    fn read(keys: &ConfigJson) -> Result<Self> {
        let mut shape = read_shape(keys)?;
        let rope = read_rope(keys, &shape)?;
        shape.context_len = rope.max_positions;
        let bias = keys.get("attention_bias")?;
        let form = match keys.get::<String>("hidden_act")?.as_str() {
            "gelu" => Gelu::Erf,
            "gelu_new" | "gelu_pytorch_tanh" => Gelu::Tanh,
            other => {
                return Err(keys.error(format!("`hidden_act` is \"{other}\"; a form of GELU is")));
            }
        };
        Ok(Self {
            attention: SelfAttentionSpec {
                shape,
                rope: Arc::new(RopeTables::from_spec(rope)),
                sight: Sight::default(),
                qkv: QkvLayout::Heads("query_key_value"),
                qkv_bias: bias,
                output_name: "dense",
                output_bias: bias,
                head_norm: None,
            },
            mlp: GeluMlpSpec {
                names: ["dense_h_to_4h", "dense_4h_to_h"],
                layout: Layout::OutIn,
                form,
            },
            norm_eps: keys.get("layer_norm_eps")?,
            parallel: keys.get("use_parallel_residual")?,
        })
    }
}

/// A GPT-NeoX.
struct GptNeox {
    config: Value,
    parts: ModelParts,
    embed_in: Param,
    layers: Vec<Arc<Layer>>,
    final_layer_norm: LayerNorm,
}

struct Layer {
    input_layernorm: LayerNorm,
    attention: SelfAttention,
    post_attention_layernorm: LayerNorm,
    mlp: GeluMlp,
    parallel: bool,
}

impl GptNeox {
    fn build(json: &ConfigJson, options: &BuildOptions) -> Result<Self> {
        let keys = json.with_defaults(defaults(json)?);
        let spec = BlockSpec::read(&keys)?;
        let shape = spec.attention.shape;
        let params = options.store();
        let root = Builder::new(&params);
        let model = root.at("gpt_neox");
        let table = [shape.vocab_size, shape.hidden_size];
        let embed_in = model.at("embed_in").param("weight", table, normal());
        let layer = |index| Layer::build(&model.at(&format!("layers.{index}")), &spec);
        let layers: Vec<_> = (0..shape.num_layers).map(|index| Arc::new(layer(index))).collect();
        let norm = model.at("final_layer_norm");
        let final_layer_norm = LayerNorm::build(&norm, shape.hidden_size, spec.norm_eps);
        let head = if keys.get("tie_word_embeddings")? {
            embed_in.clone()
        } else {
            root.at("embed_out").param("weight", table, normal())
        };
        let parts = ModelParts {
            family: &FAMILY,
            shape,
            params,
            head,
            logit_cap: None,
            files: OnceLock::new(),
            recompute: options.recompute,
            block_activations: layers[0].activations(),
        };
        let config = written_config(&keys, &FAMILY);
        Ok(Self { config, parts, embed_in, layers, final_layer_norm })
    }
}

impl Layer {
    fn build(at: &Builder, spec: &BlockSpec) -> Self {
        let shape = &spec.attention.shape;
        let norm = |name| LayerNorm::build(&at.at(name), shape.hidden_size, spec.norm_eps);
        Self {
            input_layernorm: norm("input_layernorm"),
            attention: SelfAttention::build(&at.at("attention"), &spec.attention),
            post_attention_layernorm: norm("post_attention_layernorm"),
            mlp: GeluMlp::build(&at.at("mlp"), shape, spec.mlp),
            parallel: spec.parallel,
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
        let h = self.input_layernorm.forward(x)?;
        let sum = self.attention.add_to(x, &h, pass, cache)?;
        let read = if self.parallel { x } else { &sum };
        self.mlp.add_to(&sum, &self.post_attention_layernorm.forward(read)?)
    }

    fn activations(&self) -> BlockActivations {
        let norms =
            self.input_layernorm.activations() + self.post_attention_layernorm.activations();
        norms + self.attention.activations() + self.mlp.activations()
    }
}

impl CausalLm for GptNeox {
    fn parts(&self) -> &ModelParts {
        &self.parts
    }

    fn config(&self) -> Value {
        self.config.clone()
    }

    fn forward(&self, ids: &[u32], pass: &Pass, cache: Option<&mut KvCache>) -> Result<Tensor> {
        let x = embedding(&self.embed_in, ids)?;
        let x = run_blocks(&self.layers, x, pass, cache, self.parts.recompute)?;
        let hidden = self.final_layer_norm.forward(&x)?;
        pass.show("final_norm", &hidden);
        Ok(hidden)
    }
}
