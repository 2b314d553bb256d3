//! Every family against the reference library: activations, logits, loss, every gradient.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{
    Golden, MODELS, OTHER_CASES, folder, largest_difference, loss_and_gradient, model, to_vec,
};
use danlu_models::config::ConfigJson;
use danlu_models::families::find_family;
use danlu_models::{FAMILIES, save_config};

/// Largest difference from the reference, which adds in another order; values are about 1 in size.
const TOLERANCE: f32 = 1e-4;

#[test]
fn every_family_has_golden_values() {
    let found: Vec<_> = MODELS.iter().map(|name| model(name).family().model_type).collect();
    for family in FAMILIES {
        assert!(found.contains(&family.model_type), "{} has none", family.model_type);
    }
}

#[test]
fn logits_and_loss_equal_the_reference() {
    for case in MODELS.iter().chain(OTHER_CASES) {
        let golden = Golden::load(case);
        let model = model(golden.weights());
        let logits = to_vec(model.logits(&golden.input(), None));
        let difference = largest_difference(&logits, &golden.values("logits"));
        assert!(difference <= TOLERANCE, "{case}: logits differ by {difference}");
        let (loss, _) = loss_and_gradient(model.as_ref(), &golden);
        assert!((loss - golden.loss()).abs() <= 1e-5, "{case}: loss {loss}, not {}", golden.loss());
    }
}

#[test]
fn named_activations_equal_the_reference() {
    for case in MODELS.iter().chain(OTHER_CASES) {
        let golden = Golden::load(case);
        let model = model(golden.weights());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        let watch = Arc::new(move |name: &str, x: &danlu_tensor::Tensor| {
            list.lock().unwrap().push((name.to_owned(), x.to_vec()));
        });
        model.hidden_watched(&golden.input(), None, Some(watch)).unwrap();
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), model.shape().num_layers + 2, "{case}");
        for (name, values) in seen.iter() {
            let expected = golden.values(&format!("activation.{name}"));
            let difference = largest_difference(values, &expected);
            assert!(difference <= TOLERANCE, "{case}: {name} differs by {difference}");
        }
    }
}

#[test]
fn every_gradient_equals_the_reference() {
    for case in MODELS.iter().chain(OTHER_CASES) {
        let golden = Golden::load(case);
        let model = model(golden.weights());
        let (_, flat) = loss_and_gradient(model.as_ref(), &golden);
        let specs = model.params().specs();
        let expected_count =
            golden.tensors.tensors().filter(|t| t.name.starts_with("gradient.")).count();
        assert_eq!(specs.len(), expected_count, "{case}: parameters and golden gradients");
        for spec in specs.iter() {
            let expected = golden.values(&format!("gradient.{}", spec.name));
            let largest = expected.iter().fold(0.0_f32, |max, g| max.max(g.abs()));
            let difference = largest_difference(&flat[spec.range()], &expected);
            assert!(
                difference <= TOLERANCE * largest.max(1e-2),
                "{case}: the gradient of {} differs by {difference}, its largest is {largest}",
                spec.name
            );
        }
    }
}

#[test]
fn a_configuration_survives_writing_and_reading() {
    for name in MODELS {
        let model = model(name);
        let text = save_config(model.as_ref());
        let json = ConfigJson::parse("config.json", &text).unwrap();
        let family = find_family(&json).unwrap();
        let again = (family.build)(&json, &common::options(1, danlu_tensor::Precision::F32, false));
        assert_eq!(again.unwrap().config(), model.config(), "{name}");
        let published = std::fs::read_to_string(folder(name).join("config.json")).unwrap();
        let published: serde_json::Value = serde_json::from_str(&published).unwrap();
        for (key, value) in model.config().as_object().unwrap() {
            // Written out here, where the reference leaves it to a rule.
            let known = published.get(key).filter(|v| !v.is_null() || value.is_null());
            assert!(known.is_none_or(|v| v == value), "{name}: `{key}` is {value}, not {known:?}");
        }
    }
}
