//! The engine: a model that continues token ids.
//!
//! An answer is a loop of two steps: compute what is not yet in the cache, choose the next token.
//! At first what is not in the cache is the prompt, later it is the token chosen last, so reading
//! the prompt and writing the answer are the same code.
//!
//! - The cache is reserved once. A conversation goes on where it ended: of a new prompt only what
//!   follows the ids that the cache already holds is computed.
//! - A prompt is computed in chunks, so that it can be cancelled and its memory is bounded.
//! - A token is chosen by a number that depends on the seed and the token's place in the answer, so
//!   an answer does not depend on what was asked before.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use danlu_models::{CausalLm, KvCache, ModelInput};
use danlu_tensor::{Tensor, no_grad, ops};

use crate::samplers::{History, Sampler};
use crate::{Error, FinishReason, Request, Result, Token};

/// How an engine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Tokens that prompt and answer may have together; memory for them is reserved at once. At
    /// most the model's context.
    pub context_len: usize,
    /// Tokens of a prompt that are computed at once.
    pub prefill_chunk: usize,
}

impl EngineOptions {
    /// All the context a model has, prompts in chunks that keep the cores busy.
    #[must_use]
    pub fn for_model(model: &dyn CausalLm) -> Self {
        Self { context_len: model.shape().context_len, prefill_chunk: 256 }
    }
}

/// A model that continues token ids, one request at a time.
pub struct Engine {
    model: Arc<dyn CausalLm>,
    cache: KvCache,
    sampler: Sampler,
    prefill_chunk: usize,
}

impl Engine {
    /// Reserves the cache and all that choosing a token needs.
    ///
    /// # Errors
    /// When an option is 0 or beyond what the model can do.
    pub fn new(model: Arc<dyn CausalLm>, options: EngineOptions) -> Result<Self> {
        let EngineOptions { context_len, prefill_chunk } = options;
        if prefill_chunk == 0 {
            let (value, expected) = ("0".to_owned(), "at least 1");
            return Err(Error::Setting { name: "prefill_chunk", value, expected });
        }
        let cache = KvCache::new(model.as_ref(), context_len)?;
        let sampler = Sampler::new(model.shape().vocab_size);
        Ok(Self { model, cache, sampler, prefill_chunk })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn CausalLm> {
        &self.model
    }

    /// Ids whose keys and values are in the cache: where a conversation can go on at no cost.
    #[must_use]
    pub fn cached_ids(&self) -> &[u32] {
        self.cache.ids()
    }

    /// Starts an answer; its tokens are computed as they are asked for. Storing true in `cancel`
    /// ends it before the next one.
    ///
    /// # Errors
    /// When the prompt is empty or does not fit, an id is outside the vocabulary, or a setting
    /// makes no sense.
    pub fn start<'a>(
        &'a mut self,
        request: &'a Request,
        cancel: &'a AtomicBool,
    ) -> Result<Generation<'a>> {
        let (ids, room) = (&request.ids, self.cache.capacity());
        if ids.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if ids.len() > room {
            return Err(Error::PromptTooLong { tokens: ids.len(), room });
        }
        request.sampling.validate()?;
        self.model.shape().check_ids(ids)?;
        // The last token is computed even if it is cached: the answer begins with its logits.
        let cached = self.cache.common_prefix(ids).min(ids.len() - 1);
        self.cache.truncate(cached);
        check_bias(request, self.model.shape().vocab_size)?;
        let history = History::new(ids, &request.sampling);
        let pending = ids[cached..].to_vec();
        Ok(Generation {
            engine: self,
            request,
            cancel,
            pending,
            cached,
            history,
            finish: None,
            ended: false,
        })
    }

    /// Computes `pending` into the cache and returns the logits `[1, V]` after the last of them, or
    /// `None` when cancelled.
    fn logits_after(&mut self, pending: &[u32], cancel: &AtomicBool) -> Result<Option<Tensor>> {
        let mut last_hidden = None;
        for chunk in pending.chunks(self.prefill_chunk) {
            if cancel.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let input = ModelInput::after(&self.cache, chunk);
            let hidden = self.model.hidden(&input, Some(&mut self.cache))?;
            last_hidden = Some(ops::select_rows(&hidden, &[chunk.len() - 1])?);
        }
        let logits = last_hidden.map(|hidden| ops::logits(&hidden, self.model.head()));
        Ok(logits.transpose()?)
    }
}

/// An answer in progress: an iterator over its ids. What it computed stays in the engine's cache.
pub struct Generation<'a> {
    engine: &'a mut Engine,
    request: &'a Request,
    cancel: &'a AtomicBool,
    /// Ids that are not yet in the cache.
    pending: Vec<u32>,
    /// Ids of the prompt that were in the cache before.
    cached: usize,
    /// Prompt and answer so far.
    history: History,
    finish: Option<FinishReason>,
    ended: bool,
}

impl Generation<'_> {
    /// Why the answer ended, once it has.
    #[must_use]
    pub fn finish_reason(&self) -> Option<FinishReason> {
        self.finish
    }

    /// Tokens of the prompt that did not have to be computed.
    #[must_use]
    pub fn cached_prompt_tokens(&self) -> usize {
        self.cached
    }

    /// Computes the next token, or finds that the answer ends.
    fn step(&mut self) -> Result<Step> {
        if self.history.answered() >= self.request.limits.max_new_tokens {
            return Ok(Step::End(FinishReason::MaxNewTokens));
        }
        let engine = &mut *self.engine;
        if engine.cache.len() + self.pending.len() > engine.cache.capacity() {
            return Ok(Step::End(FinishReason::ContextFull));
        }
        let Some(logits) = no_grad(|| engine.logits_after(&self.pending, self.cancel))? else {
            return Ok(Step::End(FinishReason::Cancelled));
        };
        let logits = logits.as_f32("sampling", "the logits")?;
        let id = engine.sampler.choose(logits, &self.request.sampling, &mut self.history)?;
        if self.request.stop_ids.contains(&id) {
            return Ok(Step::End(FinishReason::Stop(id)));
        }
        self.pending.clear();
        self.pending.push(id);
        let log_probs = self.request.log_probs.map(|top| engine.sampler.log_probs(logits, id, top));
        Ok(Step::Token(Token { id, log_probs }))
    }
}

/// What one step of an answer brings.
enum Step {
    Token(Token),
    End(FinishReason),
}

impl Iterator for Generation<'_> {
    type Item = Result<Token>;

    /// The next id; `None` at the end, and after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.step() {
            Ok(Step::Token(token)) => return Some(Ok(token)),
            Ok(Step::End(reason)) => self.finish = Some(reason),
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        }
        self.ended = true;
        None
    }
}

/// Refuses a bias of a token that does not exist.
fn check_bias(request: &Request, vocab_size: usize) -> Result<()> {
    match request.sampling.logit_bias.iter().find(|(id, _)| *id as usize >= vocab_size) {
        None => Ok(()),
        Some((id, _)) => {
            let (name, value) = ("logit_bias", format!("for token {id}"));
            Err(Error::Setting { name, value, expected: "for tokens of the vocabulary" })
        }
    }
}
