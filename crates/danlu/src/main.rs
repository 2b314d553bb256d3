//! The command line: one file per command in `commands/`, no arithmetic here.

// A program exports nothing; `pub` here says what a file offers to the others.
#![allow(unreachable_pub)]

mod commands;
mod output;
mod progress;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

const AFTER_HELP: &str = "\
Start here:
  danlu run recipes/quickstart.toml        train a small bilingual model from the texts that ship
  danlu chat runs/quickstart/model         talk to it
  danlu doctor                             what this machine has and what will be used

Environment:
  DANLU_THREADS   threads to compute with (default: all cores)
  DANLU_SIMD      portable, avx2, avx512 or avx512_bf16 (default: the best this CPU has)";

/// Raw text in; a trained, aligned, measured language model out. No Python, no GPU needed.
#[derive(Parser)]
#[command(name = "danlu", version, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Every command; each is a file in `commands/`.
#[derive(Subcommand)]
enum Command {
    Run(commands::run::Args),
    #[command(subcommand)]
    Data(commands::data::Command),
    #[command(subcommand)]
    Tokenizer(commands::tokenizer::Command),
    Train(commands::train::Args),
    Generate(commands::generate::Args),
    Chat(commands::chat::Args),
    Score(commands::score::Args),
    Quantize(commands::quantize::Args),
    Convert(commands::convert::Args),
    Verify(commands::verify::Args),
    Inspect(commands::inspect::Args),
    #[command(subcommand)]
    Bench(commands::bench::Command),
    Doctor(commands::doctor::Args),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Run(args) => commands::run::run(&args),
            Self::Data(command) => commands::data::run(&command),
            Self::Tokenizer(command) => commands::tokenizer::run(&command),
            Self::Train(args) => commands::train::run(&args),
            Self::Generate(args) => commands::generate::run(&args),
            Self::Chat(args) => commands::chat::run(&args),
            Self::Score(args) => commands::score::run(&args),
            Self::Quantize(args) => commands::quantize::run(&args),
            Self::Convert(args) => commands::convert::run(&args),
            Self::Verify(args) => commands::verify::run(&args),
            Self::Inspect(args) => commands::inspect::run(&args),
            Self::Bench(command) => commands::bench::run(&command),
            Self::Doctor(args) => commands::doctor::run(&args),
        }
    }
}

fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}
