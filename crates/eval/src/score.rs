//! Log-probabilities of text under a model, and bits per byte.
//!
//! A document is scored alone, after the token that starts every document. One longer than the
//! context is cut into windows that overlap by half, and every token is scored once, by the window
//! in which it has the most text before it. Windows of several documents are computed together as
//! separate segments, which changes no value.

use std::sync::Arc;

use danlu_models::{CausalLm, ModelInput};
use danlu_tensor::no_grad;
use danlu_tensor::ops::linear_log_probs;
use serde::{Deserialize, Serialize};

use crate::Result;

/// Tokens computed at once: enough to keep the cores busy, little memory.
const TOKENS_AT_ONCE: usize = 4096;

/// How surprised a model was by some text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surprise {
    /// Sum of negative log-likelihoods, in nats.
    pub nats: f64,
    /// Tokens that were predicted.
    pub tokens: u64,
    /// Bytes of the text.
    pub bytes: u64,
}

impl Surprise {
    /// Bits per byte of text.
    #[must_use]
    pub fn bits_per_byte(&self) -> f64 {
        self.nats / std::f64::consts::LN_2 / self.bytes.max(1) as f64
    }

    /// `exp` of the mean loss per token.
    #[must_use]
    pub fn perplexity(&self) -> f64 {
        (self.nats / self.tokens.max(1) as f64).exp()
    }

    /// Both texts together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            nats: self.nats + other.nats,
            tokens: self.tokens + other.tokens,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// A stretch of a document that is computed at once.
struct Window<'a> {
    document: usize,
    /// Inputs and, shifted by one, targets: one more than the inputs.
    ids: &'a [u32],
    /// Leading targets that another window scores.
    skip: usize,
}

/// For each document (ids that begin with the start token) the log-probability of every id but the
/// first.
///
/// # Errors
/// When the model cannot compute it, for instance an id outside its vocabulary.
pub fn log_probs(model: &dyn CausalLm, documents: &[&[u32]]) -> Result<Vec<Vec<f32>>> {
    let context = model.shape().context_len;
    let mut scores: Vec<Vec<f32>> =
        documents.iter().map(|ids| Vec::with_capacity(ids.len())).collect();
    let windows: Vec<Window<'_>> = documents
        .iter()
        .enumerate()
        .flat_map(|(document, ids)| windows_of(document, ids, context))
        .collect();
    let mut rest = &windows[..];
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = |w: &&Window<'_>| {
            tokens += w.ids.len() - 1;
            tokens <= TOKENS_AT_ONCE
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(count);
        score_together(model, now, &mut scores)?;
        rest = later;
    }
    Ok(scores)
}

/// Cuts a document into windows of at most `context` inputs.
fn windows_of(document: usize, ids: &[u32], context: usize) -> Vec<Window<'_>> {
    let targets = ids.len().saturating_sub(1);
    if targets == 0 {
        return Vec::new();
    }
    if targets <= context {
        return vec![Window { document, ids, skip: 0 }];
    }
    let mut windows = vec![Window { document, ids: &ids[..=context], skip: 0 }];
    let mut done = context;
    while done < targets {
        let end = (done + context.div_ceil(2)).min(targets);
        let start = end - context;
        windows.push(Window { document, ids: &ids[start..=end], skip: done - start });
        done = end;
    }
    windows
}

fn score_together(
    model: &dyn CausalLm,
    windows: &[Window<'_>],
    scores: &mut [Vec<f32>],
) -> Result<()> {
    let (mut ids, mut targets) = (Vec::new(), Vec::new());
    let (mut positions, mut segments) = (Vec::new(), Vec::new());
    for (segment, window) in windows.iter().enumerate() {
        let len = window.ids.len() - 1;
        ids.extend_from_slice(&window.ids[..len]);
        targets.extend(window.ids[1..].iter().map(|&id| id as i32));
        positions.extend(0..len as u32);
        segments.extend(std::iter::repeat_n(segment as u32, len));
    }
    let input = ModelInput {
        ids: &ids,
        batch: 1,
        positions: positions.into(),
        segments: Some(Arc::from(segments)),
    };
    let log_probs = no_grad(|| {
        let hidden = model.hidden(&input, None)?;
        Ok::<_, crate::Error>(linear_log_probs(&hidden, model.head(), &targets)?)
    })?;
    let mut rest = &log_probs[..];
    for window in windows {
        let (mine, others) = rest.split_at(window.ids.len() - 1);
        scores[window.document].extend_from_slice(&mine[window.skip..]);
        rest = others;
    }
    Ok(())
}

/// How surprised the model is by each document. `documents` holds ids that begin with the start
/// token, and the bytes of the text they stand for.
///
/// # Errors
/// As [`log_probs`].
pub fn surprise(model: &dyn CausalLm, documents: &[(Vec<u32>, u64)]) -> Result<Vec<Surprise>> {
    let ids: Vec<&[u32]> = documents.iter().map(|(ids, _)| &ids[..]).collect();
    let scores = log_probs(model, &ids)?;
    let sum = |(scores, (_, bytes)): (Vec<f32>, &(Vec<u32>, u64))| Surprise {
        nats: -scores.iter().map(|&score| f64::from(score)).sum::<f64>(),
        tokens: scores.len() as u64,
        bytes: *bytes,
    };
    Ok(scores.into_iter().zip(documents).map(sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_score_every_target_exactly_once_with_at_least_half_a_context() {
        for (len, context) in [(1, 4), (2, 4), (5, 4), (6, 4), (100, 7), (101, 8), (64, 63)] {
            let ids: Vec<u32> = (0..len).collect();
            let mut scored = Vec::new();
            for window in windows_of(0, &ids, context) {
                assert!(window.ids.len() - 1 <= context);
                assert!(window.ids[0] == 0 || window.skip >= context / 2, "{len} {context}");
                scored.extend_from_slice(&window.ids[1 + window.skip..]);
            }
            assert_eq!(scored, ids[1..], "{len} tokens, context {context}");
        }
    }
}
