//! Random numbers in bulk. Element `i` is a function of (seed, stream, `i`) alone; see
//! [`crate::rng`].

use crate::cpu::chunks::{CHUNK, for_each, read, write};
use crate::cpu::dispatch::at_level;
use crate::cpu::lanes::LANES;
use crate::rng::Philox;
use crate::{Cpu, Element, bf16};

/// Random words of one call of [`blocks`]: sixteen blocks of four.
const WORDS: usize = 4 * LANES;

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
            let tiles = x.chunks(WORDS).zip(out.chunks_mut(WORDS));
            for (tile, (x, out)) in tiles.enumerate() {
                let noise = blocks(seed, stream, ((index * CHUNK + tile * WORDS) / 4) as u64);
                for ((x, out), noise) in x.iter().zip(out).zip(noise) {
                    *out = round_stochastically(*x, noise & 0xffff);
                }
            }
        });
    });
}

/// The words of the Philox blocks `first .. first + 16` of a stream, in an order that vector
/// registers like: word `w` of block `b` is element `16 w + b`.
#[inline(always)]
pub(crate) fn blocks(seed: u64, stream: u64, first: u64) -> [u32; WORDS] {
    let philox = Philox::new(seed, stream);
    let mut words = [0; WORDS];
    for b in 0..LANES {
        let block = philox.block(first + b as u64);
        for w in 0..4 {
            words[w * LANES + b] = block[w];
        }
    }
    words
}

/// Adds 16 random bits below the bits that stay, then cuts. Infinities stay, NaN stays quiet.
#[inline(always)]
pub(crate) fn round_stochastically(value: f32, noise: u32) -> bf16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(noise) >> 16;
    let kept = <bf16 as Element>::from_f32(value);
    if value.is_finite() { bf16::from_bits(rounded as u16) } else { kept }
}
