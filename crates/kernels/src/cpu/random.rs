//! Random numbers in bulk. Element `i` is a function of (seed, stream, `i`) alone; see
//! [`crate::rng`].

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::at_level;
use crate::cpu::lanes::LANES;
use crate::rng::Philox;
use crate::{Cpu, Element, bf16};

/// `out[i] = mean + deviation * N`, `N` the standard normal number [`Philox::normal`] of `i`.
pub fn fill_normal(cpu: &Cpu, philox: Philox, mean: f32, deviation: f32, out: &mut [f32]) {
    cpu.pool.for_each_chunk(out, CHUNK, |index, out| {
        for (i, out) in (index * CHUNK..).zip(out) {
            let normal = philox.normal(i as u64);
            *out = (f64::from(mean) + f64::from(deviation) * normal) as f32;
        }
    });
}

/// `out[i]` uniform in `[low, high)`, from [`Philox::uniform`] of `i`.
pub fn fill_uniform(cpu: &Cpu, philox: Philox, low: f32, high: f32, out: &mut [f32]) {
    let width = f64::from(high) - f64::from(low);
    cpu.pool.for_each_chunk(out, CHUNK, |index, out| {
        for (i, out) in (index * CHUNK..).zip(out) {
            let value = (f64::from(low) + width * philox.uniform(i as u64)) as f32;
            // Rounding to f32 may reach the upper end, which is not part of the interval.
            *out = if value < high { value } else { low };
        }
    });
}

/// `out = x`, each number rounded up or down at random so that the expected value is exact.
pub fn stochastic_round(cpu: &Cpu, seed: u64, stream: u64, x: &[f32], out: &mut [bf16]) {
    assert_eq!(x.len(), out.len(), "stochastic_round: lengths of x and out");
    for_each(cpu, &(read(x, CHUNK), write(out, CHUNK)), |index, (x, out)| {
        at_level!(cpu, L => {
            let tiles = x.chunks(NOISE_TILE).zip(out.chunks_mut(NOISE_TILE));
            for (tile, (x, out)) in tiles.enumerate() {
                let noise = noise_tile(seed, stream, index * (CHUNK / NOISE_TILE) + tile);
                for ((x, out), noise) in x.iter().zip(out).zip(noise) {
                    *out = round_stochastically(*x, noise);
                }
            }
        });
    });
}

/// Elements that draw their noise together: sixteen Philox blocks of eight 16-bit numbers.
pub(crate) const NOISE_TILE: usize = 8 * LANES;

/// The 16-bit random numbers of the elements `tile * 128 .. (tile + 1) * 128` of a stream, in an
/// order that vector registers like.
#[inline(always)]
pub(crate) fn noise_tile(seed: u64, stream: u64, tile: usize) -> [u32; NOISE_TILE] {
    let philox = Philox::new(seed, stream);
    let first = (tile * LANES) as u64;
    let [mut a, mut b, mut c, mut d] = [[0; LANES]; 4];
    // Written so that sixteen blocks are computed in the lanes of vector registers.
    for lane in 0..LANES {
        let block = philox.block(first + lane as u64);
        a[lane] = block[0];
        b[lane] = block[1];
        c[lane] = block[2];
        d[lane] = block[3];
    }
    let mut noise = [0; NOISE_TILE];
    let (low, high) = noise.split_at_mut(NOISE_TILE / 2);
    for ((low, high), word) in low.iter_mut().zip(high).zip([a, b, c, d].as_flattened()) {
        (*low, *high) = (word & 0xffff, word >> 16);
    }
    noise
}

/// Adds 16 random bits below the bits that stay, then cuts. Infinities stay, NaN stays quiet.
#[inline(always)]
pub(crate) fn round_stochastically(value: f32, noise: u32) -> bf16 {
    let rounded = bf16::from_bits((value.to_bits().wrapping_add(noise) >> 16) as u16);
    if value.is_finite() { rounded } else { <bf16 as Element>::from_f32(value) }
}
