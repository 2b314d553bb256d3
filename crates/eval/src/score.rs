//! Log-probabilities of text under a model, and bits per byte.
//!
//! A document is scored alone, after the token that starts every document. One longer than the
//! context is cut into windows that overlap by half, and every token is scored once, by the window
//! in which it has the most text before it. Windows of several documents are computed together as
//! separate segments, which changes no value.

use std::sync::Arc;

use danlu_models::{CausalLm, ModelInput};
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
    let log_probs = model.log_probs(&input, &targets)?;
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
    use danlu_models::config::{ConfigJson, SpecialIds};
    use danlu_models::families::find_family;
    use danlu_models::{BuildOptions, LlamaConfig, ModelShape};
    use danlu_tensor::{Device, Precision};

    const VOCAB_SIZE: usize = 64;
    const CONTEXT: usize = 8;

    /// A small model with random weights; `scale` of its head 0 makes it uniform.
    fn model(scale: f32) -> Box<dyn CausalLm> {
        let shape = ModelShape {
            num_layers: 1,
            num_heads: 2,
            num_kv_heads: 1,
            head_dim: 8,
            hidden_size: 16,
            ffn_size: 24,
            vocab_size: VOCAB_SIZE,
            context_len: CONTEXT,
        };
        let special_ids = SpecialIds { bos: Some(0), eos: vec![1], pad: None };
        let (norm_eps, rope_theta, tie_embeddings) = (1e-5, 10_000.0, false);
        let config = LlamaConfig { shape, norm_eps, rope_theta, tie_embeddings, special_ids };
        let json = ConfigJson::new("a test", config.write());
        let device = Device::cpu(2).unwrap();
        let options = BuildOptions::trainable(device, Precision::F32);
        let model = (find_family(&json).unwrap().build)(&json, &options).unwrap();
        let store = model.params();
        store.initialise(3);
        let head = store.find("lm_head.weight").unwrap().range();
        store.update(|values| values[head].iter_mut().for_each(|value| *value *= scale));
        model
    }

    #[test]
    fn a_uniform_model_needs_the_logarithm_of_its_vocabulary_a_token() {
        let documents: Vec<(Vec<u32>, u64)> =
            vec![(vec![0, 5, 9, 63], 7), ((0..30).collect(), 90), (vec![0], 0), (vec![0, 1], 3)];
        let found = surprise(model(0.0).as_ref(), &documents).unwrap();
        let all = found.iter().fold(Surprise::default(), |sum, one| sum.plus(*one));
        assert_eq!((all.tokens, all.bytes), (3 + 29 + 1, 100));
        let expected = (VOCAB_SIZE as f64).log2() * 33.0 / 100.0;
        assert!((all.bits_per_byte() / expected - 1.0).abs() < 1e-6, "{}", all.bits_per_byte());
        assert!((all.perplexity() / VOCAB_SIZE as f64 - 1.0).abs() < 1e-5, "{}", all.perplexity());
        assert_eq!(found[2], Surprise::default(), "nothing is predicted in an empty text");
    }

    #[test]
    fn a_document_scores_the_same_alone_and_among_others() {
        let model = model(20.0);
        let documents: [&[u32]; 4] =
            [&[0, 7, 7, 2], &[0, 4], &[0, 60, 3, 9, 1, 2, 8, 8, 61, 5, 5, 12, 40], &[0, 7, 7, 2]];
        let together = log_probs(model.as_ref(), &documents).unwrap();
        for (document, found) in documents.iter().zip(&together) {
            let alone = log_probs(model.as_ref(), &[document]).unwrap().concat();
            assert_eq!(found.len(), document.len() - 1);
            let far = |(a, b): (&f32, &f32)| (a - b).abs() > 1e-5;
            assert!(!found.iter().zip(&alone).any(far), "{found:?} against {alone:?}");
        }
        assert!(together[0].iter().any(|&score| (score + (64.0_f32).ln()).abs() > 0.1));
    }

    #[test]
    fn a_window_is_scored_as_the_model_alone_would() {
        // The last half context of a long document, given the half before it.
        let model = model(20.0);
        let ids: Vec<u32> = (0..12).map(|i| i * 5 % 64).collect();
        let whole = log_probs(model.as_ref(), &[&ids]).unwrap().concat();
        let last = log_probs(model.as_ref(), &[&ids[12 - 1 - CONTEXT..]]).unwrap().concat();
        for (a, b) in whole[CONTEXT..].iter().zip(&last[CONTEXT - 3..]) {
            assert!((a - b).abs() < 1e-5, "{whole:?} against {last:?}");
        }
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_an_error() {
        let model = model(1.0);
        assert!(log_probs(model.as_ref(), &[&[0, 64, 3]]).is_err());
    }

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
