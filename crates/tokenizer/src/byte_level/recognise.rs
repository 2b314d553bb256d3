//! Whether a pipeline is one that [`ByteLevel`] can stand for; if not, the reason.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::Value;

use super::bonds::Bonds;
use super::pairs::Pairs;
use super::split::{Isolated, PATTERNS, Rules, Splitter};
use super::{ByteLevel, found};
use crate::byte_alphabet::{spell, unspell};
use crate::pipeline::Pipeline;
use crate::sources::tiktoken::GPT2;
use crate::token_table::TokenTable;
use crate::{Error, Result};

/// What kind of model it is: the other parts differ by that.
#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(rename = "type")]
    kind: Cow<'a, str>,
}

/// The parts of a model that matter here.
#[derive(Deserialize)]
struct Model<'a> {
    #[serde(default)]
    ignore_merges: bool,
    #[serde(borrow, default)]
    vocab: HashMap<Cow<'a, str>, u32>,
    #[serde(borrow, default)]
    merges: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl ByteLevel {
    /// The encoder that stands for `pipeline`, or the reason why there is none.
    ///
    /// # Errors
    /// [`Error::NotATokenizer`] when the pipeline cannot be read.
    pub(crate) fn recognise(
        pipeline: &Pipeline,
        table: &TokenTable,
    ) -> Result<std::result::Result<Self, String>> {
        let unreadable = |error: serde_json::Error| Error::NotATokenizer(error.to_string());
        let steps = serde_json::to_value(pipeline.get_pre_tokenizer()).map_err(unreadable)?;
        let splitter = match splitter(&steps) {
            Ok((rules, isolated)) => Splitter::new(rules, isolated),
            Err(reason) => return Ok(Err(reason)),
        };
        let normalizer = pipeline.get_normalizer().cloned();
        if let Some(step) = &normalizer {
            let step = serde_json::to_value(step).map_err(unreadable)?;
            if step["type"] != "NFC" {
                return Ok(Err(format!("the normalizer {}", step["type"])));
            }
        }
        let added = table.added.iter();
        for token in added {
            if token.lstrip || token.rstrip || token.single_word {
                return Ok(Err(format!("the added token {:?} takes spaces", token.content)));
            }
            if token.normalized && normalizer.is_some() && !token.content.is_ascii() {
                return Ok(Err(format!("the added token {:?} is normalised", token.content)));
            }
        }
        let model = serde_json::to_vec(pipeline.get_model()).map_err(unreadable)?;
        let Kind { kind } = serde_json::from_slice(&model).map_err(unreadable)?;
        if kind != "BPE" {
            return Ok(Err(format!("the model {kind}")));
        }
        let model: Model = serde_json::from_slice(&model).map_err(unreadable)?;
        let Tables { pairs, bonds, whole, safe } = match tables(&model, table) {
            Ok(tables) => tables,
            Err(reason) => return Ok(Err(reason)),
        };
        let longest = whole.iter().flatten().map(|(token, _)| token.len()).max().unwrap_or(0);
        let found = [found(table, false), found(table, true)];
        let spare = Mutex::new(Vec::new());
        Ok(Ok(Self { splitter, pairs, bonds, whole, longest, normalizer, safe, found, spare }))
    }
}

/// The tokens of a vocabulary that a piece may be as a whole.
type Whole = Option<HashMap<Box<[u8]>, u32>>;

struct Tables {
    pairs: Pairs,
    bonds: Bonds,
    whole: Whole,
    safe: bool,
}

fn tables(model: &Model, table: &TokenTable) -> std::result::Result<Tables, String> {
    let mut byte_ids = [0; 256];
    for (id, byte) in byte_ids.iter_mut().zip(0..=255_u8) {
        let spelled = spell(&[byte]);
        let Some(&found) = model.vocab.get(spelled.as_str()) else {
            return Err(format!("the byte {byte} is no token"));
        };
        *id = found;
    }
    let mut merges = Vec::with_capacity(model.merges.len());
    let mut joined = String::new();
    for (left, right) in &model.merges {
        joined.clear();
        joined.push_str(left);
        joined.push_str(right);
        let id = |token: &str| {
            let absent = || format!("the merge of {left:?} and {right:?} is no token");
            model.vocab.get(token).copied().ok_or_else(absent)
        };
        merges.push((id(left)?, id(right)?, id(&joined)?));
    }
    // A token that the byte alphabet does not spell is never the spelling of a piece.
    let spelled = || model.vocab.iter().filter_map(|(token, &id)| Some((unspell(token)?, id)));
    let mut bonds = Bonds::new();
    spelled().for_each(|(token, _)| bonds.add(&token));
    let whole: Whole = model
        .ignore_merges
        .then(|| spelled().map(|(bytes, id)| (bytes.into_boxed_slice(), id)).collect());
    let by_merges = byte_ids.iter().chain(merges.iter().map(|(_, _, id)| id));
    let as_whole = whole.iter().flatten().map(|(_, id)| id);
    let safe = !by_merges.chain(as_whole).any(|&id| table.is_special(id));
    Ok(Tables { pairs: Pairs::new(byte_ids, &merges), bonds, whole, safe })
}

/// The rules of the steps that cut text, and what they cut out first.
fn splitter(steps: &Value) -> std::result::Result<(Rules, Isolated), String> {
    let mut flat = Vec::new();
    flatten(steps, &mut flat);
    let unknown = || Err(format!("the way to cut text {steps}"));
    let (isolated, rest) = match flat.as_slice() {
        [first, rest @ ..] if first["type"] == "Digits" && first["individual_digits"] == true => {
            (Isolated::Digits, rest)
        }
        [first, rest @ ..] if pattern(first) == Some(r"\p{N}") => (Isolated::Numbers, rest),
        steps => (Isolated::Nothing, steps),
    };
    let bytes = |step: &Value, use_regex: bool| {
        step["type"] == "ByteLevel"
            && step["add_prefix_space"] == false
            && step["use_regex"].as_bool().unwrap_or(true) == use_regex
    };
    let pattern = match rest {
        [step] if bytes(step, true) => GPT2,
        [step, last] if bytes(last, false) => match pattern(step) {
            Some(pattern) => pattern,
            None => return unknown(),
        },
        _ => return unknown(),
    };
    match PATTERNS.iter().find(|(known, _)| *known == pattern) {
        Some((_, rules)) => Ok((*rules, isolated)),
        None => unknown(),
    }
}

/// The pattern of a step that makes each match a piece.
fn pattern(step: &Value) -> Option<&str> {
    let pattern = step["pattern"]["Regex"].as_str()?;
    let isolates = step["behavior"] == "Isolated" && step["invert"] == false;
    // What is between matches is removed: nothing, if the pattern takes any white space.
    let keeps = step["behavior"] == "Removed" && step["invert"] == true;
    let total = pattern.ends_with(r"|\s+");
    (step["type"] == "Split" && (isolates || keeps && total)).then_some(pattern)
}

fn flatten<'a>(step: &'a Value, flat: &mut Vec<&'a Value>) {
    match step["pretokenizers"].as_array() {
        Some(steps) if step["type"] == "Sequence" => {
            steps.iter().for_each(|step| flatten(step, flat));
        }
        _ => flat.push(step),
    }
}
