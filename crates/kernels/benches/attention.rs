//! Prints how fast attention is, in useful GFLOP/s (masked scores not counted) and as a share of
//! the peak measured around each case:
//! `cargo bench -p danlu-kernels --bench attention -- [bf16|f32] [THREADS] [PART OF A NAME]`.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use danlu_kernels::cpu::attention::{
    AttentionGradients, AttentionInputs, AttentionOutputs, AttentionShape, Rows, RowsMut,
    attention, attention_backward,
};
use danlu_kernels::cpu::peak;
use danlu_kernels::{Arena, Buffer, Cpu, Element, Precision, bf16};

/// Name, `[B, Tq, Tk, H, K, Dh]`, length of the documents that keep to themselves.
const CASES: &[(&str, [usize; 6], usize)] = &[
    ("w1 8 x 256", [8, 256, 256, 6, 6, 64], 256),
    ("w2 4 x 256", [4, 256, 256, 12, 12, 64], 256),
    ("w3 2 x 2048", [2, 2048, 2048, 6, 6, 64], 2048),
    ("packed 2 x 2048", [2, 2048, 2048, 6, 6, 64], 300),
    ("grouped 2 x 1024", [2, 1024, 1024, 8, 2, 128], 1024),
    ("decode 12 heads 512", [1, 1, 512, 12, 12, 64], 512),
    ("decode 12 heads 2048", [1, 1, 2048, 12, 12, 64], 2048),
    ("decode 12 heads 8192", [1, 1, 8192, 12, 12, 64], 8192),
    ("decode 6 / 2 heads 512", [1, 1, 512, 6, 2, 64], 512),
    ("decode 6 / 2 heads 2048", [1, 1, 2048, 6, 2, 64], 2048),
    ("decode 6 / 2 heads 8192", [1, 1, 8192, 6, 2, 64], 8192),
    ("decode 32 / 4 heads 512", [1, 1, 512, 32, 4, 64], 512),
    ("decode 32 / 4 heads 2048", [1, 1, 2048, 32, 4, 64], 2048),
    ("decode 32 / 4 heads 8192", [1, 1, 8192, 32, 4, 64], 8192),
    ("decode 8 x 1024", [8, 1, 1024, 6, 6, 64], 1024),
    ("prompt 300 of 1000", [1, 300, 1000, 32, 4, 64], 1000),
];

/// How long a case is repeated; the fastest round counts.
const SECONDS: f64 = 0.5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let precision = match arguments.next().as_deref() {
        None | Some("bf16") => Precision::Bf16,
        Some("f32") => Precision::F32,
        Some(other) => return Err(format!("expected f32 or bf16, not {other}").into()),
    };
    let threads = arguments.next().map_or(Ok(2), |threads| threads.parse())?;
    let part = arguments.next().unwrap_or_default();
    let cpu = Cpu::new(threads)?;
    println!("{precision:?}, {threads} threads, {}", cpu.simd.name());
    println!("{:32} {:>8} {:>9} {:>7} {:>7}", "", "us", "GFLOP/s", "of peak", "GB/s");
    for (name, sizes, document) in CASES.iter().filter(|(name, ..)| name.contains(&part)) {
        match precision {
            Precision::F32 => case::<f32>(&cpu, precision, name, *sizes, *document),
            Precision::Bf16 => case::<bf16>(&cpu, precision, name, *sizes, *document),
        }
    }
    Ok(())
}

fn case<E: Element>(
    cpu: &Cpu,
    precision: Precision,
    name: &str,
    sizes: [usize; 6],
    document: usize,
) {
    let [batch, query_len, key_len, num_heads, num_kv_heads, head_dim] = sizes;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let (cap, window) = (None, None);
    let shape = AttentionShape {
        batch,
        query_len,
        key_len,
        num_heads,
        num_kv_heads,
        head_dim,
        scale,
        cap,
        window,
    };
    let (wide, narrow) = (num_heads * head_dim, num_kv_heads * head_dim);
    let [q, d_out] = [1, 2].map(|seed| numbers::<E>(&cpu.arena, batch * query_len * wide, seed));
    let [k, v] = [3, 4].map(|seed| numbers::<E>(&cpu.arena, batch * key_len * narrow, seed));
    let segments: Vec<u32> =
        (0..batch * key_len).map(|t| (t % key_len / document) as u32).collect();
    let inputs = AttentionInputs {
        q: Rows::contiguous(&q, query_len, wide),
        k: Rows::contiguous(&k, key_len, narrow),
        v: Rows::contiguous(&v, key_len, narrow),
        segments: (document < key_len).then_some(segments.as_slice()),
        key_lens: None,
    };
    let mut out = cpu.arena.zeros::<E>(q.len());
    let mut lse = vec![0.0; batch * num_heads * query_len];
    let seen: usize = (key_len - query_len..key_len).map(|t| t % document + 1).sum();
    let product = 2.0 * (batch * num_heads * head_dim * seen) as f64;
    let forward = || {
        let mut out = RowsMut::contiguous(&mut out, query_len, wide);
        attention(cpu, precision, &shape, &inputs, &mut out, &mut lse);
    };
    let bytes = ((k.len() + v.len()) * size_of::<E>()) as f64;
    report(cpu, precision, &format!("{name} forward"), (2.0 * product, bytes), forward);
    if query_len == 1 {
        return;
    }
    let outputs = AttentionOutputs {
        out: Rows::contiguous(&out, query_len, wide),
        lse: &lse,
        d_out: Rows::contiguous(&d_out, query_len, wide),
    };
    let [mut d_q, mut d_k, mut d_v] = [&q, &k, &v].map(|x| cpu.arena.zeros::<E>(x.len()));
    let backward = || {
        let mut gradients = AttentionGradients {
            d_q: RowsMut::contiguous(&mut d_q, query_len, wide),
            d_k: RowsMut::contiguous(&mut d_k, key_len, narrow),
            d_v: RowsMut::contiguous(&mut d_v, key_len, narrow),
        };
        attention_backward(cpu, precision, &shape, &inputs, &outputs, &mut gradients);
    };
    report(cpu, precision, &format!("{name} backward"), (5.0 * product, bytes), backward);
}

fn report(
    cpu: &Cpu,
    precision: Precision,
    name: &str,
    (flops, bytes): (f64, f64),
    mut run: impl FnMut(),
) {
    let threads = cpu.pool.threads();
    let peak = || match precision {
        Precision::F32 => peak::fma_f32_gflops(cpu, threads),
        Precision::Bf16 => peak::vdpbf16ps_gflops(cpu, threads)
            .unwrap_or_else(|| peak::fma_f32_gflops(cpu, threads)),
    };
    let before = peak();
    let mut seconds = f64::INFINITY;
    let first = Instant::now();
    while first.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        run();
        seconds = seconds.min(start.elapsed().as_secs_f64());
    }
    let share = flops / seconds / 1e9 / before.max(peak());
    println!(
        "{name:32} {:8.1} {:9.1} {:6.1}% {:7.1}",
        seconds * 1e6,
        flops / seconds / 1e9,
        100.0 * share,
        bytes / seconds / 1e9
    );
}

/// Repeatable numbers between -1 and 1, in the memory that a training step uses.
fn numbers<E: Element>(arena: &Arena, len: usize, seed: u64) -> Buffer<E> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        E::from_f32((state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    let mut buffer = arena.buffer(len);
    buffer.iter_mut().for_each(|x| *x = next());
    buffer
}
