//! Time of every elementwise and row kernel at the shapes of a training step: `cargo bench -p
//! danlu-kernels --bench elementwise [-- NAME]`. Bytes are those the kernel must read and write
//! once; "copy" is the machine's own speed for comparison. Two threads unless `THREADS` says else.

#![allow(clippy::expect_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use danlu_kernels::cpu::adamw::{AdamW, adamw};
use danlu_kernels::cpu::cross_entropy::{
    cross_entropy, cross_entropy_backward, cross_entropy_in_place,
};
use danlu_kernels::cpu::elementwise::{Store, add_assign, add_bias_backward, convert};
use danlu_kernels::cpu::embedding::{embedding, embedding_backward};
use danlu_kernels::cpu::gelu::{Gelu, gelu, gelu_backward};
use danlu_kernels::cpu::layer_norm::{
    LayerNorm, LayerNormGradients, LayerNormSaved, LayerNormStatistics, layer_norm,
    layer_norm_backward,
};
use danlu_kernels::cpu::muon::{MuonMomentum, muon_momentum};
use danlu_kernels::cpu::random::{fill_normal, stochastic_round};
use danlu_kernels::cpu::reduce::{non_finite, sum_of_squares};
use danlu_kernels::cpu::rms_norm::{
    RmsNorm, RmsNormSaved, add_rms_norm, rms_norm, rms_norm_backward,
};
use danlu_kernels::cpu::rope::{RopeTables, Rotation, rope};
use danlu_kernels::cpu::softmax::{softmax, softmax_backward};
use danlu_kernels::cpu::swiglu::{swiglu, swiglu_backward};
use danlu_kernels::rng::Philox;
use danlu_kernels::{Buffer, Cpu, Element, bf16};

const ROWS: usize = 2048;
const D: usize = 384;
const F: usize = 1024;
const V: usize = 8192;
const LOGIT_ROWS: usize = 256;
const PARAMETERS: usize = 17 << 20;

struct Bench {
    cpu: Cpu,
    only: Option<String>,
}

impl Bench {
    /// Prints the best of some rounds of `kernel`, which handles `elements` of `bytes` bytes each.
    fn time(&self, name: &str, elements: usize, bytes: usize, mut kernel: impl FnMut(&Cpu)) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        kernel(&self.cpu);
        let rounds = (40_000_000 / elements).clamp(4, 60);
        let best = (0..rounds)
            .map(|_| {
                let start = Instant::now();
                kernel(&self.cpu);
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        let (nanoseconds, gigabytes) = (best * 1e9, (elements * bytes) as f64 / best / 1e9);
        println!(
            "{name:34} {:9.1} us {:7.3} ns/element {gigabytes:7.1} GB/s",
            nanoseconds / 1e3,
            nanoseconds / elements as f64
        );
    }

    fn values<T: Element>(&self, n: usize) -> Buffer<T> {
        let mut values = self.cpu.arena.buffer(n);
        let mut buffer = self.cpu.arena.buffer(n);
        fill_normal(&self.cpu, Philox::new(1, n as u64), 0.0, 1.0, &mut values);
        convert(&self.cpu, &values, &mut buffer);
        buffer
    }
}

fn main() {
    let threads = std::env::var("THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
    let cpu = Cpu::new(threads).expect("DANLU_SIMD names a level this CPU has");
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    println!("{} threads, {}", cpu.pool.threads(), cpu.simd.name());
    let bench = Bench { cpu, only };
    flat(&bench);
    norms::<f32>(&bench);
    norms::<bf16>(&bench);
    activations::<f32>(&bench);
    activations::<bf16>(&bench);
    loss(&bench);
    optimisers(&bench);
}

fn flat(bench: &Bench) {
    let n = ROWS * F;
    let (x, mut y) = (bench.values::<f32>(n), bench.values::<f32>(n));
    let mut narrow = bench.values::<bf16>(n);
    bench.time("copy f32 8 MiB", n, 8, |cpu| convert(cpu, &x, &mut y));
    bench.time("convert f32 -> bf16", n, 6, |cpu| convert(cpu, &x, &mut narrow));
    bench.time("convert bf16 -> f32", n, 6, |cpu| convert(cpu, &narrow, &mut y));
    bench.time("add_assign f32 += bf16", n, 10, |cpu| add_assign(cpu, &mut y, &narrow));
    bench.time("stochastic_round", n, 6, |cpu| stochastic_round(cpu, 1, 2, &x, &mut narrow));
    bench.time("fill_normal", n, 4, |cpu| fill_normal(cpu, Philox::new(1, 1), 0.0, 1.0, &mut y));
    let mut d_bias = bench.values::<f32>(F);
    bench.time("add_bias_backward bf16", n, 2, |cpu| {
        add_bias_backward(cpu, &narrow, &mut d_bias);
    });
}

fn norms<E: Element>(bench: &Bench) {
    for cols in [D, F] {
        let (n, size) = (ROWS * cols, size_of::<E>());
        let (x, weight, bias) = (bench.values(n), bench.values(cols), bench.values(cols));
        let (delta, mut out) = (bench.values::<E>(n), bench.values::<E>(n));
        let (mut sum, mut d_x) = (bench.values(n), bench.values(n));
        let (mut a, mut b) = (bench.values(ROWS), bench.values(ROWS));
        let (mut d_weight, mut d_bias) = (bench.values(cols), bench.values(cols));
        let norm = RmsNorm { weight: &weight, eps: 1e-5 };
        let name = |what| format!("{what} {} D={cols}", E::NAME);
        bench.time(&name("rms_norm"), n, 4 + size, |cpu| {
            rms_norm::<f32, E>(cpu, &x, norm, &mut out, &mut a);
        });
        bench.time(&name("add_rms_norm"), n, 8 + 2 * size, |cpu| {
            add_rms_norm(cpu, &x, &delta, norm, &mut sum, &mut out, &mut a);
        });
        let saved = RmsNormSaved { x: &x[..], weight: &weight, inv_rms: &a };
        bench.time(&name("rms_norm_backward +="), n, 12 + size, |cpu| {
            rms_norm_backward(cpu, saved, &delta, Store::Accumulate, &mut d_x, &mut d_weight);
        });
        let norm = LayerNorm { weight: &weight, bias: &bias, eps: 1e-5 };
        bench.time(&name("layer_norm"), n, 4 + size, |cpu| {
            let statistics = LayerNormStatistics { mean: &mut a, inv_std: &mut b };
            layer_norm::<f32, E>(cpu, &x, norm, &mut out, statistics);
        });
        let saved = LayerNormSaved { x: &x[..], weight: &weight, mean: &a, inv_std: &b };
        bench.time(&name("layer_norm_backward +="), n, 12 + size, |cpu| {
            let gradients = LayerNormGradients { weight: &mut d_weight, bias: &mut d_bias };
            layer_norm_backward(cpu, saved, &delta, Store::Accumulate, &mut d_x, gradients);
        });
    }
}

fn activations<E: Element>(bench: &Bench) {
    let (n, size) = (ROWS * F, size_of::<E>());
    let (x, y, g) = (bench.values::<E>(n), bench.values::<E>(n), bench.values::<E>(n));
    let (mut out, mut more) = (bench.values::<E>(n), bench.values::<E>(n));
    let name = |what: &str| format!("{what} {}", E::NAME);
    bench.time(&name("swiglu"), n, 3 * size, |cpu| swiglu(cpu, &x, &y, &mut out));
    bench.time(&name("swiglu_backward"), n, 5 * size, |cpu| {
        swiglu_backward(cpu, &x, &y, &g, &mut out, &mut more);
    });
    for form in [Gelu::Tanh, Gelu::Erf] {
        bench.time(&name(&format!("gelu {form:?}")), n, 2 * size, |cpu| {
            gelu(cpu, form, &x, &mut out);
        });
        bench.time(&name(&format!("gelu_backward {form:?}")), n, 3 * size, |cpu| {
            gelu_backward(cpu, form, &x, &g, &mut out);
        });
    }
    let n = ROWS * D;
    let tables = RopeTables::new(256, 64, 1e4);
    let positions: Vec<u32> = (0..ROWS as u32).map(|i| i % 256).collect();
    bench.time(&name("rope 6 x 64"), n, 2 * size, |cpu| {
        rope(cpu, &mut out[..n], 6, &tables, &positions, Rotation::Forward);
    });
    let table = bench.values::<f32>(V * D);
    let mut d_table = bench.values::<f32>(V * D);
    let ids: Vec<u32> = (0..ROWS as u32).map(|i| i * i % V as u32).collect();
    bench.time(&name("embedding"), n, 4 + size, |cpu| {
        embedding(cpu, &table, &ids, &mut out[..n]);
    });
    bench.time(&name("embedding_backward"), n, 8 + size, |cpu| {
        embedding_backward(cpu, &g[..n], &ids, &mut d_table);
    });
}

fn loss(bench: &Bench) {
    let n = LOGIT_ROWS * V;
    let source = bench.values::<f32>(n);
    let (mut logits, mut out) = (bench.values::<f32>(n), bench.values::<bf16>(n));
    let mut losses = bench.values::<f32>(LOGIT_ROWS);
    let targets: Vec<i32> = (0..LOGIT_ROWS as i32).map(|i| i * 31 % V as i32).collect();
    bench.time("softmax f32", n, 8, |cpu| softmax(cpu, &source, V, &mut logits));
    bench.time("softmax_backward f32", n, 12, |cpu| {
        softmax_backward(cpu, &source, &source, V, &mut logits);
    });
    bench.time("cross_entropy", n, 4, |cpu| cross_entropy(cpu, &source, &targets, &mut losses));
    bench.time("cross_entropy_in_place", n, 8, |cpu| {
        cross_entropy_in_place(cpu, &mut logits, &targets, 1.0, &mut losses);
    });
    bench.time("cross_entropy_backward bf16", n, 6, |cpu| {
        cross_entropy_backward(cpu, &mut logits, &targets, 1.0, &mut losses, &mut out);
    });
    black_box((&logits, &out, &losses));
}

fn optimisers(bench: &Bench) {
    let n = PARAMETERS;
    let (mut value, grad) = (bench.values::<f32>(n), bench.values::<f32>(n));
    let (mut m, mut v) = (bench.cpu.arena.zeros::<f32>(n), bench.cpu.arena.zeros::<f32>(n));
    let (mut m_bf16, mut v_bf16) =
        (bench.cpu.arena.zeros::<bf16>(n), bench.cpu.arena.zeros::<bf16>(n));
    let settings = AdamW {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        grad_scale: 0.5,
        step: 3,
        seed: 1,
        first_index: 0,
    };
    bench.time("copy f32 68 MiB", n, 8, |cpu| convert(cpu, &grad, &mut m));
    m.fill(0.0);
    bench.time("sum_of_squares", n, 4, |cpu| {
        black_box(sum_of_squares(cpu, &grad));
    });
    bench.time("non_finite", n, 4, |cpu| {
        black_box(non_finite(cpu, &grad));
    });
    bench.time("adamw f32 moments", n, 28, |cpu| {
        adamw(cpu, settings, &mut value, &grad, &mut m, &mut v);
    });
    bench.time("adamw bf16 moments", n, 20, |cpu| {
        adamw(cpu, settings, &mut value, &grad, &mut m_bf16, &mut v_bf16);
    });
    let momentum = MuonMomentum { momentum: 0.95, nesterov: true, grad_scale: 1.0 };
    bench.time("muon_momentum -> bf16", n, 14, |cpu| {
        muon_momentum(cpu, momentum, &grad, &mut m, &mut m_bf16);
    });
}
