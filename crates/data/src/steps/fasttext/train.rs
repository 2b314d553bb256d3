//! Training of a classifier: the softmax of fastText's `supervised`, by the same updates.
//!
//! Words are counted and features found on all threads; the updates are made one document after
//! the other, in an order drawn for each epoch, so the model is the same for any number of threads.

use std::num::NonZero;
use std::thread::{available_parallelism, scope};

use super::dictionary::{Counted, Dictionary, END, words};
use super::loss::{Loss, softmax};
use super::matrix::Matrix;
use super::read::CLASSIFIER;
use super::{Classifier, LABEL_PREFIX, Settings};
use crate::steps::words::HashMap;
use crate::{Error, Result};

/// fastText's number for the softmax over all labels.
const SOFTMAX: i32 = 3;

/// How a classifier is trained.
#[derive(Clone, Debug)]
pub struct Training {
    /// Passes over the documents.
    pub epochs: u32,
    /// Learning rate at the beginning; it falls to nothing in a straight line.
    pub rate: f32,
    /// Width of the rows.
    pub columns: u32,
    /// Words of the longest n-gram; 1 for words alone.
    pub word_ngrams: u32,
    /// Characters of the shortest and the longest n-gram within a word; 0 and 0 for none. Text
    /// without blanks between words, such as Chinese, needs them.
    pub char_ngrams: [u32; 2],
    /// Rows for hashes of n-grams.
    pub buckets: u32,
    /// Words that come less often have no row of their own.
    pub min_count: u32,
    /// Of the first weights and of the order of documents.
    pub seed: u64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epochs: 5,
            rate: 0.5,
            columns: 16,
            word_ngrams: 2,
            char_ngrams: [0, 0],
            buckets: 500_000,
            min_count: 2,
            seed: 1,
        }
    }
}

impl Training {
    /// The settings as a model has them.
    ///
    /// # Errors
    /// What cannot work, and what would.
    fn settings(&self) -> Result<Settings> {
        let [least, most] = self.char_ngrams;
        let limits = [
            ("epochs", u64::from(self.epochs), 1..=1000),
            ("columns", u64::from(self.columns), 1..=4096),
            ("word_ngrams", u64::from(self.word_ngrams), 1..=10),
            ("char_ngrams", u64::from(most), u64::from(least)..=20),
            ("buckets", u64::from(self.buckets), 1..=100_000_000),
            ("min_count", u64::from(self.min_count), 1..=1_000_000),
        ];
        for (name, value, accepted) in limits {
            if !accepted.contains(&value) {
                let (low, high) = (accepted.start(), accepted.end());
                let expected = format!("{name} = {value}: expected {low} to {high}");
                return Err(Error::Training(expected));
            }
        }
        if !(self.rate > 0.0 && self.rate <= 10.0) {
            let found = format!("rate = {}: expected more than 0 and at most 10", self.rate);
            return Err(Error::Training(found));
        }
        Ok(Settings {
            columns: self.columns as i32,
            window: 5,
            epochs: self.epochs as i32,
            min_count: self.min_count as i32,
            negatives: 5,
            word_ngrams: self.word_ngrams as i32,
            loss: SOFTMAX,
            model: CLASSIFIER,
            buckets: self.buckets as i32,
            min_chars: least as i32,
            max_chars: most as i32,
            update_rate: 100,
            threshold: 1e-4,
        })
    }

    /// Trains on `documents`, each a text with the number of its label in `labels`. The texts'
    /// features stay in memory: four bytes for each word and n-gram.
    ///
    /// # Errors
    /// [`Error::Training`] for settings that cannot work and a label without documents.
    pub fn train(&self, labels: &[&str], documents: &[(usize, String)]) -> Result<Classifier> {
        let settings = self.settings()?;
        let mut names: Vec<(i64, usize)> = (0..labels.len())
            .map(|label| (documents.iter().filter(|(of, _)| *of == label).count() as i64, label))
            .collect();
        if let Some((_, label)) = names.iter().find(|(count, _)| *count == 0) {
            return Err(Error::Training(format!("no document has the label {}", labels[*label])));
        }
        // The most frequent first, as fastText has it.
        names.sort_by_key(|&(count, label)| (-count, label));
        let (entries, tokens) = count(documents, i64::from(self.min_count));
        let words = entries.len();
        let rows = names.iter().map(|&(count, label)| {
            (format!("{LABEL_PREFIX}{}", labels[label]).into_bytes(), count)
        });
        let entries: Vec<Counted> = entries.into_iter().chain(rows).collect();
        let named = names.iter().map(|&(_, label)| labels[label].to_owned()).collect();
        let dictionary = Dictionary::new(&entries, named, tokens, None);
        let hashed = self.word_ngrams > 1 || settings.max_chars > 0;
        let rows = words + if hashed { self.buckets as usize } else { 0 };
        let columns = self.columns as usize;
        let input = Matrix::new(columns, first_weights(self.seed, rows * columns, columns));
        let output = Matrix::new(columns, vec![0.0; labels.len() * columns]);
        let loss = Loss::Softmax;
        let mut model = Classifier { settings, dictionary, input, output, loss };
        let order: Vec<usize> = names.iter().map(|&(_, label)| label).collect();
        let bags: Vec<Vec<Bag>> = parallel(documents, |documents| {
            documents.iter().map(|(label, text)| model.bag(&order, *label, text)).collect()
        });
        self.update(&mut model, &bags.concat());
        Ok(model)
    }

    /// All epochs.
    fn update(&self, model: &mut Classifier, bags: &[Bag]) {
        let total = (u64::from(self.epochs) * bags.len() as u64) as f32;
        let mut order: Vec<usize> = (0..bags.len()).collect();
        let mut done = 0_u64;
        for epoch in 0..u64::from(self.epochs) {
            for last in (1..order.len()).rev() {
                let drawn = mix(self.seed ^ mix(epoch << 32 | last as u64));
                order.swap(last, (drawn % (last as u64 + 1)) as usize);
            }
            for &index in &order {
                let rate = self.rate * (1.0 - done as f32 / total);
                model.learn(&bags[index], rate);
                done += 1;
            }
        }
    }
}

/// The rows of a document, and the place of its label in the model.
#[derive(Clone)]
struct Bag {
    label: usize,
    rows: Vec<u32>,
}

impl Classifier {
    fn bag(&self, order: &[usize], label: usize, text: &str) -> Bag {
        let mut rows = Vec::new();
        self.dictionary.features(&self.settings, text, &mut |row| rows.push(row as u32));
        let label = order.iter().position(|&known| known == label).unwrap_or(0);
        Bag { label, rows }
    }

    /// One step of gradient descent.
    fn learn(&mut self, bag: &Bag, rate: f32) {
        if bag.rows.is_empty() {
            return;
        }
        let columns = self.input.columns();
        let share = 1.0 / bag.rows.len() as f32;
        let mut hidden = vec![0.0; columns];
        for &row in &bag.rows {
            add(&mut hidden, 1.0, self.input.row(row as usize));
        }
        hidden.iter_mut().for_each(|value| *value *= share);
        let labels = 0..self.output.rows();
        let mut scores: Vec<f32> =
            labels.clone().map(|label| self.output.dot(label, &hidden)).collect();
        softmax(&mut scores);
        let mut gradient = vec![0.0; columns];
        for label in labels {
            let target = if label == bag.label { 1.0 } else { 0.0 };
            let step = rate * (target - scores[label]);
            add(&mut gradient, step, self.output.row(label));
            add(self.output.row_mut(label), step, &hidden);
        }
        for &row in &bag.rows {
            add(self.input.row_mut(row as usize), share, &gradient);
        }
    }
}

fn add(sum: &mut [f32], factor: f32, values: &[f32]) {
    sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
}

/// Words that come often enough, the most frequent first, and the number of all.
fn count(documents: &[(usize, String)], min_count: i64) -> (Vec<Counted>, i64) {
    let parts = parallel(documents, |documents| {
        let mut counts: HashMap<&[u8], i64> = HashMap::default();
        for (_, text) in documents {
            for word in words(text) {
                if !word.starts_with(LABEL_PREFIX.as_bytes()) {
                    *counts.entry(word).or_default() += 1;
                }
                if word == END {
                    break;
                }
            }
        }
        let mut counts: Vec<(&[u8], i64)> = counts.into_iter().collect();
        counts.sort_unstable();
        counts
    });
    let mut counts: std::collections::BTreeMap<&[u8], i64> = std::collections::BTreeMap::new();
    for (word, count) in parts.into_iter().flatten() {
        *counts.entry(word).or_default() += count;
    }
    let tokens = counts.values().sum();
    let frequent = counts.into_iter().filter(|(_, count)| *count >= min_count);
    let mut entries: Vec<Counted> = frequent.map(|(word, n)| (word.to_vec(), n)).collect();
    entries.sort_by_key(|(_, count)| -count);
    (entries, tokens)
}

/// Maps stretches of `items` on all threads; the results are in order.
fn parallel<'a, I: Sync, O: Send>(items: &'a [I], map: impl Fn(&'a [I]) -> O + Sync) -> Vec<O> {
    let threads = available_parallelism().map_or(1, NonZero::get);
    let map = &map;
    scope(|scope| {
        let chunks = items.chunks(items.len().div_ceil(threads).max(1));
        let running: Vec<_> = chunks.map(|chunk| scope.spawn(move || map(chunk))).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, O>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        running.into_iter().map(join).collect()
    })
}

/// Numbers between -1 and 1 over `columns`, each a function of the seed and its place.
fn first_weights(seed: u64, count: usize, columns: usize) -> Vec<f32> {
    let unit = |index: u64| (mix(seed.wrapping_add(mix(index))) >> 40) as f32 / (1 << 23) as f32;
    (0..count as u64).map(|index| (unit(index) - 1.0) / columns as f32).collect()
}

/// SplitMix64 (Steele 2014): a number without pattern for each number.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents() -> Vec<(usize, String)> {
        let kinds = [["the", "cat", "sat", "on"], ["buy", "now", "the", "cheap"]];
        let text = |number: usize| -> String {
            let words =
                (0..12).map(|at| kinds[number % 2][(mix((number * 12 + at) as u64) % 4) as usize]);
            words.collect::<Vec<_>>().join(" ")
        };
        (0..200).map(|number| (number % 2, text(number))).collect()
    }

    #[test]
    fn a_trained_model_tells_the_kinds_apart_and_is_saved_as_it_is() {
        let training = Training { buckets: 1000, ..Training::default() };
        let documents = documents();
        let model = training.train(&["good", "bad"], &documents).unwrap();
        for (label, text) in &documents {
            let found = model.predict(text).unwrap();
            assert_eq!(found.label, ["good", "bad"][*label], "{text}");
            assert!(found.score > 0.8, "{text}: {}", found.score);
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.bin");
        model.save(&path).unwrap();
        let read = Classifier::open(&path, u64::MAX).unwrap();
        assert_eq!(read.predict("the cat sat"), model.predict("the cat sat"));
        let again = training.train(&["good", "bad"], &documents).unwrap();
        again.save(&folder.path().join("again.bin")).unwrap();
        let bytes = |name| std::fs::read(folder.path().join(name)).unwrap();
        assert!(bytes("model.bin") == bytes("again.bin"), "the same model each time");
    }

    #[test]
    fn what_cannot_be_learnt_is_refused() {
        let documents = documents();
        let message = |training: Training, labels: &[&str]| {
            training.train(labels, &documents).err().unwrap().to_string()
        };
        let none = message(Training::default(), &["a", "b", "c"]);
        assert!(none.contains("label c"), "{none}");
        let wide = message(Training { columns: 0, ..Training::default() }, &["a", "b"]);
        assert!(wide.contains("columns = 0"), "{wide}");
        let mixed = message(Training { char_ngrams: [3, 2], ..Training::default() }, &["a", "b"]);
        assert!(mixed.contains("char_ngrams"), "{mixed}");
    }
}
