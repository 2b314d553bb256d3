//! Laws of AdamW and of Muon's elementwise parts.

use super::{Output, assert_close, normals, on_every_cpu, rounding, to_f64};
use crate::cpu::adamw::{AdamW, adamw};
use crate::cpu::muon::{MuonMomentum, MuonUpdate, muon_momentum, muon_update};
use crate::{Cpu, Element, bf16};

const SETTINGS: AdamW = AdamW {
    lr: 3e-3,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    grad_scale: 0.5,
    step: 0,
    seed: 42,
    first_index: 0,
};

#[test]
fn ten_steps_are_the_published_formula() {
    for n in [1, 15, 16, 17, 63, 65, 1000, 40_001] {
        let start = normals::<f32>(n, 1);
        let (mut value, mut m, mut v) = (to_f64(&start), vec![0.0; n], vec![0.0; n]);
        let settings = SETTINGS;
        let (beta1, beta2) = (f64::from(settings.beta1), f64::from(settings.beta2));
        let (lr, decay) = (f64::from(settings.lr), f64::from(settings.weight_decay));
        for step in 1..=10 {
            for (i, g) in normals::<f32>(n, 100 + step as u64).into_iter().enumerate() {
                let g = f64::from(g) * f64::from(settings.grad_scale);
                m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                let (first, second): (f64, f64) =
                    (m[i] / (1.0 - beta1.powi(step)), v[i] / (1.0 - beta2.powi(step)));
                value[i] -= lr * decay * value[i];
                value[i] -= lr * first / (second.sqrt() + f64::from(settings.eps));
            }
        }
        on_every_cpu(
            |cpu| {
                let mut got = Output::<f32>::with(&start);
                let mut moments = [0; 2].map(|_| Output::<f32>::new(n, 0.0));
                for step in 1..=10 {
                    let grad = normals::<f32>(n, 100 + u64::from(step));
                    let [m, v] = moments.each_mut().map(Output::slice);
                    adamw(cpu, AdamW { step, ..SETTINGS }, got.slice(), &grad, m, v);
                }
                (got.bits(), moments.map(|moment| moment.bits()))
            },
            |(got, moments)| {
                assert_close("value", &got, &value, 1e-6, 1e-6);
                assert_close("m", &moments[0], &m, 1e-5, 1e-7);
                assert_close("v", &moments[1], &v, 1e-5, 1e-9);
            },
        );
    }
}

/// Runs steps on a gradient that is the same for every element and step.
fn constant_gradient_steps(cpu: &Cpu, n: usize, steps: u32) -> [Vec<u32>; 3] {
    let settings = AdamW { beta2: 0.999, grad_scale: 1.0, ..SETTINGS };
    let (grad, mut value) = (vec![0.01; n], Output::<f32>::new(n, 1.0));
    let mut moments = [0; 2].map(|_| Output::<bf16>::new(n, 0.0));
    for step in 1..=steps {
        let [m, v] = moments.each_mut().map(Output::slice);
        adamw(cpu, AdamW { step, ..settings }, value.slice(), &grad, m, v);
    }
    let [m, v] = moments.map(|moment| moment.bits());
    [value.bits(), m, v]
}

#[test]
fn bf16_moments_keep_the_right_mean_where_rounding_to_nearest_does_not() {
    let (n, steps) = (4096, 300);
    let mean =
        |bits: &[u32]| bits.iter().map(|&b| f64::from(f32::from_bits(b))).sum::<f64>() / n as f64;
    let want_v = 1e-4 * (1.0 - 0.999_f64.powi(300));
    on_every_cpu(
        |cpu| constant_gradient_steps(cpu, n, steps),
        |[_, m, v]| {
            assert!((mean(&m) / 0.01 - 1.0).abs() < 1e-3, "m: {}", mean(&m));
            assert!((mean(&v) / want_v - 1.0).abs() < 5e-3, "v: {} of {want_v}", mean(&v));
        },
    );
    // The premise: rounding to nearest goes astray.
    let mut v = bf16::ZERO;
    for _ in 0..steps {
        v = bf16::from_f32(0.999 * v.to_f32() + 0.001 * 1e-4);
    }
    assert!((f64::from(v.to_f32()) / want_v - 1.0).abs() > 0.1, "{v} of {want_v}");
}

#[test]
fn a_buffer_updated_in_ranges_has_the_bits_of_one_call() {
    let n = 1000;
    let (start, grad) = (normals::<f32>(n, 1), normals::<f32>(n, 2));
    on_every_cpu(
        |cpu| {
            let settings = AdamW { step: 3, ..SETTINGS };
            let [mut whole, mut parts] = [0; 2].map(|_| Output::<f32>::with(&start));
            let mut moments = [0; 4].map(|_| Output::<bf16>::new(n, 0.5));
            let [a, b, c, d] = moments.each_mut().map(Output::slice);
            adamw(cpu, settings, whole.slice(), &grad, a, b);
            for range in [0..128, 128..512, 512..n] {
                let settings = AdamW { first_index: range.start, ..settings };
                let (c, d) = (&mut c[range.clone()], &mut d[range.clone()]);
                adamw(cpu, settings, &mut parts.slice()[range.clone()], &grad[range], c, d);
            }
            let [a, b, c, d] = moments.map(|moment| moment.bits());
            assert_eq!((whole.bits(), &a, &b), (parts.bits(), &c, &d));
            (whole.bits(), a, b)
        },
        |_| {},
    );
}

fn muon_is_the_formula<O: Element>() {
    for n in [1, 15, 16, 17, 1000, 40_001] {
        let (grad, average) = (normals::<f32>(n, 1), normals::<f32>(n, 2));
        let value = normals::<f32>(n, 3);
        for nesterov in [true, false] {
            let settings = MuonMomentum { momentum: 0.95, nesterov, grad_scale: 2.0 };
            let mu = f64::from(settings.momentum);
            let next: Vec<f64> = grad
                .iter()
                .zip(&average)
                .map(|(&g, &a)| mu * f64::from(a) + (1.0 - mu) * 2.0 * f64::from(g))
                .collect();
            let ahead: Vec<f64> = next
                .iter()
                .zip(&grad)
                .map(|(&next, &g)| match nesterov {
                    true => mu * next + (1.0 - mu) * 2.0 * f64::from(g),
                    false => next,
                })
                .collect();
            let last = MuonUpdate { lr: 0.02, weight_decay: 0.1, scale: 1.5 };
            on_every_cpu(
                |cpu| {
                    let mut got = Output::<f32>::with(&average);
                    let (mut out, mut moved) =
                        (Output::<O>::new(n, 9.0), Output::<f32>::with(&value));
                    muon_momentum(cpu, settings, &grad, got.slice(), out.slice());
                    muon_update(cpu, last, out.slice(), moved.slice());
                    (got.bits(), out.bits(), moved.bits())
                },
                |(got, out, moved)| {
                    assert_close("average", &got, &next, 1e-6, 1e-6);
                    assert_close("out", &out, &ahead, 1e-6 + rounding::<O>(), 1e-6);
                    let want: Vec<f64> = value
                        .iter()
                        .zip(&out)
                        .map(|(&value, &out)| {
                            0.998 * f64::from(value) - 0.03 * f64::from(f32::from_bits(out))
                        })
                        .collect();
                    assert_close("value", &moved, &want, 1e-6, 1e-6);
                },
            );
        }
    }
}

#[test]
fn muon_momentum_and_update_are_the_formula() {
    muon_is_the_formula::<f32>();
    muon_is_the_formula::<bf16>();
}
