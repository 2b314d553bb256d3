//! How fast an engine answers many requests at once.

use std::sync::Arc;
use std::time::Instant;

use danlu_models::CausalLm;

use crate::engine::{Engine, EngineOptions, Output};
use crate::{Request, Result};

/// What is timed.
#[derive(Clone, Copy, Debug)]
pub struct BatchLoad {
    /// Requests that are answered at the same time.
    pub slots: usize,
    /// Requests in all.
    pub requests: usize,
    /// Tokens of each prompt; no two prompts begin alike.
    pub prompt: usize,
    /// Tokens of each answer.
    pub answer: usize,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub struct BatchSpeed {
    /// From the first request to the last token.
    pub seconds: f64,
    /// Tokens of all answers.
    pub answered: usize,
    /// Bytes reserved for keys and values.
    pub cache_bytes: usize,
}

/// Answers requests, greedily and without a stop, after one that warms up.
///
/// # Errors
/// When the model has no room for so many tokens, or fails.
pub fn batch(
    model: &Arc<dyn CausalLm>,
    load: BatchLoad,
    options: EngineOptions,
) -> Result<BatchSpeed> {
    let BatchLoad { slots, requests, prompt, answer } = load;
    let context_len = prompt + answer;
    let options = EngineOptions { slots, context_len, ..options };
    let mut engine = Engine::new(Arc::clone(model), options)?;
    let vocab_size = model.shape().vocab_size as u64;
    let ids = |request: usize| -> Vec<u32> {
        let mix = |i: usize| ((i + 1) * (2 * request + 1)) as u64 * 2_654_435_761;
        (0..prompt).map(|i| (mix(i) % vocab_size) as u32).collect()
    };
    engine.submit(Request::greedy(ids(requests), 2.min(answer)))?;
    while !engine.is_idle() {
        engine.step()?;
    }
    let start = Instant::now();
    for request in 0..requests {
        engine.submit(Request::greedy(ids(request), answer))?;
    }
    let mut answered = 0;
    while !engine.is_idle() {
        for event in engine.step()? {
            match event.output {
                Output::Token(_) => answered += 1,
                Output::End(_) => {}
                Output::Failed(error) => return Err(error),
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(BatchSpeed { seconds, answered, cache_bytes: engine.cache_size_bytes() })
}
