//! GGUF files of the families whose numbers lie differently there: gains stored whole, experts
//! stacked, heads in another order. Written here by the families' own tables.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{folder, largest_difference, logits, options};
use danlu_formats::gguf::{Array, Metadata, Value as Meta, Writer};
use danlu_formats::{ElementType, TensorEntry};
use danlu_kernels::quant::BlockFormat;
use danlu_models::config::ConfigJson;
use danlu_models::families::find_family;
use danlu_models::gguf::Fix;
use danlu_models::{BuildOptions, CausalLm, load_model};
use danlu_tensor::{Device, Precision};
use serde_json::{Value, json};

/// What is changed in a configuration.
type Change = fn(&mut Value);

/// What a GGUF cannot say, or blocks of 32 numbers cannot hold, as it must be.
const MODELS: &[(&str, Change)] = &[
    ("qwen3-moe", |json| {
        json["mlp_only_layers"] = json!([]);
        json["moe_intermediate_size"] = json!(32);
    }),
    ("mixtral", |json| json["head_dim"] = json!(8)),
    ("gemma2", |json| json["query_pre_attn_scalar"] = json!(16)),
    ("gemma3", |json| {
        json["query_pre_attn_scalar"] = json!(16);
        json["rope_parameters"] = Value::Null;
    }),
    ("qwen2", |json| {
        json["rope_parameters"] = Value::Null;
        json["use_sliding_window"] = json!(false);
    }),
];

/// A model of a golden one's kind, its widths whole blocks, with weights of its own.
fn build(name: &str, alter: fn(&mut Value)) -> Box<dyn CausalLm> {
    let text = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["hidden_size"] = json!(32);
    json["intermediate_size"] = json!(64);
    json["head_dim"] = json!(16);
    alter(&mut json);
    let json = ConfigJson::new(name, json);
    let model = (find_family(&json).unwrap().build)(&json, &options(2, Precision::F32, false));
    let model = model.unwrap();
    model.params().initialise(3);
    model.params().update(|flat| {
        for (index, value) in flat.iter_mut().enumerate() {
            *value += 0.2 * ((index * 37 % 101) as f32 / 101.0 - 0.5);
        }
    });
    model
}

/// The published sizes under the keys of GGUF.
fn metadata(model: &dyn CausalLm) -> Metadata {
    let (gguf, config) = (&model.family().gguf, model.config());
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", Meta::String(gguf.architecture.to_owned()));
    for (key, published) in gguf.keys {
        let value = match &config[*published] {
            Value::Number(number) if number.is_u64() => {
                Meta::U32(u32::try_from(number.as_u64().unwrap()).unwrap())
            }
            Value::Number(number) => Meta::F32(number.as_f64().unwrap() as f32),
            _ => continue,
        };
        metadata.insert(&format!("{}.{key}", gguf.architecture), value);
    }
    metadata
}

/// A tensor of the file: name, shape, numbers.
type Part = (String, Vec<usize>, Vec<f32>);

fn parts(model: &dyn CausalLm) -> Vec<Part> {
    let flat = model.params().values();
    let mut parts: Vec<Part> = Vec::new();
    for spec in model.params().specs().iter() {
        let place = model.family().gguf.place(&spec.name).unwrap();
        let published = &flat[spec.range()];
        let mut values = published.to_vec();
        let mut shape = spec.shape.dims().to_vec();
        match place.fix {
            Fix::Same => {}
            Fix::WholeGain => values.iter_mut().for_each(|gain| *gain += 1.0),
            Fix::Queries | Fix::Keys => {
                for (row, from) in published.chunks(shape[1]).enumerate() {
                    let to = place.fix.source_row(row, model.shape()) * shape[1];
                    values[to..to + shape[1]].copy_from_slice(from);
                }
            }
            other => panic!("{other:?} is not of these families"),
        }
        if place.expert.is_none() {
            parts.push((place.name, shape, values));
        } else if let Some(stack) = parts.iter_mut().find(|part| part.0 == place.name) {
            stack.1[0] += 1;
            stack.2.extend(values);
        } else {
            shape.insert(0, 1);
            parts.push((place.name, shape, values));
        }
    }
    parts
}

fn write(model: &dyn CausalLm, matrices: BlockFormat, metadata: &Metadata, to: &Path) {
    let parts = parts(model);
    let format = |part: &Part| if part.1.len() == 1 { BlockFormat::F32 } else { matrices };
    let entry = |part: &Part| {
        let element = ElementType::from(format(part));
        TensorEntry { name: part.0.clone(), element, shape: part.1.clone() }
    };
    let mut writer = Writer::new(Vec::new(), metadata, parts.iter().map(entry).collect()).unwrap();
    for part in &parts {
        let mut bytes = vec![0; format(part).row_bytes(part.2.len()).unwrap()];
        format(part).quantize(&part.2, None, &mut bytes).unwrap();
        writer.write(&part.0, &bytes).unwrap();
    }
    std::fs::write(to, writer.finish().unwrap()).unwrap();
}

fn frozen(path: &Path) -> Box<dyn CausalLm> {
    load_model(path, &BuildOptions::frozen(Device::cpu(2).unwrap(), Precision::F32)).unwrap()
}

fn ids(model: &dyn CausalLm) -> Vec<u32> {
    (0..24).map(|i| (i * 37 + 11) % model.shape().vocab_size as u32).collect()
}

#[test]
fn a_gguf_with_the_same_numbers_is_the_same_model() {
    let place = tempfile::tempdir().unwrap();
    for (name, alter) in MODELS {
        let (model, path) = (build(name, *alter), place.path().join(format!("{name}.gguf")));
        write(model.as_ref(), BlockFormat::F32, &metadata(model.as_ref()), &path);
        let again = load_model(&path, &options(2, Precision::F32, false)).unwrap();
        assert_eq!(again.family().model_type, model.family().model_type);
        let ids = ids(model.as_ref());
        let expected = logits(model.as_ref(), &ids, 1);
        let found = logits(again.as_ref(), &ids, 1);
        // A gain that is stored whole loses its last bits.
        let difference = largest_difference(&found, &expected);
        assert!(difference <= 1e-4, "{name}: logits differ by {difference}");
        let in_place = logits(frozen(&path).as_ref(), &ids, 1);
        let difference = largest_difference(&in_place, &expected);
        assert!(difference <= 1e-4, "{name}: read where they lie, by {difference}");
    }
}

#[test]
fn quantised_weights_give_nearly_the_logits_of_their_numbers() {
    let place = tempfile::tempdir().unwrap();
    for (name, alter) in MODELS {
        let (model, path) = (build(name, *alter), place.path().join(format!("{name}.gguf")));
        write(model.as_ref(), BlockFormat::Q8_0, &metadata(model.as_ref()), &path);
        let copied = load_model(&path, &options(2, Precision::F32, false)).unwrap();
        let ids = ids(model.as_ref());
        let expected = logits(copied.as_ref(), &ids, 1);
        let found = logits(frozen(&path).as_ref(), &ids, 1);
        let largest = expected.iter().fold(0.0_f32, |max, x| max.max(x.abs()));
        let difference = largest_difference(&found, &expected);
        // Activations are rounded to bytes, once a matrix.
        assert!(difference <= 0.03 * largest, "{name}: differ by {difference} of {largest}");
    }
}

#[test]
fn stacked_experts_are_read_where_they_lie() {
    let place = tempfile::tempdir().unwrap();
    for (name, alter) in &MODELS[..2] {
        let (model, path) = (build(name, *alter), place.path().join(format!("{name}.gguf")));
        write(model.as_ref(), BlockFormat::Q8_0, &metadata(model.as_ref()), &path);
        let frozen = frozen(&path);
        let specs = frozen.params().specs();
        let down = ["down_proj", "w2"];
        let experts: Vec<_> = specs
            .iter()
            .filter(|spec| spec.name.contains("layers.1.") && spec.name.contains("experts"))
            .filter(|spec| down.iter().any(|name| spec.name.contains(name)))
            .map(|spec| spec.frozen.as_ref().unwrap().get().unwrap().bytes())
            .collect();
        assert_eq!(experts.len(), 4, "{name}");
        for pair in experts.windows(2) {
            let behind = pair[0].as_ptr() as usize + pair[0].len();
            assert_eq!(pair[1].as_ptr() as usize, behind, "{name}: a copy");
        }
    }
}

#[test]
fn a_gguf_that_lies_is_refused_by_file_and_tensor() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("lies.gguf");
    let (name, alter) = MODELS[0];
    let model = build(name, alter);
    let error = |key: &str, value: Meta| {
        let mut metadata = metadata(model.as_ref());
        metadata.insert(key, value);
        write(model.as_ref(), BlockFormat::F32, &metadata, &path);
        let error = load_model(&path, &options(1, Precision::F32, false)).err().unwrap();
        let error = error.to_string();
        assert!(error.contains("lies.gguf") && !error.contains('\n'), "{error}");
        error
    };
    let said = error("qwen3moe.embedding_length", Meta::U32(64));
    assert!(said.contains("token_embd.weight") && said.contains("fetch the file again"), "{said}");
    let said = error("qwen3moe.expert_count", Meta::U32(5));
    assert!(said.contains("ffn_gate_inp.weight"), "{said}");
    let said = error("qwen3moe.expert_count", Meta::U32(0));
    assert!(said.contains("qwen3moe"), "{said}");
    let words = Array::of_strings((0..49).map(|number| format!("word {number}")));
    let said = error("tokenizer.ggml.tokens", Meta::Array(words));
    assert!(said.contains("49 tokens") && said.contains("token_embd.weight"), "{said}");
    let said = error("general.architecture", Meta::String("mamba".into()));
    assert!(said.contains("mamba") && said.contains("qwen3moe"), "{said}");
}
