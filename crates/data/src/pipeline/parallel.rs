//! A map over a stream on all cores, whose results come in the order of the stream.
//!
//! One thread produces, some map, the caller's consumes. What is under way is bounded by its size
//! in bytes, so a slow consumer holds the producer back and memory does not grow with the input.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{Error, Result};

/// Something that takes room while it is under way.
pub(crate) trait Weight {
    /// About so many bytes.
    fn weight(&self) -> u64;
}

/// How a stream is worked on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crew {
    /// Threads that map.
    pub(crate) workers: usize,
    /// Items under way have together at most this weight, but one may always be.
    pub(crate) max_weight: u64,
}

/// What a producer gives its items to.
pub(crate) type Emit<'a, I> = dyn FnMut(I) -> Result<()> + 'a;

/// Maps all that `produce` emits and gives it to `consume` in the same order.
///
/// # Errors
/// The first error of `consume`, which stops the producer; else that of `produce`, after what came
/// before it was consumed.
pub(crate) fn map_in_order<I: Weight + Send, O: Send>(
    crew: Crew,
    produce: impl FnOnce(&mut Emit<'_, I>) -> Result<()> + Send,
    map: impl Fn(I) -> O + Sync,
    consume: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let gate = Gate::new(crew.max_weight);
    let (work_in, work_out) = channel::<Numbered<I>>();
    let work_out = Mutex::new(work_out);
    let (done_in, done_out) = channel();
    std::thread::scope(|scope| {
        let (gate, work_out, map) = (&gate, &work_out, &map);
        let producer = scope.spawn(move || {
            let mut number = 0;
            produce(&mut |item| {
                let weight = item.weight();
                gate.enter(weight)?;
                let sent = work_in.send(Numbered { number, weight, item });
                number += 1;
                sent.map_err(|_| Error::Stopped)
            })
        });
        for _ in 0..crew.workers {
            let done_in = done_in.clone();
            scope.spawn(move || work(work_out, &done_in, map));
        }
        drop(done_in);
        let consumed = in_order(&done_out, gate, consume);
        gate.close();
        let produced = producer.join().unwrap_or_else(|panic| resume_unwind(panic));
        consumed.and(produced)
    })
}

/// An item with its place in the stream.
struct Numbered<T> {
    number: u64,
    weight: u64,
    item: T,
}

/// Maps until there is nothing more. A panic is carried to the caller's thread.
fn work<I, O>(
    work_out: &Mutex<Receiver<Numbered<I>>>,
    done_in: &Sender<Numbered<std::thread::Result<O>>>,
    map: &(impl Fn(I) -> O + Sync),
) {
    loop {
        let next = lock(work_out).recv();
        let Ok(Numbered { number, weight, item }) = next else { return };
        let item = catch_unwind(AssertUnwindSafe(|| map(item)));
        if done_in.send(Numbered { number, weight, item }).is_err() {
            return;
        }
    }
}

/// Consumes results in their order; those that come early wait, and their weight with them.
fn in_order<O>(
    done_out: &Receiver<Numbered<std::thread::Result<O>>>,
    gate: &Gate,
    mut consume: impl FnMut(O) -> Result<()>,
) -> Result<()> {
    let mut next = 0;
    let mut early = BTreeMap::new();
    for done in done_out {
        early.insert(done.number, (done.weight, done.item));
        while let Some((weight, item)) = early.remove(&next) {
            next += 1;
            match item {
                Ok(item) => consume(item).inspect_err(|_| gate.close())?,
                Err(panic) => {
                    gate.close();
                    resume_unwind(panic);
                }
            }
            gate.leave(weight);
        }
    }
    Ok(())
}

/// Lets items in while their weight together is below a limit.
struct Gate {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    inside: u64,
    closed: bool,
}

impl Gate {
    fn new(limit: u64) -> Self {
        let state = Mutex::new(State { inside: 0, closed: false });
        Self { limit, state, changed: Condvar::new() }
    }

    fn enter(&self, weight: u64) -> Result<()> {
        let mut state = lock(&self.state);
        while !state.closed && state.inside > 0 && state.inside + weight > self.limit {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return Err(Error::Stopped);
        }
        state.inside += weight;
        Ok(())
    }

    fn leave(&self, weight: u64) {
        lock(&self.state).inside -= weight;
        self.changed.notify_one();
    }

    fn close(&self) {
        lock(&self.state).closed = true;
        self.changed.notify_one();
    }
}

/// Nothing panics while it holds one of these locks, so what they guard is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    impl Weight for u64 {
        fn weight(&self) -> u64 {
            *self % 7
        }
    }

    fn squares(crew: Crew, count: u64, stop_at: u64) -> (Result<()>, Vec<u64>) {
        let mut found = Vec::new();
        let result = map_in_order(
            crew,
            |emit| (0..count).try_for_each(emit),
            |number| {
                // Uneven work, so that results come out of order.
                (0..(number * 7919) % 500).fold(number * number, |sum, x| sum ^ x ^ x)
            },
            |square| {
                found.push(square);
                if square == stop_at { Err(Error::Stopped) } else { Ok(()) }
            },
        );
        (result, found)
    }

    #[test]
    fn results_come_in_order_for_any_number_of_workers_and_room() {
        let expected: Vec<u64> = (0..3000).map(|number| number * number).collect();
        for workers in 1..5 {
            for max_weight in [1, 10, 1000] {
                let (result, found) = squares(Crew { workers, max_weight }, 3000, 5);
                assert!(result.is_ok() && found == expected, "{workers} {max_weight}");
            }
        }
    }

    #[test]
    fn a_consumer_that_fails_ends_it_all() {
        let (result, found) = squares(Crew { workers: 3, max_weight: 20 }, u64::MAX, 100);
        assert!(matches!(result, Err(Error::Stopped)));
        assert_eq!(found.len(), 11);
    }

    #[test]
    fn what_is_under_way_is_bounded() {
        let (inside, most) = (AtomicU64::new(0), AtomicU64::new(0));
        let crew = Crew { workers: 4, max_weight: 12 };
        map_in_order(
            crew,
            |emit| {
                (0..2000_u64).try_for_each(|number| {
                    // Counted before it is let in, so one more than the limit may be seen.
                    let now = inside.fetch_add(number % 7, Ordering::SeqCst) + number % 7;
                    most.fetch_max(now, Ordering::SeqCst);
                    emit(number)
                })
            },
            |number| number,
            |number| {
                inside.fetch_sub(number % 7, Ordering::SeqCst);
                Ok(())
            },
        )
        .ok();
        let most = most.load(Ordering::SeqCst);
        assert!((6..=12 + 6).contains(&most), "{most}");
    }
}
