//! `danlu data`: the first stage of a recipe by itself, and what its steps need.

use std::path::{Path, PathBuf};

use anyhow::Result;
use danlu::pipeline::{self, build};
use danlu::recipe::Recipe;
use danlu_data::steps::fasttext::{Corpora, Training};
use danlu_data::{MemorySize, REPORT_FILE, Source};

use crate::output;
use crate::progress::Progress;

/// Turn raw files into clean documents.
#[derive(clap::Subcommand)]
#[command(after_help = "\
Examples:
  danlu data build recipes/quickstart.toml
  danlu data classifier --positive good.jsonl --negative web.jsonl -o quality.bin")]
pub enum Command {
    /// Read, clean and deduplicate the texts of a recipe, and put the held-out part aside
    Build(BuildArgs),
    /// Train a quality classifier for the step `quality`, in fastText's format
    Classifier(ClassifierArgs),
}

/// Options of `data build`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu data build recipes/quickstart.toml
  danlu data build recipes/quickstart.toml --out runs/mine --json")]
pub struct BuildArgs {
    /// The recipe
    recipe: PathBuf,
    /// Folder of the run [default: runs/ and the recipe's name]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Change one setting of the recipe; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `data classifier`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu data classifier --positive good.jsonl --negative web.jsonl -o quality.bin
  danlu data classifier --positive zh-good --negative zh-web -o zh.bin --char-ngrams 1 2

A tenth of the documents judges the classifier. In a recipe:
  { name = \"quality\", model = \"quality.bin\", label = \"positive\", min_score = 0.5 }")]
pub struct ClassifierArgs {
    /// File or folder of good documents; may be given several times
    #[arg(long, required = true)]
    positive: Vec<String>,
    /// File or folder of other documents; may be given several times
    #[arg(long, required = true)]
    negative: Vec<String>,
    /// Where the classifier goes
    #[arg(short, long)]
    out: PathBuf,
    /// Learn from at most so many documents of each kind, the first ones
    #[arg(long, default_value_t = 200_000)]
    max_documents: usize,
    /// Passes over the documents
    #[arg(long, default_value_t = Training::default().epochs)]
    epochs: u32,
    /// Learning rate at the beginning
    #[arg(long, default_value_t = Training::default().rate)]
    rate: f32,
    /// Width of the rows
    #[arg(long, default_value_t = Training::default().columns)]
    columns: u32,
    /// Words of the longest n-gram
    #[arg(long, default_value_t = Training::default().word_ngrams)]
    word_ngrams: u32,
    /// Characters of the shortest and the longest n-gram within words; Chinese needs them: 1 2
    #[arg(long, num_args = 2, value_names = ["MIN", "MAX"])]
    char_ngrams: Option<Vec<u32>>,
    /// Rows for n-grams
    #[arg(long, default_value_t = Training::default().buckets)]
    buckets: u32,
    /// Words that come less often have no row of their own
    #[arg(long, default_value_t = Training::default().min_count)]
    min_count: u32,
    /// Seed of the first weights and the order of documents
    #[arg(long, default_value_t = Training::default().seed)]
    seed: u64,
    /// What training may take of memory
    #[arg(long, default_value_t = MemorySize::default())]
    memory: MemorySize,
    /// Print how good it is as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Build(args) => build(args),
        Command::Classifier(args) => classifier(args),
    }
}

fn build(args: &BuildArgs) -> Result<()> {
    let recipe = Recipe::load(&args.recipe, &args.overrides)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&recipe.name));
    {
        let mut progress = Progress::new()?;
        pipeline::run(recipe, &out, Some(build::NAME), &mut progress)?;
    }
    let report = out.join("data").join(REPORT_FILE);
    if args.json {
        let value: serde_json::Value = serde_json::from_slice(&std::fs::read(&report)?)?;
        return output::json(&value);
    }
    output::line(&format!("clean texts: {}", out.join("data").display()))?;
    output::line(&format!("report:      {}", report.display()))?;
    output::line(&format!("for people:  {}", report.with_file_name(build::RECEIPT_FILE).display()))
}

fn classifier(args: &ClassifierArgs) -> Result<()> {
    let training = Training {
        epochs: args.epochs,
        rate: args.rate,
        columns: args.columns,
        word_ngrams: args.word_ngrams,
        char_ngrams: match args.char_ngrams.as_deref() {
            Some([least, most]) => [*least, *most],
            _ => Training::default().char_ngrams,
        },
        buckets: args.buckets,
        min_count: args.min_count,
        seed: args.seed,
    };
    let sources = [&args.positive, &args.negative]
        .map(|paths| paths.iter().map(|path| Source::from(path.as_str())).collect::<Vec<_>>());
    let corpora = Corpora {
        sources: [&sources[0], &sources[1]],
        max_documents: args.max_documents,
        memory: args.memory,
    };
    let (classifier, quality) = corpora.train(Path::new("."), &training)?;
    classifier.save(&args.out)?;
    if args.json {
        return output::json(&serde_json::to_value(quality)?);
    }
    let [good, other] = quality.judged;
    output::line(&format!("classifier: {}", args.out.display()))?;
    output::line(&format!(
        "on {good} good and {other} other documents that it has not seen: accuracy {:.3}, \
         precision {:.3}, recall {:.3}",
        quality.accuracy, quality.precision, quality.recall
    ))
}
