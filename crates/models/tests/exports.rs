//! Every family survives the way to a GGUF and back, and to a folder of several files, bit for bit.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::{MODELS, folder, logits, options};
use danlu_formats::gguf::{Mix, Value};
use danlu_kernels::Cpu;
use danlu_kernels::quant::BlockFormat;
use danlu_models::gguf::{Export, describe};
use danlu_models::{
    BuildOptions, Parameters, WeightKind, describe_model, load_model, published_config,
    save_parameters,
};
use danlu_tensor::{Device, Precision};

fn cpu() -> Cpu {
    Cpu::new(2).unwrap()
}

/// Writes a model as a GGUF in the types of a mix.
fn write_gguf(source: &Path, target: &Path, mix: &str) {
    let (model, weights) = describe_model(source, &options(1, Precision::F32, false)).unwrap();
    let specs = model.params().specs();
    let parameters = Parameters::new(model.as_ref(), &specs, &weights).unwrap();
    let (mut metadata, constants) = describe(model.as_ref()).unwrap();
    metadata.insert("general.name", Value::String("golden".to_owned()));
    let export = Export::new(model.as_ref(), &parameters, constants).unwrap();
    let formats = Mix::from_name(mix).unwrap().plan(&export.facts(false), &export.entries());
    let file = std::fs::File::create(target).unwrap();
    let plan = (&metadata, &formats[..]);
    export.write(&cpu(), file, plan, &|_: &str| None, &mut |_, _| Ok(())).unwrap();
}

/// Models of which a GGUF cannot say something, and what.
const UNSAYABLE: &[(&str, &str)] = &[
    ("gemma2", "query_pre_attn_scalar"),
    ("gemma3", "query_pre_attn_scalar"),
    ("qwen3-moe", "mlp_only_layers"),
];

/// A golden model, with what a GGUF cannot say of it as every reader takes it; `None` where the
/// weights are not of such a model.
fn sayable(name: &str, place: &Path) -> Option<PathBuf> {
    let (source, copy) = (folder(name), place.join(format!("{name}-sayable")));
    let Some((_, key)) = UNSAYABLE.iter().find(|(other, _)| *other == name) else {
        return Some(source);
    };
    let (model, _) = describe_model(&source, &options(1, Precision::F32, false)).unwrap();
    let error = describe(model.as_ref()).unwrap_err().to_string();
    assert!(error.contains(key), "{name}: {error}");
    if *key == "mlp_only_layers" {
        return None;
    }
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(source.join("model.safetensors"), copy.join("model.safetensors")).unwrap();
    let mut config = model.config();
    config[*key] = model.shape().head_dim.into();
    std::fs::write(copy.join("config.json"), config.to_string()).unwrap();
    Some(copy)
}

fn values(path: &Path) -> Vec<f32> {
    let model = load_model(path, &options(1, Precision::F32, false)).unwrap();
    let specs = model.params().specs();
    let mut named: Vec<_> = specs.iter().map(|spec| (&spec.name, spec.range())).collect();
    named.sort_by(|left, right| left.0.cmp(right.0));
    let flat = model.params().values();
    named.into_iter().flat_map(|(_, range)| flat[range].to_vec()).collect()
}

/// Holds the weights equal, bit for bit; gains that are kept with one added to them, nearly.
fn assert_values(name: &str, one: &Path, other: &Path) {
    let (one, other) = (values(one), values(other));
    let allowed = if name.starts_with("gemma") { 1e-6 } else { 0.0 };
    let same = |(a, b): (&f32, &f32)| (a - b).abs() <= allowed;
    assert!(one.len() == other.len() && one.iter().zip(&other).all(same), "{name}: other weights");
}

/// The largest difference between the logits of two models.
fn far_apart(one: &Path, other: &Path, ids: &[u32]) -> f32 {
    let logits = [one, other].map(|path| {
        let model = load_model(path, &options(1, Precision::F32, false)).unwrap();
        logits(model.as_ref(), ids, 1)
    });
    logits[0].iter().zip(&logits[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_family_survives_gguf_and_a_folder_of_several_files() {
    let place = tempfile::tempdir().unwrap();
    for name in MODELS {
        let gguf = place.path().join(format!("{name}.gguf"));
        let Some(source) = sayable(name, place.path()) else { continue };
        write_gguf(&source, &gguf, "F32");
        assert_values(name, &source, &gguf);
        let ids = [1, 5, 9, 2, 7, 7, 3];
        let far = far_apart(&source, &gguf, &ids);
        // Factors of a rotation are kept in f32.
        let allowed =
            if ["llama3", "phi3", "gemma2", "gemma3"].contains(name) { 1e-4 } else { 0.0 };
        assert!(far <= allowed, "{name}: the same weights, logits {far} apart");

        let back = place.path().join(name);
        std::fs::create_dir(&back).unwrap();
        let (model, weights) = describe_model(&gguf, &options(1, Precision::F32, false)).unwrap();
        let config = published_config(model.as_ref(), BlockFormat::F32).unwrap();
        std::fs::write(back.join("config.json"), config.to_string()).unwrap();
        let specs = model.params().specs();
        let parameters = Parameters::new(model.as_ref(), &specs, &weights).unwrap();
        let place = (back.as_path(), 10_000);
        save_parameters(&cpu(), &parameters, BlockFormat::F32, place, &mut |_, _| Ok(())).unwrap();
        assert!(back.join("model.safetensors.index.json").is_file(), "{name}: in several files");
        assert_values(name, &source, &back);
        let far = far_apart(&source, &back, &ids);
        assert!(far <= allowed, "{name}: the same weights in the folder, logits {far} apart");
    }
}

#[test]
fn weights_quantised_while_loading_say_what_the_quantised_file_says() {
    let place = tempfile::tempdir().unwrap();
    let mix = Mix::from_name("Q8_0");
    for name in MODELS {
        let gguf = place.path().join(format!("{name}.gguf"));
        let Some(source) = sayable(name, place.path()) else { continue };
        write_gguf(&source, &gguf, "Q8_0");
        let with = |path: &Path, quantize| {
            let build = BuildOptions {
                weights: WeightKind::FrozenExact,
                quantize,
                ..BuildOptions::frozen(Device::cpu(1).unwrap(), Precision::F32)
            };
            logits(load_model(path, &build).unwrap().as_ref(), &[1, 5, 9, 2, 7, 7, 3], 1)
        };
        let (loaded, file, whole) = (with(&source, mix), with(&gguf, None), with(&source, None));
        let far = common::largest_difference(&loaded, &file);
        assert!(far < 1e-4, "{name}: {far}");
        assert!(common::largest_difference(&loaded, &whole) > 1e-3, "{name}: nothing is lost");
    }
}

#[test]
fn quantised_products_agree_with_exact_ones_of_the_same_weights() {
    let place = tempfile::tempdir().unwrap();
    for name in ["llama-gqa", "qwen3", "gpt2"] {
        let gguf = place.path().join(format!("{name}.gguf"));
        write_gguf(&folder(name), &gguf, "Q8_0");
        let ids = [1, 5, 9, 2, 7, 7, 3];
        let with = |weights| {
            let device = Device::cpu(1).unwrap();
            let build = BuildOptions { weights, ..BuildOptions::frozen(device, Precision::F32) };
            logits(load_model(&gguf, &build).unwrap().as_ref(), &ids, 1)
        };
        let kinds = [WeightKind::Frozen, WeightKind::FrozenExact, WeightKind::Trainable];
        let [rounded, exact, copied] = kinds.map(with);
        let far =
            |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far(&exact, &copied) < 1e-4, "{name}: {}", far(&exact, &copied));
        let rounding = far(&rounded, &exact);
        assert!(rounding > 0.0 && rounding < 0.1, "{name}: {rounding}");
    }
}
