//! `danlu generate`: goes on where a text ends.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use danlu_infer::{Engine, EngineOptions, FinishReason, Limits, Request};
use serde_json::json;

use super::using::{self, ModelArgs, SamplingArgs};
use crate::output;

/// Continue a text: the model writes what might come next.
///
/// The prompt is plain text, as in the texts the model was trained on. To talk to a model in turns,
/// use `danlu chat`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu generate runs/quickstart/model --prompt '《春'
  danlu generate runs/quickstart/model --prompt 'HAMLET:' --temperature 0.6 --seed 7
  echo 'JULIET:' | danlu generate runs/quickstart/model --prompt -")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue; `-` reads it from stdin
    #[arg(long)]
    prompt: String,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print one JSON object at the end instead of streaming text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let opened = using::open(&args.model.model)?;
    let prompt = match args.prompt.as_str() {
        "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read the prompt")?;
            text.trim_end_matches('\n').to_owned()
        }
        text => text.to_owned(),
    };
    let (ids, _) = danlu::heldout::encode(&prompt, &opened.tokenizer)?;
    let request = Request {
        ids,
        sampling: args.sampling.sampling(&opened.generation, args.sampling.seed),
        limits: Limits { max_new_tokens: args.sampling.max_new_tokens },
        stop_ids: opened.tokenizer.stop_ids(),
        log_probs: None,
    };
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    let options = EngineOptions::for_model(opened.model.as_ref());
    let mut engine = Engine::new(Arc::clone(&opened.model), options)?;
    let mut generation = engine.start(&request, &cancel)?;
    let mut decoder = opened.tokenizer.stream();
    let (mut answer, mut tokens) = (String::new(), 0);
    if !args.json {
        output::text(&output::printable(&prompt))?;
    }
    for token in generation.by_ref() {
        let piece = decoder.push(token?.id)?;
        tokens += 1;
        if !args.json {
            output::text(&output::printable(&piece))?;
        }
        answer.push_str(&piece);
    }
    let rest = decoder.finish();
    answer.push_str(&rest);
    let finish = generation.finish_reason();
    if !args.json {
        return output::line(&output::printable(&rest));
    }
    output::json(&json!({
        "prompt": prompt, "text": answer, "tokens": tokens, "finish_reason": name(finish),
    }))
}

/// A finish reason as programs read it.
fn name(reason: Option<FinishReason>) -> &'static str {
    match reason {
        Some(FinishReason::Stop(_)) => "stop",
        Some(FinishReason::MaxNewTokens) => "length",
        Some(FinishReason::ContextFull) => "context_full",
        Some(FinishReason::Cancelled) | None => "cancelled",
    }
}
