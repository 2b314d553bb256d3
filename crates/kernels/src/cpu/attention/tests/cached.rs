//! Attention to a cache: each sequence has the bits it has alone, with keys and values that went
//! through the cache's format.

use super::*;
use crate::quant::BlockFormat;

/// Heads, key heads, width of a head, window.
const SHAPES: &[(usize, usize, usize, Option<usize>)] =
    &[(4, 2, 64, None), (3, 1, 32, Some(37)), (2, 2, 96, None)];

fn numbers(count: usize, stream: u64) -> Vec<f32> {
    (0..count as u64).map(|i| Philox::new(5, stream).normal(i) as f32).collect()
}

fn sequences() -> Vec<CachedSequence> {
    let of = |queries, keys| CachedSequence { queries, keys };
    vec![of(0..1, 300..600), of(1..6, 0..5), of(6..6, 40..50), of(6..46, 50..290), of(46..48, 7..9)]
}

/// The bytes of a cache of some numbers, and the numbers that are left of them.
fn cached(values: &[f32], format: BlockFormat) -> (Vec<u8>, Vec<f32>) {
    let mut bytes = vec![0; format.row_bytes(values.len()).unwrap()];
    format.quantize(values, None, &mut bytes).unwrap();
    let mut left = vec![0.0; values.len()];
    format.dequantize(&bytes, &mut left);
    (bytes, left)
}

#[test]
fn each_sequence_of_a_cache_is_what_it_is_alone() {
    let rows = 48;
    for &(num_heads, num_kv_heads, head_dim, window) in SHAPES {
        let (width, kv_width) = (num_heads * head_dim, num_kv_heads * head_dim);
        let shape = AttentionShape {
            batch: 1,
            query_len: 0,
            key_len: 0,
            num_heads,
            num_kv_heads,
            head_dim,
            scale: 0.2,
            cap: None,
            window,
        };
        let q = numbers(rows * width, 0);
        for format in CachedRows::FORMATS {
            let [k, v] = [1, 2].map(|stream| cached(&numbers(600 * kv_width, stream), format));
            for (simd, threads) in Simd::available().flat_map(|simd| [(simd, 1), (simd, 3)]) {
                let cpu = Cpu::with_simd(threads, simd);
                let mut got = vec![CANARY; rows * width + CANARIES];
                attention_cached(
                    (&cpu, Precision::F32),
                    &shape,
                    &sequences(),
                    &Rows::contiguous(&q, rows, width),
                    [CachedRows::new(&k.0, format), CachedRows::new(&v.0, format)],
                    &mut RowsMut::contiguous(&mut got, rows, width),
                );
                assert!(got[rows * width..].iter().all(|x| *x == CANARY));
                for CachedSequence { queries, keys } in sequences() {
                    let (query_len, key_len) = (queries.len(), keys.len());
                    let shape = AttentionShape { query_len, key_len, ..shape };
                    let of = |x| Rows::contiguous(x, key_len, kv_width);
                    let inputs = AttentionInputs {
                        q: Rows::contiguous(&q[queries.start * width..], query_len, width),
                        k: of(&k.1[keys.start * kv_width..]),
                        v: of(&v.1[keys.start * kv_width..]),
                        segments: None,
                        key_lens: None,
                    };
                    let mut want = vec![0.0; query_len * width];
                    let mut lse = vec![0.0; query_len * num_heads];
                    let mut out = RowsMut::contiguous(&mut want, query_len, width);
                    attention(&cpu, Precision::F32, &shape, &inputs, &mut out, &mut lse);
                    let got = &got[queries.start * width..queries.end * width];
                    assert!(got == want, "{format} {simd:?} {queries:?} of {keys:?}");
                }
            }
        }
    }
}
