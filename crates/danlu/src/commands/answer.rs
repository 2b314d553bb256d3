//! An answer as text: decoded while it is written, ended by stop strings, shown as JSON.

use anyhow::Result;
use danlu_infer::{FinishReason, LogProbs, Token};
use danlu_tokenizer::{StopStrings, StreamDecoder, Tokenizer};
use serde_json::{Value, json};

/// An answer that is being written.
pub struct Answer<'a> {
    tokenizer: &'a Tokenizer,
    decoder: StreamDecoder<'a>,
    stops: StopStrings,
    stopped: bool,
    text: String,
    tokens: usize,
    log_probs: Vec<Value>,
    finish: Option<&'static str>,
}

impl<'a> Answer<'a> {
    /// An empty one.
    pub fn new(tokenizer: &'a Tokenizer, stops: &[String]) -> Self {
        Self {
            tokenizer,
            decoder: tokenizer.stream(),
            stops: StopStrings::new(stops),
            stopped: false,
            text: String::new(),
            tokens: 0,
            log_probs: Vec::new(),
            finish: None,
        }
    }

    /// Adds a token and returns the text that is sure with it.
    pub fn push(&mut self, token: &Token) -> Result<String> {
        self.tokens += 1;
        if let Some(log_probs) = &token.log_probs {
            self.log_probs.push(self.likelihood(token.id, log_probs)?);
        }
        let text = self.decoder.push(token.id)?;
        Ok(self.add(&text))
    }

    /// Whether a stop string was found, so that nothing more is wanted.
    pub fn stopped(&self) -> bool {
        self.stopped
    }

    /// Whether nothing more can come.
    pub fn ended(&self) -> bool {
        self.finish.is_some()
    }

    /// Ends it and returns the text that was held back.
    pub fn end(&mut self, reason: FinishReason) -> String {
        let decoder = std::mem::replace(&mut self.decoder, self.tokenizer.stream());
        let mut text = self.add(&decoder.finish());
        let held = std::mem::replace(&mut self.stops, StopStrings::new(&[]));
        self.finish = Some(if self.stopped { "stop" } else { name(reason) });
        let rest = held.finish();
        self.text.push_str(&rest);
        text.push_str(&rest);
        text
    }

    /// All of it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// As JSON, beside what it answers.
    pub fn json(&self, question: &[(&str, Value)]) -> Value {
        let mut value = json!({});
        for (key, part) in question {
            value[*key] = part.clone();
        }
        value["text"] = self.text.as_str().into();
        value["tokens"] = self.tokens.into();
        value["finish_reason"] = self.finish.into();
        if !self.log_probs.is_empty() {
            value["log_probs"] = self.log_probs.clone().into();
        }
        value
    }

    fn add(&mut self, text: &str) -> String {
        let sure = self.stops.push(text);
        self.stopped = self.stops.stopped();
        self.text.push_str(&sure);
        sure
    }

    fn likelihood(&self, id: u32, log_probs: &LogProbs) -> Result<Value> {
        let of = |id: u32, log_prob: f32| -> Result<Value> {
            let text = self.tokenizer.decode_with_specials(&[id])?;
            Ok(json!({ "id": id, "text": text, "log_prob": log_prob }))
        };
        let mut value = of(id, log_probs.chosen)?;
        // A model may have more rows than its vocabulary has words.
        let words = self.tokenizer.vocab_size() as u32;
        let top = log_probs.top.iter().filter(|(id, _)| *id < words);
        value["top"] = top.map(|&(id, log_prob)| of(id, log_prob)).collect::<Result<_>>()?;
        Ok(value)
    }
}

/// A finish reason as programs read it.
fn name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop(_) => "stop",
        FinishReason::MaxNewTokens => "length",
        FinishReason::ContextFull => "context_full",
        FinishReason::Cancelled => "cancelled",
    }
}
