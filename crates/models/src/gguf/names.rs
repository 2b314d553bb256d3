//! What GGUF files call the tensors and sizes of a family, and how their numbers lie differently.
//!
//! A family's tables pair published names with GGUF names; `{}` stands for a block's number, and a
//! second one for an expert's. Endings (`.weight`, `.bias`) are the same in both.

use serde_json::{Map, Value};

use crate::ModelShape;

/// How a tensor in a GGUF differs from the published one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fix {
    /// Not at all.
    Same,
    /// Rows of query heads: pairs that rotate together are neighbours.
    Queries,
    /// As `Queries`, of key heads.
    Keys,
    /// Gains are stored whole, not as what they differ from one.
    WholeGain,
    /// `[out, in]`, where published files have `[in, out]`.
    Transposed,
    /// All queries, all keys, all values, where published files go head by head.
    Parts,
}

/// A line of a table.
#[derive(Clone, Copy, Debug)]
pub struct GgufTensor {
    /// The published name without its ending.
    pub published: &'static str,
    /// The name in a GGUF without its ending.
    pub gguf: &'static str,
    /// How its numbers lie there.
    pub fix: Fix,
}

const fn same(published: &'static str, gguf: &'static str) -> GgufTensor {
    GgufTensor { published, gguf, fix: Fix::Same }
}

const fn fixed(published: &'static str, gguf: &'static str, fix: Fix) -> GgufTensor {
    GgufTensor { published, gguf, fix }
}

/// How a family is written as GGUF.
#[derive(Clone, Copy, Debug)]
pub struct GgufNames {
    /// `general.architecture`; several families may share one.
    pub architecture: &'static str,
    /// Whether its files have an `expert_count`.
    pub has_experts: bool,
    /// Metadata, after the architecture's name, and the published key of the same meaning.
    pub keys: &'static [(&'static str, &'static str)],
    /// Its tensors.
    pub tensors: &'static [&'static [GgufTensor]],
    /// Adds the published keys that its files leave to the program that reads them.
    pub implied: fn(&mut Map<String, Value>),
}

/// Where a parameter lies in a GGUF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GgufPlace {
    /// The tensor's name.
    pub name: String,
    /// Which expert's part of it, if it holds those of all experts.
    pub expert: Option<usize>,
    /// How the numbers lie there.
    pub fix: Fix,
}

impl GgufNames {
    /// Where the parameter with a published name lies; `None` if the family has no such parameter.
    #[must_use]
    pub fn place(&self, published: &str) -> Option<GgufPlace> {
        let (stem, ending) = published.rsplit_once('.')?;
        self.tensors.iter().copied().flatten().find_map(|line| {
            let numbers = numbers(line.published, stem)?;
            let block = numbers.first().map_or_else(String::new, ToString::to_string);
            let name = format!("{}.{ending}", line.gguf.replace("{}", &block));
            Some(GgufPlace { name, expert: numbers.get(1).copied(), fix: line.fix })
        })
    }
}

/// The numbers that stand for `{}` where a name follows a pattern.
fn numbers(pattern: &str, name: &str) -> Option<Vec<usize>> {
    let (mut found, mut parts) = (Vec::new(), name.split('.'));
    for expected in pattern.split('.') {
        let part = parts.next()?;
        match expected {
            "{}" => found.push(part.parse().ok()?),
            _ if expected == part => {}
            _ => return None,
        }
    }
    parts.next().is_none().then_some(found)
}

impl Fix {
    /// The row of the GGUF's tensor that is row `row` of the published one.
    #[must_use]
    pub fn source_row(self, row: usize, shape: &ModelShape) -> usize {
        let (head_dim, half) = (shape.head_dim, shape.head_dim / 2);
        match self {
            Self::Queries | Self::Keys => {
                let (head, i) = (row / head_dim, row % head_dim);
                head * head_dim + i % half * 2 + i / half
            }
            Self::Parts => {
                let (head, part, i) = (row / (3 * head_dim), row / head_dim % 3, row % head_dim);
                (part * shape.num_heads + head) * head_dim + i
            }
            Self::Same | Self::WholeGain | Self::Transposed => row,
        }
    }

    /// Whether rows lie in another order.
    #[must_use]
    pub fn moves_rows(self) -> bool {
        matches!(self, Self::Queries | Self::Keys | Self::Parts)
    }
}

/// Sizes under the keys of LLaMA's configuration.
pub const KEYS: &[(&str, &str)] = &[
    ("block_count", "num_hidden_layers"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.key_length", "head_dim"),
    ("context_length", "max_position_embeddings"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.layer_norm_epsilon", "layer_norm_eps"),
    ("rope.freq_base", "rope_theta"),
    ("attention.sliding_window", "sliding_window"),
    ("attn_logit_softcapping", "attn_logit_softcapping"),
    ("final_logit_softcapping", "final_logit_softcapping"),
    ("use_parallel_residual", "use_parallel_residual"),
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
    ("expert_feed_forward_length", "moe_intermediate_size"),
];

/// Embedding, last norm, head.
pub const OUTLINE: &[GgufTensor] = &[
    same("model.embed_tokens", "token_embd"),
    same("model.norm", "output_norm"),
    same("lm_head", "output"),
];

/// The norms before attention and feed-forward.
pub const PRE_NORMS: &[GgufTensor] = &[
    same("model.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    same("model.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
];

/// Attention of every architecture but LLaMA's.
pub const ATTENTION: &[GgufTensor] = &[
    same("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q"),
    same("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k"),
    same("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    same("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
    same("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm"),
    same("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm"),
    same("model.layers.{}.self_attn.qkv_proj", "blk.{}.attn_qkv"),
];

/// Attention of LLaMA's architecture.
pub const ADJACENT_ATTENTION: &[GgufTensor] = &[
    fixed("model.layers.{}.self_attn.q_proj", "blk.{}.attn_q", Fix::Queries),
    fixed("model.layers.{}.self_attn.k_proj", "blk.{}.attn_k", Fix::Keys),
    same("model.layers.{}.self_attn.v_proj", "blk.{}.attn_v"),
    same("model.layers.{}.self_attn.o_proj", "blk.{}.attn_output"),
];

/// The gated feed-forward part, apart or fused.
pub const GATED_MLP: &[GgufTensor] = &[
    same("model.layers.{}.mlp.gate_proj", "blk.{}.ffn_gate"),
    same("model.layers.{}.mlp.up_proj", "blk.{}.ffn_up"),
    same("model.layers.{}.mlp.down_proj", "blk.{}.ffn_down"),
    same("model.layers.{}.mlp.gate_up_proj", "blk.{}.ffn_up"),
];

/// Experts under Qwen's names.
pub const QWEN_EXPERTS: &[GgufTensor] = &[
    same("model.layers.{}.mlp.gate", "blk.{}.ffn_gate_inp"),
    same("model.layers.{}.mlp.experts.{}.gate_proj", "blk.{}.ffn_gate_exps"),
    same("model.layers.{}.mlp.experts.{}.up_proj", "blk.{}.ffn_up_exps"),
    same("model.layers.{}.mlp.experts.{}.down_proj", "blk.{}.ffn_down_exps"),
];

/// Experts under Mixtral's names.
pub const MIXTRAL_EXPERTS: &[GgufTensor] = &[
    same("model.layers.{}.block_sparse_moe.gate", "blk.{}.ffn_gate_inp"),
    same("model.layers.{}.block_sparse_moe.experts.{}.w1", "blk.{}.ffn_gate_exps"),
    same("model.layers.{}.block_sparse_moe.experts.{}.w3", "blk.{}.ffn_up_exps"),
    same("model.layers.{}.block_sparse_moe.experts.{}.w2", "blk.{}.ffn_down_exps"),
];

/// Gemma's norms, before and after each part.
pub const GEMMA_NORMS: &[GgufTensor] = &[
    fixed("model.norm", "output_norm", Fix::WholeGain),
    fixed("model.layers.{}.input_layernorm", "blk.{}.attn_norm", Fix::WholeGain),
    fixed("model.layers.{}.post_attention_layernorm", "blk.{}.post_attention_norm", Fix::WholeGain),
    fixed("model.layers.{}.pre_feedforward_layernorm", "blk.{}.ffn_norm", Fix::WholeGain),
    fixed("model.layers.{}.post_feedforward_layernorm", "blk.{}.post_ffw_norm", Fix::WholeGain),
    fixed("model.layers.{}.self_attn.q_norm", "blk.{}.attn_q_norm", Fix::WholeGain),
    fixed("model.layers.{}.self_attn.k_norm", "blk.{}.attn_k_norm", Fix::WholeGain),
];

/// All of GPT-2.
pub const GPT2: &[GgufTensor] = &[
    same("transformer.wte", "token_embd"),
    same("transformer.wpe", "position_embd"),
    same("transformer.ln_f", "output_norm"),
    same("transformer.h.{}.ln_1", "blk.{}.attn_norm"),
    fixed("transformer.h.{}.attn.c_attn", "blk.{}.attn_qkv", Fix::Transposed),
    fixed("transformer.h.{}.attn.c_proj", "blk.{}.attn_output", Fix::Transposed),
    same("transformer.h.{}.ln_2", "blk.{}.ffn_norm"),
    fixed("transformer.h.{}.mlp.c_fc", "blk.{}.ffn_up", Fix::Transposed),
    fixed("transformer.h.{}.mlp.c_proj", "blk.{}.ffn_down", Fix::Transposed),
];

/// Sizes under the keys of GPT-2's configuration.
pub const GPT2_KEYS: &[(&str, &str)] = &[
    ("block_count", "n_layer"),
    ("embedding_length", "n_embd"),
    ("feed_forward_length", "n_inner"),
    ("attention.head_count", "n_head"),
    ("context_length", "n_positions"),
    ("attention.layer_norm_epsilon", "layer_norm_epsilon"),
];

/// All of GPT-NeoX.
pub const GPT_NEOX: &[GgufTensor] = &[
    same("gpt_neox.embed_in", "token_embd"),
    same("gpt_neox.final_layer_norm", "output_norm"),
    same("embed_out", "output"),
    same("gpt_neox.layers.{}.input_layernorm", "blk.{}.attn_norm"),
    fixed("gpt_neox.layers.{}.attention.query_key_value", "blk.{}.attn_qkv", Fix::Parts),
    same("gpt_neox.layers.{}.attention.dense", "blk.{}.attn_output"),
    same("gpt_neox.layers.{}.post_attention_layernorm", "blk.{}.ffn_norm"),
    same("gpt_neox.layers.{}.mlp.dense_h_to_4h", "blk.{}.ffn_up"),
    same("gpt_neox.layers.{}.mlp.dense_4h_to_h", "blk.{}.ffn_down"),
];
