//! Models whose matrices lose bits while they are loaded.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{MODELS, bits, folder, logits};
use danlu_formats::gguf::Mix;
use danlu_kernels::quant::BlockFormat;
use danlu_models::{BuildOptions, CausalLm, Result, load_model};
use danlu_tensor::{Device, Precision};

const IDS: [u32; 7] = [1, 5, 9, 2, 7, 7, 3];

fn load(path: &Path, threads: usize, mix: Option<&str>) -> Result<Box<dyn CausalLm>> {
    let frozen = BuildOptions::frozen(Device::cpu(threads).unwrap(), Precision::F32);
    let quantize = mix.map(|name| Mix::from_name(name).unwrap());
    load_model(path, &BuildOptions { quantize, ..frozen })
}

#[test]
fn every_matrix_of_every_family_gets_the_bytes_of_its_type() {
    let mut quantized = 0;
    for name in MODELS {
        let model = |mix| load(&folder(name), 1, mix).unwrap();
        let (whole, shrunk) = (model(None), model(Some("Q8_0")));
        for (spec, original) in shrunk.params().specs().iter().zip(&*whole.params().specs()) {
            let matrix = |frozen: &Option<danlu_tensor::Frozen>| frozen.clone()?.get().cloned();
            let (Some(matrix), Some(source)) = (matrix(&spec.frozen), matrix(&original.frozen))
            else {
                continue;
            };
            let fits = matrix.cols() % 32 == 0 && !spec.name.contains("wpe");
            assert_eq!(matrix.format().is_quantized(), fits, "{name} {}", spec.name);
            if fits {
                let mut values = vec![0.0; source.rows() * source.cols()];
                source.format().dequantize(source.bytes(), &mut values);
                let mut expected = vec![0; matrix.bytes().len()];
                BlockFormat::Q8_0.quantize(&values, None, &mut expected).unwrap();
                assert!(matrix.bytes() == expected, "{name} {}", spec.name);
                quantized += 1;
            }
        }
    }
    assert!(quantized > 50, "{quantized} matrices of whole blocks");
}

#[test]
fn threads_change_no_bit_and_every_mix_can_be_used() {
    for mix in danlu_formats::gguf::MIXES.iter().filter(|mix| mix.name != "F32") {
        let of = |threads| {
            bits(&logits(
                load(&folder("llama-gqa"), threads, Some(mix.name)).unwrap().as_ref(),
                &IDS,
                1,
            ))
        };
        assert_eq!(of(1), of(2), "{}", mix.name);
    }
}

#[test]
fn to_ask_for_what_changes_nothing_is_an_error() {
    let error = load(&folder("llama-gqa"), 1, Some("F32")).err().unwrap().to_string();
    assert!(error.contains("llama-gqa takes less memory as F32"), "{error}");
}

#[test]
fn a_weight_that_is_no_number_is_an_error_that_names_file_and_tensor() {
    let place = tempfile::tempdir().unwrap();
    let from = folder("llama-gqa");
    std::fs::copy(from.join("config.json"), place.path().join("config.json")).unwrap();
    let mut bytes = std::fs::read(from.join("model.safetensors")).unwrap();
    let header_len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + header_len]).unwrap();
    let begin = header["lm_head.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[8 + header_len + begin..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(place.path().join("model.safetensors"), bytes).unwrap();
    let error = load(place.path(), 1, Some("Q8_0")).err().unwrap().to_string();
    for word in ["model.safetensors", "lm_head.weight", "value 0 is NaN"] {
        assert!(error.contains(word), "{error}");
    }
    assert!(!error.contains('\n'), "{error}");
}
