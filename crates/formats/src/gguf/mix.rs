//! Which tensor gets which type: the mixes that files are named after (`Q4_K_M` ...), as
//! llama.cpp's `llama-quantize` has them.
//!
//! A mix has a type for most tensors and rules for those where errors matter more: attention
//! values, the way back from the feed-forward width, the head.

use danlu_kernels::quant::BlockFormat;

use crate::sink::TensorEntry;

use self::BlockFormat::{Iq4Nl, Iq4Xs, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
use self::Role::{AttentionOutput, AttentionValue, FfnDown};
use self::When::{Always, First, FirstPart, Grouped, MoreBits};

/// What a mix does with a model's tensors.
#[derive(Debug)]
pub struct Mix {
    /// Its name.
    pub name: &'static str,
    /// Its number in the metadata, `general.file_type`.
    pub file_type: u32,
    /// The type of most tensors.
    pub base: BlockFormat,
    /// The exceptions; the first that applies counts.
    rules: &'static [Rule],
    /// The type of attention outputs in models of eight experts, where it is not the base.
    output_of_eight_experts: Option<BlockFormat>,
}

/// A role, when the rule applies, and the type it gives.
type Rule = (Role, When, BlockFormat);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    Head,
    Embedding,
    AttentionValue,
    AttentionKey,
    AttentionOutput,
    FfnDown,
    Other,
}

/// When a rule applies to a layer's tensor.
#[derive(Clone, Copy, Debug)]
enum When {
    Always,
    /// In this many first layers.
    First(usize),
    /// In the first n-th of the layers; with or without importance only, where it says so.
    FirstPart(usize, Option<bool>),
    /// In the first and last eighth and in every third layer between.
    MoreBits,
    /// Where at least four heads share keys and values.
    Grouped,
}

/// Every mix.
pub const MIXES: &[Mix] = &[
    mix("F32", 0, BlockFormat::F32, &[]),
    mix("F16", 1, BlockFormat::F16, &[]),
    mix("BF16", 32, BlockFormat::Bf16, &[]),
    mix("Q8_0", 7, Q8_0, &[]),
    mix("Q6_K", 18, Q6K, &[]),
    mix("Q5_K_M", 17, Q5K, &[(AttentionValue, MoreBits, Q6K), (FfnDown, MoreBits, Q6K)]),
    mix("Q5_K_S", 16, Q5K, &[]),
    mix("Q5_1", 9, Q5_1, &[]),
    mix("Q5_0", 8, Q5_0, &[(FfnDown, FirstPart(8, Some(true)), Q5_1)]),
    mix("Q4_K_M", 15, Q4K, &[(AttentionValue, MoreBits, Q6K), (FfnDown, MoreBits, Q6K)])
        .with_eight_experts(Q5K),
    mix("Q4_K_S", 14, Q4K, &[(AttentionValue, First(4), Q5K), (FfnDown, FirstPart(8, None), Q5K)])
        .with_eight_experts(Q5K),
    mix("Q4_1", 3, Q4_1, &[]),
    mix("Q4_0", 2, Q4_0, &[(FfnDown, FirstPart(8, Some(true)), Q4_1)]),
    mix("IQ4_NL", 25, Iq4Nl, IQ4_RULES).with_eight_experts(Q5K),
    mix("IQ4_XS", 30, Iq4Xs, IQ4_RULES).with_eight_experts(Q5K),
    mix(
        "Q3_K_L",
        13,
        Q3K,
        &[(AttentionValue, Always, Q5K), (FfnDown, Always, Q5K), (AttentionOutput, Always, Q5K)],
    ),
    mix(
        "Q3_K_M",
        12,
        Q3K,
        &[
            (AttentionValue, First(2), Q5K),
            (AttentionValue, Always, Q4K),
            (FfnDown, FirstPart(16, None), Q5K),
            (FfnDown, Always, Q4K),
            (AttentionOutput, Always, Q4K),
        ],
    )
    .with_eight_experts(Q5K),
    mix("Q3_K_S", 11, Q3K, &[]).with_eight_experts(Q5K),
    mix(
        "Q2_K",
        10,
        Q2K,
        &[
            (AttentionValue, Grouped, Q4K),
            (AttentionValue, Always, Q3K),
            (FfnDown, Always, Q3K),
            (AttentionOutput, Always, Q3K),
        ],
    )
    .with_eight_experts(Q5K),
    mix("Q2_K_S", 21, Q2K, &[(AttentionValue, Grouped, Q4K), (FfnDown, FirstPart(8, None), Q4K)]),
];

const IQ4_RULES: &[Rule] =
    &[(AttentionValue, Grouped, Q5K), (FfnDown, FirstPart(8, Some(false)), Q5K)];

/// Types whose block is longer than a tensor's rows, each with the next best.
const FALLBACKS: &[(BlockFormat, BlockFormat)] =
    &[(Q2K, Q4_0), (Q3K, Q4_0), (Iq4Xs, Iq4Nl), (Q4K, Q5_0), (Q5K, Q5_1), (Q6K, Q8_0)];

/// Names, or parts of them, of tensors that are small and sensitive, and stay as they are.
const KEPT: &[&str] = &[
    "_norm.weight",
    "ffn_gate_inp.weight",
    "position_embd.weight",
    "token_types.weight",
    "ssm_conv1d",
    "shortconv.conv.weight",
    "attn_rel_b.weight",
    "altup",
    "laurel",
    "per_layer_model_proj",
    ".patch_embd",
];

/// What the rules need to know of a model.
#[derive(Clone, Copy, Debug)]
pub struct MixFacts {
    /// Number of layers.
    pub num_layers: usize,
    /// Query heads per key-value head.
    pub heads_per_kv_head: usize,
    /// Experts per layer; 0 or 1 when there are none.
    pub num_experts: usize,
    /// Whether importance is known for the weights.
    pub has_importance: bool,
}

const fn mix(name: &'static str, file_type: u32, base: BlockFormat, rules: &'static [Rule]) -> Mix {
    Mix { name, file_type, base, rules, output_of_eight_experts: None }
}

impl Mix {
    const fn with_eight_experts(self, output: BlockFormat) -> Self {
        Self { output_of_eight_experts: Some(output), ..self }
    }

    /// The mix with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<&'static Self> {
        MIXES.iter().find(|mix| mix.name == name)
    }

    /// The type that each tensor of a model gets. `entries` are all its tensors by their GGUF
    /// names, layer after layer; the types they have now do not matter.
    #[must_use]
    pub fn plan(&self, facts: &MixFacts, entries: &[TensorEntry]) -> Vec<BlockFormat> {
        let is = |role| move |entry: &&TensorEntry| role_of(&entry.name) == role;
        let num_values = entries.iter().filter(is(AttentionValue)).count();
        let has_head = entries.iter().any(|entry| role_of(&entry.name) == Role::Head);
        let mut values = 0;
        let format = |entry: &TensorEntry| {
            let role = match role_of(&entry.name) {
                Role::Embedding if !has_head => Role::Head,
                role => role,
            };
            let place = match role {
                AttentionValue => {
                    values += 1;
                    (values - 1, num_values)
                }
                _ => (layer_of(&entry.name), facts.num_layers),
            };
            self.format(facts, entry, role, place)
        };
        entries.iter().map(format).collect()
    }

    fn format(
        &self,
        facts: &MixFacts,
        entry: &TensorEntry,
        role: Role,
        (layer, layers): (usize, usize),
    ) -> BlockFormat {
        if !may_be_quantized(entry) {
            return BlockFormat::F32;
        }
        if !self.base.is_quantized() {
            return self.base;
        }
        let cols = entry.shape.last().copied().unwrap_or(0);
        let eight_experts = facts.num_experts == 8;
        let wanted = match role {
            Role::Head if !cols.is_multiple_of(self.base.block_len()) => Q8_0,
            Role::Head if self.base != Q8_0 => Q6K,
            AttentionValue | Role::AttentionKey if eight_experts => Q8_0,
            AttentionOutput if eight_experts => self.output_of_eight_experts.unwrap_or(self.base),
            _ => self.by_rule(facts, role, layer, layers),
        };
        // In a model like LLaMA 2 70B values are an eighth of queries: more bits cost little.
        let is_70b = facts.num_layers == 80 && facts.heads_per_kv_head > 1;
        let generous = is_70b && role == AttentionValue && matches!(wanted, Q3K | Q4K);
        fit(if generous { Q5K } else { wanted }, cols)
    }

    fn by_rule(&self, facts: &MixFacts, role: Role, layer: usize, layers: usize) -> BlockFormat {
        let applies = |when: When| match when {
            Always => true,
            First(count) => layer < count,
            FirstPart(part, importance) => {
                layer < layers / part && importance.is_none_or(|has| has == facts.has_importance)
            }
            MoreBits => {
                let eighth = layers / 8;
                layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
            }
            Grouped => facts.heads_per_kv_head >= 4,
        };
        let rule = self.rules.iter().find(|(who, when, _)| *who == role && applies(*when));
        rule.map_or(self.base, |rule| rule.2)
    }
}

/// The type itself or the next one whose blocks fit rows of `cols` numbers.
fn fit(format: BlockFormat, cols: usize) -> BlockFormat {
    if cols.is_multiple_of(format.block_len()) {
        return format;
    }
    let fallback = FALLBACKS.iter().find(|row| row.0 == format).map(|row| row.1);
    fallback
        .filter(|fallback| cols.is_multiple_of(fallback.block_len()))
        .unwrap_or(BlockFormat::F16)
}

/// Matrices are quantised, but for the few that are small and sensitive.
fn may_be_quantized(entry: &TensorEntry) -> bool {
    entry.shape.iter().filter(|dim| **dim > 1).count() >= 2
        && entry.name.ends_with("weight")
        && !KEPT.iter().any(|part| entry.name.contains(part))
}

fn role_of(name: &str) -> Role {
    const ROLES: &[(&str, Role)] = &[
        ("attn_qkv.weight", AttentionValue),
        ("attn_kv_b.weight", AttentionValue),
        ("attn_v.weight", AttentionValue),
        ("attn_k.weight", Role::AttentionKey),
        ("attn_output.weight", AttentionOutput),
        ("ffn_down", FfnDown),
    ];
    match name {
        "output.weight" => Role::Head,
        "token_embd.weight" => Role::Embedding,
        _ => ROLES.iter().find(|row| name.contains(row.0)).map_or(Role::Other, |row| row.1),
    }
}

/// 12 from `blk.12.ffn_down.weight`; 0 for tensors of no layer, for which no rule asks.
fn layer_of(name: &str) -> usize {
    let number = name.strip_prefix("blk.").and_then(|rest| rest.split('.').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Dtype;

    /// The tensors of a model: width, key-value width, feed-forward width, layers, own head.
    fn model(d: usize, kv: usize, ffn: usize, layers: usize, head: bool) -> Vec<TensorEntry> {
        let entry = |name: String, shape: &[usize]| TensorEntry {
            name,
            element: Dtype::F32.into(),
            shape: shape.to_vec(),
        };
        let mut all = vec![entry("token_embd.weight".into(), &[1000, d])];
        all.extend(head.then(|| entry("output.weight".into(), &[1000, d])));
        for layer in 0..layers {
            for (part, shape) in [
                ("attn_norm.weight", &[d][..]),
                ("attn_q.weight", &[d, d]),
                ("attn_q.bias", &[d]),
                ("attn_k.weight", &[kv, d]),
                ("attn_v.weight", &[kv, d]),
                ("attn_output.weight", &[d, d]),
                ("ffn_gate.weight", &[ffn, d]),
                ("ffn_up.weight", &[ffn, d]),
                ("ffn_down.weight", &[d, ffn]),
            ] {
                all.push(entry(format!("blk.{layer}.{part}"), shape));
            }
        }
        all
    }

    fn counts(mix: &str, facts: &MixFacts, entries: &[TensorEntry]) -> BTreeMap<&'static str, u32> {
        let mut counts = BTreeMap::new();
        for format in Mix::from_name(mix).unwrap().plan(facts, entries) {
            *counts.entry(format.name()).or_default() += 1;
        }
        counts
    }

    const FACTS: MixFacts =
        MixFacts { num_layers: 24, heads_per_kv_head: 7, num_experts: 0, has_importance: false };

    /// A published Q4_K_M of Qwen2.5-0.5B: its width is no multiple of 256, its ffn width is.
    #[test]
    fn a_published_file_has_the_planned_types() {
        let entries = model(896, 128, 4864, 24, true);
        let norms = 2 * 24;
        let found = counts("Q4_K_M", &FACTS, &entries);
        let head_and_values = 1 + 12;
        assert_eq!(found["Q8_0"], head_and_values);
        assert_eq!((found["Q6_K"], found["Q4_K"]), (12, 12), "ways back");
        assert_eq!((found["Q5_0"], found["F32"]), (133, norms));
    }

    #[test]
    fn tied_embeddings_are_quantised_as_the_head() {
        let facts = MixFacts { num_layers: 8, ..FACTS };
        let plan =
            |head| Mix::from_name("Q4_K_M").unwrap().plan(&facts, &model(256, 64, 512, 8, head));
        assert_eq!(plan(false)[0], Q6K);
        assert_eq!(plan(true)[..2], [Q4K, Q6K]);
    }

    #[test]
    fn every_mix_fits_every_width() {
        for mix in MIXES {
            assert_eq!(Mix::from_name(mix.name).unwrap().file_type, mix.file_type);
            for (d, kv) in [(256, 256), (96, 32), (100, 20)] {
                for num_experts in [0, 8] {
                    let facts = MixFacts { num_experts, ..FACTS };
                    let entries = model(d, kv, 2 * d, 24, true);
                    let plan = mix.plan(&facts, &entries);
                    for (format, entry) in plan.iter().zip(&entries) {
                        let cols = entry.shape.last().unwrap();
                        assert!(format.row_bytes(*cols).is_some(), "{} {}", mix.name, entry.name);
                    }
                }
            }
        }
    }

    #[test]
    fn importance_moves_the_first_ways_back_of_q4_0_and_iq4() {
        let entries = model(256, 64, 512, 24, true);
        let with = MixFacts { has_importance: true, ..FACTS };
        assert_eq!(counts("Q4_0", &with, &entries).get("Q4_1"), Some(&3));
        assert_eq!(counts("Q4_0", &FACTS, &entries).get("Q4_1"), None);
        assert_eq!(counts("IQ4_XS", &FACTS, &entries)["Q5_K"], 24 + 3);
        assert_eq!(counts("IQ4_XS", &with, &entries)["Q5_K"], 24);
    }
}
