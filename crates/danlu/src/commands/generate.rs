//! `danlu generate`: goes on where a text ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use danlu::opened::Opened;
use danlu_infer::{Engine, Event, FinishReason, Limits, Output, Request, RequestId, Sampling};
use serde::Deserialize;
use serde_json::Value;

use super::answer::Answer;
use super::sampling::{EndingArgs, SamplingArgs};
use super::using::{EngineArgs, ModelArgs};
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
  echo 'JULIET:' | danlu generate runs/quickstart/model --prompt - --stop 'ROMEO:'
  danlu generate model.gguf --prompt 'A haiku:' -n 4 --logprobs 3 --json
  danlu generate model.gguf --prompts questions.jsonl --slots 16 --kv-type q8_0
  danlu generate large.gguf --prompt 'def add(' --temperature 0 --draft small.gguf")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Text to continue; `-` reads it from stdin
    #[arg(long, required_unless_present = "prompts", conflicts_with = "prompts")]
    prompt: Option<String>,
    /// A file of many prompts, {\"prompt\": \"...\"} a line; prints a JSON object for each answer,
    /// in that order
    #[arg(long, value_name = "FILE.jsonl")]
    prompts: Option<PathBuf>,
    /// Answers to each prompt
    #[arg(short = 'n', long, default_value_t = 1, value_name = "COUNT")]
    answers: u32,
    /// Prompts that are answered at the same time [default: as many as there are, up to 16]
    #[arg(long)]
    slots: Option<usize>,
    /// Print JSON objects at the end instead of streaming text
    #[arg(long)]
    json: bool,
    /// In JSON: the log-probability of each token, and this many of the likeliest ones
    #[arg(long, value_name = "COUNT", num_args = 0..=1, default_missing_value = "0")]
    logprobs: Option<usize>,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    ending: EndingArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

/// A line of the file of prompts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: String,
}

/// Most prompts that are answered at the same time if nobody says how many.
const SLOTS_MAX: usize = 16;

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let prompts = match (&args.prompt, &args.prompts) {
        (Some(text), _) if text == "-" => vec![read_stdin()?],
        (Some(text), _) => vec![text.clone()],
        (None, Some(path)) => read_prompts(path)?,
        (None, None) => anyhow::bail!("give --prompt or --prompts"),
    };
    ensure!(args.answers > 0, "-n 0 asks for no answer");
    let opened = args.model.open()?;
    let encode = |text: String| {
        let (ids, _) = danlu::heldout::encode(&text, &opened.tokenizer)?;
        Ok(Prompt { text, ids })
    };
    let prompts = prompts.into_iter().map(encode).collect::<Result<Vec<_>>>()?;
    let longest = prompts.iter().map(|prompt| prompt.ids.len()).max().unwrap_or_default();
    let slots = args.slots.unwrap_or_else(|| SLOTS_MAX.min(prompts.len() * args.answers as usize));
    let needed = longest.saturating_add(args.ending.max_new_tokens);
    let mut engine = args.engine.engine(&opened, slots, needed)?;
    let cancel = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&cancel);
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    let task = Task { args, opened: &opened, cancel: &cancel };
    match &prompts[..] {
        [prompt] if args.answers == 1 && args.prompts.is_none() && !args.json => {
            task.stream(&mut engine, prompt)
        }
        _ => task.answer_all(&mut engine, &prompts),
    }
}

/// What is to be done.
struct Task<'a> {
    args: &'a Args,
    opened: &'a Opened,
    cancel: &'a AtomicBool,
}

/// A text to continue.
struct Prompt {
    text: String,
    ids: Vec<u32>,
}

/// An answer to one of the prompts.
struct Asked<'a> {
    prompt: &'a Prompt,
    number: u32,
    answer: Answer<'a>,
}

impl<'a> Task<'a> {
    fn request(&self, prompt: &Prompt, answer: u32) -> Request {
        let Args { sampling, ending, logprobs, .. } = self.args;
        let Opened { tokenizer, generation, .. } = self.opened;
        let sampling = sampling.sampling(generation, tokenizer, sampling.seed);
        Request {
            ids: prompt.ids.clone(),
            sampling: Sampling { answer, ..sampling },
            limits: Limits { max_new_tokens: ending.max_new_tokens },
            stop_ids: tokenizer.stop_ids(),
            log_probs: *logprobs,
        }
    }

    fn answer(&self) -> Answer<'a> {
        Answer::new(&self.opened.tokenizer, &self.args.ending.stop)
    }

    /// Prompt and answer as text, while it is written.
    fn stream(&self, engine: &mut Engine, prompt: &Prompt) -> Result<()> {
        let request = self.request(prompt, 0);
        let (mut generation, mut answer) = (engine.start(&request, self.cancel)?, self.answer());
        output::text(&output::printable(&prompt.text))?;
        while !answer.stopped()
            && let Some(token) = generation.next()
        {
            output::text(&output::printable(&answer.push(&token?)?))?;
        }
        let reason = generation.finish_reason().unwrap_or(FinishReason::Cancelled);
        output::line(&output::printable(&answer.end(reason)))
    }

    /// All answers as JSON, in the order of the prompts, each as soon as those before it are there.
    fn answer_all(&self, engine: &mut Engine, prompts: &'a [Prompt]) -> Result<()> {
        let mut asked: BTreeMap<RequestId, Asked<'a>> = BTreeMap::new();
        for (prompt, place) in prompts.iter().zip(1..) {
            for number in 0..self.args.answers {
                let id = engine.submit(self.request(prompt, number));
                let id = id.with_context(|| format!("prompt {place}"))?;
                asked.insert(id, Asked { prompt, number, answer: self.answer() });
            }
        }
        while let Some(first) = asked.first_entry() {
            if self.cancel.load(Ordering::Relaxed) {
                for Asked { answer, .. } in asked.values_mut().filter(|it| !it.answer.ended()) {
                    answer.end(FinishReason::Cancelled);
                }
            } else if !first.get().answer.ended() {
                self.step(engine, &mut asked)?;
                continue;
            }
            if let Some((_, done)) = asked.pop_first() {
                self.show(&done)?;
            }
        }
        Ok(())
    }

    fn step(&self, engine: &mut Engine, asked: &mut BTreeMap<RequestId, Asked<'a>>) -> Result<()> {
        for Event { request, output } in engine.step()? {
            // What was guessed rightly may go beyond a stop string.
            let Some(Asked { answer, .. }) = asked.get_mut(&request) else { continue };
            match output {
                _ if answer.ended() => {}
                Output::Token(token) => {
                    answer.push(&token)?;
                    if answer.stopped() {
                        engine.cancel(request);
                        answer.end(FinishReason::Cancelled);
                    }
                }
                Output::End(reason) => _ = answer.end(reason),
                Output::Failed(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn show(&self, done: &Asked<'_>) -> Result<()> {
        let mut question = vec![("prompt", Value::from(done.prompt.text.as_str()))];
        if self.args.answers > 1 {
            question.push(("answer", done.number.into()));
        }
        output::json(&done.answer.json(&question))
    }
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read the prompt")?;
    Ok(text.trim_end_matches('\n').to_owned())
}

fn read_prompts(path: &Path) -> Result<Vec<String>> {
    let name = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {name}"))?;
    let mut prompts = Vec::new();
    for (line, number) in BufReader::new(file).lines().zip(1..) {
        let place = || format!("{name}, line {number}");
        let line = line.with_context(place)?;
        if !line.trim().is_empty() {
            let Line { prompt } = serde_json::from_str(&line).with_context(place)?;
            prompts.push(prompt);
        }
    }
    ensure!(!prompts.is_empty(), "{name} has no prompts; write {{\"prompt\": \"...\"}} a line");
    Ok(prompts)
}
