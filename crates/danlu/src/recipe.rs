//! Recipes: TOML files that say everything about a run, with nothing left to guess.
//!
//! A recipe has the sections `[data] [tokenizer] [model] [pretrain] [sft] [eval]`. A key that does
//! not exist is an error that names the nearest one. The effective recipe, with every default
//! filled in, is saved with the run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use danlu_data::DataConfig;
use danlu_eval::EvalConfig;
use danlu_tokenizer::TokenizerConfig;
use danlu_train::TrainConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::model_section::{
    DIAL_MODEL_KEYS, DIAL_TRAIN_KEYS, ModelSection, apply_depth_to_training,
};

/// The sections in the order of the stages they describe.
pub const SECTIONS: &[&str] = &["data", "tokenizer", "model", "pretrain", "sft", "eval"];

/// Similarity below which a key is not offered as what was meant.
const SIMILAR_ENOUGH: f64 = 0.7;

/// A whole run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// What the texts are and how they are cleaned.
    pub data: DataConfig,
    /// The vocabulary; only the data can be built without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<TokenizerConfig>,
    /// The model's family and size.
    pub model: ModelSection,
    /// Training on running text.
    pub pretrain: TrainConfig,
    /// Training on dialogues; left out when the recipe has no `[sft]` section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sft: Option<TrainConfig>,
    /// What is measured and shown at the end.
    pub eval: EvalConfig,
    /// The folder that relative paths start from: the recipe's own.
    #[serde(skip)]
    pub folder: PathBuf,
    /// The file's name without its ending; the default name of the run.
    #[serde(skip)]
    pub name: String,
}

impl Recipe {
    /// Reads a recipe and applies `overrides` of the form `section.key=value`.
    ///
    /// # Errors
    /// When the file cannot be read, is not TOML, or holds an unknown key or an impossible value;
    /// the error names the place and what would fit.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the recipe {}", path.display()))?;
        let mut table: Table =
            text.parse().with_context(|| format!("{} is not valid TOML", path.display()))?;
        for assignment in overrides {
            set(&mut table, assignment)?;
        }
        let mut recipe =
            Self::from_table(table).with_context(|| format!("in the recipe {}", path.display()))?;
        recipe.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        recipe.name = path
            .file_stem()
            .map_or_else(|| "run".to_owned(), |stem| stem.to_string_lossy().into_owned());
        Ok(recipe)
    }

    fn from_table(mut table: Table) -> Result<Self> {
        for key in table.keys() {
            let meant = nearest(key, SECTIONS.iter().copied());
            ensure!(SECTIONS.contains(&key.as_str()), "there is no section [{key}]{meant}");
        }
        turn_depth_dial(&mut table)?;
        let [has_tokenizer, has_sft] = ["tokenizer", "sft"].map(|name| table.contains_key(name));
        let recipe = Self {
            data: section(&mut table, "data")?,
            tokenizer: if has_tokenizer { Some(section(&mut table, "tokenizer")?) } else { None },
            model: section(&mut table, "model")?,
            pretrain: section(&mut table, "pretrain")?,
            sft: if has_sft { Some(section(&mut table, "sft")?) } else { None },
            eval: section(&mut table, "eval")?,
            folder: PathBuf::new(),
            name: String::new(),
        };
        recipe.validate()?;
        Ok(recipe)
    }

    /// Refuses values that contradict each other before anything is done.
    fn validate(&self) -> Result<()> {
        self.data.validate()?;
        if let Some(tokenizer) = &self.tokenizer {
            tokenizer.validate()?;
        }
        self.eval.validate().context("[eval]")?;
        self.pretrain.validate("pretrain")?;
        if let Some(sft) = &self.sft {
            sft.validate("sft")?;
        }
        self.model.validate()?;
        let context = self.model.context_len;
        let lengths = [
            ("pretrain", Some(self.pretrain.context_len)),
            ("sft", self.sft.as_ref().map(|sft| sft.context_len)),
        ];
        for (name, length) in lengths {
            ensure!(
                length.is_none_or(|length| length <= context),
                "`{name}.context_len` is longer than `model.context_len` ({context})"
            );
        }
        Ok(())
    }

    /// The vocabulary's settings.
    ///
    /// # Errors
    /// When the recipe has no such section.
    pub fn tokenizer(&self) -> Result<&TokenizerConfig> {
        self.tokenizer.as_ref().context("the recipe has no [tokenizer] section with a `vocab_size`")
    }

    /// The effective recipe as TOML.
    ///
    /// # Errors
    /// When a value has no TOML form, which no recipe that was loaded has.
    pub fn to_toml(&self) -> Result<String> {
        Ok(toml::to_string_pretty(self)?)
    }
}

/// With `model.depth`, fills in every size and setting that follows from it and is not given.
fn turn_depth_dial(table: &mut Table) -> Result<()> {
    let model: ModelSection = section(&mut table.clone(), "model")?;
    let Some(depth) = model.depth else { return Ok(()) };
    ensure!((1..=64).contains(&depth), "`model.depth` is {depth}; it must be between 1 and 64");
    fill_in(table, "model", &model.at_depth(depth), DIAL_MODEL_KEYS)?;
    let model: ModelSection = section(&mut table.clone(), "model")?;
    let tokenizer: TokenizerConfig = section(&mut table.clone(), "tokenizer")?;
    let mut train: TrainConfig = section(&mut table.clone(), "pretrain")?;
    let given = table.get("pretrain").and_then(|section| section.get("steps")).is_some();
    let steps = given.then_some(train.steps);
    apply_depth_to_training(&mut train, depth, model.block_weights(tokenizer.vocab_size), steps);
    fill_in(table, "pretrain", &train, DIAL_TRAIN_KEYS)
}

/// Copies `keys` of `derived` into a section of the recipe that does not have them.
fn fill_in(table: &mut Table, name: &str, derived: &impl Serialize, keys: &[&str]) -> Result<()> {
    let mut derived = Table::try_from(derived)?;
    let section = table.entry(name).or_insert_with(|| Value::Table(Table::new()));
    let Some(section) = section.as_table_mut() else { bail!("`{name}` is not a section") };
    for key in keys {
        if let Some(value) = derived.remove(*key) {
            section.entry(*key).or_insert(value);
        }
    }
    Ok(())
}

/// Takes a section out of the file and reads it; a missing one has all its defaults.
fn section<T: DeserializeOwned>(table: &mut Table, name: &str) -> Result<T> {
    let value = table.remove(name).unwrap_or_else(|| Value::Table(Table::new()));
    value.try_into().map_err(|error: toml::de::Error| explain(name, &error))
}

/// Turns serde's "unknown field" into advice, and names the section of any other error.
fn explain(section: &str, error: &toml::de::Error) -> anyhow::Error {
    let message = error.message();
    let mut quoted = message.split('`').skip(1).step_by(2);
    match (message.starts_with("unknown field"), quoted.next()) {
        (true, Some(unknown)) => {
            let keys: Vec<&str> = quoted.collect();
            let meant = nearest(unknown, keys.iter().copied());
            let keys = keys.join(", ");
            anyhow!("[{section}] has no key `{unknown}`{meant}\nits keys are: {keys}")
        }
        // The whole text names the key as well.
        _ => anyhow!("[{section}]: {}", error.to_string().trim().replace('\n', " ")),
    }
}

fn nearest<'a>(unknown: &str, keys: impl Iterator<Item = &'a str>) -> String {
    keys.map(|key| (strsim::jaro_winkler(unknown, key), key))
        .filter(|(similarity, _)| *similarity >= SIMILAR_ENOUGH)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map_or_else(String::new, |(_, key)| format!("; did you mean `{key}`?"))
}

/// Applies `a.b=c`: `c` is read as TOML, and as a string when it is not TOML.
fn set(table: &mut Table, assignment: &str) -> Result<()> {
    let Some((path, text)) = assignment.split_once('=') else {
        bail!("--set {assignment}: expected section.key=value, as in --set pretrain.steps=100");
    };
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let keys: Vec<&str> = path.trim().split('.').collect();
    let [section, key] = keys[..] else {
        bail!("--set {assignment}: `{path}` must be section.key, as in pretrain.steps");
    };
    let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
    let Some(section) = section.as_table_mut() else {
        bail!("--set {assignment}: `{path}` does not lie in a section");
    };
    section.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipe that says what its texts are, whatever else `text` says.
    fn parse(text: &str, overrides: &[&str]) -> Result<Recipe> {
        let mut table: Table = text.parse().unwrap();
        // The two keys that have no default.
        for (section, required) in
            [("data", "data.text=['poems.txt']"), ("tokenizer", "tokenizer.vocab_size=512")]
        {
            if !table.contains_key(section) {
                set(&mut table, required)?;
            }
        }
        for assignment in overrides {
            set(&mut table, assignment)?;
        }
        Recipe::from_table(table)
    }

    #[test]
    fn an_unknown_key_names_the_nearest() {
        let error = parse("[pretrain]\nstpes = 3", &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean `steps`?"), "{error}");
        let error = parse("[pretrian]\nsteps = 3", &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean `pretrain`?"), "{error}");
    }

    #[test]
    fn an_override_wins_and_is_checked_like_the_file() {
        let recipe = parse("[pretrain]\nsteps = 3", &["pretrain.steps=70"]).unwrap();
        assert_eq!(recipe.pretrain.steps, 70);
        assert!(parse("", &["pretrain.stepz=70"]).is_err());
        assert!(parse("", &["pretrain.steps"]).is_err());
        assert!(parse("", &["steps=1"]).is_err());
    }

    #[test]
    fn absurd_values_are_refused_with_their_key() {
        for (text, key) in [
            ("[pretrain]\nsteps = 0", "pretrain.steps"),
            ("[pretrain]\nlearning_rate = -1.0", "pretrain.learning_rate"),
            ("[pretrain]\nlearning_rate = nan", "pretrain.learning_rate"),
            ("[sft]\nbeta1 = 1.0", "sft.beta1"),
            ("[model]\nnum_heads = 0", "model.num_heads"),
            ("[model]\nhidden_size = 100\nnum_heads = 3", "model.hidden_size"),
            ("[pretrain]\ncontext_len = 100000", "pretrain.context_len"),
        ] {
            let error = format!("{:#}", parse(text, &[]).unwrap_err());
            assert!(error.contains(key), "{text}: {error}");
        }
    }

    #[test]
    fn the_depth_dial_sets_what_is_not_given_and_nothing_else() {
        let recipe = parse("[model]\ndepth = 4", &["pretrain.steps=9", "model.ffn_size=128"]);
        let recipe = recipe.unwrap();
        assert_eq!((recipe.model.num_layers, recipe.model.hidden_size), (4, 256));
        assert_eq!((recipe.pretrain.steps, recipe.model.ffn_size), (9, 128));
        assert!(parse("[model]\ndepth = 0", &[]).is_err());
    }

    #[test]
    fn the_effective_recipe_reads_back_as_itself() {
        let recipe = parse("[model]\ndepth = 4\n[sft]\nsteps = 60", &[]).unwrap();
        let again = recipe.to_toml().unwrap();
        assert_eq!(parse(&again, &[]).unwrap().to_toml().unwrap(), again);
    }
}
