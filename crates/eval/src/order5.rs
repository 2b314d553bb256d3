//! An order-5 character model: the baseline that a trained model has to beat on held-out text.
//!
//! It predicts each character (Unicode scalar value) from the five before it by interpolated
//! modified Kneser-Ney smoothing (Chen and Goodman 1998, "An empirical study of smoothing
//! techniques for language modeling"), the strongest of the classical n-gram methods. With `h` the
//! last `k` characters, `h'` the last `k - 1`, and `a` the counts of order `k`,
//!
//! ```text
//! P_k(c | h) = max(a(hc) - D(a(hc)), 0) / a(h.)
//!            + (D1 N1(h) + D2 N2(h) + D3 N3(h)) / a(h.) P_k-1(c | h')
//! ```
//!
//! where `N1, N2, N3` count the characters seen once, twice, and three times or more after `h`, and
//! the discounts `D` come from the counts of counts of each order. A context never seen hands all
//! of its weight down. At order 5, and where the document begins, `a` counts occurrences; below,
//! it counts the different characters seen before `hc` (how *new* `c` is after `h`).
//!
//! Under order 0 lies a code for any character, also one never seen: its length in UTF-8 (1 to 4
//! bytes) in proportion to one more than the different characters of that length in training, then
//! all characters of that length alike. So every text has a finite code length and the
//! probabilities sum to exactly one over the 1,112,064 scalar values (a test adds them all up).
//!
//! Each document is coded on its own: a mark that is never predicted stands before it, no end is
//! coded, and nothing is learned from held-out text. Its bits are the sum of `-log2 P` over its
//! characters; bits per byte divide by its length in UTF-8.

/// Characters of context.
pub const ORDER: usize = 5;

/// Bits of a character in a packed sequence; a scalar value needs 21, and 6 x 21 fit in 128.
const WIDTH: u32 = 21;
/// Stands before a document; above every scalar value.
const START: u128 = 0x1F_FFFF;
/// Scalar values whose UTF-8 form has 1, 2, 3 and 4 bytes (without the 2,048 surrogates).
const SCALARS_BY_LENGTH: [u32; 4] = [128, 1_920, 61_440, 1_048_576];

/// What was seen after one context.
struct Context {
    /// The context's characters, packed, the last in the low bits.
    key: u128,
    /// Sum of the counts of everything seen after it.
    total: u64,
    /// The weight that goes down to the shorter context: the sum of all discounts taken.
    discounted: f64,
}

/// The counts of one context length.
struct Level {
    /// (context and next character packed, count), sorted.
    grams: Vec<(u128, u64)>,
    /// Sorted by key.
    contexts: Vec<Context>,
    /// Discounts of counts 1, 2, and 3 or more.
    discounts: [f64; 3],
}

/// A trained model; it does not change when it measures.
pub struct Order5 {
    /// By length of context, 0 to [`ORDER`].
    levels: Vec<Level>,
    /// Probability of a character's UTF-8 length, 1 to 4, divided by how many have that length.
    unseen: [f64; 4],
}

impl Order5 {
    /// Counts the documents of the training text.
    ///
    /// Takes time `O(n log n)` and about 200 bytes for each different sequence of six characters.
    pub fn train<'a>(documents: impl IntoIterator<Item = &'a str>) -> Self {
        let mut occurrences: [Vec<u128>; ORDER + 1] = Default::default();
        for document in documents {
            let mut history = START;
            let mut length = 1;
            for character in document.chars() {
                let gram = history << WIDTH | character as u128;
                occurrences[length].push(gram);
                (history, length) =
                    if length < ORDER { (gram, length + 1) } else { (last(gram, ORDER), ORDER) };
            }
        }
        let mut levels: Vec<Level> = Vec::with_capacity(ORDER + 1);
        for mut seen in occurrences.into_iter().rev() {
            let length = ORDER - levels.len();
            seen.sort_unstable();
            let mut grams = run_lengths(&seen);
            // What is longer, less its first character, counts once for each such character.
            let longer = levels.last().map_or(&[][..], |level| &level.grams);
            let mut shortened: Vec<u128> =
                longer.iter().map(|&(gram, _)| last(gram, length + 1)).collect();
            shortened.sort_unstable();
            grams.extend(run_lengths(&shortened));
            grams.sort_unstable();
            levels.push(Level::new(grams));
        }
        levels.reverse();
        let unseen = unseen_probabilities(&levels[0]);
        Self { levels, unseen }
    }

    /// Bits needed to code a document from its beginning.
    pub fn bits(&self, document: &str) -> f64 {
        let mut context = [START; ORDER];
        let mut length = 1;
        let mut bits = 0.0;
        for character in document.chars() {
            bits -= self.probability_after(&context[ORDER - length..], character).log2();
            context.rotate_left(1);
            context[ORDER - 1] = character as u128;
            length = (length + 1).min(ORDER);
        }
        bits
    }

    /// Bits per UTF-8 byte over all documents; `None` when they hold no byte.
    pub fn bits_per_byte<'a>(&self, documents: impl IntoIterator<Item = &'a str>) -> Option<f64> {
        let (mut bits, mut bytes) = (0.0, 0);
        for document in documents {
            bits += self.bits(document);
            bytes += document.len();
        }
        (bytes > 0).then(|| bits / bytes as f64)
    }

    /// Probability of `next` after the last characters of `before`, a document's beginning.
    #[cfg(test)]
    fn probability(&self, before: &str, next: char) -> f64 {
        let context: Vec<u128> =
            std::iter::once(START).chain(before.chars().map(|c| c as u128)).collect();
        self.probability_after(&context[context.len().saturating_sub(ORDER)..], next)
    }

    /// Mixes the orders from the shortest context to the longest.
    fn probability_after(&self, context: &[u128], next: char) -> f64 {
        let mut probability = self.unseen[next.len_utf8() - 1];
        let mut key = 0;
        for length in 0..=context.len() {
            if length > 0 {
                key |= context[context.len() - length] << (WIDTH * (length as u32 - 1));
            }
            match self.levels[length].mix(key, next as u128, probability) {
                Some(mixed) => probability = mixed,
                None => break, // a context never seen: no longer one was seen either
            }
        }
        probability
    }
}

impl Level {
    fn new(grams: Vec<(u128, u64)>) -> Self {
        let discounts = discounts(&grams);
        let mut contexts: Vec<Context> = Vec::new();
        for &(gram, count) in &grams {
            let key = gram >> WIDTH;
            if contexts.last().is_none_or(|context| context.key != key) {
                contexts.push(Context { key, total: 0, discounted: 0.0 });
            }
            if let Some(context) = contexts.last_mut() {
                context.total += count;
                context.discounted += discounts[(count.min(3) - 1) as usize];
            }
        }
        Self { grams, contexts, discounts }
    }

    /// Probability of `next` after the context `key`, given the one after the shorter context.
    fn mix(&self, key: u128, next: u128, shorter: f64) -> Option<f64> {
        let place = self.contexts.binary_search_by_key(&key, |context| context.key).ok()?;
        let context = &self.contexts[place];
        let count = match self.grams.binary_search_by_key(&(key << WIDTH | next), |&(gram, _)| gram)
        {
            Ok(place) => self.grams[place].1,
            Err(_) => 0,
        };
        let kept = match count {
            0 => 0.0,
            seen => seen as f64 - self.discounts[(seen.min(3) - 1) as usize],
        };
        Some((kept + context.discounted * shorter) / context.total as f64)
    }
}

/// The last `length` characters of a packed sequence.
fn last(gram: u128, length: usize) -> u128 {
    gram & ((1 << (WIDTH * length as u32)) - 1)
}

/// (value, how often) of a sorted list.
fn run_lengths(sorted: &[u128]) -> Vec<(u128, u64)> {
    sorted.chunk_by(|a, b| a == b).map(|run| (run[0], run.len() as u64)).collect()
}

/// Discounts of counts 1, 2, and 3 or more, from how many sequences have the counts 1 to 4.
///
/// The estimate needs each of the four; a text too small to have them gets 1/2, 1 and 3/2.
fn discounts(grams: &[(u128, u64)]) -> [f64; 3] {
    let mut with_count = [0.0; 4];
    for &(_, count) in grams {
        if let Some(seen) = with_count.get_mut(count as usize - 1) {
            *seen += 1.0;
        }
    }
    let [one, two, three, four] = with_count;
    let base = one / (one + 2.0 * two);
    let estimate = [
        1.0 - 2.0 * base * two / one,
        2.0 - 3.0 * base * three / two,
        3.0 - 4.0 * base * four / three,
    ];
    let sound = |(&discount, most): (&f64, f64)| discount > 0.0 && discount < most;
    if estimate.iter().zip([1.0, 2.0, 3.0]).all(sound) { estimate } else { [0.5, 1.0, 1.5] }
}

/// Probability of one character of each UTF-8 length when nothing else is known.
fn unseen_probabilities(unigrams: &Level) -> [f64; 4] {
    let mut different = [1.0; 4];
    for &(gram, _) in &unigrams.grams {
        if let Some(character) = char::from_u32(gram as u32) {
            different[character.len_utf8() - 1] += 1.0;
        }
    }
    let all: f64 = different.iter().sum();
    std::array::from_fn(|i| different[i] / all / f64::from(SCALARS_BY_LENGTH[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSES: &[&str] = &[
        "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer",
        "床前明月光，疑是地上霜。\n举头望明月，低头思故乡。",
        "春眠不觉晓，处处闻啼鸟。\n夜来风雨声，花落知多少。",
        "aaaaaaaaaaaaaaaaaaaabaaaaaaaaaaaaaaac",
    ];

    fn sum_over_all_characters(model: &Order5, before: &str) -> f64 {
        ('\0'..=char::MAX).map(|next| model.probability(before, next)).sum()
    }

    #[test]
    fn probabilities_sum_to_one_after_any_context() {
        let model = Order5::train(VERSES.iter().copied());
        for before in ["", "T", "To be", "举头望明", "never seen", "aaaaaaaa", "月光，疑是地上"]
        {
            let sum = sum_over_all_characters(&model, before);
            assert!((sum - 1.0).abs() < 1e-9, "after {before:?} the sum is {sum}");
        }
    }

    #[test]
    fn a_model_of_no_text_knows_only_lengths() {
        let model = Order5::train([]);
        assert_eq!(model.probability("", 'a'), 0.25 / 128.0);
        assert_eq!(model.probability("a", '月'), 0.25 / 61_440.0);
        assert!((sum_over_all_characters(&model, "") - 1.0).abs() < 1e-9);
    }

    #[test]
    fn every_text_has_a_finite_code_length() {
        let model = Order5::train(VERSES.iter().copied());
        for text in ["", "\0", "月", "🜁\u{10FFFF}", "Zwölf Boxkämpfer", "To be"] {
            let bits = model.bits(text);
            assert!(bits.is_finite() && bits >= 0.0, "{text:?} takes {bits} bits");
        }
    }

    #[test]
    fn bits_are_the_sum_of_the_characters_own() {
        let model = Order5::train(VERSES.iter().copied());
        let text = "举头望明月，a new line";
        let each: f64 = text
            .char_indices()
            .map(|(place, next)| -model.probability(&text[..place], next).log2())
            .sum();
        assert!((model.bits(text) - each).abs() < 1e-9, "{} against {each}", model.bits(text));
    }

    #[test]
    fn seen_text_is_cheaper_than_the_same_characters_in_another_order() {
        let model = Order5::train(VERSES.iter().copied());
        let shuffled: String = VERSES[0].chars().rev().collect();
        assert!(model.bits(VERSES[0]) * 2.0 < model.bits(&shuffled));
    }

    #[test]
    fn lower_orders_count_different_predecessors() {
        // `x` follows three different characters once each, `y` follows `q` three times.
        let text = "axbxcxqyqyqy";
        let model = Order5::train([text]);
        let count = |c: char| {
            let found = model.levels[0].grams.iter().find(|&&(gram, _)| gram == c as u128);
            found.map(|&(_, count)| count)
        };
        assert_eq!((count('x'), count('y')), (Some(3), Some(1)));
    }

    #[test]
    fn counts_match_the_definition_on_a_text_worked_by_hand() {
        // After "a": "b" twice; discounts of so small a text are 1/2, 1 and 3/2. The contexts of
        // full length are those that begin the documents, so their counts are occurrences.
        let model = Order5::train(["ab", "ab"]);
        let unseen = 3.0 / 6.0 / 128.0; // two different characters of one byte, and 1 + 1 + 1 + 1
        // Order 0: `a` was seen after {start}, `b` after {a}: one each.
        let order_0 = (0.5 + 1.0 * unseen) / 2.0;
        // Order 1, after the start: `a` twice; after "a": `b` after {start} only.
        let first = ((2.0 - 1.0) + 1.0 * order_0) / 2.0;
        let after_a = ((1.0 - 0.5) + 0.5 * order_0) / 1.0;
        // Order 2, after the start and "a": `b` twice.
        let second = ((2.0 - 1.0) + 1.0 * after_a) / 2.0;
        assert!((model.probability("", 'a') - first).abs() < 1e-15);
        assert!((model.probability("a", 'b') - second).abs() < 1e-15);
    }

    #[test]
    fn bits_per_byte_weighs_documents_by_their_bytes() {
        let model = Order5::train(VERSES.iter().copied());
        let texts = ["明月", "To be, or"];
        let bits = model.bits(texts[0]) + model.bits(texts[1]);
        assert_eq!(model.bits_per_byte(texts), Some(bits / 15.0));
        assert_eq!(model.bits_per_byte([""]), None);
    }
}
