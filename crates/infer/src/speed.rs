//! How fast a model reads and writes: the numbers a comparison needs.

use std::time::Instant;

use danlu_models::{CausalLm, KvCache, ModelInput};
use danlu_tensor::{ParamSpec, no_grad};

use crate::Result;

/// Runs of [`prefill`] before the clock starts: pages are touched, caches fill.
const WARM_UP_RUNS: usize = 1;
/// Tokens of [`decode`] before the clock starts.
const WARM_UP_TOKENS: usize = 4;

/// Seconds that each of `runs` readings of a prompt of `tokens` takes, up to the logits of what
/// follows it.
///
/// # Errors
/// When the model has no room for so many tokens.
pub fn prefill(model: &dyn CausalLm, tokens: usize, runs: usize) -> Result<Vec<f64>> {
    let ids = ids(model, tokens);
    let mut cache = KvCache::new(model, tokens)?;
    let mut seconds = Vec::with_capacity(runs);
    for run in 0..WARM_UP_RUNS + runs {
        cache.truncate(0);
        let start = Instant::now();
        let (most, last) = ids.split_at(tokens.saturating_sub(1));
        if !most.is_empty() {
            no_grad(|| model.hidden(&ModelInput::after(&cache, most), Some(&mut cache)))?;
        }
        model.logits(&ModelInput::after(&cache, last), Some(&mut cache))?;
        if run >= WARM_UP_RUNS {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

/// Seconds that each of `tokens` tokens takes that are written one after the other behind a prompt
/// of `prompt` tokens.
///
/// # Errors
/// When the model has no room for so many tokens.
pub fn decode(model: &dyn CausalLm, prompt: usize, tokens: usize) -> Result<Vec<f64>> {
    let prompt = ids(model, prompt.max(1));
    let mut cache = KvCache::new(model, prompt.len() + WARM_UP_TOKENS + tokens)?;
    no_grad(|| model.hidden(&ModelInput::after(&cache, &prompt), Some(&mut cache)))?;
    let mut seconds = Vec::with_capacity(tokens);
    for (step, id) in ids(model, WARM_UP_TOKENS + tokens).into_iter().enumerate() {
        let start = Instant::now();
        model.logits(&ModelInput::after(&cache, &[id]), Some(&mut cache))?;
        if step >= WARM_UP_TOKENS {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

/// The matrices that multiply every token: those of the blocks, and the head. Tables that are only
/// looked up are not among them.
#[must_use]
pub fn multiplied(model: &dyn CausalLm) -> Vec<ParamSpec> {
    let head = model.head().weight.name();
    let in_block = |name: &str| name.split('.').any(|part| part.parse::<usize>().is_ok());
    let is_matrix = |spec: &&ParamSpec| spec.shape.dims().len() == 2;
    let specs = model.params().specs();
    let multiplied = specs.iter().filter(is_matrix);
    multiplied.filter(|spec| spec.name == head || in_block(&spec.name)).cloned().collect()
}

/// Bytes of weights that one token reads when it is written alone.
#[must_use]
pub fn bytes_per_token(model: &dyn CausalLm) -> usize {
    let bytes = |spec: ParamSpec| match spec.frozen.as_ref().and_then(|frozen| frozen.get()) {
        Some(matrix) => matrix.bytes().len(),
        None => spec.shape.len() * size_of::<f32>(),
    };
    multiplied(model).into_iter().map(bytes).sum()
}

/// Ids that touch all parts of a vocabulary.
fn ids(model: &dyn CausalLm, count: usize) -> Vec<u32> {
    let vocabulary = model.shape().vocab_size as u64;
    (0..count as u64).map(|i| (i.wrapping_mul(2_654_435_761) % vocabulary) as u32).collect()
}
