//! All ways to cut a word into tokens: how often each token is expected in them, and the best way.

use super::trie::Trie;

/// Numbers below 2^-`STEP` are kept 2^`STEP` times as large, with a note of it.
const STEP: i32 = 128;

/// A positive number that may be far too small for its type: `mantissa * 2^-(STEP * steps)`.
#[derive(Clone, Copy)]
struct Small {
    mantissa: f64,
    steps: i32,
}

const ZERO: Small = Small { mantissa: 0.0, steps: 0 };
const ONE: Small = Small { mantissa: 1.0, steps: 0 };

/// 2 to the power of `STEP * steps`; 0 or infinity where that is beyond the type.
fn power(steps: i32) -> f64 {
    2_f64.powi((STEP * steps).clamp(-2000, 2000))
}

impl Small {
    fn add(&mut self, other: Self) {
        if self.mantissa == 0.0 {
            *self = other;
        } else if self.steps == other.steps {
            self.mantissa += other.mantissa;
        } else if other.steps > self.steps {
            self.mantissa += other.mantissa * power(self.steps - other.steps);
        } else {
            self.mantissa = other.mantissa + self.mantissa * power(other.steps - self.steps);
            self.steps = other.steps;
        }
    }

    fn times(self, factor: f64) -> Self {
        let mut product = Self { mantissa: self.mantissa * factor, steps: self.steps };
        while product.mantissa > 0.0 && product.mantissa < power(-1) {
            product.mantissa *= power(1);
            product.steps += 1;
        }
        product
    }
}

struct Edge {
    start: u32,
    end: u32,
    token: u32,
}

/// Memory that is used for one word after the other.
#[derive(Default)]
pub(super) struct Lattice {
    edges: Vec<Edge>,
    before: Vec<Small>,
    after: Vec<Small>,
    best: Vec<(f64, u32, u32)>,
}

impl Lattice {
    /// Adds to `expected` how often each token occurs in `word`, on average over all ways to cut
    /// it, each as likely as the product of its tokens' `probabilities`, `count` times.
    pub(super) fn expect(
        &mut self,
        trie: &Trie,
        probabilities: &[f64],
        (word, count): (&[u8], f64),
        expected: &mut [f64],
    ) {
        let Self { edges, before, after, .. } = self;
        edges.clear();
        before.clear();
        before.resize(word.len() + 1, ZERO);
        before[0] = ONE;
        for start in 0..word.len() {
            let here = before[start];
            if here.mantissa == 0.0 {
                continue;
            }
            trie.each(word, start, |token, end| {
                edges.push(Edge { start: start as u32, end: end as u32, token });
                before[end].add(here.times(probabilities[token as usize]));
            });
        }
        let all = before[word.len()];
        after.clear();
        after.resize(word.len() + 1, ZERO);
        after[word.len()] = ONE;
        for edge in edges.iter().rev() {
            let (start, end, token) = (edge.start as usize, edge.end as usize, edge.token as usize);
            let rest = after[end].times(probabilities[token]);
            let share = before[start].mantissa * rest.mantissa / all.mantissa;
            let steps = all.steps - before[start].steps - rest.steps;
            expected[token] += count * if steps == 0 { share } else { share * power(steps) };
            after[start].add(rest);
        }
    }

    /// The likeliest way to cut `word`, as tokens from its end to its beginning, without `without`.
    pub(super) fn best(
        &mut self,
        trie: &Trie,
        logarithms: &[f64],
        word: &[u8],
        without: Option<u32>,
        mut take: impl FnMut(u32),
    ) {
        const UNREACHED: (f64, u32, u32) = (f64::NEG_INFINITY, 0, 0);
        let best = &mut self.best;
        best.clear();
        best.resize(word.len() + 1, UNREACHED);
        best[0].0 = 0.0;
        for start in 0..word.len() {
            let (here, ..) = best[start];
            if here == f64::NEG_INFINITY {
                continue;
            }
            trie.each(word, start, |token, end| {
                let score = here + logarithms[token as usize];
                if score > best[end].0 && Some(token) != without {
                    best[end] = (score, start as u32, token);
                }
            });
        }
        let mut end = word.len();
        while end > 0 && best[end].0 > f64::NEG_INFINITY {
            let (_, start, token) = best[end];
            take(token);
            end = start as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_and_best_ways_are_those_of_all_ways_written_out() {
        let tokens: [&[u8]; 4] = [b"a", b"b", b"ab", b"ba"];
        let trie = Trie::new(tokens.into_iter());
        let p = [0.4, 0.3, 0.2, 0.1];
        // aba: a b a = .048, ab a = .08, a ba = .04
        let mut expected = [0.0; 4];
        let mut lattice = Lattice::default();
        lattice.expect(&trie, &p, (b"aba", 2.0), &mut expected);
        let all = 0.048 + 0.08 + 0.04;
        let by_hand =
            [2.0 * 0.048 + 0.08 + 0.04, 0.048, 0.08, 0.04].map(|sum: f64| 2.0 * sum / all);
        for (found, sum) in expected.iter().zip(by_hand) {
            assert!((found - sum).abs() < 1e-12, "{expected:?}, not {by_hand:?}");
        }
        let logarithms = p.map(f64::ln);
        let mut cut = |without| {
            let mut tokens = Vec::new();
            lattice.best(&trie, &logarithms, b"aba", without, |token| tokens.push(token));
            tokens
        };
        assert_eq!((cut(None), cut(Some(2))), (vec![0, 2], vec![0, 1, 0]));
    }

    #[test]
    fn a_very_long_word_neither_vanishes_nor_overflows() {
        let tokens: [&[u8]; 3] = [b"a", b"b", b"ab"];
        let trie = Trie::new(tokens.into_iter());
        let word = b"ab".repeat(5000);
        let mut expected = [0.0; 3];
        Lattice::default().expect(&trie, &[1e-5, 1e-4, 1e-9], (&word, 1.0), &mut expected);
        assert!((expected[0] - 2500.0).abs() < 1e-6, "{expected:?}");
        assert!((expected[2] - 2500.0).abs() < 1e-6, "{expected:?}");
    }
}
