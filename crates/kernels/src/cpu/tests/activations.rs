//! Laws of SwiGLU, GELU, rotary positions and embeddings.

use super::{
    Output, WIDTHS, assert_close, erf_f64, normals, on_every_cpu, rounding, slope, to_f64,
};
use crate::cpu::embedding::{
    PositionTable, embedding, embedding_backward, embedding_with_positions,
};
use crate::cpu::gelu::{Gelu, gelu, gelu_backward};
use crate::cpu::rope::{RopeTables, Rotation, rope};
use crate::cpu::swiglu::{swiglu, swiglu_backward};
use crate::{Element, bf16};

/// A number from minus nine to nine at every scale.
fn inputs<T: Element>(n: usize, stream: u64) -> Vec<T> {
    normals::<f32>(n, stream).iter().map(|x| T::from_f32((x * x * x).clamp(-9.0, 9.0))).collect()
}

fn silu_f64(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn gelu_f64(form: Gelu, x: f64) -> f64 {
    match form {
        Gelu::Erf => x * 0.5 * (1.0 + erf_f64(x / 2.0_f64.sqrt())),
        Gelu::Tanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            x * 0.5 * (1.0 + inner.tanh())
        }
    }
}

/// The slope of a function of one number.
fn slope_at(f: impl Fn(f64) -> f64, x: f64) -> f64 {
    slope(|x| f(x[0]), &[x])[0]
}

fn swiglu_is_the_formula<X: Element, G: Element, O: Element>() {
    for n in [1, 15, 16, 17, 1000, 40_001] {
        let (gate, up, d_out) = (inputs::<X>(n, 1), inputs::<X>(n, 2), inputs::<G>(n, 3));
        let inputs = || to_f64(&gate).into_iter().zip(to_f64(&up)).zip(to_f64(&d_out));
        let want: Vec<f64> = inputs().map(|((gate, up), _)| silu_f64(gate) * up).collect();
        let d_gate: Vec<f64> =
            inputs().map(|((gate, up), g)| g * up * slope_at(silu_f64, gate)).collect();
        let d_up: Vec<f64> = inputs().map(|((gate, _), g)| g * silu_f64(gate)).collect();
        on_every_cpu(
            |cpu| {
                let mut out = [0; 3].map(|_| Output::<O>::new(n, 9.0));
                let [y, g, u] = out.each_mut().map(Output::slice);
                swiglu(cpu, &gate, &up, y);
                swiglu_backward(cpu, &gate, &up, &d_out, g, u);
                out.map(|out| out.bits())
            },
            |bits| {
                for (what, bits, want) in [
                    ("out", &bits[0], &want),
                    ("d_gate", &bits[1], &d_gate),
                    ("d_up", &bits[2], &d_up),
                ] {
                    assert_close(what, bits, want, 1e-5 + rounding::<O>(), 1e-6);
                }
            },
        );
    }
}

#[test]
fn swiglu_and_its_gradients_are_the_formula() {
    swiglu_is_the_formula::<f32, f32, f32>();
    swiglu_is_the_formula::<bf16, bf16, bf16>();
    swiglu_is_the_formula::<bf16, f32, bf16>();
}

fn gelu_is_the_formula<X: Element, O: Element>(form: Gelu) {
    for n in [1, 15, 16, 17, 1000, 40_001] {
        let (x, d_out) = (inputs::<X>(n, 1), inputs::<X>(n, 2));
        let (x64, g) = (to_f64(&x), to_f64(&d_out));
        let want: Vec<f64> = x64.iter().map(|&x| gelu_f64(form, x)).collect();
        let d_x: Vec<f64> =
            x64.iter().zip(&g).map(|(&x, g)| g * slope_at(|x| gelu_f64(form, x), x)).collect();
        on_every_cpu(
            |cpu| {
                let mut out = [0; 2].map(|_| Output::<O>::new(n, 9.0));
                let [y, d] = out.each_mut().map(Output::slice);
                gelu(cpu, form, &x, y);
                gelu_backward(cpu, form, &x, &d_out, d);
                out.map(|out| out.bits())
            },
            |bits| {
                assert_close("out", &bits[0], &want, 1e-5 + rounding::<O>(), 1e-6);
                assert_close("d_x", &bits[1], &d_x, 1e-5 + rounding::<O>(), 5e-6);
            },
        );
    }
}

#[test]
fn both_gelus_and_their_gradients_are_the_formula() {
    for form in [Gelu::Erf, Gelu::Tanh] {
        gelu_is_the_formula::<f32, f32>(form);
        gelu_is_the_formula::<bf16, bf16>(form);
    }
}

#[test]
fn activations_far_out_are_zero_or_the_identity_and_nan_stays() {
    let x = [f32::INFINITY, f32::NAN, 3e4, -3e4, 0.0];
    on_every_cpu(
        |cpu| {
            let mut out = [0; 3].map(|_| Output::<f32>::new(5, 9.0));
            let [a, b, c] = out.each_mut().map(Output::slice);
            gelu(cpu, Gelu::Erf, &x, a);
            gelu(cpu, Gelu::Tanh, &x, b);
            swiglu(cpu, &x, &[1.0; 5], c);
            out.map(|out| out.bits())
        },
        |out| {
            for bits in out {
                let got: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
                assert!(got[0] == f32::INFINITY && got[1].is_nan(), "{got:?}");
                assert_eq!(got[2..], [3e4, 0.0, 0.0]);
            }
        },
    );
}

/// One row of heads rotated in f64 by the definition.
fn rope_f64(x: &[f64], head_dim: usize, position: u32, theta: f64) -> Vec<f64> {
    let mut out = x.to_vec();
    for (out, x) in out.chunks_mut(head_dim).zip(x.chunks(head_dim)) {
        for i in 0..head_dim / 2 {
            let frequency = theta.powf(-2.0 * i as f64 / head_dim as f64);
            let (sin, cos) = (f64::from(position) * frequency).sin_cos();
            let (a, b) = (x[i], x[i + head_dim / 2]);
            out[i] = a * cos - b * sin;
            out[i + head_dim / 2] = b * cos + a * sin;
        }
    }
    out
}

fn rope_is_the_definition<X: Element>() {
    const THETA: f64 = 10_000.0;
    for (head_dim, heads, spare) in [(2, 1, 0), (30, 3, 7), (64, 6, 128)] {
        let rows = 50;
        let (width, tables) = (heads * head_dim + spare, RopeTables::new(300, head_dim, THETA));
        let positions: Vec<u32> = (0..rows as u32).map(|i| (i * 37) % 300).collect();
        let x = normals::<X>(rows * width, 1);
        let old: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
        let want: Vec<f64> = to_f64(&x)
            .chunks(width)
            .zip(&positions)
            .flat_map(|(x, &position)| {
                let (rotated, kept) = x.split_at(heads * head_dim);
                [rope_f64(rotated, head_dim, position, THETA), kept.to_vec()].concat()
            })
            .collect();
        on_every_cpu(
            |cpu| {
                let mut out = Output::<X>::with(&old);
                rope(cpu, out.slice(), heads, &tables, &positions, Rotation::Forward);
                let rotated = out.bits();
                rope(cpu, out.slice(), heads, &tables, &positions, Rotation::Backward);
                (rotated, out.bits())
            },
            |(rotated, restored)| {
                let slack = 4.0 * rounding::<X>();
                assert_close("rotated", &rotated, &want, rounding::<X>(), 2e-6 + slack);
                assert_close("restored", &restored, &to_f64(&x), slack, 2e-6 + slack);
            },
        );
    }
}

#[test]
fn rope_is_the_definition_and_its_backward_turns_it_back() {
    rope_is_the_definition::<f32>();
    rope_is_the_definition::<bf16>();
}

fn embedding_is_a_lookup<O: Element>() {
    for &cols in WIDTHS {
        let (vocabulary, n) = (13, 70);
        let (table, places) = (normals::<f32>(vocabulary * cols, 1), normals::<f32>(n * cols, 2));
        let ids: Vec<u32> = (0..n as u32).map(|i| (i * i + 3) % vocabulary as u32).collect();
        let positions: Vec<u32> = (0..n as u32).rev().collect();
        let d_out = normals::<O>(n * cols, 3);
        let mut d_table = vec![1.0_f64; vocabulary * cols];
        for (id, d_out) in ids.iter().zip(to_f64(&d_out).chunks(cols)) {
            let row = &mut d_table[*id as usize * cols..][..cols];
            row.iter_mut().zip(d_out).for_each(|(sum, d)| *sum += d);
        }
        let looked_up = |id: u32, j: usize| table[id as usize * cols + j];
        let place = |i: usize, j: usize| places[positions[i] as usize * cols + j];
        let bits = |value: &dyn Fn(usize, usize) -> f32| -> Vec<u32> {
            (0..n * cols)
                .map(|i| O::from_f32(value(i / cols, i % cols)).to_f32().to_bits())
                .collect()
        };
        on_every_cpu(
            |cpu| {
                let mut out = [0; 2].map(|_| Output::<O>::new(n * cols, 9.0));
                let [plain, placed] = out.each_mut().map(Output::slice);
                embedding(cpu, &table, &ids, plain);
                let positions = PositionTable { table: &places, positions: &positions };
                embedding_with_positions(cpu, &table, &ids, positions, placed);
                let mut gradient = Output::<f32>::new(vocabulary * cols, 1.0);
                embedding_backward(cpu, &d_out, &ids, gradient.slice());
                (out.map(|out| out.bits()), gradient.bits())
            },
            |([plain, placed], gradient)| {
                assert_eq!(plain, bits(&|i, j| looked_up(ids[i], j)));
                assert_eq!(placed, bits(&|i, j| looked_up(ids[i], j) + place(i, j)));
                assert_close("d_table", &gradient, &d_table, 1e-6, 1e-5);
            },
        );
    }
}

#[test]
fn embedding_is_a_lookup_and_its_gradient_a_sum_over_equal_ids() {
    embedding_is_a_lookup::<f32>();
    embedding_is_a_lookup::<bf16>();
}
