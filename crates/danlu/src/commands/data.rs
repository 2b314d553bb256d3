//! `danlu data`: the first stage of a recipe by itself.

use std::path::PathBuf;

use anyhow::Result;
use danlu::pipeline::{self, build};
use danlu::recipe::Recipe;
use danlu_data::REPORT_FILE;

use crate::output;
use crate::progress::Progress;

/// Turn raw files into clean documents.
#[derive(clap::Subcommand)]
#[command(after_help = "\
Examples:
  danlu data build recipes/quickstart.toml")]
pub enum Command {
    /// Read, clean and deduplicate the texts of a recipe, and put the held-out part aside
    Build(BuildArgs),
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

/// Runs the command.
pub fn run(command: &Command) -> Result<()> {
    let Command::Build(args) = command;
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
