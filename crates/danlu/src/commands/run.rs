//! `danlu run`: a recipe from raw text to a model that talks.

use std::path::PathBuf;

use anyhow::Result;
use danlu::pipeline::{self, Outcome};
use danlu::recipe::Recipe;

use crate::output;
use crate::progress::Progress;

/// Carry out a recipe: clean the texts, train a vocabulary, train a model, teach it to talk, and
/// report on all of it.
///
/// Every stage is remembered by the hashes of what it was made from: run the same command again and
/// nothing is redone; stop it with Ctrl-C, or kill it, and the same command goes on from there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  danlu run recipes/quickstart.toml
  danlu run recipes/quickstart.toml --until tokenizer
  danlu run recipes/llama-15m.toml --out runs/mine --set pretrain.steps=500")]
pub struct Args {
    /// The recipe: a TOML file that says what to do
    recipe: PathBuf,
    /// Folder of the run [default: runs/ and the recipe's name]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Change one setting of the recipe; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    overrides: Vec<String>,
    /// Stop after this stage: data, tokenizer, model, pretrain, sft or eval
    #[arg(long, value_name = "STAGE")]
    until: Option<String>,
    /// Print one JSON object at the end instead of text
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<()> {
    let recipe = Recipe::load(&args.recipe, &args.overrides)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&recipe.name));
    let outcome = {
        let mut progress = Progress::new()?;
        pipeline::run(recipe, &out, args.until.as_deref(), &mut progress)?
    };
    let (model, report) = (out.join("model"), out.join("report.html"));
    let finished = matches!(outcome, Outcome::Done(_));
    if args.json {
        let present = |path: PathBuf| path.exists().then_some(path);
        return output::json(&serde_json::json!({
            "finished": finished,
            "out": out,
            "model": present(model),
            "report": present(report),
        }));
    }
    if !finished {
        return output::line("stopped; run the same command again to go on from here");
    }
    if args.until.is_some() {
        return output::line(&format!("done; see {}", out.display()));
    }
    output::line(&format!("report:     {}", report.display()))?;
    output::line(&format!("talk to it: danlu chat {}", model.display()))
}
