//! Weights that are not what they are said to be: each a one-line error with file, tensor, remedy.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{folder, largest_difference, logits, model};
use danlu_formats::SafeTensors;
use danlu_kernels::quant::BlockFormat;
use danlu_models::{BuildOptions, CausalLm, load_model};
use danlu_tensor::{Device, Precision};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A tensor of a file to be: name, type, shape, bytes.
struct Stored {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

const F32: (&str, BlockFormat) = ("F32", BlockFormat::F32);

/// The tensors of a golden model, each in the type that `dtype` chooses by its number.
fn stored(name: &str, dtype: impl Fn(usize) -> (&'static str, BlockFormat)) -> Vec<Stored> {
    let file = SafeTensors::open(&folder(name).join("model.safetensors")).unwrap();
    let store = |(number, view): (usize, danlu_formats::TensorView<'_>)| {
        let ((dtype, format), values) = (dtype(number), view.to_f32().unwrap());
        let mut bytes = vec![0; format.row_bytes(values.len()).unwrap()];
        format.quantize(&values, None, &mut bytes).unwrap();
        Stored { name: view.name.to_owned(), dtype, shape: view.shape.to_vec(), bytes }
    };
    file.tensors().enumerate().map(store).collect()
}

/// The bytes of a safetensors file.
fn safetensors(tensors: &[Stored]) -> Vec<u8> {
    let (mut header, mut data) = (Map::new(), Vec::new());
    for tensor in tensors {
        let start = data.len();
        data.extend(&tensor.bytes);
        let offsets = [start, data.len()];
        let line = json!({ "dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": offsets });
        header.insert(tensor.name.clone(), line);
    }
    let header = Value::Object(header).to_string();
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
}

/// A folder with the configuration of a golden model and these files.
fn with_files(name: &str, files: &[(&str, Vec<u8>)]) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    fs::copy(folder(name).join("config.json"), to.path().join("config.json")).unwrap();
    for (name, bytes) in files {
        fs::write(to.path().join(name), bytes).unwrap();
    }
    to
}

fn load(path: &Path, frozen: bool) -> danlu_models::Result<Box<dyn CausalLm>> {
    let build = if frozen { BuildOptions::frozen } else { BuildOptions::trainable };
    load_model(path, &build(Device::cpu(1).unwrap(), Precision::F32))
}

/// The one line that both ways of loading say.
fn error_of(path: &Path, words: &[&str]) {
    for frozen in [false, true] {
        let error = load(path, frozen).err().unwrap().to_string();
        assert!(!error.contains('\n'), "more than a line: {error}");
        for word in words {
            assert!(error.contains(word), "`{word}` is not in {error}");
        }
    }
}

const WHOLE: &str = "model.safetensors";
const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// A model in two shards, and an index that says where each tensor is.
fn sharded() -> ([Vec<Stored>; 2], BTreeMap<String, String>) {
    let mut first = stored("llama-gqa", |_| F32);
    let second = first.split_off(first.len() / 2);
    let shards = [first, second];
    let lines = shards.iter().zip(SHARDS).flat_map(|(tensors, shard)| {
        tensors.iter().map(move |tensor| (tensor.name.clone(), shard.to_owned()))
    });
    let map = lines.collect();
    (shards, map)
}

fn sharded_folder(shards: &[Vec<Stored>], map: &BTreeMap<String, String>) -> TempDir {
    let index = json!({ "metadata": {}, "weight_map": map }).to_string().into_bytes();
    let mut files = vec![("model.safetensors.index.json", index)];
    files.extend(SHARDS.into_iter().zip(shards.iter().map(|shard| safetensors(shard))));
    with_files("llama-gqa", &files)
}

#[test]
fn a_model_in_shards_is_the_model() {
    let (shards, map) = sharded();
    let folder = sharded_folder(&shards, &map);
    let ids = [3, 1, 4, 1, 5];
    let found = logits(load(folder.path(), false).unwrap().as_ref(), &ids, 1);
    assert_eq!(found, logits(model("llama-gqa").as_ref(), &ids, 1));
}

#[test]
fn an_index_that_names_the_wrong_shard_or_one_that_is_not_there_is_refused() {
    let (shards, mut map) = sharded();
    let moved = shards[0][0].name.clone();
    map.insert(moved.clone(), SHARDS[1].to_owned());
    error_of(sharded_folder(&shards, &map).path(), &[&moved, SHARDS[1]]);
    let (shards, map) = sharded();
    error_of(sharded_folder(&shards[..1], &map).path(), &["index.json", SHARDS[1]]);
}

#[test]
fn a_file_that_ends_early_is_refused_by_name() {
    let bytes = fs::read(folder("llama-gqa").join(WHOLE)).unwrap();
    for part in [0, 6, 500, bytes.len() / 2, bytes.len() - 1] {
        let cut = with_files("llama-gqa", &[(WHOLE, bytes[..part].to_vec())]);
        error_of(cut.path(), &[WHOLE]);
    }
}

#[test]
fn weights_of_another_architecture_are_refused_by_their_first_difference() {
    let weights = |name: &str| fs::read(folder(name).join(WHOLE)).unwrap();
    let other = with_files("qwen2", &[(WHOLE, weights("mistral"))]);
    error_of(other.path(), &[WHOLE, "model.", "config.json makes it"]);
    let other = with_files("gpt2", &[(WHOLE, weights("llama-gqa"))]);
    error_of(other.path(), &[WHOLE, "transformer.wte.weight", "is missing"]);
    let other = with_files("mistral", &[(WHOLE, weights("mixtral"))]);
    error_of(other.path(), &[WHOLE, "model."]);
}

#[test]
fn tensors_of_several_types_in_one_file_work() {
    let types = [F32, ("F16", BlockFormat::F16), ("BF16", BlockFormat::Bf16)];
    let mixed = stored("llama-gqa", |number| types[number % 3]);
    let folder = with_files("llama-gqa", &[(WHOLE, safetensors(&mixed))]);
    let ids = [3, 1, 4, 1, 5, 9, 2, 6];
    let expected = logits(model("llama-gqa").as_ref(), &ids, 1);
    for frozen in [false, true] {
        let found = logits(load(folder.path(), frozen).unwrap().as_ref(), &ids, 1);
        let largest = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let difference = largest_difference(&found, &expected);
        // bf16 keeps 8 bits.
        assert!(difference < 0.02 * largest, "frozen {frozen}: differ by {difference}");
        assert!(difference > 0.0, "the types were ignored");
    }
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let damaged = |name: &str| {
        let mut tensors = stored("llama-gqa", |_| F32);
        let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        tensor.bytes[40..44].copy_from_slice(&f32::NAN.to_le_bytes());
        with_files("llama-gqa", &[(WHOLE, safetensors(&tensors))])
    };
    for matrix in ["model.layers.1.mlp.down_proj.weight", "lm_head.weight"] {
        let folder = damaged(matrix);
        let said = |error: danlu_models::Error| {
            let error = error.to_string();
            for word in [WHOLE, matrix, "holds NaN", "fetch it again"] {
                assert!(error.contains(word), "`{word}` is not in {error}");
            }
        };
        said(load(folder.path(), false).err().unwrap());
        // Matrices that stay in their file are looked at when their product is no number.
        let frozen = load(folder.path(), true).unwrap();
        let input = danlu_models::ModelInput::new(&[1, 2, 3], 1);
        said(frozen.logits(&input, None).err().unwrap());
        said(frozen.log_probs(&input, &[2, 3, 4]).err().unwrap());
    }
    // Vectors are copied, and checked, in any case.
    error_of(damaged("model.norm.weight").path(), &["model.norm.weight", "holds NaN"]);
}
