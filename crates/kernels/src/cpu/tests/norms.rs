//! Laws of the two normalisations.

use super::{Output, WIDTHS, assert_close, dot, normals, on_every_cpu, rounding, slope, to_f64};
use crate::cpu::elementwise::Store;
use crate::cpu::layer_norm::{
    LayerNorm, LayerNormGradients, LayerNormSaved, LayerNormStatistics, add_layer_norm, layer_norm,
    layer_norm_backward,
};
use crate::cpu::rms_norm::{RmsNorm, RmsNormSaved, add_rms_norm, rms_norm, rms_norm_backward};
use crate::{Element, bf16};

const EPS: f32 = 1e-5;

fn rms_norm_f64(x: &[f64], weight: &[f64]) -> Vec<f64> {
    x.chunks(weight.len())
        .flat_map(|x| {
            let mean = dot(x, x) / x.len() as f64;
            let inv = 1.0 / (mean + f64::from(EPS)).sqrt();
            x.iter().zip(weight).map(move |(x, w)| x * inv * w)
        })
        .collect()
}

fn layer_norm_f64(x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    x.chunks(weight.len())
        .flat_map(|x| {
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let inv = 1.0 / (variance + f64::from(EPS)).sqrt();
            x.iter().zip(weight).zip(bias).map(move |((x, w), b)| (x - mean) * inv * w + b)
        })
        .collect()
}

/// Row by row, so that the finite differences of wide rows stay cheap.
fn row_slopes(f: impl Fn(&[f64]) -> Vec<f64>, x: &[f64], d_out: &[f64], cols: usize) -> Vec<f64> {
    x.chunks(cols)
        .zip(d_out.chunks(cols))
        .flat_map(|(x, d_out)| slope(|x| dot(&f(x), d_out), x))
        .collect()
}

fn forward_is_the_formula<X: Element, O: Element>() {
    for &cols in WIDTHS {
        let rows = 45;
        let (x, delta) = (normals::<X>(rows * cols, 1), normals::<f32>(rows * cols, 2));
        let (weight, bias) = (normals::<f32>(cols, 3), normals::<f32>(cols, 4));
        let sum: Vec<f32> = delta.iter().zip(&x).map(|(d, x)| d + x.to_f32()).collect();
        let rms = RmsNorm { weight: &weight, eps: EPS };
        let layer = LayerNorm { weight: &weight, bias: &bias, eps: EPS };
        let (w, b) = (to_f64(&weight), to_f64(&bias));
        on_every_cpu(
            |cpu| {
                let mut out = [0; 4].map(|_| Output::<O>::new(rows * cols, 0.0));
                let mut sums = [0; 2].map(|_| Output::<f32>::new(rows * cols, 0.0));
                let mut stats = [0; 6].map(|_| Output::<f32>::new(rows, 0.0));
                let [a, b, c, d] = &mut out;
                let [p, q, r, s, t, u] = stats.each_mut().map(Output::slice);
                rms_norm(cpu, &x, rms, a.slice(), p);
                add_rms_norm(cpu, &delta, &x, rms, sums[0].slice(), b.slice(), q);
                let saved = LayerNormStatistics { mean: r, inv_std: s };
                layer_norm(cpu, &x, layer, c.slice(), saved);
                let saved = LayerNormStatistics { mean: t, inv_std: u };
                add_layer_norm(cpu, &delta, &x, layer, sums[1].slice(), d.slice(), saved);
                let stats = stats.map(|s| s.bits());
                (out.map(|o| o.bits()), sums.map(|s| s.bits()), stats)
            },
            |(out, sums, _)| {
                let sum_bits: Vec<u32> = sum.iter().map(|sum| sum.to_bits()).collect();
                assert_eq!(sums, [sum_bits.clone(), sum_bits]);
                let (x, sum) = (to_f64(&x), to_f64(&sum));
                // A layer norm's row of one element, and rows that are nearly constant, cancel.
                let (relative, absolute) = (1e-5 + rounding::<O>(), 1e-5);
                for (what, bits, want) in [
                    ("rms_norm", &out[0], rms_norm_f64(&x, &w)),
                    ("add_rms_norm", &out[1], rms_norm_f64(&sum, &w)),
                    ("layer_norm", &out[2], layer_norm_f64(&x, &w, &b)),
                    ("add_layer_norm", &out[3], layer_norm_f64(&sum, &w, &b)),
                ] {
                    assert_close(what, bits, &want, relative, absolute);
                }
            },
        );
    }
}

#[test]
fn forward_is_the_formula_and_the_fused_form_is_the_same() {
    forward_is_the_formula::<f32, f32>();
    forward_is_the_formula::<f32, bf16>();
    forward_is_the_formula::<bf16, f32>();
    forward_is_the_formula::<bf16, bf16>();
}

fn rms_norm_backward_is_the_slope<X: Element, G: Element>() {
    for &cols in WIDTHS {
        let rows = 3;
        let (x, d_out) = (normals::<X>(rows * cols, 1), normals::<G>(rows * cols, 2));
        let weight = normals::<f32>(cols, 3);
        let (x64, g, w) = (to_f64(&x), to_f64(&d_out), to_f64(&weight));
        let d_x = row_slopes(|x| rms_norm_f64(x, &w), &x64, &g, cols);
        let d_w = slope(|w| dot(&rms_norm_f64(&x64, w), &g), &w);
        for (store, old) in [(Store::Overwrite, 0.0), (Store::Accumulate, 2.0)] {
            on_every_cpu(
                |cpu| {
                    let mut inv_rms = vec![0.0; rows];
                    let mut out = vec![0.0_f32; rows * cols];
                    rms_norm(
                        cpu,
                        &x,
                        RmsNorm { weight: &weight, eps: EPS },
                        &mut out,
                        &mut inv_rms,
                    );
                    let (mut got_x, mut got_w) =
                        (Output::<f32>::new(rows * cols, 2.0), Output::<f32>::new(cols, 1.0));
                    let saved = RmsNormSaved { x: &x, weight: &weight, inv_rms: &inv_rms };
                    rms_norm_backward(cpu, saved, &d_out, store, got_x.slice(), got_w.slice());
                    (got_x.bits(), got_w.bits())
                },
                |(got_x, got_w)| {
                    let want_x: Vec<f64> = d_x.iter().map(|d| d + old).collect();
                    let want_w: Vec<f64> = d_w.iter().map(|d| d + 1.0).collect();
                    assert_close("d_x", &got_x, &want_x, 1e-5, 1e-5);
                    assert_close("d_weight", &got_w, &want_w, 1e-5, 1e-5);
                },
            );
        }
    }
}

fn layer_norm_backward_is_the_slope<X: Element, G: Element>() {
    for &cols in WIDTHS.iter().filter(|&&cols| cols > 1) {
        let rows = 3;
        let (x, d_out) = (normals::<X>(rows * cols, 1), normals::<G>(rows * cols, 2));
        let (weight, bias) = (normals::<f32>(cols, 3), normals::<f32>(cols, 4));
        let (x64, g, w, b) = (to_f64(&x), to_f64(&d_out), to_f64(&weight), to_f64(&bias));
        let d_x = row_slopes(|x| layer_norm_f64(x, &w, &b), &x64, &g, cols);
        let d_w = slope(|w| dot(&layer_norm_f64(&x64, w, &b), &g), &w);
        let d_b = slope(|b| dot(&layer_norm_f64(&x64, &w, b), &g), &b);
        for (store, old) in [(Store::Overwrite, 0.0), (Store::Accumulate, 2.0)] {
            on_every_cpu(
                |cpu| {
                    let (mut mean, mut inv_std) = (vec![0.0; rows], vec![0.0; rows]);
                    let mut out = vec![0.0_f32; rows * cols];
                    let norm = LayerNorm { weight: &weight, bias: &bias, eps: EPS };
                    let kept = LayerNormStatistics { mean: &mut mean, inv_std: &mut inv_std };
                    layer_norm(cpu, &x, norm, &mut out, kept);
                    let mut got_x = Output::<f32>::new(rows * cols, 2.0);
                    let mut got = [0; 2].map(|_| Output::<f32>::new(cols, 1.0));
                    let saved =
                        LayerNormSaved { x: &x, weight: &weight, mean: &mean, inv_std: &inv_std };
                    let [w, b] = got.each_mut().map(Output::slice);
                    let gradients = LayerNormGradients { weight: w, bias: b };
                    layer_norm_backward(cpu, saved, &d_out, store, got_x.slice(), gradients);
                    (got_x.bits(), got.map(|g| g.bits()))
                },
                |(got_x, [got_w, got_b])| {
                    let plus = |d: &[f64], old: f64| d.iter().map(|d| d + old).collect::<Vec<_>>();
                    assert_close("d_x", &got_x, &plus(&d_x, old), 1e-5, 2e-5);
                    assert_close("d_weight", &got_w, &plus(&d_w, 1.0), 1e-5, 1e-5);
                    assert_close("d_bias", &got_b, &plus(&d_b, 1.0), 1e-5, 1e-5);
                },
            );
        }
    }
}

#[test]
fn backward_is_the_slope_of_the_forward() {
    rms_norm_backward_is_the_slope::<f32, f32>();
    rms_norm_backward_is_the_slope::<bf16, bf16>();
    layer_norm_backward_is_the_slope::<f32, f32>();
    layer_norm_backward_is_the_slope::<bf16, bf16>();
}

#[test]
fn parameter_gradients_of_many_rows_are_their_sum() {
    let (rows, cols) = (1001, 17);
    let (x, d_out) = (normals::<f32>(rows * cols, 1), normals::<f32>(rows * cols, 2));
    let weight = vec![1.0; cols];
    let n = rms_norm_f64(&to_f64(&x), &vec![1.0; cols]);
    let want: Vec<f64> = (0..cols)
        .map(|j| (0..rows).map(|i| n[i * cols + j] * f64::from(d_out[i * cols + j])).sum())
        .collect();
    on_every_cpu(
        |cpu| {
            let (mut out, mut inv_rms) = (vec![0.0_f32; rows * cols], vec![0.0; rows]);
            rms_norm(cpu, &x, RmsNorm { weight: &weight, eps: EPS }, &mut out, &mut inv_rms);
            let saved = RmsNormSaved { x: &x, weight: &weight, inv_rms: &inv_rms };
            let mut d_weight = Output::<f32>::new(cols, 0.0);
            rms_norm_backward(cpu, saved, &d_out, Store::Overwrite, &mut out, d_weight.slice());
            d_weight.bits()
        },
        |bits| assert_close("d_weight", &bits, &want, 1e-5, 1e-4),
    );
}

#[test]
fn a_spoiled_row_spoils_no_other() {
    let (rows, cols) = (3, 40);
    let weight = vec![1.0; cols];
    for bad in [f32::NAN, f32::INFINITY] {
        let mut x = normals::<f32>(rows * cols, 1);
        x[cols + 7] = bad;
        on_every_cpu(
            |cpu| {
                let (mut out, mut inv_rms) =
                    (Output::<f32>::new(rows * cols, 0.0), vec![0.0; rows]);
                rms_norm(cpu, &x, RmsNorm { weight: &weight, eps: EPS }, out.slice(), &mut inv_rms);
                out.bits()
            },
            |bits| {
                for (row, bits) in bits.chunks(cols).enumerate() {
                    let finite = bits.iter().all(|&b| f32::from_bits(b).is_finite());
                    assert_eq!(finite, row != 1, "row {row}");
                }
            },
        );
    }
}
