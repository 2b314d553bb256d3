//! Laws of cross-entropy.

use super::{Output, assert_close, normals, on_every_cpu, rounding, slope, to_f64};
use crate::cpu::cross_entropy::{
    IGNORE, cross_entropy, cross_entropy_backward, cross_entropy_in_place, log_probability,
};
use crate::{Element, bf16};

const ROWS: usize = 21;

fn loss_f64(logits: &[f64], target: i32) -> f64 {
    if target == IGNORE {
        return 0.0;
    }
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|x| (x - max).exp()).sum();
    sum.ln() + max - logits[target as usize]
}

/// Every class now and then, and every fifth row ignored.
fn targets(cols: usize) -> Vec<i32> {
    (0..ROWS).map(|i| if i % 5 == 3 { IGNORE } else { ((i * 7919) % cols) as i32 }).collect()
}

#[test]
fn loss_and_log_probability_are_the_formula() {
    for cols in [1, 15, 16, 17, 384, 1000, 8192] {
        let logits = normals::<f32>(ROWS * cols, 1);
        let logits: Vec<bf16> = logits.iter().map(|x| bf16::from_f32(x * 5.0)).collect();
        let targets = targets(cols);
        let want: Vec<f64> = to_f64(&logits)
            .chunks(cols)
            .zip(&targets)
            .map(|(logits, &target)| loss_f64(logits, target))
            .collect();
        on_every_cpu(
            |cpu| {
                let (mut loss, mut log_p) =
                    (Output::<f32>::new(ROWS, 9.0), Output::<f32>::new(ROWS, 9.0));
                cross_entropy(cpu, &logits, &targets, loss.slice());
                log_probability(cpu, &logits, &targets, log_p.slice());
                (loss.bits(), log_p.bits())
            },
            |(loss, log_p)| {
                assert_close("loss", &loss, &want, 1e-6, 2e-6);
                let negated: Vec<f64> = want.iter().map(|loss| -loss).collect();
                assert_close("log_probability", &log_p, &negated, 1e-6, 2e-6);
            },
        );
    }
}

fn gradient_is_the_slope<O: Element>() {
    for cols in [1, 15, 16, 17, 384, 1000] {
        let (targets, scale) = (targets(cols), 0.25);
        let logits = normals::<f32>(ROWS * cols, 2);
        let rows = || logits.chunks(cols).map(to_f64).zip(&targets);
        let losses: Vec<f64> = rows().map(|(x, &target)| loss_f64(&x, target)).collect();
        let want: Vec<f64> = rows()
            .flat_map(|(x, &target)| slope(|x| loss_f64(x, target) * f64::from(scale), &x))
            .collect();
        on_every_cpu(
            |cpu| {
                let (mut loss, mut same_loss) =
                    (Output::<f32>::new(ROWS, 9.0), Output::<f32>::new(ROWS, 9.0));
                let mut in_place = Output::<f32>::with(&logits);
                cross_entropy_in_place(cpu, in_place.slice(), &targets, scale, loss.slice());
                let (mut scratch, mut d_logits) =
                    (Output::<f32>::with(&logits), Output::<O>::new(ROWS * cols, 9.0));
                let (scratch, d) = (scratch.slice(), d_logits.slice());
                cross_entropy_backward(cpu, scratch, &targets, scale, same_loss.slice(), d);
                assert_eq!(loss.bits(), same_loss.bits());
                (loss.bits(), in_place.bits(), d_logits.bits())
            },
            |(loss, in_place, d_logits)| {
                assert_close("loss", &loss, &losses, 1e-6, 2e-6);
                assert_close("in place", &in_place, &want, 1e-5, 1e-8);
                assert_close("d_logits", &d_logits, &want, 1e-5 + rounding::<O>(), 1e-8);
            },
        );
    }
}

#[test]
fn gradient_is_the_slope_of_the_loss() {
    gradient_is_the_slope::<f32>();
    gradient_is_the_slope::<bf16>();
}

#[test]
fn a_logit_that_is_not_a_number_spoils_its_row_only_and_minus_infinity_none() {
    let cols = 40;
    let mut logits = normals::<f32>(4 * cols, 3);
    logits[cols + 5] = f32::NAN;
    logits[2 * cols + 5] = f32::INFINITY;
    logits[3 * cols + 5] = f32::NEG_INFINITY;
    on_every_cpu(
        |cpu| {
            let (mut d, mut loss) = (Output::<f32>::with(&logits), Output::<f32>::new(4, 0.0));
            cross_entropy_in_place(cpu, d.slice(), &[0; 4], 1.0, loss.slice());
            (d.bits(), loss.bits())
        },
        |(d, loss)| {
            for (row, (d, loss)) in d.chunks(cols).zip(loss).enumerate() {
                let spoiled = row == 1 || row == 2;
                assert_eq!(f32::from_bits(loss).is_nan(), spoiled, "loss of row {row}");
                assert_eq!(d.iter().any(|&d| f32::from_bits(d).is_nan()), spoiled, "row {row}");
            }
        },
    );
}

#[test]
fn no_rows_are_no_work() {
    on_every_cpu(|cpu| cross_entropy::<f32>(cpu, &[], &[], &mut []), |()| {});
}
