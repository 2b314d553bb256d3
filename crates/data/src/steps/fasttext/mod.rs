//! Text classifiers in the format of [fastText](https://arxiv.org/abs/1607.01759) (`.bin`, and
//! quantised `.ftz`): read and applied with the results of fastText 0.9.2 itself.
//!
//! A text is a bag of words, n-grams of words and n-grams of characters, each a row of a matrix;
//! the mean of the rows goes through a second matrix to the labels. Line ends count as blanks, as
//! everybody who applies such models to documents has it.

mod corpora;
mod dictionary;
mod loss;
mod matrix;
mod read;
mod train;
mod write;

use std::path::Path;

use crate::{Error, Result};
pub use corpora::{Corpora, LABELS, Quality};
use dictionary::Dictionary;
use loss::Loss;
use matrix::Matrix;
pub use train::Training;

/// What every label begins with in fastText's files; left out in ours.
const LABEL_PREFIX: &str = "__label__";

/// A classifier.
pub struct Classifier {
    settings: Settings,
    dictionary: Dictionary,
    /// A row for each word and each hash of an n-gram.
    input: Matrix,
    /// A row for each label, or inner node of the tree of labels.
    output: Matrix,
    loss: Loss,
}

/// fastText's settings as its files have them, in their order.
#[derive(Clone, Debug, PartialEq)]
struct Settings {
    columns: i32,
    window: i32,
    epochs: i32,
    min_count: i32,
    negatives: i32,
    word_ngrams: i32,
    loss: i32,
    model: i32,
    buckets: i32,
    min_chars: i32,
    max_chars: i32,
    update_rate: i32,
    threshold: f64,
}

/// The most probable label of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction<'a> {
    /// Without `__label__`.
    pub label: &'a str,
    /// Its probability, by fastText's rounding up to 1.00001.
    pub score: f32,
}

impl Classifier {
    /// Reads a model that takes at most `max_bytes` in its file.
    ///
    /// # Errors
    /// [`Error::Read`] when there is no such file, [`Error::Classifier`] when it is not a
    /// classifier of fastText's, or larger.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Self> {
        read::open(path, max_bytes)
    }

    /// The labels, without `__label__`, the most frequent in training first.
    pub fn labels(&self) -> &[String] {
        self.dictionary.labels()
    }

    /// The most probable label; `None` for a text without anything that the model knows.
    pub fn predict(&self, text: &str) -> Option<Prediction<'_>> {
        let hidden = self.hidden(text)?;
        let mut best: Option<(usize, f32)> = None;
        self.loss.visit(&self.output, &hidden, &mut |label, score| {
            match best {
                // Of equal ones fastText gives the last.
                Some((_, highest)) if score < highest => highest,
                _ => {
                    best = Some((label, score));
                    score
                }
            }
        });
        best.map(|(label, score)| Prediction { label: &self.labels()[label], score: score.exp() })
    }

    /// The probability of the label with the number `label`, as fastText gives it; `None` for a
    /// text without anything that the model knows.
    pub fn score(&self, text: &str, label: usize) -> Option<f32> {
        let hidden = self.hidden(text)?;
        let mut found = 0.0;
        self.loss.visit(&self.output, &hidden, &mut |number, score| {
            if number == label {
                found = score.exp();
            }
            f32::NEG_INFINITY
        });
        Some(found)
    }

    /// The mean of the rows of a text.
    fn hidden(&self, text: &str) -> Option<Vec<f32>> {
        let (mut sum, mut count) = (vec![0.0; self.input.columns()], 0_u64);
        self.dictionary.features(&self.settings, text, &mut |row| {
            count += 1;
            for (sum, value) in sum.iter_mut().zip(self.input.row(row)) {
                *sum += value;
            }
        });
        let share = (1.0 / count as f64) as f32;
        sum.iter_mut().for_each(|sum| *sum *= share);
        (count > 0).then_some(sum)
    }
}

fn broken(path: &Path, found: impl Into<String>) -> Error {
    Error::Classifier { path: path.to_owned(), found: found.into() }
}
