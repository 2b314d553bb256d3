//! A vocabulary as the values of a GGUF: the way back.
//!
//! GGUF names ways to cut text instead of describing them. A vocabulary whose way has no name is
//! written with the name [`UNNAMED`], which makes other programs refuse it instead of cutting text
//! wrongly, and with its `tokenizer.json` under the key that the format has for it.

use std::collections::HashMap;

use serde_json::Value;

use super::GgufVocabulary;
use super::patterns::PRE_TOKENIZERS;
use crate::decoding::fallback_byte;
use crate::sources::sentencepiece::Purpose;
use crate::{Error, Result, Tokenizer};

/// The name of a way to cut text that has none.
const UNNAMED: &str = "danlu";
/// How GPT-2 cuts text, which the library's byte-level step does by default.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Equal spellings of parts of patterns: as published, as in the table of names.
const SPELLINGS: &[(&str, &str)] = &[
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"),
    // Spaces that no part of a pattern matches become a piece anyway.
    (r"\s+(?!\S)|\s+", r"\s+(?!\S)"),
];
/// What a named way must cut as the vocabulary itself does.
const PROBES: &[&str] = &[
    "It's 12345 o'clock;\tWE'LL see...\r\n\r\n  he said:   \"no\"!! ",
    "床前明月光，疑是地上霜。２０２４年 №5 ½ naïve cafe\u{301} São Paulo",
    "    if (a[0] == 'x') {\n\treturn \"\\u00e9\";\n    }\n\n\n",
    "Привет, мир! שלום 안녕하세요 ありがとう 🙂👩‍🔬 \u{2581}x a b",
    " leading",
    "",
];

impl Tokenizer {
    /// The vocabulary as a GGUF has it, with placeholders up to `rows` tokens, as many as the
    /// embedding table has.
    ///
    /// # Errors
    /// When the vocabulary has more tokens than that.
    pub fn to_gguf(&self, rows: usize) -> Result<GgufVocabulary> {
        if self.vocab_size() > rows {
            let found = format!("{} tokens for {rows} rows of weights", self.vocab_size());
            return Err(Error::NotATokenizer(found));
        }
        let json: Value = serde_json::from_slice(self.json())
            .map_err(|error| Error::NotATokenizer(error.to_string()))?;
        let (names, types) = self.tokens_and_types(rows);
        let plain = GgufVocabulary {
            model: "gpt2".to_owned(),
            pre: Some(UNNAMED.to_owned()),
            tokens: names,
            token_types: types,
            bos_token_id: self.bos(),
            eos_token_id: self.eos(),
            padding_token_id: self.roles().padding,
            unknown_token_id: self.unknown(),
            add_bos_token: Some(self.bos().is_some_and(|id| self.text_start().contains(&id))),
            add_eos_token: Some(self.eos().is_some_and(|id| self.text_end().contains(&id))),
            chat_template: self.roles().template.clone(),
            ..GgufVocabulary::default()
        };
        let named = match json["model"]["type"].as_str() {
            Some("BPE") if json["model"]["byte_fallback"] == true => pieces(&plain, &json),
            Some("BPE") => byte_pairs(&plain, &json),
            _ => None,
        };
        if let Some(vocabulary) = named.filter(|vocabulary| self.cuts_like(vocabulary)) {
            return Ok(vocabulary);
        }
        let text = String::from_utf8_lossy(self.json()).into_owned();
        Ok(GgufVocabulary { huggingface_json: Some(text), ..plain })
    }

    /// The tokens by id, with what each is for.
    fn tokens_and_types(&self, rows: usize) -> (Vec<String>, Vec<i32>) {
        let added: HashMap<u32, bool> =
            self.added().iter().map(|added| (added.id, added.special)).collect();
        let token = |id: u32| {
            let Some(text) = self.token(id) else {
                return (format!("[PAD{id}]"), Purpose::Unused);
            };
            let purpose = match added.get(&id) {
                _ if Some(id) == self.unknown() => Purpose::Unknown,
                Some(true) => Purpose::Control,
                Some(false) => Purpose::UserDefined,
                None if fallback_byte(&text).is_some() => Purpose::Byte,
                None => Purpose::Normal,
            };
            (text, purpose)
        };
        (0..rows as u32).map(token).map(|(text, purpose)| (text, purpose.number())).unzip()
    }

    /// Whether the vocabulary that a reader makes of the values gives the same ids.
    fn cuts_like(&self, vocabulary: &GgufVocabulary) -> bool {
        let Ok(read) = Self::from_gguf(vocabulary) else { return false };
        PROBES.iter().all(|probe| {
            let ids = [self, &read].map(|tokenizer| tokenizer.encode_with_specials(probe).ok());
            ids[0].is_some() && ids[0] == ids[1]
        })
    }
}

/// Merges over bytes.
fn byte_pairs(plain: &GgufVocabulary, json: &Value) -> Option<GgufVocabulary> {
    let patterns = patterns(&json["pre_tokenizer"])?;
    let ignores_merges = json["model"]["ignore_merges"] == true;
    let fits = |pre: &&super::patterns::PreTokenizer| {
        pre.ignore_merges == ignores_merges
            && pre.patterns.iter().map(|pattern| respelled(pattern)).eq(patterns.iter().cloned())
    };
    let name = PRE_TOKENIZERS.iter().find(fits)?.names.first()?;
    let merges = merges(json)?.into_iter().map(|[left, right]| format!("{left} {right}"));
    let pre = Some((*name).to_owned());
    Some(GgufVocabulary { pre, merges: merges.collect(), ..plain.clone() })
}

/// SentencePiece's pieces: the earlier a merge, the higher the score of what it makes.
fn pieces(plain: &GgufVocabulary, json: &Value) -> Option<GgufVocabulary> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for (rank, parts) in merges(json)?.into_iter().enumerate() {
        ranks.entry(parts.concat()).or_insert(rank);
    }
    let last = ranks.len();
    let score = |token: &String| -(ranks.get(token).copied().unwrap_or(last) as f32);
    let text = json["normalizer"].to_string() + &json["pre_tokenizer"].to_string();
    let prefixes = text.contains("\"Prepend\"")
        || text.contains("\"prepend_scheme\":\"first\"")
        || text.contains("\"prepend_scheme\":\"always\"");
    Some(GgufVocabulary {
        model: "llama".to_owned(),
        pre: Some("default".to_owned()),
        scores: plain.tokens.iter().map(score).collect(),
        add_space_prefix: Some(prefixes),
        ..plain.clone()
    })
}

/// The merges, in either of the two ways in which files write them.
fn merges(json: &Value) -> Option<Vec<[String; 2]>> {
    let pair = |merge: &Value| match merge {
        Value::String(text) => {
            let (left, right) = text.split_once(' ')?;
            Some([left.to_owned(), right.to_owned()])
        }
        Value::Array(parts) => match parts.as_slice() {
            [Value::String(left), Value::String(right)] => Some([left.clone(), right.clone()]),
            _ => None,
        },
        _ => None,
    };
    json["model"]["merges"].as_array()?.iter().map(pair).collect()
}

/// The patterns at which a step cuts text, one after the other; `None` for steps without patterns.
fn patterns(step: &Value) -> Option<Vec<String>> {
    match step["type"].as_str()? {
        "Sequence" => {
            let steps = step["pretokenizers"].as_array()?;
            Some(steps.iter().map(patterns).collect::<Option<Vec<_>>>()?.concat())
        }
        "Split" if step["behavior"] == "Isolated" && step["invert"] == false => {
            Some(vec![respelled(step["pattern"]["Regex"].as_str()?)])
        }
        "Split" if step["behavior"] == "Removed" && step["invert"] == true => {
            Some(vec![respelled(step["pattern"]["Regex"].as_str()?)])
        }
        "Digits" if step["individual_digits"] == true => Some(vec![r"\p{N}".to_owned()]),
        "ByteLevel" if step["add_prefix_space"] == true => None,
        "ByteLevel" if step["use_regex"] == false => Some(Vec::new()),
        "ByteLevel" => Some(vec![respelled(GPT2)]),
        _ => None,
    }
}

fn respelled(pattern: &str) -> String {
    let replace = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    SPELLINGS.iter().fold(pattern.to_owned(), replace)
}
