//! The tokens so far, as the samplers look at them.

use std::collections::BTreeMap;

use crate::{Mirostat, Sampling};

/// A prompt and the answer so far.
#[derive(Clone, Debug)]
pub struct History {
    ids: Vec<u32>,
    prompt_len: usize,
    /// How often each token is there.
    counts: BTreeMap<u32, Count>,
    /// Mirostat's limit of surprise, in bits.
    pub(super) surprise_max: f32,
}

/// How often a token is there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    /// In prompt and answer.
    pub(super) all: u32,
    /// In the answer.
    pub(super) answer: u32,
}

/// A point to come back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    len: usize,
    surprise_max: f32,
}

impl History {
    /// A prompt without an answer.
    #[must_use]
    pub fn new(prompt: &[u32], sampling: &Sampling) -> Self {
        let surprise_max = 2.0 * sampling.mirostat.map_or(0.0, |Mirostat { tau, .. }| tau);
        let mut history =
            Self { ids: Vec::new(), prompt_len: 0, counts: BTreeMap::new(), surprise_max };
        for &id in prompt {
            history.ids.push(id);
            history.counts.entry(id).or_default().all += 1;
        }
        history.prompt_len = prompt.len();
        history
    }

    /// All tokens so far.
    #[must_use]
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The prompt.
    #[must_use]
    pub fn prompt(&self) -> &[u32] {
        &self.ids[..self.prompt_len]
    }

    /// Tokens of the answer so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.ids.len() - self.prompt_len
    }

    /// The tokens that are there, each once.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, Count)> {
        self.counts.iter().map(|(&id, &count)| (id, count))
    }

    /// Adds a token to the answer.
    pub fn push(&mut self, id: u32) {
        self.ids.push(id);
        let count = self.counts.entry(id).or_default();
        count.all += 1;
        count.answer += 1;
    }

    /// Where the answer is now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { len: self.ids.len(), surprise_max: self.surprise_max }
    }

    /// Forgets what was added to the answer since `mark`.
    pub fn rewind(&mut self, mark: Mark) {
        for id in self.ids.drain(mark.len..) {
            if let Some(count) = self.counts.get_mut(&id) {
                count.all -= 1;
                count.answer -= 1;
                if count.all == 0 {
                    self.counts.remove(&id);
                }
            }
        }
        self.surprise_max = mark.surprise_max;
    }
}
