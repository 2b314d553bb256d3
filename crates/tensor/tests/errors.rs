//! What operations say about arguments that come from files and configurations: which argument,
//! what was found and what was expected.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use danlu_tensor::ops::{self, AttentionSpec, Layout, LinearWeight, RopeTables};
use danlu_tensor::{DType, Device, Init, Param, ParamStore, Precision, Result, Tensor};

/// A call that must fail and the words its message must have.
type Wrong = (fn(&Given) -> Result<()>, &'static [&'static str]);

/// `x: [3, 4]` and its bf16 twin, `weight: [5, 4]`, `narrow: [2]`.
struct Given {
    x: Tensor,
    bf16: Tensor,
    weight: Param,
    narrow: Param,
}

impl Given {
    fn new() -> Self {
        let device = Device::cpu(1).unwrap();
        let store = ParamStore::new(device.clone(), Precision::F32);
        let weight = store.add("model.embed_tokens.weight", [5, 4], Init::Ones);
        let narrow = store.add("model.norm.weight", [2], Init::Ones);
        store.initialise(1);
        let tensor = |dtype| device.tensor(dtype, [3, 4], &[1.0; 12]);
        Self { x: tensor(DType::F32), bf16: tensor(DType::Bf16), weight, narrow }
    }
}

fn attend(given: &Given, num_heads: usize, num_kv_heads: usize, batch: usize) -> Result<()> {
    let spec = AttentionSpec {
        batch,
        num_heads,
        num_kv_heads,
        head_dim: 2,
        scale: None,
        cap: None,
        window: None,
        segments: None,
    };
    ops::attention(&given.x, &given.x, &given.x, &spec).map(drop)
}

const WRONG: &[Wrong] = &[
    (
        |given| ops::embedding(&given.weight, &[1, 4, 5]).map(drop),
        &["embedding", "token id 5", "row 2", "vocabulary 0..5"],
    ),
    (
        |given| {
            let (table, ids) = (&given.weight, [1, 2]);
            ops::embedding_with_positions(table, table, &ids, &[0, 9]).map(drop)
        },
        &["embedding_with_positions", "position 9", "context length 0..5"],
    ),
    (
        |given| {
            let tables = Arc::new(RopeTables::new(8, 4, 10_000.0));
            ops::rope(given.x.clone(), &vec![0, 8, 1].into(), &tables, 1).map(drop)
        },
        &["rope", "position 8", "context length 8"],
    ),
    (|given| ops::add(&given.bf16, &given.x).map(drop), &["add", "x", "Bf16", "F32"]),
    (
        |given| ops::rms_norm(&given.x, &given.narrow, 1e-5).map(drop),
        &["rms_norm", "weight", "[2]", "[4]"],
    ),
    (
        |given| {
            let (weight, layout) = (&given.weight, Layout::InOut);
            ops::linear(&given.x, &LinearWeight { weight, bias: None, layout }).map(drop)
        },
        &["linear", "[3, 4]", "5 columns", "InOut", "[5, 4]"],
    ),
    (
        |given| {
            let (weight, bias, layout) = (&given.weight, Some(&given.narrow), Layout::OutIn);
            ops::linear(&given.x, &LinearWeight { weight, bias, layout }).map(drop)
        },
        &["linear", "the bias", "[2]", "[5]"],
    ),
    (|given| attend(given, 2, 0, 1), &["attention", "2 heads", "multiple of 0"]),
    (|given| attend(given, 2, 1, 2), &["attention", "q", "[3, 4]", "2 sequences"]),
    (|given| attend(given, 2, 1, 1), &["attention", "k", "[3, 4]", "[3, 2]"]),
    (
        |given| ops::logits(&given.bf16, &given.weight).map(drop),
        &["logits", "hidden", "Bf16", "F32"],
    ),
    (
        |given| given.weight.store().find("model.embed_token.weight").map(drop),
        &["model.embed_token.weight", "nearest", "model.embed_tokens.weight"],
    ),
];

#[test]
fn an_error_says_what_was_found_and_what_was_expected() {
    let given = Given::new();
    for (call, words) in WRONG {
        let message = call(&given).unwrap_err().to_string();
        for word in *words {
            assert!(message.contains(word), "`{word}` is missing in: {message}");
        }
    }
}
