//! The laws that every case must keep.

mod run;

use std::collections::BTreeSet;

use danlu_kernels::Simd;
use danlu_tensor::ops::NOT_DIFFERENTIABLE;
use danlu_tensor::{DType, Device, Error, Precision, Tensor, no_grad, with_elements};

use super::{CASES, Case};
use run::{Outcome, Seeds, Setup, numbers};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Largest difference from the f64 reference, as a share of the largest number of the result. f32:
/// sums of some hundred terms; bf16: inputs, weights and result are rounded, 2^-9 each.
fn tolerance(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 4e-6,
        Precision::Bf16 => 1.2e-2,
    }
}

fn devices() -> impl Iterator<Item = Device> {
    Simd::available().map(|simd| Device::cpu_with_simd(2, simd))
}

/// Every case with each of its sizes.
fn all_sizes() -> impl Iterator<Item = (&'static Case, &'static [usize])> {
    CASES.iter().flat_map(|case| {
        case.small.iter().copied().chain([case.large]).map(move |sizes| (case, sizes))
    })
}

fn small_sizes() -> impl Iterator<Item = (&'static Case, &'static [usize])> {
    CASES.iter().flat_map(|case| case.small.iter().map(move |sizes| (case, *sizes)))
}

/// Compares numbers of the order of 1. What is smaller has cancelled: it is compared with what it
/// is a sum of.
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, context: &str) {
    assert_eq!(found.len(), expected.len(), "{context}: number of elements");
    let largest = expected.iter().fold(0.3, |largest: f64, x| largest.max(x.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(found) - expected).abs();
        assert!(
            error <= tolerance * largest,
            "{context}: element {i} is {found}, expected {expected} (largest {largest})"
        );
    }
}

fn assert_same_bits(a: &Outcome, b: &Outcome, context: &str) {
    for (what, a, b) in
        [("outputs", &a.outputs, &b.outputs), ("gradients", &a.gradients, &b.gradients)]
    {
        assert_eq!(a.len(), b.len(), "{context}: {what}");
        for (number, (a, b)) in a.iter().zip(b).enumerate() {
            let same = a.iter().zip(b).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(same, None, "{context}: {what} {number} differ there");
        }
    }
}

#[test]
fn outputs_equal_the_f64_reference_in_both_precisions_at_every_level() {
    for device in devices() {
        for (case, sizes) in all_sizes() {
            for precision in PRECISIONS {
                let setup = Setup::new(case, sizes, precision);
                let outputs = no_grad(|| setup.given(&device).outputs()).unwrap();
                let expected = (case.reference)(sizes, &setup.exact_values());
                assert_eq!(outputs.len(), expected.len(), "{}: number of outputs", case.name);
                for (number, (found, expected)) in outputs.iter().zip(&expected).enumerate() {
                    let found = &found.to_vec();
                    let context = format!(
                        "{} {sizes:?} {precision:?} {device:?}: output {number}",
                        case.name
                    );
                    assert_close(found, expected, tolerance(precision), &context);
                }
            }
        }
    }
}

#[test]
fn gradients_equal_finite_differences_of_the_f64_reference() {
    for (case, sizes) in small_sizes().filter(|(case, _)| case.differentiable) {
        for precision in PRECISIONS {
            let setup = Setup::new(case, sizes, precision);
            let expected = setup.finite_differences();
            for device in devices() {
                for seeds in [Seeds::LikeOutputs, Seeds::F32] {
                    let found = setup.gradients(&device, seeds).unwrap().gradients;
                    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let context = format!(
                            "{} {sizes:?} {precision:?} {seeds:?} {device:?}: gradient {number}",
                            case.name
                        );
                        assert_close(found, expected, 3.0 * tolerance(precision), &context);
                    }
                }
            }
        }
    }
}

#[test]
fn one_two_and_four_threads_give_the_same_bits() {
    for (case, sizes) in all_sizes() {
        for precision in PRECISIONS {
            let setup = Setup::new(case, sizes, precision);
            let outcome = |threads| setup.outcome(&Device::cpu(threads).unwrap());
            let one = outcome(1);
            for threads in [2, 4] {
                let context = format!("{} {sizes:?} {precision:?} {threads} threads", case.name);
                assert_same_bits(&one, &outcome(threads), &context);
            }
        }
    }
}

/// Fresh memory is zero, recycled memory is not: an operation must write all that it returns.
#[test]
fn what_memory_held_before_never_matters() {
    for (case, sizes) in all_sizes() {
        for precision in PRECISIONS {
            let setup = Setup::new(case, sizes, precision);
            let clean = setup.outcome(&Device::cpu(2).unwrap());
            let dirty = Device::cpu(2).unwrap();
            let len = 6 << 20;
            drop(dirty.tensor(DType::F32, [len], &vec![f32::NAN; len]));
            let context = format!("{} {sizes:?} {precision:?} in used memory", case.name);
            assert_same_bits(&clean, &setup.outcome(&dirty), &context);
        }
    }
}

/// Outputs are placed between guards: holes of exactly their size in otherwise used memory.
#[test]
fn nothing_is_written_beside_the_outputs() {
    const GUARD: usize = 48;
    let marks = numbers(GUARD, 99);
    let (mut in_holes, mut count) = (0, 0);
    for (case, sizes) in all_sizes() {
        for precision in PRECISIONS {
            let setup = Setup::new(case, sizes, precision);
            let elsewhere = no_grad(|| setup.given(&Device::cpu(1).unwrap()).outputs()).unwrap();
            let device = Device::cpu(2).unwrap();
            let given = setup.given(&device);
            let guard = || device.tensor(DType::F32, [GUARD], &marks);
            let (mut guards, mut holes) = (vec![guard()], Vec::new());
            for output in elsewhere {
                holes.push(device.empty(output.dtype(), output.shape()));
                guards.push(guard());
            }
            let holes = holes.into_iter().map(|hole| address(&hole)).collect::<Vec<_>>();
            let outputs = no_grad(|| given.outputs()).unwrap();
            count += outputs.len();
            in_holes += outputs.iter().filter(|output| holes.contains(&address(output))).count();
            for guard in guards {
                assert_eq!(guard.to_vec(), marks, "{} {sizes:?} {precision:?}", case.name);
            }
        }
    }
    assert!(in_holes * 4 > count * 3, "only {in_holes} of {count} outputs were guarded");
}

fn address(tensor: &Tensor) -> usize {
    with_elements!(tensor.storage(), |x| x.as_ptr() as usize)
}

#[test]
fn a_second_pass_doubles_the_gradients_of_parameters() {
    for (case, sizes) in all_sizes().filter(|(case, _)| case.differentiable) {
        for precision in PRECISIONS {
            let setup = Setup::new(case, sizes, precision);
            let device = Device::cpu(2).unwrap();
            let [once, twice] = [1, 2].map(|passes| setup.parameter_gradients(&device, passes));
            for (number, (once, twice)) in once.iter().zip(&twice).enumerate() {
                let expected: Vec<f64> = once.iter().map(|&g| 2.0 * f64::from(g)).collect();
                let context = format!("{} {sizes:?} {precision:?}: parameter {number}", case.name);
                assert_close(twice, &expected, 1e-6, &context);
            }
        }
    }
}

#[test]
fn operations_without_a_gradient_refuse_to_be_recorded_and_are_listed() {
    let mut refused = BTreeSet::new();
    for case in CASES.iter().filter(|case| !case.differentiable) {
        let setup = Setup::new(case, case.large, Precision::F32);
        match setup.gradients(&Device::cpu(1).unwrap(), Seeds::F32) {
            Err(Error::NotDifferentiable { op }) => refused.insert(op),
            other => panic!("{} was recorded: {:?}", case.name, other.map(|_| ())),
        };
    }
    assert_eq!(refused, NOT_DIFFERENTIABLE.iter().copied().collect());
}

#[test]
fn every_operation_has_a_case() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "mod")
        .collect();
    let file_of = |case: &Case| case.name.split(':').next().unwrap_or_default().to_owned();
    assert_eq!(files, CASES.iter().map(file_of).collect());
}
