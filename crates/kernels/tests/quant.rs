//! Quantised blocks against the reference package, on golden files made by
//! `golden/formats/blocks.py`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use danlu_kernels::quant::BlockFormat;

#[test]
fn dequantised_numbers_equal_the_reference_bit_for_bit() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/formats/blocks");
    for &format in BlockFormat::ALL {
        let file = std::fs::read(folder.join(format!("{format}.bin"))).unwrap();
        let count = file.len() / (format.block_bytes() + 4 * format.block_len());
        assert!(count >= 3, "{format}: {count} blocks");
        let (blocks, values) = file.split_at(count * format.block_bytes());
        let expected: Vec<u32> =
            values.as_chunks().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        let mut found = vec![f32::NAN; count * format.block_len()];
        format.dequantize(blocks, &mut found);
        assert_eq!(found.len(), expected.len(), "{format}");
        for (index, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let wanted = f32::from_bits(*expected);
            assert_eq!(found.to_bits(), *expected, "{format} [{index}]: {found}, not {wanted}");
        }
    }
}
