//! `generation_config.json`: how the makers of a model choose its words, in the reference library's
//! keys. What the report of a run showed is how `danlu chat` talks.

use std::path::Path;

use anyhow::{Context, Result};
use danlu_eval::EvalConfig;
use danlu_infer::Sampling;
use danlu_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// The file's name in a model folder.
pub const GENERATION_FILE: &str = "generation_config.json";

/// Used where the model's makers say nothing.
const TEMPERATURE: f32 = 0.8;
const TOP_P: f32 = 0.95;

/// How words are chosen; what is absent is not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GenerationConfig {
    /// Whether words are drawn at all; if not, the settings below are not meant.
    #[serde(default)]
    do_sample: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_p: Option<Decimal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repetition_penalty: Option<Decimal>,
}

/// An f32 that is written with its own few digits, not those of its f64.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(transparent)]
struct Decimal(f32);

impl Serialize for Decimal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f32(self.0)
    }
}

impl GenerationConfig {
    /// The settings of a report.
    #[must_use]
    pub fn of(eval: &EvalConfig) -> Self {
        Self {
            do_sample: eval.temperature > 0.0,
            temperature: Some(Decimal(eval.temperature)),
            top_k: (eval.top_k > 0).then_some(eval.top_k),
            top_p: Some(Decimal(eval.top_p)),
            ..Self::default()
        }
    }

    /// What a model folder says; nothing, if it has no such file or is one file itself.
    ///
    /// # Errors
    /// When the file cannot be read or is not what it should be.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(GENERATION_FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is not a generation configuration", path.display()))
    }

    /// The file's text, with the ids that begin and end a text of this vocabulary.
    ///
    /// # Errors
    /// Never: all values have a JSON form.
    pub fn to_json(&self, tokenizer: &Tokenizer) -> Result<String> {
        #[derive(Serialize)]
        struct File<'a> {
            bos_token_id: Option<u32>,
            eos_token_id: Vec<u32>,
            pad_token_id: Option<u32>,
            #[serde(flatten)]
            config: &'a GenerationConfig,
        }
        let (bos_token_id, pad_token_id) = (tokenizer.bos(), tokenizer.eos());
        let eos_token_id = tokenizer.stop_ids();
        let file = File { bos_token_id, eos_token_id, pad_token_id, config: self };
        Ok(serde_json::to_string_pretty(&file)? + "\n")
    }

    /// Whether words are drawn: the makers give settings for it.
    #[must_use]
    pub fn draws(&self) -> bool {
        self.do_sample
    }

    /// How words are chosen where the user does not say otherwise.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        let given = if self.do_sample { *self } else { Self::default() };
        let number = |given: Option<Decimal>| given.map(|Decimal(number)| number);
        Sampling {
            temperature: number(given.temperature).unwrap_or(TEMPERATURE),
            top_k: given.top_k.filter(|&count| count > 0),
            top_p: Some(number(given.top_p).unwrap_or(TOP_P)),
            min_p: number(given.min_p),
            repetition_penalty: number(given.repetition_penalty),
            ..Sampling::greedy()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(json: &str) -> Sampling {
        serde_json::from_str::<GenerationConfig>(json).unwrap().sampling()
    }

    #[test]
    fn what_the_makers_say_is_used_and_keys_of_others_do_not_matter() {
        let made = sampling(
            r#"{"do_sample": true, "temperature": 0.7, "top_k": 20, "repetition_penalty": 1.05,
                "transformers_version": "4.37.0", "eos_token_id": [1, 2]}"#,
        );
        let expected = Sampling {
            temperature: 0.7,
            top_k: Some(20),
            top_p: Some(TOP_P),
            repetition_penalty: Some(1.05),
            ..Sampling::greedy()
        };
        assert_eq!(made, expected);
    }

    #[test]
    fn makers_who_say_nothing_leave_it_to_us() {
        let ours = Sampling { temperature: TEMPERATURE, top_p: Some(TOP_P), ..Sampling::greedy() };
        assert_eq!(sampling("{}"), ours);
        assert_eq!(sampling(r#"{"temperature": 0.1}"#), ours, "without do_sample it is not meant");
    }

    #[test]
    fn what_the_report_showed_is_written_in_few_digits_and_read_back() {
        let eval = EvalConfig { temperature: 0.7, top_p: 0.9, ..EvalConfig::default() };
        let config = GenerationConfig::of(&eval);
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains("\"temperature\":0.7,"), "{json}");
        assert_eq!(serde_json::from_str::<GenerationConfig>(&json).unwrap(), config);
        assert_eq!(Sampling { seed: eval.seed, ..config.sampling() }, eval.sampling());
    }
}
