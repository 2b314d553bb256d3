//! Which slot of the cache a request gets, and how much of its prompt is there already.
//!
//! A prompt goes on from the longest beginning that any slot holds, be it in use or not: copying
//! keys and values takes a hundredth of the time of computing them. It stays in the slot that holds
//! it if that is free and does not lose more than it keeps; else it moves to the slot that was not
//! used for the longest time. A prompt whose beginning is just being computed for another waits for
//! it, so several answers to one prompt read it once.

use super::{Engine, Sequence};

/// Shorter beginnings that another request is computing are not waited for.
const WORTH_WAITING: usize = 16;

/// A place for a request.
struct Place {
    slot: usize,
    /// The slot that holds the beginning of the prompt.
    source: usize,
    /// Its tokens.
    cached: usize,
}

impl Engine {
    /// Gives free slots to those that wait, in the order in which they came.
    pub(super) fn admit(&mut self) {
        let mut index = 0;
        while index < self.waiting.len() {
            match self.place_for(&self.waiting[index]) {
                None => index += 1,
                Some(place) => {
                    let sequence = self.waiting.remove(index);
                    self.running[place.slot] = sequence.map(|it| self.settle(it, &place));
                }
            }
        }
    }

    /// None if no slot is free, or the prompt's beginning is about to be there.
    fn place_for(&self, sequence: &Sequence) -> Option<Place> {
        let prompt = sequence.history.prompt();
        // The last token is computed even if it is cached: the answer begins with its logits.
        let useful = &prompt[..prompt.len() - 1];
        let shared = |slot: usize| self.cache.common_prefix_of(slot, useful);
        let slots = 0..self.running.len();
        let free = |slot: &usize| self.running[*slot].is_none();
        let oldest = slots.clone().filter(free).min_by_key(|&slot| self.last_use[slot])?;
        // Of equally long beginnings one that can stay where it is.
        let best = |&slot: &usize| (shared(slot), free(&slot), slot == oldest);
        let source = slots.max_by_key(best)?;
        let cached = shared(source);
        let coming = |other: &Sequence| {
            let same = other.history.prompt().iter().zip(useful).take_while(|(a, b)| a == b);
            other.history.answered() == 0 && same.count() >= cached + WORTH_WAITING
        };
        if self.running.iter().flatten().any(coming) {
            return None;
        }
        let stays = free(&source) && 2 * cached >= self.cache.ids_of(source).len();
        Some(Place { slot: if stays { source } else { oldest }, source, cached })
    }

    /// Makes a slot ready for a request.
    fn settle(&mut self, mut sequence: Sequence, place: &Place) -> Sequence {
        let &Place { slot, source, cached } = place;
        if source != slot {
            self.cache.copy_slot(source, slot, cached);
        }
        self.cache.truncate_slot(slot, cached);
        self.last_use[slot] = sequence.id.0;
        sequence.cached = cached;
        sequence
    }
}
