//! Accuracy of the transcendental functions over the whole range of f32.

use super::erf_f64;
use crate::cpu::dispatch::{Level, Portable};
use crate::cpu::math::{erf, exp, sigmoid, tanh};

/// A level with fused multiply-add on any machine (through the library, so slowly).
enum Fused {}

impl Level for Fused {
    const FUSED: bool = true;
}

/// Numbers from the whole range, both signs, more of them where functions bend.
fn inputs() -> impl Iterator<Item = f32> {
    let everywhere = (0..=u32::MAX).step_by(30_011).map(f32::from_bits);
    let bends = (-1_100_000..1_100_000).step_by(7).map(|i| i as f32 * 1e-4);
    everywhere.chain(bends).filter(|x| !x.is_nan())
}

/// The largest error of `f` in units of the last place of the result.
fn worst(f: impl Fn(f32) -> f32, reference: impl Fn(f64) -> f64) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    for x in inputs() {
        let (got, want) = (f(x), reference(f64::from(x)));
        if want.abs() > f64::from(f32::MAX) {
            assert!(got == f32::INFINITY || got >= 3.4e38, "f({x}) = {got}, should be {want}");
            continue;
        }
        let place = (want as f32).abs().max(f32::MIN_POSITIVE);
        let place = f64::from(f32::from_bits(place.to_bits() + 1) - place);
        let error = (f64::from(got) - want).abs() / place;
        assert!(error.is_finite(), "f({x}) = {got}, should be {want}");
        if error > worst.0 {
            worst = (error, x);
        }
    }
    worst
}

fn assert_accurate<L: Level>() {
    // Below, exp(-x) is infinite and the result 0 instead of a subnormal number.
    let sigmoid_f64 = |x: f64| match (-x).exp() {
        overflow if overflow > f64::from(f32::MAX) => 0.0,
        power => 1.0 / (1.0 + power),
    };
    for (name, (error, at), limit) in [
        ("exp", worst(exp::<L>, f64::exp), 1.0),
        ("erf", worst(erf::<L>, erf_f64), 1.1),
        ("sigmoid", worst(sigmoid::<L>, sigmoid_f64), 2.4),
        ("tanh", worst(tanh::<L>, f64::tanh), 2.0),
    ] {
        assert!(error <= limit, "{name} is off by {error} units of the last place at {at:e}");
    }
}

#[test]
fn functions_are_right_to_the_last_places_with_fused_multiply_add() {
    assert_accurate::<Fused>();
}

#[test]
fn functions_are_right_to_the_last_places_without_it() {
    assert_accurate::<Portable>();
}

#[test]
fn limits_and_nan_come_out_exactly() {
    fn check<L: Level>() {
        assert_eq!(exp::<L>(0.0), 1.0);
        assert_eq!(exp::<L>(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp::<L>(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp::<L>(1e30), f32::INFINITY);
        assert!(exp::<L>(88.722).is_finite() && exp::<L>(88.723).is_infinite());
        assert!(exp::<L>(-103.2) > 0.0 && exp::<L>(-104.0) == 0.0);
        for sign in [1.0, -1.0] {
            assert_eq!(erf::<L>(sign * f32::INFINITY), sign);
            assert_eq!(tanh::<L>(sign * f32::INFINITY), sign);
            assert_eq!(erf::<L>(sign * 0.0).to_bits(), (sign * 0.0).to_bits());
        }
        assert_eq!((sigmoid::<L>(-200.0), sigmoid::<L>(200.0)), (0.0, 1.0));
        for f in [exp::<L>, erf::<L>, sigmoid::<L>, tanh::<L>] {
            assert!(f(f32::NAN).is_nan());
        }
    }
    check::<Portable>();
    check::<Fused>();
}
