//! Model folders that are incomplete, altered, or of other publishers.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{bits, folder, logits, model, options};
use danlu_formats::{NewTensor, SafeTensors, Values, safetensors};
use danlu_models::{CausalLm, load_model};
use danlu_tensor::Precision;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The tensors of a folder, to be altered.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;

/// A copy of a golden model with its tensors and configuration altered.
fn altered(name: &str, tensors: impl Fn(&mut Tensors), config: impl Fn(&mut Value)) -> TempDir {
    let from = folder(name);
    let file = SafeTensors::open(&from.join("model.safetensors")).unwrap();
    let mut list: Tensors = file
        .tensors()
        .map(|view| (view.name.to_owned(), view.shape.to_vec(), view.to_f32().unwrap()))
        .collect();
    tensors(&mut list);
    let text = std::fs::read_to_string(from.join("config.json")).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    config(&mut json);
    let to = tempfile::tempdir().unwrap();
    std::fs::write(to.path().join("config.json"), json.to_string()).unwrap();
    let new: Vec<_> = list
        .iter()
        .map(|(name, shape, values)| NewTensor {
            name: name.clone(),
            shape: shape.clone(),
            values: Values::F32(values),
        })
        .collect();
    let mut bytes = Vec::new();
    safetensors::write(&mut bytes, &BTreeMap::new(), &new).unwrap();
    std::fs::write(to.path().join("model.safetensors"), bytes).unwrap();
    to
}

fn load(path: &Path) -> danlu_models::Result<Box<dyn CausalLm>> {
    load_model(path, &options(1, Precision::F32, false))
}

fn error_of(path: &Path) -> String {
    let error = load(path).err().unwrap().to_string();
    assert!(!error.contains('\n'), "more than a line: {error}");
    error
}

fn same_logits(name: &str, path: &Path) {
    let ids = [1, 5, 9, 2];
    let expected = logits(model(name).as_ref(), &ids, 1);
    assert_eq!(bits(&logits(load(path).unwrap().as_ref(), &ids, 1)), bits(&expected), "{name}");
}

#[test]
fn a_missing_unknown_or_misshaped_tensor_is_named_with_its_file() {
    let norm = "model.norm.weight";
    let missing = altered("llama-gqa", |t| t.retain(|t| t.0 != norm), |_| ());
    let extra = altered("llama-gqa", |t| t.push(("adapter".into(), vec![1], vec![0.0])), |_| ());
    let shape = |t: &mut Tensors| {
        let tensor = t.iter_mut().find(|t| t.0 == norm).unwrap();
        (tensor.1, tensor.2) = (vec![31], vec![0.0; 31]);
    };
    let misshaped = altered("llama-gqa", shape, |_| ());
    for (folder, tensor, problem) in [
        (&missing, norm, "is missing"),
        (&extra, "adapter", "belongs to no parameter"),
        (&misshaped, norm, "is [31], config.json makes it [32]"),
    ] {
        let error = error_of(folder.path());
        assert!(error.contains(problem) && error.contains(tensor), "{error}");
        assert!(error.contains("model.safetensors"), "{error}");
    }
}

#[test]
fn a_configuration_of_another_size_is_refused_before_memory_is_taken() {
    let larger = altered("llama-gqa", |_| (), |json| json["hidden_size"] = json!(131_072));
    assert!(error_of(larger.path()).contains("config.json makes it"));
}

#[test]
fn names_without_their_prefix_and_constants_are_read_as_published() {
    let published = |tensors: &mut Tensors| {
        for tensor in tensors.iter_mut() {
            tensor.0 = tensor.0.trim_start_matches("transformer.").to_owned();
        }
        tensors.push(("h.0.attn.bias".into(), vec![1, 1, 2, 2], vec![1.0; 4]));
    };
    same_logits("gpt2", altered("gpt2", published, |_| ()).path());
    let twice = |tensors: &mut Tensors| {
        let (_, shape, values) = tensors[0].clone();
        let name = tensors[0].0.trim_start_matches("transformer.").to_owned();
        tensors.push((name, shape, values));
    };
    let twice = altered("gpt2", twice, |_| ());
    assert!(error_of(twice.path()).contains("twice"));
}

#[test]
fn a_copy_of_the_tied_embedding_is_accepted_and_another_head_is_not() {
    let with_head = |change: f32| {
        move |tensors: &mut Tensors| {
            let (_, shape, mut values) =
                tensors.iter().find(|t| t.0 == "model.embed_tokens.weight").unwrap().clone();
            values[7] += change;
            tensors.push(("lm_head.weight".into(), shape, values));
        }
    };
    same_logits("llama-tied", altered("llama-tied", with_head(0.0), |_| ()).path());
    let other = altered("llama-tied", with_head(0.5), |_| ());
    assert!(error_of(other.path()).contains("lm_head.weight"));
}

#[test]
fn absent_keys_have_the_published_defaults() {
    let old = |json: &mut Value| {
        let keys = json.as_object_mut().unwrap();
        // As before version 5 of the reference library.
        keys.remove("rope_parameters");
        keys.insert("rope_theta".into(), json!(10_000.0));
        for key in ["attention_bias", "mlp_bias", "num_key_value_heads", "head_dim"] {
            keys.remove(key);
        }
    };
    same_logits("llama-tied", altered("llama-tied", |_| (), old).path());
    let base = altered("gpt2", |_| (), |json| json["n_inner"] = json!(128));
    same_logits("gpt2", base.path());
}

#[test]
fn what_a_configuration_asks_for_and_is_not_here_is_an_error() {
    let cases: [(&str, &str, Value, &str); 22] = [
        ("llama-gqa", "model_type", json!("mamba"), "llama, mistral"),
        ("llama-gqa", "hidden_act", json!("gelu"), "only \"silu\""),
        ("llama-gqa", "rope_parameters", json!({"rope_type": "dynamic"}), "yarn and longrope"),
        ("llama-gqa", "rope_parameters", json!({"rope_type": "linear"}), "`factor` is missing"),
        ("llama-gqa", "num_hidden_layers", json!(0), "num_layers is 0"),
        ("llama-gqa", "num_hidden_layers", json!(u64::MAX), "num_layers"),
        ("llama-gqa", "num_hidden_layers", json!(-1), "`num_hidden_layers` is -1"),
        ("llama-gqa", "hidden_size", Value::Null, "`hidden_size` is missing"),
        ("llama-gqa", "num_key_value_heads", json!(3), "evenly"),
        ("llama-gqa", "head_dim", json!(15), "even"),
        ("llama-gqa", "rope_parameters", json!({"rope_theta": 0.0}), "rope_theta 0"),
        ("gpt2", "n_head", json!(5), "heads"),
        ("gemma2", "hidden_activation", json!("relu"), "only \"gelu_pytorch_tanh\""),
        ("gemma2", "attn_logit_softcapping", json!(-1), "`attn_logit_softcapping` is -1"),
        ("gemma2", "final_logit_softcapping", json!(0), "a bound is a positive number"),
        ("gemma2", "query_pre_attn_scalar", json!(0), "`query_pre_attn_scalar` is 0"),
        ("gemma3", "use_bidirectional_attention", json!(true), "only false"),
        ("gemma3", "layer_types", json!(vec!["linear_attention"; 6]), "full_attention"),
        ("qwen3-moe", "num_experts_per_tok", json!(5), "is 5 of 4 experts"),
        ("qwen3-moe", "num_local_experts", json!(1e9), "`num_local_experts` is 1000000000"),
        ("qwen3-moe", "decoder_sparse_step", json!(0), "`decoder_sparse_step` is 0"),
        ("mixtral", "hidden_act", json!("gelu"), "only \"silu\""),
    ];
    for (name, key, value, message) in cases {
        let folder = altered(name, |_| (), |json| json[key] = value.clone());
        let error = error_of(folder.path());
        assert!(error.contains(message) && error.contains("config.json"), "{key}: {error}");
    }
}

#[test]
fn an_empty_or_broken_folder_is_an_error_that_names_the_file() {
    let empty = tempfile::tempdir().unwrap();
    assert!(error_of(empty.path()).contains("config.json"));
    std::fs::write(empty.path().join("config.json"), "{").unwrap();
    assert!(error_of(empty.path()).contains("not valid JSON"));
    std::fs::write(empty.path().join("config.json"), "[]").unwrap();
    assert!(error_of(empty.path()).contains("JSON object"));
    let config = std::fs::read(folder("gpt2").join("config.json")).unwrap();
    std::fs::write(empty.path().join("config.json"), config).unwrap();
    assert!(error_of(empty.path()).contains("model.safetensors"));
    std::fs::write(empty.path().join("model.safetensors.index.json"), "{}").unwrap();
    assert!(error_of(empty.path()).contains("weight_map"));
}
