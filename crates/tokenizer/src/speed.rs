//! How fast a vocabulary turns texts into ids, for `danlu bench encode`.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use sha2::{Digest, Sha256};

use crate::{Result, Tokenizer};

/// What [`measure_encoding`] found.
#[derive(Clone, Debug)]
pub struct EncodeSpeed {
    /// Bytes of all texts.
    pub bytes: usize,
    /// Ids of all texts.
    pub tokens: usize,
    /// Duration of each round.
    pub seconds: Vec<f64>,
    /// SHA-256, in hexadecimal, over the number of ids of each text and its ids, 4 bytes each,
    /// little-endian: equal where all ids of all texts are.
    pub digest: String,
}

impl EncodeSpeed {
    /// Millions of bytes a second in the median round.
    pub fn mb_per_s(&self) -> f64 {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        self.bytes as f64 / 1e6 / seconds[seconds.len() / 2]
    }
}

/// Encodes each of `texts` by itself, `rounds` times, on `threads` threads. The ids are looked at
/// once, before time is taken.
///
/// # Errors
/// [`crate::Error::Encode`] when the tokenizer's own rules fail on a text.
pub fn measure_encoding(
    tokenizer: &Tokenizer,
    texts: &[String],
    threads: usize,
    rounds: usize,
) -> Result<EncodeSpeed> {
    let (mut tokens, mut hasher) = (0, Sha256::new());
    for text in texts {
        let ids = tokenizer.encode(text)?;
        tokens += ids.len();
        hasher.update((ids.len() as u32).to_le_bytes());
        ids.iter().for_each(|id| hasher.update(id.to_le_bytes()));
    }
    let digest = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let bytes = texts.iter().map(String::len).sum();
    let mut seconds = Vec::with_capacity(rounds.max(1));
    for _ in 0..rounds.max(1) {
        let started = Instant::now();
        encode_all(tokenizer, texts, threads)?;
        seconds.push(started.elapsed().as_secs_f64());
    }
    Ok(EncodeSpeed { bytes, tokens, seconds, digest })
}

fn encode_all(tokenizer: &Tokenizer, texts: &[String], threads: usize) -> Result<()> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(text) = texts.get(next.fetch_add(1, Ordering::Relaxed)) {
            std::hint::black_box(tokenizer.encode(text)?);
        }
        Ok(())
    };
    if threads < 2 {
        return work();
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut ends = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ends.try_for_each(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
