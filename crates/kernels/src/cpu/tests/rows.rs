//! Laws of softmax, log-sum-exp and argmax.

use proptest::prelude::*;

use super::{Output, WIDTHS, assert_close, dot, normals, on_every_cpu, rounding, slope, to_f64};
use crate::cpu::cross_entropy::argmax;
use crate::cpu::softmax::{log_sum_exp, softmax, softmax_backward};
use crate::{Cpu, Element, Simd, bf16};

fn log_sum_exp_f64(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

fn softmax_f64(x: &[f64]) -> Vec<f64> {
    let lse = log_sum_exp_f64(x);
    x.iter().map(|x| (x - lse).exp()).collect()
}

fn forward_is_the_formula<X: Element, O: Element>() {
    for &cols in WIDTHS {
        let rows = 45;
        let x: Vec<X> = normals::<f32>(rows * cols, 1)
            .iter()
            .enumerate()
            .map(|(i, x)| X::from_f32(x * 8.0 + (i / cols) as f32 * 50.0))
            .collect();
        let x64 = to_f64(&x);
        let want: Vec<f64> = x64.chunks(cols).flat_map(softmax_f64).collect();
        let want_lse: Vec<f64> = x64.chunks(cols).map(log_sum_exp_f64).collect();
        on_every_cpu(
            |cpu| {
                let mut out = Output::<O>::new(rows * cols, 0.0);
                let mut lse = Output::<f32>::new(rows, 0.0);
                softmax(cpu, &x, cols, out.slice());
                log_sum_exp(cpu, &x, cols, lse.slice());
                (out.bits(), lse.bits())
            },
            |(out, lse)| {
                assert_close("softmax", &out, &want, 4e-6 + rounding::<O>(), 1e-38);
                assert_close("log_sum_exp", &lse, &want_lse, 2e-7, 1e-6);
            },
        );
    }
}

#[test]
fn forward_is_the_formula_however_large_the_numbers() {
    forward_is_the_formula::<f32, f32>();
    forward_is_the_formula::<f32, bf16>();
    forward_is_the_formula::<bf16, f32>();
    forward_is_the_formula::<bf16, bf16>();
}

fn backward_is_the_slope<G: Element, O: Element>() {
    for &cols in WIDTHS {
        let rows = 2;
        let (x, d_out) = (normals::<f32>(rows * cols, 1), normals::<G>(rows * cols, 2));
        let want: Vec<f64> = to_f64(&x)
            .chunks(cols)
            .zip(to_f64(&d_out).chunks(cols))
            .flat_map(|(x, g)| slope(|x| dot(&softmax_f64(x), g), x))
            .collect();
        on_every_cpu(
            |cpu| {
                let mut p = vec![0.0_f32; rows * cols];
                softmax(cpu, &x, cols, &mut p);
                let mut d_x = Output::<O>::new(rows * cols, 9.0);
                softmax_backward(cpu, &p, &d_out, cols, d_x.slice());
                d_x.bits()
            },
            |bits| assert_close("d_x", &bits, &want, 1e-5 + rounding::<O>(), 3e-7),
        );
    }
}

#[test]
fn backward_is_the_slope_of_the_forward() {
    backward_is_the_slope::<f32, f32>();
    backward_is_the_slope::<bf16, bf16>();
}

#[test]
fn infinities_and_nan_are_as_documented() {
    const INF: f32 = f32::INFINITY;
    let x = [
        [0.0, -INF, 0.0], // a masked column
        [-INF, -INF, -INF],
        [0.0, INF, 0.0],
        [0.0, f32::NAN, 0.0],
        [1.0, 1.0, 1.0],
    ];
    on_every_cpu(
        |cpu| {
            let (mut p, mut lse, mut best) =
                (Output::<f32>::new(15, 0.0), Output::<f32>::new(5, 0.0), vec![9; 5]);
            softmax(cpu, x.as_flattened(), 3, p.slice());
            log_sum_exp(cpu, x.as_flattened(), 3, lse.slice());
            argmax(cpu, x.as_flattened(), 3, &mut best);
            (p.bits(), lse.bits(), best)
        },
        |(p, lse, best)| {
            let p: Vec<f32> = p.into_iter().map(f32::from_bits).collect();
            let lse: Vec<f32> = lse.into_iter().map(f32::from_bits).collect();
            assert_eq!(p[..3], [0.5, 0.0, 0.5]);
            assert!(p[3..12].iter().all(|p| p.is_nan()), "{p:?}");
            assert!(p[12..].iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-7), "{p:?}");
            assert_eq!((lse[1], lse[2]), (-INF, INF));
            assert!(lse[3].is_nan());
            assert_eq!(best, [0, 0, 1, 1, 0]);
        },
    );
}

proptest! {
    #[test]
    fn softmax_rows_sum_to_one_and_shifts_do_not_matter(
        x in prop::collection::vec(-80.0_f32..80.0, 1..70),
        shift in -1000_i32..1000,
    ) {
        let cols = x.len();
        // Multiples of 1/64 stay exact when shifted.
        let x: Vec<f32> = x.iter().map(|x| (x * 64.0).round() / 64.0).collect();
        let shifted: Vec<f32> = x.iter().map(|x| x + shift as f32).collect();
        for simd in Simd::available() {
            let cpu = Cpu::with_simd(1, simd);
            let (mut p, mut q) = (vec![0.0_f32; cols], vec![0.0_f32; cols]);
            softmax(&cpu, &x, cols, &mut p);
            softmax(&cpu, &shifted, cols, &mut q);
            prop_assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            prop_assert_eq!(p, q);
        }
    }

    #[test]
    fn argmax_is_the_first_of_the_largest(x in prop::collection::vec(-4_i8..4, 1..70)) {
        let naive = (0..x.len()).rev().max_by_key(|&i| x[i]).map(|i| i as u32);
        let x: Vec<bf16> = x.into_iter().map(bf16::from).collect();
        for simd in Simd::available() {
            let mut best = [99];
            argmax(&Cpu::with_simd(1, simd), &x, x.len(), &mut best);
            prop_assert_eq!(Some(best[0]), naive);
        }
    }
}
