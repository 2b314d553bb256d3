//! The engine: a model that continues token ids, for many requests at once.
//!
//! An answer is a loop of two steps: compute what is not yet in the cache, choose the next token.
//! At first what is not in the cache is the prompt, later it is the token chosen last, so reading
//! prompts and writing answers are the same code, and one pass through the model does both for all
//! requests that are being answered.
//!
//! - The cache has a fixed number of slots, reserved once. A request waits for a free one, joins
//!   the others at any step, and leaves its slot when it ends.
//! - A prompt that begins as one before did goes on from there: see `slots`.
//! - Prompts are computed in chunks between the tokens of the others, so that nobody waits for long
//!   and memory is bounded.
//! - Tokens may be guessed ahead and computed together: see `speculation`. A guess is kept only
//!   if it is what would have been chosen without it.
//! - Every row of a pass is computed as if it were alone, and a token is chosen by a number that
//!   depends on the seed and the token's place in the answer. So an answer is a function of the
//!   model and the request: the same bits alone or in any company, after whatever was asked before.

mod generation;
mod slots;
mod speculation;

use std::collections::VecDeque;
use std::sync::Arc;

use danlu_kernels::quant::BlockFormat;
use danlu_models::{CacheOptions, CausalLm, KvCache, ModelInput};
use danlu_tensor::{Tensor, no_grad, ops};

pub use self::generation::Generation;
use self::speculation::Guesser;
pub use self::speculation::{Guessed, Speculation};
use crate::samplers::{History, Sampler};
use crate::{Error, FinishReason, Request, Result, Token};

/// How an engine is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Requests that are answered at the same time; the others wait.
    pub slots: usize,
    /// Tokens that prompt and answer may have together; memory for them is reserved at once, for
    /// each slot. At most the model's context.
    pub context_len: usize,
    /// Tokens of prompts that are computed in one step.
    pub prefill_chunk: usize,
    /// How keys and values are kept: F32, F16, BF16 or Q8_0; `None` is the type the model computes
    /// in.
    pub kv_format: Option<BlockFormat>,
}

impl EngineOptions {
    /// One request at a time with all the context a model has, prompts in chunks that keep the
    /// cores busy.
    #[must_use]
    pub fn for_model(model: &dyn CausalLm) -> Self {
        let context_len = model.shape().context_len;
        Self { slots: 1, context_len, prefill_chunk: 256, kv_format: None }
    }
}

/// A request that was taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// Something that happened to a request.
#[derive(Debug)]
pub struct Event {
    /// Whose.
    pub request: RequestId,
    /// What.
    pub output: Output,
}

/// What happens to a request: tokens, then one of the others.
#[derive(Debug)]
pub enum Output {
    /// The next token of its answer.
    Token(Token),
    /// Its answer ended.
    End(FinishReason),
    /// It cannot be answered any further.
    Failed(Error),
}

/// A request that is being answered.
struct Sequence {
    id: RequestId,
    request: Request,
    history: History,
    /// Tokens of the prompt that did not have to be computed.
    cached: usize,
    /// Tokens that may come next, by guess.
    guess: Vec<u32>,
}

/// What a step computes for a slot.
struct Part {
    slot: usize,
    /// Tokens.
    len: usize,
    /// Of how many of the last of them the logits are wanted.
    wanted: usize,
}

/// A model that continues token ids.
pub struct Engine {
    model: Arc<dyn CausalLm>,
    cache: KvCache,
    /// What each slot of the cache is used for.
    running: Vec<Option<Sequence>>,
    waiting: VecDeque<Sequence>,
    /// The request that used each slot last.
    last_use: Vec<u64>,
    sampler: Sampler,
    guesser: Option<Guesser>,
    prefill_chunk: usize,
    /// Requests taken on so far.
    requests: u64,
}

impl Engine {
    /// Reserves the cache and all that choosing a token needs.
    ///
    /// # Errors
    /// When an option is 0 or beyond what the model can do.
    pub fn new(model: Arc<dyn CausalLm>, options: EngineOptions) -> Result<Self> {
        let EngineOptions { slots, context_len, prefill_chunk, kv_format } = options;
        for (name, value) in [("slots", slots), ("prefill_chunk", prefill_chunk)] {
            if value == 0 {
                let (value, expected) = (value.to_string(), "at least 1");
                return Err(Error::Setting { name, value, expected });
            }
        }
        let cache = CacheOptions { slots, capacity: context_len, format: kv_format };
        Ok(Self {
            cache: KvCache::reserve(model.as_ref(), cache)?,
            running: (0..slots).map(|_| None).collect(),
            waiting: VecDeque::new(),
            last_use: vec![0; slots],
            sampler: Sampler::new(model.shape().vocab_size),
            guesser: None,
            prefill_chunk,
            requests: 0,
            model,
        })
    }

    /// Guesses tokens ahead from now on. That changes the speed and not the answers.
    ///
    /// # Errors
    /// When the draft model does not fit this one.
    pub fn speculate(&mut self, how: Speculation) -> Result<()> {
        self.guesser = Some(Guesser::new(how, self.model.shape(), &self.cache)?);
        Ok(())
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &Arc<dyn CausalLm> {
        &self.model
    }

    /// Tokens that prompt and answer may have together.
    #[must_use]
    pub fn context_len(&self) -> usize {
        self.cache.capacity()
    }

    /// Ids whose keys and values are in a slot of the cache: where a conversation can go on at no
    /// cost.
    ///
    /// # Panics
    /// When there is no such slot.
    #[must_use]
    pub fn cached_ids(&self, slot: usize) -> &[u32] {
        self.cache.ids_of(slot)
    }

    /// Bytes that are reserved for keys and values.
    #[must_use]
    pub fn cache_size_bytes(&self) -> usize {
        self.cache.size_bytes()
    }

    /// How many tokens were guessed so far, and how many of them rightly.
    #[must_use]
    pub fn guessed(&self) -> Guessed {
        self.guesser.as_ref().map(Guesser::guessed).unwrap_or_default()
    }

    /// Whether no request is left to answer.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.iter().all(Option::is_none)
    }

    /// Takes on a request; [`Engine::step`] answers it.
    ///
    /// # Errors
    /// When the prompt is empty or does not fit, an id is outside the vocabulary, or a setting
    /// makes no sense.
    pub fn submit(&mut self, request: Request) -> Result<RequestId> {
        let (tokens, room) = (request.ids.len(), self.cache.capacity());
        if tokens == 0 {
            return Err(Error::EmptyPrompt);
        }
        if tokens > room {
            return Err(Error::PromptTooLong { tokens, room });
        }
        request.validate(self.model.shape().vocab_size)?;
        self.model.shape().check_ids(&request.ids)?;
        self.requests += 1;
        let id = RequestId(self.requests);
        let history = History::new(&request.ids, &request.sampling);
        self.waiting.push_back(Sequence { id, request, history, cached: 0, guess: Vec::new() });
        self.admit();
        Ok(id)
    }

    /// Forgets a request; whether there was one. What was computed for it stays in the cache.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let count = self.waiting.len();
        self.waiting.retain(|sequence| sequence.id != id);
        let is_it = |slot: &&mut Option<Sequence>| slot.as_ref().is_some_and(|it| it.id == id);
        let running = self.running.iter_mut().find(is_it).and_then(Option::take);
        running.is_some() || self.waiting.len() < count
    }

    /// Goes on with all requests that have a slot, by a token of the answer or a chunk of the
    /// prompt, and says what came of it.
    ///
    /// # Errors
    /// When the model fails. What fails for one request only is an event of that request.
    pub fn step(&mut self) -> Result<Vec<Event>> {
        self.admit();
        if let Some(guesser) = &mut self.guesser {
            no_grad(|| guesser.guess(&mut self.running, &self.cache, &mut self.sampler))?;
        }
        let (parts, mut events) = (self.plan(), Vec::new());
        if let Some(logits) = no_grad(|| self.compute(&parts))? {
            let vocab_size = self.model.shape().vocab_size;
            let mut rows = logits.as_f32("sampling", "the logits")?;
            for Part { slot, wanted, .. } in parts.into_iter().filter(|part| part.wanted > 0) {
                let (of_part, rest) = rows.split_at(wanted * vocab_size);
                self.choose(slot, of_part.chunks_exact(vocab_size), &mut events);
                rows = rest;
            }
        }
        Ok(events)
    }

    /// What is computed next: the tokens of all answers, and of the prompts, in the order in which
    /// they came, as much as a step allows.
    fn plan(&self) -> Vec<Part> {
        let mut slots: Vec<(RequestId, usize, &Sequence)> = Vec::new();
        for (slot, sequence) in self.running.iter().enumerate() {
            slots.extend(sequence.as_ref().map(|sequence| (sequence.id, slot, sequence)));
        }
        slots.sort_unstable_by_key(|(id, ..)| *id);
        let mut budget = self.prefill_chunk;
        let part = |(_, slot, sequence): (RequestId, usize, &Sequence)| {
            let missing = sequence.history.ids().len() - self.cache.ids_of(slot).len();
            if sequence.history.answered() > 0 {
                let len = missing + sequence.guess.len();
                return Part { slot, len, wanted: len };
            }
            let len = missing.min(budget);
            budget -= len;
            Part { slot, len, wanted: usize::from(len == missing) }
        };
        slots.into_iter().map(part).filter(|part| part.len > 0).collect()
    }

    /// Adds the tokens of all parts to the cache and returns the logits `[rows, V]` that are
    /// wanted.
    fn compute(&mut self, parts: &[Part]) -> Result<Option<Tensor>> {
        let (mut ids, mut wanted) = (Vec::new(), Vec::new());
        for part in parts {
            if let Some(Sequence { history, guess, .. }) = &self.running[part.slot] {
                let known = self.cache.ids_of(part.slot).len();
                ids.extend(history.ids()[known..].iter().chain(guess).take(part.len));
            }
            wanted.extend(ids.len() - part.wanted..ids.len());
        }
        if ids.is_empty() {
            return Ok(None);
        }
        let lens: Vec<_> = parts.iter().map(|part| (part.slot, part.len)).collect();
        let input = ModelInput::of_slots(&self.cache, &lens, &ids);
        let hidden = self.model.hidden(&input, Some(&mut self.cache))?;
        if wanted.is_empty() {
            return Ok(None);
        }
        Ok(Some(ops::logits(&ops::select_rows(&hidden, &wanted)?, self.model.head())?))
    }

    /// Chooses the next token of an answer, and those after it as long as they were guessed.
    fn choose<'a>(
        &mut self,
        slot: usize,
        rows: impl Iterator<Item = &'a [f32]>,
        events: &mut Vec<Event>,
    ) {
        let Some(mut sequence) = self.running[slot].take() else { return };
        let guess = std::mem::take(&mut sequence.guess);
        let (mut seen, mut right, mut ended) = (0, 0, false);
        for logits in rows {
            let output = match sequence.next(logits, &mut self.sampler) {
                Output::Failed(error) => Output::Failed(error.explained(self.model.as_ref())),
                output => output,
            };
            ended = !matches!(output, Output::Token(_));
            let as_guessed = sequence.history.ids().last() == guess.get(right);
            events.push(Event { request: sequence.id, output });
            if let Some(reason) = sequence.finished(self.cache.capacity()).filter(|_| !ended) {
                events.push(Event { request: sequence.id, output: Output::End(reason) });
                ended = true;
            }
            seen += 1;
            right += usize::from(as_guessed);
            if ended || !as_guessed {
                break;
            }
        }
        if let Some(guesser) = &mut self.guesser {
            guesser.learn(slot, seen.min(guess.len()), right);
        }
        // The token chosen last is not computed yet; what was guessed wrongly is forgotten.
        self.cache.truncate_slot(slot, sequence.history.ids().len() - 1);
        if !ended {
            self.running[slot] = Some(sequence);
        }
    }
}

impl Sequence {
    /// The next token by these logits `[V]`.
    fn next(&mut self, logits: &[f32], sampler: &mut Sampler) -> Output {
        let Request { sampling, stop_ids, log_probs, .. } = &self.request;
        match sampler.choose(logits, sampling, &mut self.history) {
            Err(error) => Output::Failed(error),
            Ok(id) if stop_ids.contains(&id) => Output::End(FinishReason::Stop(id)),
            Ok(id) => {
                let log_probs = log_probs.map(|top| sampler.log_probs(logits, id, top));
                Output::Token(Token { id, log_probs })
            }
        }
    }

    /// Whether the answer can have no further token.
    fn finished(&self, capacity: usize) -> Option<FinishReason> {
        if self.history.answered() >= self.request.limits.max_new_tokens {
            return Some(FinishReason::MaxNewTokens);
        }
        (self.history.ids().len() > capacity).then_some(FinishReason::ContextFull)
    }
}
