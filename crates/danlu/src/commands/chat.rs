//! `danlu chat`: talk to a model in the terminal.

use std::io::{BufRead, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use danlu::opened::Opened;
use danlu_infer::{Engine, FinishReason, Limits, Request};
use danlu_tokenizer::{ChatTemplate, Message, Role, encode_chat};
use serde_json::json;

use super::answer::Answer;
use super::sampling::{EndingArgs, SamplingArgs};
use super::using::{EngineArgs, ModelArgs};
use crate::output;

const WELCOME: &str = "Type a message and press Enter. /reset starts over, /exit or Ctrl-D \
     leaves, Ctrl-C stops an answer.\n输入一句话，按回车。/reset 重新开始，/exit 或 Ctrl-D 离开，Ctrl-C 打断回答。";

/// Tokens of a conversation that memory is reserved for if nobody says how many.
const CONTEXT_MAX: usize = 8192;

/// Talk to a model. Answers appear as they are written.
///
/// On a terminal: /reset forgets the conversation, /exit or Ctrl-D leaves, Ctrl-C stops an answer.
/// When stdin is no terminal, each line is a message and each answer is printed in turn.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu chat runs/quickstart/model
  echo '写一首关于月亮的诗' | danlu chat runs/quickstart/model
  danlu chat model.gguf --temperature 0.7 --context 4096 --kv-type f16 --lookup
  printf 'Lines about love\\nAnother\\n' | danlu chat runs/quickstart/model --json")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// What the model is told before the conversation
    #[arg(long)]
    system: Option<String>,
    /// Print each answer as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    ending: EndingArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let opened = args.model.open()?;
    let Some(template) = opened.template.clone() else {
        anyhow::bail!(
            "{} has no chat template (chat_template.jinja, or one in tokenizer_config.json or in a \
             GGUF file), so it was not taught to talk; use danlu generate",
            args.model.model
        );
    };
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    let engine = args.engine.engine(&opened, 1, CONTEXT_MAX)?;
    let mut chat = Chat { args, opened, template, engine, cancel, messages: Vec::new() };
    chat.reset();
    let on_terminal = std::io::stdin().is_terminal();
    ctrlc::set_handler(move || {
        // A second Ctrl-C, or one while nothing is being written, leaves.
        if flag.swap(true, Ordering::SeqCst) {
            #[allow(clippy::exit)]
            std::process::exit(130);
        }
    })?;
    chat.converse(on_terminal)
}

struct Chat<'a> {
    args: &'a Args,
    opened: Opened,
    template: ChatTemplate,
    engine: Engine,
    /// Set by Ctrl-C; true while nothing is being written, so that Ctrl-C then leaves.
    cancel: Arc<AtomicBool>,
    messages: Vec<Message>,
}

impl Chat<'_> {
    fn reset(&mut self) {
        self.messages.clear();
        let system = self.args.system.as_deref();
        self.messages.extend(system.map(|text| Message::new(Role::System, text)));
    }

    fn converse(&mut self, on_terminal: bool) -> Result<()> {
        let prompt = |text: &str| {
            // The prompt is for a person: it is no part of the answers on stdout.
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "{text}").and_then(|()| out.flush());
        };
        if on_terminal {
            prompt(&format!("{WELCOME}\n"));
        }
        let mut line = String::new();
        loop {
            if on_terminal {
                prompt("\n> ");
            }
            line.clear();
            self.cancel.store(true, Ordering::SeqCst);
            if std::io::stdin().lock().read_line(&mut line).context("cannot read a message")? == 0 {
                return Ok(());
            }
            self.cancel.store(false, Ordering::SeqCst);
            match line.trim() {
                "" => {}
                "/exit" | "/quit" => return Ok(()),
                "/reset" => self.reset(),
                text => self.answer(text)?,
            }
        }
    }

    /// Writes the answer to a message as it comes.
    fn answer(&mut self, text: &str) -> Result<()> {
        self.messages.push(Message::new(Role::User, text));
        let ids = self.ids_that_fit()?;
        let Args { sampling, ending, .. } = self.args;
        let Opened { tokenizer, generation, .. } = &self.opened;
        // Each turn has a seed of its own: asking the same again gives something new.
        let seed = sampling.seed.wrapping_add(self.messages.len() as u64);
        let request = Request {
            ids,
            sampling: sampling.sampling(generation, tokenizer, seed),
            limits: Limits { max_new_tokens: ending.max_new_tokens },
            stop_ids: tokenizer.stop_ids(),
            log_probs: None,
        };
        let mut generation = self.engine.start(&request, &self.cancel)?;
        let mut answer = Answer::new(tokenizer, &ending.stop);
        while !answer.stopped()
            && let Some(token) = generation.next()
        {
            let piece = answer.push(&token?)?;
            if !self.args.json {
                output::text(&output::printable(&piece))?;
            }
        }
        let reason = generation.finish_reason().unwrap_or(FinishReason::Cancelled);
        let rest = answer.end(reason);
        let answer = answer.text().to_owned();
        if self.args.json {
            output::json(&json!({ "user": text, "assistant": answer }))?;
        } else {
            output::line(&output::printable(&rest))?;
        }
        if reason == FinishReason::ContextFull {
            output::note("the context is full; /reset starts over, a larger --context holds more");
        }
        self.messages.push(Message::new(Role::Assistant, answer));
        Ok(())
    }

    /// The conversation as ids, with room for an answer. What does not fit is never cut silently.
    fn ids_that_fit(&mut self) -> Result<Vec<u32>> {
        let context = self.engine.context_len();
        let ids = self.encode()?;
        let room = self.args.ending.max_new_tokens.min(context / 2);
        if ids.len() + room <= context || self.messages.len() <= 1 {
            return Ok(ids);
        }
        output::note(&format!(
            "the conversation no longer fits the context of {context} tokens; it starts over with \
             your last message"
        ));
        let last = self.messages.pop();
        self.reset();
        self.messages.extend(last);
        self.encode()
    }

    fn encode(&self) -> Result<Vec<u32>> {
        Ok(encode_chat(&self.opened.tokenizer, &self.template, &self.messages, true)?.ids)
    }
}
