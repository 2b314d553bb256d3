//! What every family must do, whatever its arithmetic.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{
    Golden, MODELS, bits, folder, largest_difference, logits, loss_and_gradient, model, options,
    to_vec,
};
use danlu_models::{CausalLm, KvCache, ModelInput, load_model, save_config, save_weights};
use danlu_tensor::{Precision, no_grad};

/// Both precisions, for laws that hold bit for bit in each.
const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

fn models_in_both() -> impl Iterator<Item = (String, Box<dyn CausalLm>)> {
    MODELS.iter().flat_map(|name| {
        PRECISIONS.map(|precision| {
            let model = load_model(&folder(name), &options(2, precision, false)).unwrap();
            (format!("{name} in {precision:?}"), model)
        })
    })
}

fn ids_for(model: &dyn CausalLm, count: usize) -> Vec<u32> {
    (0..count).map(|i| ((i * 37 + 11) % model.shape().vocab_size) as u32).collect()
}

#[test]
fn saved_and_loaded_models_are_equal_bit_for_bit() {
    for name in MODELS {
        let original = model(name);
        let (mut bytes, mut again) = (Vec::new(), Vec::new());
        save_weights(original.as_ref(), &mut bytes).unwrap();
        let copy = tempfile::tempdir().unwrap();
        std::fs::write(copy.path().join("config.json"), save_config(original.as_ref())).unwrap();
        std::fs::write(copy.path().join("model.safetensors"), &bytes).unwrap();
        let loaded = load_model(copy.path(), &options(1, Precision::F32, false)).unwrap();
        save_weights(loaded.as_ref(), &mut again).unwrap();
        assert!(bytes == again, "{name}: the file changed");
        let ids = ids_for(original.as_ref(), 20);
        let difference =
            bits(&logits(original.as_ref(), &ids, 1)) == bits(&logits(loaded.as_ref(), &ids, 1));
        assert!(difference, "{name}: logits changed");
    }
}

#[test]
fn cached_logits_equal_uncached() {
    for (name, model) in models_in_both() {
        let ids = ids_for(model.as_ref(), 24);
        let whole = logits(model.as_ref(), &ids, 1);
        for chunk in [1, 5, 16, 24] {
            let mut cache = KvCache::new(model.as_ref(), 24).unwrap();
            let mut parts = Vec::new();
            for part in ids.chunks(chunk) {
                let input = ModelInput::after(&cache, part);
                parts.extend(to_vec(model.logits(&input, Some(&mut cache))));
            }
            assert_eq!(cache.ids(), ids);
            let difference = largest_difference(&parts, &whole);
            assert!(difference == 0.0, "{name} by {chunk}: differs by {difference}");
        }
    }
}

#[test]
fn a_cache_cut_back_forgets_what_came_after() {
    for (name, model) in models_in_both() {
        let ids = ids_for(model.as_ref(), 20);
        let mut cache = KvCache::new(model.as_ref(), 24).unwrap();
        let other = ids_for(model.as_ref(), 24);
        model.logits(&ModelInput::after(&cache, &other), Some(&mut cache)).unwrap();
        cache.truncate(cache.common_prefix(&ids).min(7));
        let input = ModelInput::after(&cache, &ids[7..]);
        let found = to_vec(model.logits(&input, Some(&mut cache)));
        let whole = logits(model.as_ref(), &ids, 1);
        let vocabulary = model.shape().vocab_size;
        assert_eq!(bits(&found), bits(&whole[7 * vocabulary..]), "{name}");
    }
}

#[test]
fn a_row_of_a_batch_is_what_it_is_alone() {
    for (name, model) in models_in_both() {
        let ids = ids_for(model.as_ref(), 3 * 17);
        let together = logits(model.as_ref(), &ids, 3);
        let alone: Vec<f32> =
            ids.chunks(17).flat_map(|row| logits(model.as_ref(), row, 1)).collect();
        assert_eq!(bits(&together), bits(&alone), "{name}");
    }
}

#[test]
fn a_packed_document_is_what_it_is_alone() {
    for (name, model) in models_in_both() {
        let lens = [9, 1, 14];
        let ids = ids_for(model.as_ref(), lens.iter().sum());
        let (mut positions, mut segments, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for (index, len) in lens.into_iter().enumerate() {
            positions.extend(0..len as u32);
            segments.extend(std::iter::repeat_n(index as u32, len));
            alone.extend(logits(model.as_ref(), &ids[start..start + len], 1));
            start += len;
        }
        let segments = Some(segments.into());
        let input = ModelInput { ids: &ids, batch: 1, positions: positions.into(), segments };
        let packed = to_vec(model.logits(&input, None));
        let difference = largest_difference(&packed, &alone);
        assert!(difference <= 1e-5, "{name}: differs by {difference}");
    }
}

#[test]
fn every_parameter_gets_a_gradient() {
    for (name, model) in models_in_both() {
        let golden = Golden::load(name.split(' ').next().unwrap());
        let (_, flat) = loss_and_gradient(model.as_ref(), &golden);
        for spec in model.params().specs().iter() {
            let part = &flat[spec.range()];
            assert!(part.iter().any(|g| *g != 0.0), "{name}: {} has none", spec.name);
            assert!(part.iter().all(|g| g.is_finite()), "{name}: {} is not finite", spec.name);
        }
    }
}

#[test]
fn recomputed_activations_change_no_bit() {
    for name in MODELS {
        let golden = Golden::load(name);
        for precision in PRECISIONS {
            let run = |recompute| {
                let model = load_model(&folder(name), &options(2, precision, recompute)).unwrap();
                loss_and_gradient(model.as_ref(), &golden)
            };
            let ((kept_loss, kept), (loss, again)) = (run(false), run(true));
            assert_eq!(kept_loss.to_bits(), loss.to_bits(), "{name} in {precision:?}");
            assert!(bits(&kept) == bits(&again), "{name} in {precision:?}: gradients differ");
        }
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    for name in MODELS {
        let golden = Golden::load(name);
        for precision in PRECISIONS {
            let run = |threads| {
                let model = load_model(&folder(name), &options(threads, precision, false)).unwrap();
                let (loss, gradient) = loss_and_gradient(model.as_ref(), &golden);
                (loss.to_bits(), bits(&gradient))
            };
            let one = run(1);
            assert!(one == run(2) && one == run(4), "{name} in {precision:?}");
        }
    }
}

#[test]
fn bf16_stays_close_to_f32() {
    for name in MODELS {
        let golden = Golden::load(name);
        let run = |precision| {
            let model = load_model(&folder(name), &options(2, precision, false)).unwrap();
            loss_and_gradient(model.as_ref(), &golden)
        };
        let ((exact, gradient), (rounded, other)) = (run(Precision::F32), run(Precision::Bf16));
        // bf16 keeps 8 bits: each product is off by up to 2^-8 of its size, and errors average out.
        assert!((exact - rounded).abs() < 0.02 * exact, "{name}: loss {rounded}, in f32 {exact}");
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let cosine =
            dot(&gradient, &other) / (dot(&gradient, &gradient) * dot(&other, &other)).sqrt();
        // A token near a tie of two experts may go to the other one: that is most of what the 0.995
        // leaves room for. gemma3 amplifies rounding (norms after each of six blocks): there the
        // reference's own gradients under bf16 autocast say how much.
        let limit = (1.0 - 2.0 * (1.0 - golden.bf16_gradient_cosine())).min(0.995);
        assert!(cosine > limit, "{name}: gradients point {cosine} the same way");
    }
}

#[test]
fn a_fresh_model_is_a_function_of_its_seed_and_knows_nothing() {
    for name in MODELS {
        let golden = Golden::load(name);
        let run = |seed| {
            let model = model(name);
            model.params().initialise(seed);
            loss_and_gradient(model.as_ref(), &golden)
        };
        let (loss, gradient) = run(5);
        assert_eq!(bits(&gradient), bits(&run(5).1), "{name}");
        assert_ne!(bits(&gradient), bits(&run(6).1), "{name}");
        let uniform = (model(name).shape().vocab_size as f32).ln();
        assert!((loss - uniform).abs() < 0.05, "{name}: loss {loss}, of a uniform guess {uniform}");
    }
}

#[test]
fn input_that_does_not_fit_is_an_error_that_says_so() {
    for name in MODELS {
        let model = model(name);
        let shape = *model.shape();
        let message = |input: &ModelInput<'_>, cache: Option<&mut KvCache>| {
            no_grad(|| model.hidden(input, cache)).unwrap_err().to_string()
        };
        let outside = [0, shape.vocab_size as u32];
        assert!(message(&ModelInput::new(&outside, 1), None).contains("vocabulary"), "{name}");
        let long = vec![0; shape.context_len + 1];
        assert!(message(&ModelInput::new(&long, 1), None).contains("context"), "{name}");
        assert!(message(&ModelInput::new(&[], 1), None).contains("do not fit"), "{name}");
        assert!(message(&ModelInput::new(&[1, 2, 3], 2), None).contains("do not fit"), "{name}");
        let short = ModelInput { positions: Arc::new([0]), ..ModelInput::new(&[1, 2], 1) };
        assert!(message(&short, None).contains("do not fit"), "{name}");

        let mut cache = KvCache::new(model.as_ref(), 3).unwrap();
        let four = ModelInput::new(&[1, 2, 3, 4], 1);
        assert!(message(&four, Some(&mut cache)).contains("do not fit into"), "{name}");
        model.logits(&ModelInput::new(&[1, 2], 1), Some(&mut cache)).unwrap();
        let elsewhere = ModelInput::new(&[3], 1);
        assert!(message(&elsewhere, Some(&mut cache)).contains("positions 2.."), "{name}");
        assert!(KvCache::new(model.as_ref(), shape.context_len + 1).is_err(), "{name}");
        assert!(KvCache::new(model.as_ref(), 0).is_err(), "{name}");
    }
}
