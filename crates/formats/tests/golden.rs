//! Files that the reference libraries wrote, made by `golden/formats/files.py`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use danlu_formats::gguf::{self, Metadata, Value};
use danlu_formats::{ElementType, Error, TensorEntry, Weights};
use serde_json::Value as Json;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/formats")
}

/// Each file or folder with what it holds.
fn listing() -> serde_json::Map<String, Json> {
    let text = std::fs::read_to_string(folder().join("files.json")).unwrap();
    serde_json::from_str::<Json>(&text).unwrap().as_object().unwrap().clone()
}

fn check_tensor(file: &str, name: &str, weights: &Weights, expected: &Json) {
    let tensor = weights.tensor(name).unwrap();
    let shape: Vec<u64> = tensor.shape().iter().map(|dim| *dim as u64).collect();
    assert_eq!(tensor.element().name(), expected["element"], "{file} {name}");
    assert_eq!(Json::from(shape), expected["shape"], "{file} {name}");
    let values = expected["values"].as_array().unwrap();
    match tensor.to_f32() {
        Ok(found) => {
            assert_eq!(found.len(), values.len(), "{file} {name}");
            for (found, value) in found.iter().zip(values) {
                assert_eq!(*found, value.as_f64().unwrap() as f32, "{file} {name}");
            }
        }
        // Of complex numbers there is the type and the shape.
        Err(_) if tensor.element().name() == "C64" => {}
        Err(_) => {
            let expected: Vec<i64> = values.iter().map(|value| value.as_i64().unwrap()).collect();
            assert_eq!(tensor.to_i64().unwrap(), expected, "{file} {name}");
        }
    }
    if let Ok(matrix) = tensor.matrix() {
        let rows: Vec<u8> = (0..matrix.rows()).flat_map(|row| matrix.row(row).to_vec()).collect();
        assert_eq!(rows, *tensor.bytes(), "{file} {name}");
    }
    tensor.release().unwrap();
    assert_eq!(tensor.bytes().len(), tensor.size_bytes(), "{file} {name} after its release");
}

#[test]
fn every_tensor_has_the_reference_type_shape_and_values() {
    let listing = listing();
    assert!(listing.len() >= 12);
    for (file, tensors) in &listing {
        let weights = Weights::open(&folder().join("files").join(file)).unwrap();
        let tensors = tensors.as_object().unwrap();
        let names = tensors.keys().filter(|name| *name != "metadata");
        assert_eq!(weights.tensors().len(), names.clone().count(), "{file}");
        for name in names {
            check_tensor(file, name, &weights, &tensors[name]);
        }
    }
}

fn check_value(key: &str, value: &Value, expected: &Json) {
    match (value, expected) {
        (Value::Array(array), Json::Array(items)) => {
            assert_eq!(array.len(), items.len(), "{key}");
            assert_eq!(array.iter().count(), items.len(), "{key}");
            for (value, expected) in array.iter().zip(items) {
                check_value(key, &value, expected);
            }
        }
        (Value::String(text), expected) => assert_eq!(text, expected, "{key}"),
        (Value::Bool(value), expected) => assert_eq!(value, expected, "{key}"),
        (value, expected) => assert_eq!(value.as_f64(), expected.as_f64(), "{key}"),
    }
}

#[test]
fn gguf_metadata_of_every_type_are_the_references() {
    let listing = listing();
    let weights = Weights::open(&folder().join("files/model.gguf")).unwrap();
    let gguf = weights.gguf().unwrap();
    let expected = listing["model.gguf"]["metadata"].as_object().unwrap();
    assert_eq!(gguf.metadata().iter().len(), expected.len());
    for (key, expected) in expected {
        check_value(key, gguf.metadata().get(key).unwrap(), expected);
    }
    assert_eq!(gguf.integer("test.uint64").unwrap(), 1 << 63);
    assert_eq!(gguf.number("test.int16").unwrap(), -30_000.0);
    let strings: Vec<&str> = gguf.strings("test.strings").unwrap().collect();
    assert_eq!(strings[..3], ["a", "", "\u{7089}\u{1f525}"]);
    assert_eq!(gguf.array("test.integers").unwrap().to_i64().unwrap(), [1, -2, 3]);
    assert_eq!(gguf.array("test.floats").unwrap().to_f32().unwrap(), [0.25, -1.5]);
    assert!(gguf.boolean("test.bool").unwrap());
    assert!(gguf.array("test.integers").unwrap().strings().is_none());
}

#[test]
fn metadata_of_another_type_is_an_error_that_names_file_key_and_type() {
    let gguf = danlu_formats::Gguf::open(&folder().join("files/model.gguf")).unwrap();
    let error = gguf.integer("test.int8").unwrap_err().to_string();
    assert!(error.contains("metadata `test.int8` is I8, expected an integer of at least 0"));
    let error = gguf.text("general.name").unwrap_err().to_string();
    assert!(error.contains("metadata `general.name` is missing"), "{error}");
    assert!(error.contains("model.gguf") && !error.contains('\n'), "{error}");
}

/// What a converter does: everything of one file, in pieces, into another.
fn copy(weights: &Weights, metadata: &Metadata) -> Vec<u8> {
    let entry = |tensor: &danlu_formats::WeightTensor| TensorEntry {
        name: tensor.name().to_owned(),
        element: tensor.element(),
        shape: tensor.shape().to_vec(),
    };
    let entries = weights.tensors().iter().map(entry).collect();
    let mut writer = gguf::Writer::new(Vec::new(), metadata, entries).unwrap();
    for tensor in weights.tensors() {
        for piece in tensor.bytes().chunks(7) {
            writer.write(tensor.name(), piece).unwrap();
        }
    }
    writer.finish().unwrap()
}

#[test]
fn a_gguf_that_is_read_and_written_is_the_same_to_the_last_byte() {
    let path = folder().join("files/model.gguf");
    let weights = Weights::open(&path).unwrap();
    let copied = copy(&weights, weights.gguf().unwrap().metadata());
    assert_eq!(copied, std::fs::read(path).unwrap());
}

#[test]
fn quantised_tensors_survive_in_any_alignment() {
    let weights = Weights::open(&folder().join("files/model.gguf")).unwrap();
    for alignment in [8, 64, 4096] {
        let mut metadata = Metadata::new();
        metadata.insert("general.alignment", Value::U32(alignment));
        let bytes = copy(&weights, &metadata);
        assert!(bytes.len().is_multiple_of(alignment as usize));
        let copied = Weights::from_bytes("copy", bytes).unwrap();
        for tensor in weights.tensors() {
            let other = copied.tensor(tensor.name()).unwrap();
            assert_eq!((tensor.bytes(), tensor.shape()), (other.bytes(), other.shape()));
        }
        assert!(matches!(copied.tensors()[4].element(), ElementType::Block(_)));
    }
}

#[test]
fn writers_refuse_what_was_not_announced() {
    let entry = |name: &str| TensorEntry {
        name: name.to_owned(),
        element: danlu_formats::Dtype::F32.into(),
        shape: vec![2],
    };
    let new = |names: &[&str]| {
        let entries = names.iter().map(|name| entry(name)).collect();
        gguf::Writer::new(Vec::new(), &Metadata::new(), entries)
    };
    assert!(matches!(new(&["a", "a"]), Err(Error::NameTaken(_))));
    let mut writer = new(&["a", "b"]).unwrap();
    assert!(writer.write("b", &[0; 8]).is_err(), "out of order");
    assert!(writer.write("a", &[0; 9]).is_err(), "too long");
    writer.write("a", &[0; 8]).unwrap();
    writer.write("b", &[0; 4]).unwrap();
    let error = writer.finish().unwrap_err().to_string();
    assert_eq!(error, "tensor `b`: 4 bytes written, 8 bytes announced");
}
