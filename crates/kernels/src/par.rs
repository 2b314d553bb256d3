//! The thread pool: a fixed set of threads that run one job at a time.
//!
//! A job is a number of tasks that write to disjoint places. Every thread begins with a part of its
//! own, always the same one for the same number of tasks, so that the rows it wrote are still in
//! its cache when it reads them in the next job; then it takes what others have left, so that
//! uneven tasks balance. Which thread runs a task never influences its result. Workers spin briefly
//! for the next job (a training step is thousands of jobs of some microseconds) and then sleep.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Rounds of `spin_loop` a worker waits before it sleeps; some tens of microseconds.
const SPIN_ROUNDS: usize = 2_000;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

/// A job as the workers see it. The pointer outlives the job because [`Pool::run`] returns only
/// after every worker has left it.
#[derive(Clone, Copy)]
struct Job {
    task: *const Task<'static>,
    count: usize,
}

// SAFETY: the pointee is `Sync` and lives until `Pool::run` returns.
unsafe impl Send for Job {}

struct Shared {
    job: Mutex<Option<Job>>,
    wake: Condvar,
    /// Workers that sleep until `wake`; changed with `job` locked.
    asleep: AtomicUsize,
    /// Number of jobs started so far; a worker runs each number once.
    epoch: AtomicUsize,
    /// The next task of every thread's own part of a job.
    next: Box<[Next]>,
    /// Workers that have begun with the job and not left it.
    busy: AtomicUsize,
    /// Whether the caller sleeps until the last worker has left, and what wakes it.
    caller_asleep: AtomicBool,
    left: Condvar,
    panicked: AtomicBool,
    stop: AtomicBool,
}

/// A counter with two cache lines to itself, so that threads do not disturb each other.
#[repr(align(128))]
struct Next(AtomicUsize);

/// A fixed set of threads, the caller's included.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// One job at a time; a second caller waits.
    turn: Mutex<()>,
}

thread_local! {
    static INSIDE_JOB: Cell<bool> = const { Cell::new(false) };
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of `threads` threads: the caller and `threads - 1` workers. Zero counts as one.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            job: Mutex::new(None),
            wake: Condvar::new(),
            asleep: AtomicUsize::new(0),
            epoch: AtomicUsize::new(0),
            next: (0..threads.max(1)).map(|_| Next(AtomicUsize::new(0))).collect(),
            busy: AtomicUsize::new(0),
            caller_asleep: AtomicBool::new(false),
            left: Condvar::new(),
            panicked: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let workers = (1..threads.max(1))
            .map(|thread| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || work(&shared, thread))
            })
            .collect();
        Self { shared, workers, turn: Mutex::new(()) }
    }

    /// Number of threads that share the work.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Runs `task(0) .. task(count - 1)`, each once, in any order, and returns when all are done.
    /// A job started from inside a task runs on the calling thread alone.
    ///
    /// # Panics
    /// When a task panics.
    pub fn run(&self, count: usize, task: impl Fn(usize) + Sync) {
        if self.workers.is_empty() || count <= 1 || INSIDE_JOB.get() {
            (0..count).for_each(task);
            return;
        }
        let _turn = lock(&self.turn);
        let task: &Task<'_> = &task;
        // SAFETY: only the lifetime is erased; every worker leaves the job before this returns.
        let task = unsafe { std::mem::transmute::<&Task<'_>, &'static Task<'static>>(task) };
        let job = Job { task, count };
        for (thread, next) in self.shared.next.iter().enumerate() {
            next.0.store(self.shared.part(count, thread), Ordering::Relaxed);
        }
        self.shared.start(Some(job));
        let result = catch_unwind(AssertUnwindSafe(|| take_tasks(&self.shared, job, 0)));
        // A worker that the system has not let run yet is not waited for: it finds the job closed.
        *lock(&self.shared.job) = None;
        self.shared.wait_for_workers();
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        assert!(!self.shared.panicked.swap(false, Ordering::Relaxed), "a kernel task panicked");
    }

    /// Cuts `out` into chunks of `chunk` elements (the last may be shorter) and runs
    /// `task(index, chunk)` on each in parallel.
    pub fn for_each_chunk<T: Send>(
        &self,
        out: &mut [T],
        chunk: usize,
        task: impl Fn(usize, &mut [T]) + Sync,
    ) {
        assert!(chunk > 0, "a chunk has at least one element");
        let shared = SharedMut::new(out);
        self.run(shared.len.div_ceil(chunk), |index| {
            let start = index * chunk;
            let len = chunk.min(shared.len - start);
            // SAFETY: chunks of different indices do not overlap, and each index runs once.
            task(index, unsafe { shared.slice(start, len) });
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.start(None);
        for worker in self.workers.drain(..) {
            // A worker never panics: tasks are caught. Nothing is lost if one did.
            let _ = worker.join();
        }
    }
}

fn work(shared: &Shared, thread: usize) {
    let mut seen = 0;
    loop {
        let Some(job) = next_job(shared, &mut seen) else { return };
        if catch_unwind(AssertUnwindSafe(|| take_tasks(shared, job, thread))).is_err() {
            shared.panicked.store(true, Ordering::Relaxed);
        }
        shared.leave();
    }
}

/// Waits for a job newer than `seen`; `None` when the pool is being dropped.
fn next_job(shared: &Shared, seen: &mut usize) -> Option<Job> {
    loop {
        spin_until(|| shared.epoch.load(Ordering::Acquire) != *seen);
        let mut slot = lock(&shared.job);
        while shared.epoch.load(Ordering::Acquire) == *seen {
            shared.asleep.fetch_add(1, Ordering::Relaxed);
            slot = shared.wake.wait(slot).unwrap_or_else(PoisonError::into_inner);
            shared.asleep.fetch_sub(1, Ordering::Relaxed);
        }
        if shared.stop.load(Ordering::Acquire) {
            return None;
        }
        *seen = shared.epoch.load(Ordering::Acquire);
        // Without a job, the others have done it already: wait for the next one.
        if let Some(job) = *slot {
            shared.busy.fetch_add(1, Ordering::Relaxed);
            return Some(job);
        }
    }
}

/// Waits a moment for something that is about to happen; false when it has not.
fn spin_until(done: impl Fn() -> bool) -> bool {
    for _ in 0..SPIN_ROUNDS {
        if done() {
            return true;
        }
        std::hint::spin_loop();
    }
    done()
}

/// Runs the tasks of this thread's own part, then what others have left of theirs.
fn take_tasks(shared: &Shared, job: Job, thread: usize) {
    INSIDE_JOB.set(true);
    let _leave = Leave;
    // SAFETY: `Pool::run` keeps the closure alive until this thread reports that it is done.
    let task = unsafe { &*job.task };
    let threads = shared.next.len();
    for owner in (thread..threads).chain(0..thread) {
        let end = shared.part(job.count, owner + 1);
        loop {
            let index = shared.next[owner].0.fetch_add(1, Ordering::Relaxed);
            if index >= end {
                break;
            }
            task(index);
        }
    }
}

impl Shared {
    /// Shows the workers a new job, and wakes those that sleep: the call into the system that this
    /// takes is as long as a small job.
    fn start(&self, job: Option<Job>) {
        let mut slot = lock(&self.job);
        *slot = job;
        self.epoch.fetch_add(1, Ordering::Release);
        let asleep = self.asleep.load(Ordering::Relaxed) > 0;
        drop(slot);
        if asleep {
            self.wake.notify_all();
        }
    }

    /// A worker has done all it can of a job.
    fn leave(&self) {
        // Either this sees that the caller sleeps, or the caller sees that nobody is busy.
        if self.busy.fetch_sub(1, Ordering::SeqCst) == 1
            && self.caller_asleep.load(Ordering::SeqCst)
        {
            drop(lock(&self.job));
            self.left.notify_one();
        }
    }

    /// Waits until every worker has left the job. On a machine with more work than cores a worker
    /// may have lost its core: then sleeping gets this thread back sooner than asking again and
    /// again, which the system takes as leave to let others run.
    fn wait_for_workers(&self) {
        if spin_until(|| self.busy.load(Ordering::Acquire) == 0) {
            return;
        }
        let mut slot = lock(&self.job);
        self.caller_asleep.store(true, Ordering::SeqCst);
        while self.busy.load(Ordering::SeqCst) != 0 {
            slot = self.left.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
        self.caller_asleep.store(false, Ordering::SeqCst);
    }

    /// The first task of a thread's own part of `count` tasks.
    fn part(&self, count: usize, thread: usize) -> usize {
        count * thread / self.next.len()
    }
}

/// Clears the mark on the way out, also when a task panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        INSIDE_JOB.set(false);
    }
}

/// A mutable slice that tasks may take disjoint parts of.
pub struct SharedMut<'a, T> {
    start: *mut T,
    /// Number of elements.
    pub len: usize,
    lifetime: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: parts are handed out by `slice`, whose callers promise that they do not overlap.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}
// SAFETY: as for `Sync`; a `&mut [T]` may be sent when `T` may.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Wraps a slice for the duration of a job.
    pub fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), lifetime: std::marker::PhantomData }
    }

    /// The part `start .. start + len`.
    ///
    /// # Safety
    /// No two parts that are alive at the same time may overlap.
    ///
    /// # Panics
    /// When the part reaches beyond the slice.
    #[allow(clippy::mut_from_ref)]
    #[must_use]
    pub unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.len && len <= self.len - start, "{start}+{len} > {}", self.len);
        // SAFETY: in bounds by the assertion; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(start), len) }
    }

    /// The first element, for kernels that write tiles with a stride.
    #[must_use]
    pub fn as_ptr(&self) -> *mut T {
        self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_exactly_once() {
        for threads in [1, 2, 4] {
            let pool = Pool::new(threads);
            for count in [0, 1, 2, 7, 1000] {
                let mut hits = vec![0_u32; count];
                pool.for_each_chunk(&mut hits, 1, |_, hit| hit[0] += 1);
                assert!(hits.iter().all(|&hit| hit == 1), "{threads} threads, {count} tasks");
            }
        }
    }

    #[test]
    fn a_panicking_task_reaches_the_caller_and_the_pool_survives() {
        let pool = Pool::new(2);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(64, |index| assert_ne!(index, 13, "the unlucky task"));
        }));
        assert!(outcome.is_err());
        let sum = AtomicUsize::new(0);
        pool.run(10, |index| {
            sum.fetch_add(index, Ordering::Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }

    #[test]
    fn a_job_inside_a_task_does_not_deadlock() {
        let pool = Pool::new(2);
        let count = AtomicUsize::new(0);
        pool.run(4, |_| {
            pool.run(4, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
        });
        assert_eq!(count.into_inner(), 16);
    }
}
