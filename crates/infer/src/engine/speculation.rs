//! Guessing tokens ahead: several are computed in one pass, which reads the weights once, and those
//! that were guessed rightly cost nearly nothing (Leviathan et al. 2023, arXiv:2211.17192).
//!
//! The published method keeps the distribution of answers; this one keeps the answer. A token is
//! always the one that would have been chosen without guessing, by the same logits, the same random
//! number and the same settings; a guess that is something else is forgotten, with all after it.
//!
//! Guesses come from a smaller model of the same vocabulary, which chooses with the same random
//! numbers, or from the text so far: what came after the last tokens when they were there before
//! (prompt look-up).

use std::sync::Arc;

use danlu_models::{CacheOptions, CausalLm, KvCache, ModelInput, ModelShape};
use danlu_tensor::ops;

use super::Sequence;
use crate::samplers::{Sampler, repetitions};
use crate::{Error, Result};

/// Tokens guessed at first. The longer guesses are right, the longer the next one is.
const GUESS_START: usize = 3;
/// Tokens that must have been there before to look up what came after them.
const LOOK_UP_LEAST: usize = 2;
/// Of earlier places with at least so many of the same tokens the last is looked at.
const LOOK_UP_ENOUGH: usize = 6;
/// Tokens of a text that a draft model catches up with in one pass.
const CATCH_UP_CHUNK: usize = 256;

/// How tokens are guessed.
#[derive(Clone)]
pub enum Speculation {
    /// From the text so far, at most so many at once.
    LookUp {
        /// Tokens.
        most: usize,
    },
    /// By a smaller model of the same vocabulary, at most so many at once.
    Draft {
        /// The smaller model.
        model: Arc<dyn CausalLm>,
        /// Tokens.
        most: usize,
    },
}

/// How guessing went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guessed {
    /// Tokens that were guessed.
    pub tokens: usize,
    /// Those that were right.
    pub right: usize,
}

/// Guesses for all slots.
pub(super) struct Guesser {
    draft: Option<Draft>,
    most: usize,
    /// How many tokens to guess next in each slot.
    lens: Vec<usize>,
    guessed: Guessed,
}

/// The smaller model, with what it has computed of each slot's text.
struct Draft {
    model: Arc<dyn CausalLm>,
    cache: KvCache,
}

/// A sequence to guess for.
struct Guess<'a> {
    slot: usize,
    sequence: &'a mut Sequence,
    count: usize,
}

impl Guesser {
    pub(super) fn new(how: Speculation, shape: &ModelShape, cache: &KvCache) -> Result<Self> {
        let (draft, most) = match how {
            Speculation::LookUp { most } => (None, most),
            Speculation::Draft { model, most } => (Some(Draft::new(model, shape, cache)?), most),
        };
        if most == 0 {
            let (name, value) = ("speculation", "0".to_owned());
            return Err(Error::Setting { name, value, expected: "at least 1 token" });
        }
        let lens = vec![GUESS_START.min(most); cache.slots()];
        Ok(Self { draft, most, lens, guessed: Guessed::default() })
    }

    pub(super) fn guessed(&self) -> Guessed {
        self.guessed
    }

    /// Fills in the guesses of all that are writing, as far as they may go on.
    pub(super) fn guess(
        &mut self,
        running: &mut [Option<Sequence>],
        cache: &KvCache,
        sampler: &mut Sampler,
    ) -> Result<()> {
        let mut guesses = Vec::new();
        for (slot, sequence) in running.iter_mut().enumerate() {
            let Some(sequence) = sequence else { continue };
            let history = &sequence.history;
            let (answered, len) = (history.answered(), history.ids().len());
            if answered == 0 {
                continue;
            }
            // The last token of an answer is chosen by the logits before it.
            let left = sequence.request.limits.max_new_tokens - answered - 1;
            let count = self.lens[slot].min(left).min(cache.capacity() - len);
            guesses.push(Guess { slot, sequence, count });
        }
        match &mut self.draft {
            Some(draft) => draft.guess(guesses, sampler),
            None => {
                for Guess { sequence, count, .. } in guesses {
                    sequence.guess = look_up(sequence.history.ids(), count);
                }
                Ok(())
            }
        }
    }

    /// Takes note of how a guess in a slot went.
    pub(super) fn learn(&mut self, slot: usize, guessed: usize, right: usize) {
        self.guessed.tokens += guessed;
        self.guessed.right += right;
        let len = &mut self.lens[slot];
        if guessed > 0 && right == guessed {
            *len = (2 * *len).min(self.most);
        } else if 2 * right < guessed {
            *len = (*len / 2).max(1);
        }
    }
}

impl Draft {
    fn new(model: Arc<dyn CausalLm>, target: &ModelShape, cache: &KvCache) -> Result<Self> {
        let shape = model.shape();
        if shape.vocab_size != target.vocab_size {
            let (draft, model) = (shape.vocab_size, target.vocab_size);
            return Err(Error::DraftVocabulary { draft, model });
        }
        let (slots, capacity) = (cache.slots(), cache.capacity());
        if shape.context_len < capacity {
            return Err(Error::DraftContext { draft: shape.context_len, model: capacity });
        }
        let cache = CacheOptions { slots, capacity, format: None };
        let cache = KvCache::reserve(model.as_ref(), cache)?;
        Ok(Self { model, cache })
    }

    /// One token for all, then the next: each pass serves every sequence.
    fn guess(&mut self, mut guesses: Vec<Guess<'_>>, sampler: &mut Sampler) -> Result<()> {
        let marks: Vec<_> = guesses.iter().map(|guess| guess.sequence.history.mark()).collect();
        for Guess { slot, sequence, .. } in &guesses {
            let ids = sequence.history.ids();
            let known = self.cache.common_prefix_of(*slot, ids).min(ids.len() - 1);
            self.cache.truncate_slot(*slot, known);
            self.catch_up(*slot, ids)?;
        }
        let longest = guesses.iter().map(|guess| guess.count).max().unwrap_or_default();
        for turn in 0..longest {
            let going_on = guesses.iter_mut().filter(|guess| guess.count > turn);
            self.guess_one(going_on.collect(), sampler)?;
        }
        for (Guess { sequence, .. }, mark) in guesses.into_iter().zip(marks) {
            sequence.history.rewind(mark);
        }
        Ok(())
    }

    /// Computes all of a text that is more than one pass with the others should take.
    fn catch_up(&mut self, slot: usize, ids: &[u32]) -> Result<()> {
        loop {
            let missing = &ids[self.cache.ids_of(slot).len()..];
            if missing.len() <= CATCH_UP_CHUNK {
                return Ok(());
            }
            let parts = [(slot, CATCH_UP_CHUNK)];
            let input = ModelInput::of_slots(&self.cache, &parts, &missing[..CATCH_UP_CHUNK]);
            self.model.hidden(&input, Some(&mut self.cache))?;
        }
    }

    fn guess_one(&mut self, mut guesses: Vec<&mut Guess<'_>>, sampler: &mut Sampler) -> Result<()> {
        let (mut ids, mut parts, mut last) = (Vec::new(), Vec::new(), Vec::new());
        for Guess { slot, sequence, .. } in guesses.iter().map(|guess| &**guess) {
            let missing = &sequence.history.ids()[self.cache.ids_of(*slot).len()..];
            ids.extend_from_slice(missing);
            parts.push((*slot, missing.len()));
            last.push(ids.len() - 1);
        }
        let input = ModelInput::of_slots(&self.cache, &parts, &ids);
        let hidden = self.model.hidden(&input, Some(&mut self.cache))?;
        let logits = ops::logits(&ops::select_rows(&hidden, &last)?, self.model.head())?;
        let logits = logits.as_f32("drafting", "the logits")?;
        let rows = logits.chunks_exact(self.model.shape().vocab_size);
        for (Guess { sequence, .. }, logits) in guesses.iter_mut().map(|g| &mut **g).zip(rows) {
            let Sequence { request, history, guess, .. } = sequence;
            let chosen = sampler.choose(logits, &request.sampling, history);
            guess.push(chosen.map_err(|error| error.explained(self.model.as_ref()))?);
        }
        Ok(())
    }
}

/// What came after the last tokens where they were before, as if the text went on like that.
fn look_up(ids: &[u32], count: usize) -> Vec<u32> {
    let same = repetitions(ids);
    // From the first place to the last, of which the last of the best is taken.
    let places = (1..ids.len()).rev();
    let best = places.max_by_key(|&back| same[back].min(LOOK_UP_ENOUGH));
    match best.filter(|&back| same[back] >= LOOK_UP_LEAST) {
        Some(back) => (0..count).map(|i| ids[ids.len() - back + i % back]).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_the_last_tokens_is_looked_up() {
        assert_eq!(look_up(&[1, 2, 3, 4, 5, 1, 2, 3], 2), [4, 5]);
        assert_eq!(look_up(&[7, 8, 1, 7, 8, 2, 7, 8], 1), [2], "the last of equally long ones");
        assert_eq!(look_up(&[9, 7, 8, 1, 7, 8, 2, 9, 7, 8], 1), [1], "the longest");
        assert_eq!(look_up(&[1, 2, 1, 2, 1], 4), [2, 1, 2, 1], "on and on");
        assert!(look_up(&[1, 2, 3, 1], 4).is_empty(), "one token says little");
        assert!(look_up(&[1], 4).is_empty());
    }
}
