//! One request at a time: its answer as an iterator.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Engine, Output, RequestId};
use crate::{Error, FinishReason, Request, Result, Token};

/// An answer in progress: an iterator over its tokens. What it computed stays in the engine's
/// cache; dropping it ends the answer.
pub struct Generation<'a> {
    engine: &'a mut Engine,
    id: RequestId,
    cancel: &'a AtomicBool,
    /// Computed and not yet given out.
    coming: VecDeque<Output>,
    cached: usize,
    finish: Option<FinishReason>,
    ended: bool,
}

impl Engine {
    /// Starts an answer; its tokens are computed as they are asked for. Storing true in `cancel`
    /// ends it before the next one.
    ///
    /// # Errors
    /// As [`Engine::submit`], or when other requests are being answered.
    pub fn start<'a>(
        &'a mut self,
        request: &Request,
        cancel: &'a AtomicBool,
    ) -> Result<Generation<'a>> {
        if !self.is_idle() {
            return Err(Error::Busy);
        }
        let id = self.submit(request.clone())?;
        let cached = self.running.iter().flatten().map(|sequence| sequence.cached).sum();
        Ok(Generation {
            engine: self,
            id,
            cancel,
            coming: VecDeque::new(),
            cached,
            finish: None,
            ended: false,
        })
    }
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

    /// What comes next, computing until something does.
    fn output(&mut self) -> Result<Output> {
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return Ok(Output::End(FinishReason::Cancelled));
            }
            if let Some(output) = self.coming.pop_front() {
                return Ok(output);
            }
            self.coming.extend(self.engine.step()?.into_iter().map(|event| event.output));
        }
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Token>;

    /// The next token; `None` at the end, and after an error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let error = match self.output() {
            Ok(Output::Token(token)) => return Some(Ok(token)),
            Ok(Output::End(reason)) => {
                self.finish = Some(reason);
                None
            }
            Ok(Output::Failed(error)) | Err(error) => Some(Err(error)),
        };
        self.ended = true;
        error
    }
}

impl Drop for Generation<'_> {
    fn drop(&mut self) {
        self.engine.cancel(self.id);
    }
}
