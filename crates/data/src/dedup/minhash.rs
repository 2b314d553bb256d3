//! MinHash signatures (Broder 1997) in buckets for locality-sensitive hashing.
//!
//! A text is the set of its n-grams of words. Each of `buckets * hashes_per_bucket` hash functions
//! `(a * h + b) mod (2^61 - 1)`, with `a * h + b` wrapping at 2^64, keeps its least value over the
//! set; two texts agree in one of them with the probability of their Jaccard similarity `s`, and
//! in at least one whole bucket with `1 - (1 - s^hashes_per_bucket)^buckets`. The functions, and
//! XXH64 under them, are those of datatrove 0.10, so signatures are equal to its own.

use super::ngram_hashes;

/// 2^61 - 1, a Mersenne prime.
const PRIME: u64 = (1 << 61) - 1;

/// The hash functions.
#[derive(Clone, Debug)]
pub struct MinHash {
    factors: Vec<u64>,
    addends: Vec<u64>,
    ngram: usize,
}

impl MinHash {
    /// `count` functions, the same for the same `seed`, over n-grams of `ngram` words.
    pub fn new(count: usize, ngram: usize, seed: u32) -> Self {
        let mut generator = MersenneTwister::new(seed);
        let factors = (0..count).map(|_| generator.between(1, PRIME)).collect();
        let addends = (0..count).map(|_| generator.between(0, PRIME)).collect();
        Self { factors, addends, ngram }
    }

    /// The signature of a text's words: one value for each function; `None` where there are fewer
    /// words than make an n-gram.
    pub fn signature(&self, words: &[&str]) -> Option<Vec<u64>> {
        if words.len() < self.ngram {
            return None;
        }
        let hashes = ngram_hashes(words, self.ngram);
        let functions = self.factors.iter().zip(&self.addends);
        Some(functions.map(|(factor, addend)| least(*factor, *addend, &hashes)).collect())
    }
}

/// The least value of a function over `hashes`, of which there is one at least.
///
/// A sum `s` is `s mod 2^61` and at most 7 modulo the prime, so its value is above `least` where
/// `(s + 8) mod 2^61 > least + 8`. Eight times that is a product and a sum that wrap at 2^64, and
/// the division is left out for nearly all hashes.
fn least(factor: u64, addend: u64, hashes: &[u64]) -> u64 {
    let (factor_8, addend_8) = (factor << 3, (addend << 3).wrapping_add(8 << 3));
    let (mut least, mut limit) = (PRIME, u64::MAX);
    for hash in hashes {
        if factor_8.wrapping_mul(*hash).wrapping_add(addend_8) <= limit {
            least = least.min(factor.wrapping_mul(*hash).wrapping_add(addend) % PRIME);
            limit = if least < PRIME - 8 { (least + 8) << 3 } else { u64::MAX };
        }
    }
    least
}

/// MT19937 (Matsumoto and Nishimura 1998), from which NumPy's `RandomState` draws.
struct MersenneTwister {
    state: Vec<u32>,
    at: usize,
}

impl MersenneTwister {
    const LEN: usize = 624;

    fn new(seed: u32) -> Self {
        let mut state = vec![seed];
        for index in 1..Self::LEN as u32 {
            let last = state[index as usize - 1];
            state.push((last ^ last >> 30).wrapping_mul(1_812_433_253).wrapping_add(index));
        }
        Self { state, at: Self::LEN }
    }

    fn twist(&mut self) {
        for index in 0..Self::LEN {
            let next = self.state[(index + 1) % Self::LEN];
            let mixed = (self.state[index] & 0x8000_0000) | (next & 0x7fff_ffff);
            let odd = if mixed & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[index] = self.state[(index + 397) % Self::LEN] ^ mixed >> 1 ^ odd;
        }
        self.at = 0;
    }

    fn next_u32(&mut self) -> u32 {
        if self.at == Self::LEN {
            self.twist();
        }
        let mut value = self.state[self.at];
        self.at += 1;
        value ^= value >> 11;
        value ^= value << 7 & 0x9d2c_5680;
        value ^= value << 15 & 0xefc6_0000;
        value ^ value >> 18
    }

    /// A number from `low` to below `high`, as `RandomState.randint(low, high, dtype=uint64)`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        let range = high - 1 - low;
        let mask = u64::MAX >> range.leading_zeros();
        loop {
            let upper = u64::from(self.next_u32()) << 32;
            let value = (upper | u64::from(self.next_u32())) & mask;
            if value <= range {
                return low + value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use twox_hash::XxHash64;

    use super::*;

    /// numpy 2.4.6: `g = RandomState(1); g.randint(1, 2**61 - 1, dtype=uint64, size=112)` and
    /// then `g.randint(0, ..)`; xxhash 3: `xxh64_intdigest("a b c d e")`.
    #[test]
    fn the_functions_are_those_of_the_reference() {
        let hashes = MinHash::new(112, 5, 1);
        let (a, b) = (&hashes.factors, &hashes.addends);
        let start = [775_169_054_918_279_404, 1_758_426_461_858_698_313, 2_109_959_069_025_162];
        assert_eq!(a[..3], start);
        assert_eq!((a[111], b[0]), (223_865_076_026_037_746, 1_062_448_801_025_099_917));
        assert_eq!(b[111], 1_097_409_548_522_419_201);
        assert_eq!(XxHash64::oneshot(0, b"a b c d e"), 10_121_740_836_305_097_868);
    }

    #[test]
    fn values_are_remainders() {
        let hashes = MinHash::new(50, 1, 3);
        for words in [vec![""], vec!["x"], "道 可 道 非 常 道 a b c d e f g h".split(' ').collect()]
        {
            let hashed = words.iter().map(|word| XxHash64::oneshot(0, word.as_bytes()));
            let hashed: Vec<u64> = hashed.collect();
            let value = |a: &u64, b: &u64, hash: u64| a.wrapping_mul(hash).wrapping_add(*b) % PRIME;
            let expected: Vec<u64> = (hashes.factors.iter().zip(&hashes.addends))
                .filter_map(|(a, b)| hashed.iter().map(|&hash| value(a, b, hash)).min())
                .collect();
            assert_eq!(hashes.signature(&words), Some(expected));
        }
    }

    #[test]
    fn sums_about_multiples_of_the_prime_are_reduced_like_others() {
        let sums: Vec<u64> = (0..8_u64)
            .flat_map(|times| {
                let multiple = u128::from(times) * u128::from(PRIME);
                let near = (0..40).filter_map(move |near| (multiple + 20).checked_sub(near));
                near.filter_map(|sum| u64::try_from(sum).ok())
            })
            .collect();
        for (at, first) in sums.iter().enumerate() {
            for second in &sums[at..] {
                assert_eq!(least(1, 0, &[*first, *second]), (first % PRIME).min(second % PRIME));
            }
        }
    }

    #[test]
    fn the_order_and_number_of_ngrams_do_not_matter() {
        let hashes = MinHash::new(20, 2, 1);
        let ab = hashes.signature(&["a", "b", "a", "b", "a"]);
        assert_eq!(ab, hashes.signature(&["b", "a", "b"]));
        assert_ne!(ab, hashes.signature(&["a", "b"]));
        assert_eq!(hashes.signature(&["a"]), None, "no bigram in one word");
    }
}
