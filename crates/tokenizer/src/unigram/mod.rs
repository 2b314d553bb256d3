//! Learning a Unigram vocabulary (Kudo 2018, arXiv:1804.10959) from counted words.
//!
//! Every token has a probability; a word is cut in the likeliest way. Learning begins with many
//! tokens ([`seeds`]) and, in turns, makes the text likelier (expectation maximisation over all
//! ways to cut it, [`lattice`]) and drops the tokens without which the text loses least, until as
//! many are left as were asked for. The 256 single bytes are never dropped, so that any text has a
//! way.
//!
//! Sums are those of fixed shares of the words, added in their order: the same words give the same
//! tokens on any number of threads.

mod lattice;
mod seeds;
mod trie;

use crate::parallel;
use lattice::Lattice;
use seeds::seeds;
use trie::Trie;

/// Tokens to begin with, for each that is asked for.
const SEEDS: usize = 10;
/// Rounds of expectation maximisation between two droppings.
const ROUNDS: usize = 2;
/// Share of the tokens that a dropping leaves.
const LEFT: f64 = 0.75;
/// Tokens that are left before the last selection, for each that is asked for.
const BEFORE_LAST: f64 = 1.1;
/// A token that is expected less often is dropped.
const LEAST: f64 = 0.5;
/// The words are shared out in so many parts, whatever the number of threads.
const PARTS: usize = 16;

/// Different words with their counts.
#[derive(Default)]
pub(crate) struct Words {
    bytes: Vec<u8>,
    /// Where each word ends, and how often it occurs.
    spans: Vec<(usize, u64)>,
}

impl Words {
    pub(crate) fn push(&mut self, word: &[u8], count: u64) {
        self.bytes.extend_from_slice(word);
        self.spans.push((self.bytes.len(), count));
    }

    /// Bytes of memory that learning from so many words of so many bytes takes, about.
    pub(crate) fn learning_bytes(words: usize, bytes: usize, vocab_size: usize) -> usize {
        words * 24 + bytes * 48 + vocab_size * SEEDS * (PARTS + 8) * 8
    }

    /// The words in [`PARTS`] of about the same size.
    fn parts(&self) -> Vec<std::ops::Range<usize>> {
        let at = |part: usize| {
            let place = self.bytes.len() / PARTS * part;
            self.spans.partition_point(|&(end, _)| end <= place)
        };
        (0..PARTS)
            .map(|part| at(part)..if part + 1 < PARTS { at(part + 1) } else { self.spans.len() })
            .collect()
    }

    fn word(&self, index: usize) -> (&[u8], f64) {
        let start = index.checked_sub(1).map_or(0, |before| self.spans[before].0);
        let (end, count) = self.spans[index];
        (&self.bytes[start..end], count as f64)
    }
}

/// Tokens with what belongs to each; the single bytes come first.
struct Tokens {
    bytes: Vec<Vec<u8>>,
    probabilities: Vec<f64>,
}

/// Learns `size` tokens, the 256 single bytes among them, each with the natural logarithm of its
/// probability, the likeliest first. There may be fewer where the words do not have as many.
pub(crate) fn learn(words: &Words, size: usize) -> Vec<(Vec<u8>, f64)> {
    let mut tokens: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    tokens.extend(seeds(words, size * SEEDS));
    let even = 1.0 / tokens.len() as f64;
    let mut tokens = Tokens { probabilities: vec![even; tokens.len()], bytes: tokens };
    let enough = (size as f64 * BEFORE_LAST) as usize;
    loop {
        for _ in 0..ROUNDS {
            tokens = improve(words, tokens);
        }
        if tokens.bytes.len() <= enough {
            break;
        }
        let left = enough.max((tokens.bytes.len() as f64 * LEFT) as usize);
        tokens = drop_least(words, tokens, left);
    }
    let mut order: Vec<usize> = (0..tokens.bytes.len()).collect();
    let single = |index: &usize| *index >= 256;
    order.sort_by(|a, b| {
        let likelier = tokens.probabilities[*b].total_cmp(&tokens.probabilities[*a]);
        single(a).cmp(&single(b)).then(likelier).then(a.cmp(b))
    });
    order.truncate(size);
    order.sort_by(|a, b| tokens.probabilities[*b].total_cmp(&tokens.probabilities[*a]));
    // Rounded, so that no last digit hangs on the machine's logarithm.
    let logarithm = |p: f64| (p.ln() * 1e6).round() / 1e6;
    order
        .into_iter()
        .map(|index| (tokens.bytes[index].clone(), logarithm(tokens.probabilities[index])))
        .collect()
}

/// Adds up what `work` adds for each word to one number a token.
fn add_up(
    words: &Words,
    tokens: usize,
    work: impl Fn(&mut Lattice, (&[u8], f64), &mut [f64]) + Sync,
) -> Vec<f64> {
    let parts = parallel::map(&words.parts(), |part| {
        let (mut lattice, mut sums) = (Lattice::default(), vec![0.0; tokens]);
        for index in part.clone() {
            work(&mut lattice, words.word(index), &mut sums);
        }
        sums
    });
    parts.into_iter().fold(vec![0.0; tokens], |mut sums, part| {
        sums.iter_mut().zip(part).for_each(|(sum, more)| *sum += more);
        sums
    })
}

/// One round of expectation maximisation.
fn improve(words: &Words, tokens: Tokens) -> Tokens {
    let Tokens { bytes, probabilities } = tokens;
    let trie = Trie::new(bytes.iter().map(Vec::as_slice));
    let expected = add_up(words, bytes.len(), |lattice, word, sums| {
        lattice.expect(&trie, &probabilities, word, sums);
    });
    let mut kept = Tokens { bytes: Vec::new(), probabilities: Vec::new() };
    for ((token, expected), index) in bytes.into_iter().zip(expected).zip(0..) {
        if index < 256 || expected >= LEAST {
            kept.bytes.push(token);
            kept.probabilities.push(lessened(expected.max(LEAST)));
        }
    }
    let sum: f64 = kept.probabilities.iter().sum();
    kept.probabilities.iter_mut().for_each(|p| *p /= sum);
    kept
}

/// `exp(digamma(x))` but for a part in a thousand: about half less than `x`. It makes rare tokens
/// rarer, as a sparse prior on the probabilities does.
fn lessened(x: f64) -> f64 {
    let next = x + 1.0;
    // exp(digamma(x)) = exp(digamma(x + 1)) exp(-1 / x), which is near 0 where x is small.
    let above = next - 0.5 + 1.0 / (24.0 * next);
    let direct = x - 0.5 + 1.0 / (24.0 * x);
    if x >= 2.0 { direct } else { above * (-1.0 / x).exp() }
}

/// Leaves `left` tokens: those without which the text would be less likely.
fn drop_least(words: &Words, tokens: Tokens, left: usize) -> Tokens {
    let Tokens { bytes, probabilities } = tokens;
    let trie = Trie::new(bytes.iter().map(Vec::as_slice));
    let logarithms: Vec<f64> = probabilities.iter().map(|p| p.ln()).collect();
    let used = add_up(words, bytes.len(), |lattice, (word, count), sums| {
        lattice.best(&trie, &logarithms, word, None, |token| sums[token as usize] += count);
    });
    let all: f64 = used.iter().sum();
    let mut lattice = Lattice::default();
    let mut losses: Vec<(f64, usize)> = Vec::with_capacity(bytes.len());
    for (index, token) in bytes.iter().enumerate() {
        let mut instead = Vec::new();
        lattice.best(&trie, &logarithms, token, Some(index as u32), |other| instead.push(other));
        let loss = if index < 256 {
            f64::INFINITY
        } else if used[index] == 0.0 {
            0.0
        } else {
            // What stands in for the token is then as much likelier as it occurs more often.
            let more = all + used[index] * (instead.len() as f64 - 1.0);
            let others = instead.iter().map(|&other| (used[other as usize] + used[index]) / more);
            let others: f64 = others.map(f64::ln).sum();
            used[index] * ((used[index] / all).ln() - others)
        };
        losses.push((loss, index));
    }
    losses.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    losses.truncate(left);
    let mut kept: Vec<usize> = losses.into_iter().map(|(_, index)| index).collect();
    kept.sort_unstable();
    Tokens {
        bytes: kept.iter().map(|&index| bytes[index].clone()).collect(),
        probabilities: kept.iter().map(|&index| probabilities[index]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_are_common_become_tokens_and_parts_of_them_do_not() {
        let mut words = Words::default();
        for (word, count) in [
            (" the", 500_u64),
            (" then", 90),
            (" other", 80),
            ("中国", 300),
            ("中国人", 60),
            (" xq", 1),
            ("国", 20),
            ("人", 30),
        ] {
            words.push(word.as_bytes(), count);
        }
        let learned = learn(&words, 262);
        assert_eq!(learned.len(), 262);
        assert!(learned.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        let has = |token: &str| learned.iter().any(|(bytes, _)| bytes == token.as_bytes());
        assert!(has(" the") && has("中国") && !has(" th") && !has("he"), "{learned:?}");
        for byte in 0..=255_u8 {
            assert!(learned.iter().any(|(bytes, _)| *bytes == [byte]), "{byte}");
        }
        let all: f64 = learned.iter().map(|(_, logarithm)| logarithm.exp()).sum();
        assert!(all > 0.5 && all < 1.001, "{all}");
    }
}
