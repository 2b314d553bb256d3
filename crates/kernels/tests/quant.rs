//! Quantised blocks against the reference, on golden files made by `golden/formats/blocks.py` and
//! `golden/formats/quantized.py`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use danlu_kernels::quant::BlockFormat;

const ROWS: usize = 8;
const COLS: usize = 512;

fn golden(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/formats").join(path)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

#[test]
fn dequantised_numbers_equal_the_reference_bit_for_bit() {
    for &format in BlockFormat::ALL {
        let file = std::fs::read(golden(&format!("blocks/{format}.bin"))).unwrap();
        let count = file.len() / (format.block_bytes() + 4 * format.block_len());
        assert!(count >= 3, "{format}: {count} blocks");
        let (blocks, values) = file.split_at(count * format.block_bytes());
        let expected = floats(values);
        let mut found = vec![f32::NAN; count * format.block_len()];
        format.dequantize(blocks, &mut found);
        assert_eq!(found.len(), expected.len(), "{format}");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let same = found.to_bits() == expected.to_bits();
            assert!(same, "{format} [{index}]: {found}, not {expected}");
        }
    }
}

/// The rows that are quantised, and the importance of their columns.
fn rows() -> (Vec<f32>, Vec<f32>) {
    let mut all = floats(&std::fs::read(golden("quantized/rows.bin")).unwrap());
    let importance = all.split_off(ROWS * COLS);
    assert_eq!(importance.len(), COLS);
    (all, importance)
}

fn quantized(format: BlockFormat, values: &[f32], importance: Option<&[f32]>) -> Vec<u8> {
    let mut bytes = vec![0xaa; format.row_bytes(values.len()).unwrap()];
    format.quantize(values, importance, &mut bytes).unwrap();
    bytes
}

#[test]
fn formats_without_a_search_have_the_bytes_of_the_reference() {
    let (values, _) = rows();
    let exact = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];
    for format in exact.map(|name| BlockFormat::from_name(name).unwrap()) {
        let expected = std::fs::read(golden(&format!("quantized/{format}.bin"))).unwrap();
        let found = quantized(format, &values, None);
        let differ = found.iter().zip(&expected).position(|(a, b)| a != b);
        assert_eq!((differ, found.len()), (None, expected.len()), "{format}");
    }
}

/// The root of the weighted mean squared error of the first and of the last rows.
fn errors(format: BlockFormat, importance: Option<&[f32]>, weights: &[f32]) -> [f64; 2] {
    let (values, _) = rows();
    let mut read = vec![0.0; values.len()];
    format.dequantize(&quantized(format, &values, importance), &mut read);
    let half = values.len() / 2;
    [0..half, half..values.len()].map(|range| {
        let (mut loss, mut total) = (0.0, 0.0);
        for index in range {
            let weight = f64::from(weights[index % COLS]);
            loss += weight * f64::from(read[index] - values[index]).powi(2);
            total += weight;
        }
        (loss / total).sqrt()
    })
}

#[test]
fn no_format_loses_more_than_the_reference() {
    let (_, importance) = rows();
    let mut worse = Vec::new();
    for line in std::fs::read_to_string(golden("quantized/errors.txt")).unwrap().lines() {
        let mut words = line.split(' ');
        let format = BlockFormat::from_name(words.next().unwrap()).unwrap();
        let reference: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
        let plain = errors(format, None, &[1.0; COLS]);
        let weighted = errors(format, Some(&importance), &importance);
        let ratios = [plain, weighted].concat();
        let ratios: Vec<f64> = ratios.iter().zip(reference).map(|(a, b)| a / b).collect();
        if ratios.len() != 4 || ratios.iter().any(|ratio| *ratio > 1.005) {
            worse.push(format!("{format}: {ratios:.3?} of the reference's error"));
        }
    }
    assert!(worse.is_empty(), "{worse:#?}");
}

#[test]
fn rows_are_quantised_alike_alone_and_together() {
    let (values, importance) = rows();
    for &format in BlockFormat::ALL {
        for importance in [None, Some(&importance[..])] {
            let together = quantized(format, &values, importance);
            let alone = values.chunks(COLS).flat_map(|row| quantized(format, row, importance));
            assert_eq!(together, alone.collect::<Vec<_>>(), "{format}");
        }
    }
}

#[test]
fn strange_numbers_stay_finite_and_near() {
    let spikes = |at: usize| move |i: usize| if i == at { 65504.0 } else { 0.0 };
    let strange: [(&str, Vec<f32>); 8] = [
        ("zeros", vec![0.0; 256]),
        ("negative zeros", vec![-0.0; 256]),
        ("subnormal", (0..256).map(|i| i as f32 * 1e-41).collect()),
        ("constant", vec![-3.25; 256]),
        ("largest", (0..256).map(|i| if i % 2 == 0 { 65504.0 } else { -65504.0 }).collect()),
        ("a spike", (0..256).map(spikes(17)).collect()),
        ("a ramp", (0..256).map(|i| i as f32).collect()),
        ("all positive", (0..256).map(|i| 1.0 + 1e-4 * i as f32).collect()),
    ];
    for &format in BlockFormat::ALL {
        for (name, values) in &strange {
            for importance in [None, Some(&vec![1.0; 256]), Some(&vec![0.0; 256])] {
                let bytes = quantized(format, values, importance.map(|row| &row[..]));
                let mut read = vec![f32::NAN; 256];
                format.dequantize(&bytes, &mut read);
                let largest = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                // Nothing weighs nothing: then any finite answer will do.
                let matters = importance.is_none_or(|row| row[0] > 0.0);
                for (read, value) in read.iter().zip(values) {
                    let near = (read - value).abs() <= 0.5 * largest + 1e-30;
                    assert!(read.is_finite() && (near || !matters), "{format} {name}: {read}");
                }
            }
        }
    }
}

#[test]
fn what_no_block_can_hold_is_named() {
    let mut values = vec![1.0; 256];
    for value in [f32::NAN, f32::INFINITY, -65505.0] {
        values[200] = value;
        for &format in BlockFormat::ALL {
            let mut bytes = vec![0; format.row_bytes(256).unwrap()];
            let result = format.quantize(&values, None, &mut bytes);
            if matches!(format, BlockFormat::F32 | BlockFormat::Bf16) {
                assert_eq!(result, Ok(()), "{format}");
            } else {
                assert_eq!(result.unwrap_err().index, 200, "{format}");
            }
        }
    }
}
