//! `danlu train`: a recipe up to one of its training stages.

use std::path::PathBuf;

use anyhow::Result;
use danlu::pipeline::{self, Outcome};
use danlu::recipe::Recipe;
use serde_json::json;

use crate::output;
use crate::progress::Progress;

/// Train a model: the stages of a recipe up to pretraining or instruction tuning.
///
/// A run that was stopped or killed goes on from its last checkpoint; nothing has to be asked for.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu train recipes/llama-15m.toml
  danlu train recipes/quickstart.toml --stage pretrain --set pretrain.steps=100 --out runs/short")]
pub struct Args {
    /// The recipe
    recipe: PathBuf,
    /// The last stage to carry out [default: sft if the recipe has it, else pretrain]
    #[arg(long, value_parser = ["pretrain", "sft"])]
    stage: Option<String>,
    /// Folder of the run [default: runs/ and the recipe's name]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Change one setting of the recipe; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    /// Begin again instead of going on from the last checkpoint
    #[arg(long)]
    fresh: bool,
    /// Go on from the last checkpoint, which is the default
    #[arg(long, conflicts_with = "fresh")]
    resume: bool,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = Recipe::load(&args.recipe, &args.overrides)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&recipe.name));
    let last = if recipe.sft.is_some() { "sft" } else { "pretrain" };
    let stage = args.stage.as_deref().unwrap_or(last);
    if args.fresh {
        pipeline::forget(&out, stage)?;
    }
    let outcome = {
        let mut progress = Progress::new()?;
        pipeline::run(recipe, &out, Some(stage), &mut progress)?
    };
    let finished = matches!(outcome, Outcome::Done(_));
    let model = out.join(stage).join("model");
    if args.json {
        let model = model.exists().then_some(model);
        return output::json(&json!({ "finished": finished, "stage": stage, "model": model }));
    }
    if finished {
        output::line(&format!("model: {}", model.display()))
    } else {
        output::line("stopped; run the same command again to go on from here")
    }
}
