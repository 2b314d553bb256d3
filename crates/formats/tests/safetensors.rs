//! safetensors from friendly and hostile bytes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use danlu_formats::safetensors::write;
use danlu_formats::{Error, NewTensor, SafeTensors, Values};
use proptest::prelude::*;

fn new<'a>(name: &str, shape: &[usize], values: Values<'a>) -> NewTensor<'a> {
    NewTensor { name: name.to_owned(), shape: shape.to_vec(), values }
}

fn small_file() -> Vec<u8> {
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let tensors = [
        new("embed.weight", &[2, 3], Values::F32(&[1.5, -2.0, 0.0, f32::MIN_POSITIVE, 3.0, -0.0])),
        new("empty", &[0, 7], Values::F32(&[])),
        new("ids", &[2], Values::I64(&[i64::MIN, 42])),
        new("scalar", &[], Values::F32(&[f32::INFINITY])),
    ];
    let mut bytes = Vec::new();
    write(&mut bytes, &metadata, &tensors).unwrap();
    bytes
}

fn file_with_header(header: &str, data_len: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_len, 0);
    bytes
}

/// Reads everything there is to read, as a loader would.
fn read_all(bytes: Vec<u8>) -> Result<usize, Error> {
    let file = SafeTensors::from_bytes("test", bytes)?;
    let mut total = file.metadata().len();
    for view in file.tensors() {
        assert_eq!(view.name, file.tensor(view.name)?.name);
        total += view.len();
        // Errors for types that are not floats or not I64, never a panic.
        let _ = (view.to_f32(), view.to_i64());
    }
    Ok(total)
}

#[test]
fn what_is_written_is_read_back() {
    let file = SafeTensors::from_bytes("test", small_file()).unwrap();
    assert_eq!(file.metadata()["format"], "pt");
    assert_eq!(file.tensors().len(), 4);
    let embed = file.tensor("embed.weight").unwrap();
    assert_eq!(embed.shape, [2, 3]);
    let bits: Vec<u32> = embed.to_f32().unwrap().iter().map(|v| v.to_bits()).collect();
    let expected = [1.5, -2.0, 0.0, f32::MIN_POSITIVE, 3.0, -0.0].map(f32::to_bits);
    assert_eq!(bits, expected);
    assert_eq!(file.tensor("ids").unwrap().to_i64().unwrap(), [i64::MIN, 42]);
    assert_eq!(file.tensor("scalar").unwrap().to_f32().unwrap(), [f32::INFINITY]);
    assert!(file.tensor("empty").unwrap().is_empty());
}

#[test]
fn a_mapped_file_equals_its_bytes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../golden/models/llama-gqa/golden.safetensors");
    let mapped = SafeTensors::open(&path).unwrap();
    let owned = SafeTensors::from_bytes("golden", std::fs::read(&path).unwrap()).unwrap();
    assert!(mapped.tensors().len() > 10);
    for (a, b) in mapped.tensors().zip(owned.tensors()) {
        assert_eq!((a.name, a.dtype, a.shape, a.bytes), (b.name, b.dtype, b.shape, b.bytes));
    }
}

#[test]
fn wider_types_come_first_so_that_every_tensor_is_aligned() {
    let bytes = small_file();
    let header_len = u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    assert!((8 + header_len).is_multiple_of(8));
    let file = SafeTensors::from_bytes("test", bytes).unwrap();
    let names: Vec<_> = file.tensors().map(|view| view.name.to_owned()).collect();
    assert_eq!(names[0], "ids");
}

#[test]
fn half_precision_is_widened() {
    let header = r#"{"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},
                     "b":{"dtype":"BF16","shape":[1],"data_offsets":[4,6]}}"#;
    let mut bytes = file_with_header(header, 0);
    for bits in [0x3c00_u16, 0xc500, 0x4049] {
        bytes.extend(bits.to_le_bytes());
    }
    let file = SafeTensors::from_bytes("test", bytes).unwrap();
    assert_eq!(file.tensor("h").unwrap().to_f32().unwrap(), [1.0, -5.0]);
    assert_eq!(file.tensor("b").unwrap().to_f32().unwrap(), [3.140625]);
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = small_file();
    read_all(bytes.clone()).unwrap();
    for len in 0..bytes.len() {
        assert!(read_all(bytes[..len].to_vec()).is_err(), "cut to {len} bytes it was accepted");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(read_all(longer).is_err(), "a byte that belongs to no tensor was accepted");
}

#[test]
fn lies_in_the_header_are_errors_that_say_what_is_wrong() {
    let f32s = |n: &str, begin: u64, end: u64| {
        format!(r#""{n}":{{"dtype":"F32","shape":[2],"data_offsets":[{begin},{end}]}}"#)
    };
    let huge =
        format!(r#"{{"x":{{"dtype":"F32","shape":[{0},{0}],"data_offsets":[0,8]}}}}"#, 1_u64 << 33);
    let cases = [
        ("overlap", format!("{{{},{}}}", f32s("a", 0, 8), f32s("b", 4, 12)), 12, "begins at"),
        ("hole", format!("{{{},{}}}", f32s("a", 0, 8), f32s("b", 12, 20)), 20, "begins at"),
        ("too short", format!("{{{}}}", f32s("a", 0, 4)), 4, "does not fill"),
        ("backwards", format!("{{{}}}", f32s("a", 8, 0)), 8, "does not fill"),
        ("beyond the end", format!("{{{}}}", f32s("a", 0, 8)), 4, "have 8 bytes"),
        ("twice", format!("{{{},{}}}", f32s("a", 0, 8), f32s("a", 8, 16)), 16, "two tensors"),
        ("overflow", huge, 8, "does not fill"),
        ("type", f32s("a", 0, 8).replace("F32", "F31"), 8, "its header"),
        (
            "unknown type",
            format!("{{{}}}", f32s("a", 0, 8).replace("F32", "F31")),
            8,
            "unknown type",
        ),
        (
            "negative",
            r#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#.into(),
            8,
            "invalid",
        ),
        ("no object", "[]".into(), 0, "its header"),
        ("deep", "[".repeat(100_000), 0, "its header"),
    ];
    for (name, header, data_len, message) in cases {
        let error = read_all(file_with_header(&header, data_len)).unwrap_err().to_string();
        assert!(error.contains(message), "{name}: {error}");
    }
}

#[test]
fn a_header_longer_than_the_limit_is_refused_before_it_is_read() {
    for claimed in [100_000_001_u64, 1 << 40, u64::MAX] {
        let mut bytes = claimed.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        let error = read_all(bytes).unwrap_err().to_string();
        assert!(error.contains("at most 100000000"), "{error}");
    }
}

#[test]
fn a_name_is_written_once() {
    for names in [["a", "a"], ["a", "__metadata__"]] {
        let tensors = names.map(|name| new(name, &[1], Values::F32(&[1.0])));
        assert!(matches!(
            write(&mut Vec::new(), &BTreeMap::new(), &tensors),
            Err(Error::NameTaken(_))
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Mutated bytes give an error or a file whose tensors fit its data; they never panic.
    #[test]
    fn mutated_bytes_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = small_file();
        let data_len = bytes.len();
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(total) = read_all(bytes) {
            prop_assert!(total <= data_len);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read_all(bytes);
    }

    #[test]
    fn random_headers_never_panic(
        header in "[\\[\\]{}:,\"a-z0-9_F ]{0,120}",
        data_len in 0..64_usize,
    ) {
        let _ = read_all(file_with_header(&header, data_len));
    }

    #[test]
    fn any_floats_survive_a_round_trip_bit_for_bit(
        bits in prop::collection::vec(any::<u32>(), 0..300),
    ) {
        let values: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
        let mut bytes = Vec::new();
        let tensor = new("x", &[values.len()], Values::F32(&values));
        write(&mut bytes, &BTreeMap::new(), &[tensor]).unwrap();
        let file = SafeTensors::from_bytes("test", bytes).unwrap();
        let back = file.tensor("x").unwrap().to_f32().unwrap();
        prop_assert_eq!(back.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
    }
}
