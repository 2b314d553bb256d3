//! Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy
//! as 1, 2, 3", SC 2011).
//!
//! A number is a pure function of (seed, stream, index): nothing has to be saved to resume, and any
//! thread can make any part.

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// A stream of random numbers addressed by index.
#[derive(Clone, Copy, Debug)]
pub struct Philox {
    key: [u32; 2],
    stream: u64,
}

impl Philox {
    /// The stream number `stream` of `seed`. Different purposes use different streams.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self { key: [seed as u32, (seed >> 32) as u32], stream }
    }

    /// Four independent 32-bit numbers for `index`.
    #[must_use]
    pub fn block(&self, index: u64) -> [u32; 4] {
        let mut x =
            [index as u32, (index >> 32) as u32, self.stream as u32, (self.stream >> 32) as u32];
        let mut key = self.key;
        for _ in 0..10 {
            let a = u64::from(MULTIPLIERS[0]) * u64::from(x[0]);
            let b = u64::from(MULTIPLIERS[1]) * u64::from(x[2]);
            x = [
                (b >> 32) as u32 ^ x[1] ^ key[0],
                b as u32,
                (a >> 32) as u32 ^ x[3] ^ key[1],
                a as u32,
            ];
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        x
    }

    /// A number in `[0, 1)` with 53 random bits.
    #[must_use]
    pub fn uniform(&self, index: u64) -> f64 {
        let x = self.block(index);
        let bits = (u64::from(x[0]) << 32 | u64::from(x[1])) >> 11;
        bits as f64 / (1_u64 << 53) as f64
    }

    /// A standard normal number (Box-Muller).
    #[must_use]
    pub fn normal(&self, index: u64) -> f64 {
        let x = self.block(index);
        let unit = |high: u32, low: u32| {
            ((u64::from(high) << 32 | u64::from(low)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        let (u, v) = (1.0 - unit(x[0], x[1]), unit(x[2], x[3]));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers published with the Random123 library (kat_vectors, philox4x32 10).
    #[test]
    fn philox_gives_the_published_vectors() {
        assert_eq!(
            Philox::new(0, 0).block(0),
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        assert_eq!(
            Philox::new(u64::MAX, u64::MAX).block(u64::MAX),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let philox = Philox::new(7, 1);
        let n = 100_000;
        let values: Vec<f64> = (0..n).map(|i| philox.normal(i)).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }
}
