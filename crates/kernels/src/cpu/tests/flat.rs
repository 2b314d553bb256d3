//! Laws of conversion, addition, bias, sums, the search for NaN, and bulk random numbers.

use proptest::prelude::*;

use super::{Output, assert_close, normals, on_every_cpu, to_f64};
use crate::cpu::elementwise::{add, add_assign, add_bias, add_bias_backward, convert, fill, scale};
use crate::cpu::random::{fill_normal, fill_uniform, stochastic_round};
use crate::cpu::reduce::{NonFinite, non_finite, sum, sum_of_squares};
use crate::rng::Philox;
use crate::{Cpu, Element, Simd, bf16};

/// Lengths around a register and across several chunks.
const LENGTHS: &[usize] = &[0, 1, 15, 16, 17, 1000, 40_001];

fn addition_is_f32_addition<A: Element, B: Element, O: Element>() {
    for &n in LENGTHS {
        let (a, b) = (normals::<A>(n, 1), normals::<B>(n, 2));
        let want: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a.to_f32() + b.to_f32()).collect();
        let rounded = |round: fn(f32) -> f32| -> Vec<u32> {
            want.iter().map(|&sum| round(sum).to_bits()).collect()
        };
        on_every_cpu(
            |cpu| {
                let mut out = Output::<O>::new(n, 0.0);
                add(cpu, &a, &b, out.slice());
                out.bits()
            },
            |bits| assert_eq!(bits, rounded(|sum| O::from_f32(sum).to_f32())),
        );
        on_every_cpu(
            |cpu| {
                let mut out = Output::<A>::with(&a.iter().map(|a| a.to_f32()).collect::<Vec<_>>());
                add_assign(cpu, out.slice(), &b);
                out.bits()
            },
            |bits| assert_eq!(bits, rounded(|sum| A::from_f32(sum).to_f32())),
        );
    }
}

#[test]
fn addition_is_f32_addition_rounded_once_for_any_mix_of_types() {
    addition_is_f32_addition::<f32, f32, f32>();
    addition_is_f32_addition::<f32, bf16, f32>();
    addition_is_f32_addition::<bf16, f32, bf16>();
    addition_is_f32_addition::<bf16, bf16, bf16>();
}

#[test]
fn scaling_and_filling_reach_every_element() {
    for &n in LENGTHS {
        let x = normals::<f32>(n, 3);
        let want: Vec<u32> = x.iter().map(|x| (x * 0.37).to_bits()).collect();
        on_every_cpu(
            |cpu| {
                let (mut scaled, mut filled) = (Output::<f32>::with(&x), Output::new(n, 9.0));
                scale(cpu, scaled.slice(), 0.37);
                fill(cpu, filled.slice(), bf16::from_f32(-2.5));
                (scaled.bits(), filled.bits())
            },
            |(scaled, filled)| {
                assert_eq!(scaled, want);
                assert!(filled.iter().all(|&bits| bits == (-2.5_f32).to_bits()));
            },
        );
    }
}

#[test]
fn the_bias_gradient_is_the_sum_over_rows() {
    for &(rows, cols) in &[(1, 1), (3, 17), (130, 384), (65, 1000)] {
        let (x, bias) = (normals::<bf16>(rows * cols, 4), normals::<f32>(cols, 5));
        let column = |j: usize| x.iter().skip(j).step_by(cols).map(|x| f64::from(x.to_f32()));
        let sums: Vec<f64> = (0..cols).map(|j| 0.5 + column(j).sum::<f64>()).collect();
        let shifted: Vec<f64> = (0..rows * cols)
            .map(|i| f64::from(x[i].to_f32()) + f64::from(bias[i % cols]))
            .collect();
        on_every_cpu(
            |cpu| {
                let mut d_bias = Output::<f32>::new(cols, 0.5);
                add_bias_backward(cpu, &x, d_bias.slice());
                let widened: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
                let mut out = Output::<f32>::with(&widened);
                add_bias(cpu, out.slice(), &bias);
                (d_bias.bits(), out.bits())
            },
            |(d_bias, out)| {
                assert_close("d_bias", &d_bias, &sums, 1e-6, 1e-5);
                assert_close("x + bias", &out, &shifted, 1e-6, 0.0);
            },
        );
    }
}

#[test]
fn sums_are_exact_to_f64_and_finite_exactly_when_all_elements_are() {
    for &n in LENGTHS {
        let mut x = normals::<f32>(n, 6);
        let (want_sum, want_squares) =
            (to_f64(&x).iter().sum::<f64>(), to_f64(&x).iter().map(|x| x * x).sum::<f64>());
        on_every_cpu(
            |cpu| (sum(cpu, &x), sum_of_squares(cpu, &x), non_finite(cpu, &x)),
            |(sum, squares, non_finite)| {
                assert!((sum - want_sum).abs() < 1e-9 * (n + 1) as f64);
                assert!((squares - want_squares).abs() < 1e-9 * (n + 1) as f64);
                assert_eq!(non_finite, None);
            },
        );
        x.fill(f32::MAX);
        on_every_cpu(|cpu| sum_of_squares(cpu, &x), |squares| assert!(squares.is_finite()));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY].into_iter().filter(|_| n > 0) {
            let mut x = x.clone();
            x[n / 2] = bad;
            x[n - 1] = bad;
            let count = if n / 2 == n - 1 { 1 } else { 2 };
            on_every_cpu(
                |cpu| (sum_of_squares(cpu, &x).is_finite(), non_finite(cpu, &x)),
                |found| assert_eq!(found, (false, Some(NonFinite { count, first_index: n / 2 }))),
            );
        }
    }
}

#[test]
fn bulk_random_numbers_are_the_stream_itself() {
    let philox = Philox::new(11, 3);
    let n = 40_001;
    on_every_cpu(
        |cpu| {
            let (mut normal, mut uniform) = (Output::<f32>::new(n, 0.0), Output::new(n, 0.0_f32));
            fill_normal(cpu, philox, 1.0, 0.02, normal.slice());
            fill_uniform(cpu, philox, -3.0, 5.0, uniform.slice());
            (normal.bits(), uniform.bits())
        },
        |(normal, uniform): (Vec<u32>, Vec<u32>)| {
            for i in [0, 1, 16_383, 16_384, 40_000] {
                let want = (1.0 + f64::from(0.02_f32) * philox.normal(i as u64)) as f32;
                assert_eq!(f32::from_bits(normal[i]), want);
                let want = (-3.0 + 8.0 * philox.uniform(i as u64)) as f32;
                assert_eq!(f32::from_bits(uniform[i]), want);
            }
            assert!(uniform.iter().all(|&u| (-3.0..5.0).contains(&f32::from_bits(u))));
        },
    );
}

#[test]
fn stochastic_rounding_is_right_on_average_and_goes_to_a_neighbour() {
    let n = 100_000;
    for value in [1.001_f32, -3.3e-7, 1.0, 2.5e-39, -0.0] {
        let x = vec![value; n];
        on_every_cpu(
            |cpu| {
                let mut out = Output::<bf16>::new(n, 0.0);
                stochastic_round(cpu, 5, 1, &x, out.slice());
                out.bits()
            },
            |bits| {
                let below = f32::from_bits(value.to_bits() & 0xffff_0000);
                let above = f32::from_bits((value.to_bits() & 0xffff_0000) + 0x1_0000);
                let mut mean = 0.0;
                for bits in bits {
                    let got = f32::from_bits(bits);
                    assert!(got == below || (got == above && value != below), "{value}: {got}");
                    mean += f64::from(got) / n as f64;
                }
                let spread = f64::from(above - below).abs();
                assert!((mean - f64::from(value)).abs() < 0.01 * spread, "{value}: mean {mean}");
            },
        );
    }
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        on_every_cpu(
            |cpu| {
                let mut out = Output::<bf16>::new(40, 0.0);
                stochastic_round(cpu, 5, 2, &[value; 40], out.slice());
                out.bits()
            },
            |bits| {
                assert!(bits.iter().all(|&b| {
                    let got = f32::from_bits(b);
                    got == value || (got.is_nan() && value.is_nan())
                }));
            },
        );
    }
}

proptest! {
    #[test]
    fn conversion_of_any_bits_equals_the_scalar_one(
        bits in prop::collection::vec(any::<u32>(), 0..99),
    ) {
        let x: Vec<f32> = bits.iter().map(|&bits| f32::from_bits(bits)).collect();
        for simd in Simd::available() {
            let cpu = Cpu::with_simd(1, simd);
            let mut narrow = vec![bf16::ZERO; x.len()];
            convert(&cpu, &x, &mut narrow);
            let mut wide = vec![0.0_f32; x.len()];
            convert(&cpu, &narrow, &mut wide);
            for ((x, narrow), wide) in x.iter().zip(narrow).zip(wide) {
                prop_assert_eq!(narrow.to_bits(), bf16::from_f32(*x).to_bits());
                prop_assert_eq!(wide.to_bits(), u32::from(narrow.to_bits()) << 16);
            }
        }
    }
}
