//! The scales that lose least: what every quantiser here is made of.
//!
//! A group of numbers `x` with weights `w` becomes integers `q` within limits. For given `q` the
//! best scale is a weighted least-squares fit; for a given scale the best `q` is the nearest
//! integer. So each search tries some scales around the obvious one, rounds, fits, and keeps what
//! loses least. (The idea is that of llama.cpp's k-quants,
//! <https://github.com/ggml-org/llama.cpp/pull/1684>.)

use crate::Simd;
#[cfg(target_arch = "x86_64")]
use crate::cpu::dispatch::{with_avx2, with_avx512};

/// A group whose numbers are all smaller is zero: their scale would be no f16.
const ZERO: f32 = 1e-15;
/// Levels whose variance is a smaller part of their mean square than this are all the same: what
/// is left of the difference is rounding.
const SAME_LEVELS: f32 = 1e-4;
/// Numbers that a vector holds; sums are kept in as many parts.
const LANES: usize = 8;

/// The nearest integer, ties to even, of a number below 2^22 in magnitude. Two additions, so that
/// loops vectorise on every CPU.
#[inline(always)]
pub(super) fn nearest(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC) - MAGIC
}

/// The nearest integer within limits; of NaN, the lower limit.
#[inline(always)]
pub(super) fn clamped(x: f32, least: f32, most: f32) -> f32 {
    // Comparisons, not `f32::max`, whose rule for NaN costs more instructions.
    let above = if x > least { x } else { least };
    nearest(if above < most { above } else { most })
}

/// The mean of the squares.
#[inline(always)]
pub(super) fn mean_square(x: &[f32]) -> f32 {
    x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32
}

/// Weights of a group's errors: importance, where it is known, and size, since large weights
/// matter more. `around` is the mean square of the numbers around.
#[inline(always)]
pub(super) fn weights<const N: usize>(
    x: &[f32; N],
    importance: Option<&[f32; N]>,
    around: f32,
) -> [f32; N] {
    match importance {
        Some(importance) => {
            std::array::from_fn(|i| importance[i] * (2.0 * around + x[i] * x[i]).sqrt())
        }
        None => std::array::from_fn(|i| around.sqrt() + x[i].abs()),
    }
}

/// Weighted sums over a group.
struct Sums {
    wq: f32,
    wqq: f32,
    wxq: f32,
}

/// The sums for levels that are computed on the way. `N` is a multiple of eight.
#[inline(always)]
fn sums<const N: usize>(x: &[f32; N], w: &[f32; N], level: impl Fn(f32) -> f32) -> Sums {
    let (mut wq, mut wqq, mut wxq) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let q = level(x[lane]);
            let weighted = w[lane] * q;
            wq[lane] += weighted;
            wqq[lane] += weighted * q;
            wxq[lane] += weighted * x[lane];
        }
    }
    let [wq, wqq, wxq] = totals([wq, wqq, wxq]);
    Sums { wq, wqq, wxq }
}

/// The sum of the lanes of each array, pair by pair: the same additions on every CPU. Out of line,
/// since a compiler that sees it lays out the lanes of the loops above for this instead of for
/// speed.
#[inline(never)]
fn totals<const M: usize>(sums: [[f32; LANES]; M]) -> [f32; M] {
    sums.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
}

/// Runs a search compiled for this CPU. It multiplies and adds apart and in a fixed order, so every
/// level gives the same bits; all closures in it must be `#[inline(always)]`.
#[inline(always)]
pub(super) fn at_best_level<R>(search: impl FnOnce() -> R) -> R {
    match crate::simd::detect() {
        #[cfg(target_arch = "x86_64")]
        Simd::Avx512 | Simd::Avx512Bf16 => with_avx512(search),
        #[cfg(target_arch = "x86_64")]
        Simd::Avx2 => with_avx2(search),
        _ => search(),
    }
}

/// The first number of the greatest magnitude.
#[inline(always)]
pub(super) fn extreme<const N: usize>(x: &[f32; N]) -> f32 {
    let mut lanes = [0.0; LANES];
    for x in x.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            let size = x[lane].abs();
            lanes[lane] = if size > lanes[lane] { size } else { lanes[lane] };
        }
    }
    let most = greatest(lanes);
    x.iter().copied().find(|x| x.abs() == most).unwrap_or(0.0)
}

/// The greatest lane. Out of line, as [`totals`].
#[inline(never)]
fn greatest(lanes: [f32; LANES]) -> f32 {
    lanes.into_iter().fold(f32::NEG_INFINITY, |most, x| if x > most { x } else { most })
}

/// The least and the greatest number.
#[inline(always)]
pub(super) fn bounds<const N: usize>(x: &[f32; N]) -> (f32, f32) {
    let (mut low, mut high) = ([f32::NEG_INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
    for x in x.as_chunks::<LANES>().0 {
        for lane in 0..LANES {
            low[lane] = if -x[lane] > low[lane] { -x[lane] } else { low[lane] };
            high[lane] = if x[lane] > high[lane] { x[lane] } else { high[lane] };
        }
    }
    (-greatest(low), greatest(high))
}

/// The scale `d` with which `d * q` is nearest to `x`, where `level` gives q for a scaled number;
/// `inverses` are the factors to try.
#[inline(always)]
pub(super) fn best_scale<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    inverses: impl Iterator<Item = f32>,
    level: impl Fn(f32) -> f32,
) -> f32 {
    at_best_level(
        #[inline(always)]
        || {
            let (mut scale, mut best) = (0.0, 0.0);
            for inverse in inverses {
                let Sums { wqq, wxq, .. } = sums(
                    x,
                    w,
                    #[inline(always)]
                    |x| level(inverse * x),
                );
                // The fitted scale is wxq / wqq, and it takes wxq^2 / wqq off the loss.
                if wqq > 0.0 && wxq * wxq > best * wqq {
                    scale = wxq / wqq;
                    best = scale * wxq;
                }
            }
            scale
        },
    )
}

/// The scale, of either sign, for q from `-most` to `most - 1`; 0 when `x` is zero.
pub(super) fn signed_scale<const N: usize>(x: &[f32; N], w: &[f32; N], most: f32) -> f32 {
    let extreme = extreme(x);
    if extreme.abs() < ZERO {
        return 0.0;
    }
    // The limit that reaches further is the negative one, so the extreme goes there.
    let inverses = (-9..=9_i8).map(|step| -(most + 0.1 * f32::from(step)) / extreme);
    best_scale(
        x,
        w,
        inverses,
        #[inline(always)]
        |x| clamped(x, -most, most - 1.0),
    )
}

/// The scale for q from 0 to `most`; 0 when `x`, which is not negative, is zero.
pub(super) fn positive_scale<const N: usize>(x: &[f32; N], w: &[f32; N], most: f32) -> f32 {
    let extreme = extreme(x);
    if extreme < ZERO {
        return 0.0;
    }
    let inverses = (-4..=4_i8).map(|step| (most + 0.1 * f32::from(step)) / extreme);
    best_scale(
        x,
        w,
        inverses,
        #[inline(always)]
        |x| clamped(x, 0.0, most),
    )
}

/// Scale `d` and minimum `m`, neither negative, with which `d * q - m`, q from 0 to `most`, is
/// nearest to `x`.
pub(super) fn scale_and_minimum<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    most: f32,
) -> (f32, f32) {
    at_best_level(
        #[inline(always)]
        || search_scale_and_minimum(x, w, most),
    )
}

#[inline(always)]
fn search_scale_and_minimum<const N: usize>(x: &[f32; N], w: &[f32; N], most: f32) -> (f32, f32) {
    let (lowest, highest) = bounds(x);
    let lowest = lowest.min(0.0);
    let range = highest - lowest;
    if range < ZERO {
        return (0.0, -lowest);
    }
    let Sums { wq: sum_w, wxq: sum_wx, .. } = sums(
        x,
        w,
        #[inline(always)]
        |_| 1.0,
    );
    let (mut best, mut least) = ((range / most, lowest), f32::INFINITY);
    // First the levels count from the lowest number, then from the best minimum so far. Within a
    // round no step waits for the one before.
    for _ in 0..2 {
        let from = best.1;
        for step in -6..=6_i8 {
            let inverse = (most + 0.15 * f32::from(step)) / range;
            let sums = sums(
                x,
                w,
                #[inline(always)]
                |x| clamped(inverse * (x - from), 0.0, most),
            );
            let (line, loss) = sums.line(sum_w, sum_wx);
            if loss < least {
                (best, least) = (line, loss);
            }
        }
    }
    (best.0, -best.1)
}

impl Sums {
    /// The `(d, offset)`, offset not positive, with which `d * q + offset` is nearest to `x`, and
    /// the weighted squared error of it, less that of zero.
    #[inline(always)]
    fn line(&self, sum_w: f32, sum_wx: f32) -> ((f32, f32), f32) {
        let Self { wq, wqq, wxq } = *self;
        let determinant = sum_w * wqq - wq * wq;
        let mut d = (sum_w * wxq - sum_wx * wq) / determinant;
        let mut offset = (wqq * sum_wx - wq * wxq) / determinant;
        // Where all levels are (almost) equal there is no line through them but that through zero.
        if determinant <= SAME_LEVELS * sum_w * wqq || offset > 0.0 {
            (d, offset) = (wxq / wqq, 0.0);
        }
        let loss =
            d * (d * wqq + 2.0 * (offset * wq - wxq)) + offset * (offset * sum_w - 2.0 * sum_wx);
        // NaN, where all levels are zero, is never less.
        ((d, offset), loss)
    }
}

/// The weighted squared error of `d * q - m` with the best q from 0 to `most`.
#[inline(always)]
pub(super) fn loss<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    (d, m): (f32, f32),
    most: f32,
) -> f32 {
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    let mut lanes = [0.0; LANES];
    for (x, w) in x.as_chunks::<LANES>().0.iter().zip(w.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            let error = d * clamped((x[lane] + m) * inverse, 0.0, most) - m - x[lane];
            lanes[lane] += w[lane] * error * error;
        }
    }
    totals([lanes])[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_a_grid_are_found_exactly() {
        let w = [1.0; 32];
        let x: [f32; 32] = std::array::from_fn(|i| 0.25 * (i as f32 % 16.0) - 1.5);
        let (d, m) = scale_and_minimum(&x, &w, 15.0);
        assert!((d - 0.25).abs() < 1e-5 && (m - 1.5).abs() < 1e-4, "{d} {m}");
        let x: [f32; 32] = std::array::from_fn(|i| 0.5 * (i as f32 % 16.0 - 8.0));
        assert!((signed_scale(&x, &w, 8.0) - 0.5).abs() < 1e-5);
        assert!((signed_scale(&x.map(|x| -x), &w, 8.0) + 0.5).abs() < 1e-5);
    }

    #[test]
    fn what_is_zero_or_has_no_weight_has_no_scale() {
        assert_eq!(signed_scale(&[0.0; 16], &[1.0; 16], 8.0), 0.0);
        assert_eq!(scale_and_minimum(&[0.0; 16], &[1.0; 16], 15.0), (0.0, 0.0));
        assert_eq!(signed_scale(&[1.0; 16], &[0.0; 16], 8.0), 0.0);
        let (d, m) = scale_and_minimum(&[-2.0; 16], &[0.0; 16], 15.0);
        assert!(d.is_finite() && m.is_finite());
    }

    #[test]
    fn the_nearest_integer_is_that_of_the_language() {
        for i in -4000..4000 {
            let x = i as f32 * 0.125;
            assert_eq!(nearest(x), x.round_ties_even(), "{x}");
        }
    }
}
