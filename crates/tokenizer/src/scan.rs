//! A look at a `tokenizer.json` before the library sees it.
//!
//! The library takes a file at its word: some malformed steps end in a panic or in text without
//! bound, `dropout` in ids that differ from call to call. So each step must be one that is known
//! to be safe; anything else is an error that names the part.

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, Result, base64, charsmap};

const NORMALIZERS: &[&str] = &[
    "BertNormalizer",
    "ByteLevel",
    "Lowercase",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Nmt",
    "Precompiled",
    "Prepend",
    "Replace",
    "Sequence",
    "Strip",
    "StripAccents",
];
const PRE_TOKENIZERS: &[&str] = &[
    "BertPreTokenizer",
    "ByteLevel",
    "CharDelimiterSplit",
    "Digits",
    "Metaspace",
    "Punctuation",
    "Sequence",
    "Split",
    "UnicodeScripts",
    "Whitespace",
    "WhitespaceSplit",
];
const MODELS: &[&str] = &["BPE", "Unigram", "WordLevel", "WordPiece"];
/// Replacements may make a text this many times as long, all together.
const MAX_GROWTH: usize = 256;

/// The parts of a file that are small.
#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Option<Vec<Added>>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    model: Model,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
}

/// A model without its vocabulary, which the library checks.
#[derive(Deserialize)]
struct Model {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    dropout: Value,
    #[serde(default)]
    continuing_subword_prefix: Value,
    #[serde(default)]
    end_of_word_suffix: Value,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    unk_id: Option<u32>,
}

/// What the scan found out.
pub(crate) struct Scanned {
    /// The added tokens and the ids that they must get.
    pub(crate) added: Vec<(String, u32)>,
    /// The token for text that the vocabulary cannot spell.
    pub(crate) unknown: Unknown,
}

/// The token for text that the vocabulary cannot spell, as the model names it.
pub(crate) enum Unknown {
    /// There is none.
    Absent,
    /// By its text.
    Token(String),
    /// By its id.
    Id(u32),
}

/// Checks the bytes of a `tokenizer.json`.
pub(crate) fn scan(json: &[u8]) -> Result<Scanned> {
    let file: File =
        serde_json::from_slice(json).map_err(|error| Error::NotATokenizer(error.to_string()))?;
    let mut growth = 1;
    scan_normalizer(&file.normalizer, &mut growth)?;
    scan_pre_tokenizer(&file.pre_tokenizer)?;
    let model = file.model;
    if let Some(kind) = &model.kind
        && !MODELS.contains(&kind.as_str())
    {
        return unsupported(&Value::from(kind.as_str()), "model", MODELS);
    }
    let words = model.kind.as_deref() == Some("WordPiece");
    for (option, value) in [
        ("dropout", &model.dropout),
        ("end_of_word_suffix", &model.end_of_word_suffix),
        ("continuing_subword_prefix", &model.continuing_subword_prefix),
    ] {
        let used = !value.is_null() && value != "";
        if used && !(words && option == "continuing_subword_prefix") {
            return broken(format!("model.{option} = {value} is not supported"));
        }
    }
    let unknown = match (model.unk_id, model.unk_token) {
        (Some(id), _) => Unknown::Id(id),
        (None, Some(token)) => Unknown::Token(token),
        (None, None) => Unknown::Absent,
    };
    let added = file.added_tokens.unwrap_or_default();
    let added = added.into_iter().map(|token| (token.content, token.id)).collect();
    Ok(Scanned { added, unknown })
}

/// Checks a normaliser; `growth` is how many times as long it may make a text.
fn scan_normalizer(step: &Value, growth: &mut usize) -> Result<()> {
    if step.is_null() {
        return Ok(());
    }
    let mut grow = |times: usize| {
        *growth = growth.saturating_mul(times.max(1));
        if *growth <= MAX_GROWTH {
            return Ok(());
        }
        broken(format!(
            "normalizer {step} and the others make text more than {MAX_GROWTH} times as long"
        ))
    };
    match expect_kind(step, "normalizer", NORMALIZERS)? {
        "Sequence" => match step["normalizers"].as_array() {
            Some(steps) => steps.iter().try_for_each(|step| scan_normalizer(step, growth)),
            None => broken("normalizer.normalizers is not a list".to_owned()),
        },
        "Replace" | "Prepend" => {
            let pattern = step["pattern"]["String"].as_str().map_or(1, str::len);
            let content = step["content"].as_str().or_else(|| step["prepend"].as_str());
            match content {
                Some(content) if pattern > 0 => grow(content.len().div_ceil(pattern)),
                _ => broken(format!("normalizer {step} needs a pattern and a content")),
            }
        }
        "Precompiled" => {
            let encoded = step["precompiled_charsmap"].as_str();
            let checked = match encoded.and_then(base64::decode) {
                Some(map) => charsmap::check(&map),
                None => Err("is not base64"),
            };
            checked.or_else(|fault| broken(format!("normalizer.precompiled_charsmap {fault}")))
        }
        _ => Ok(()),
    }
}

fn scan_pre_tokenizer(step: &Value) -> Result<()> {
    if step.is_null() || expect_kind(step, "pre_tokenizer", PRE_TOKENIZERS)? != "Sequence" {
        return Ok(());
    }
    match step["pretokenizers"].as_array() {
        Some(steps) => steps.iter().try_for_each(scan_pre_tokenizer),
        None => broken("pre_tokenizer.pretokenizers is not a list".to_owned()),
    }
}

fn expect_kind(step: &Value, part: &str, supported: &[&'static str]) -> Result<&'static str> {
    let found = &step["type"];
    match supported.iter().find(|&kind| found == kind) {
        Some(kind) => Ok(kind),
        None => unsupported(found, part, supported),
    }
}

fn unsupported<T>(found: &Value, part: &str, supported: &[&str]) -> Result<T> {
    let supported = supported.join(", ");
    broken(format!("{part}.type is {found}; supported: {supported}"))
}

fn broken<T>(found: String) -> Result<T> {
    Err(Error::NotATokenizer(found))
}
