//! tiktoken's files: a line for each token, its bytes in base64 and its rank. The pattern that cuts
//! text and the control tokens stand in no file; they are named here, by encoding.
//!
//! Source: `tiktoken_ext/openai_public.py`. Patterns are written without possessive quantifiers,
//! which cut the same.

use std::collections::HashMap;

use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};

use super::{broken, byte_level, control, split_bytes, splits};
use crate::byte_alphabet::spell;
use crate::pipeline::Parts;
use crate::token_table::MAX_ID;
use crate::{Error, Result, Tokenizer, base64};

/// What a tiktoken file leaves unsaid.
pub(crate) struct Encoding {
    /// The file's name without `.tiktoken`.
    pub(crate) name: &'static str,
    pattern: &'static str,
    specials: &'static [(&'static str, u32)],
    /// Control tokens `<|reserved_N|>` for the ids that no other token has, up to this one.
    reserved_to: u32,
}

/// GPT-2's pattern.
pub(crate) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// GPT-4's pattern.
pub(crate) const CL100K: &str = concat!(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}",
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// GPT-4o's pattern.
pub(crate) const O200K: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// The encodings whose files are published.
pub(crate) const ENCODINGS: &[Encoding] = &[
    Encoding { name: "gpt2", pattern: GPT2, specials: &[("<|endoftext|>", 50256)], reserved_to: 0 },
    Encoding {
        name: "r50k_base",
        pattern: GPT2,
        specials: &[("<|endoftext|>", 50256)],
        reserved_to: 0,
    },
    Encoding {
        name: "p50k_base",
        pattern: GPT2,
        specials: &[("<|endoftext|>", 50256)],
        reserved_to: 0,
    },
    Encoding {
        name: "cl100k_base",
        pattern: CL100K,
        specials: &[
            ("<|endoftext|>", 100257),
            ("<|fim_prefix|>", 100258),
            ("<|fim_middle|>", 100259),
            ("<|fim_suffix|>", 100260),
            ("<|endofprompt|>", 100276),
        ],
        reserved_to: 0,
    },
    Encoding {
        name: "o200k_base",
        pattern: O200K,
        specials: &[("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)],
        reserved_to: 0,
    },
    Encoding {
        name: "o200k_harmony",
        pattern: O200K,
        specials: &[
            ("<|startoftext|>", 199_998),
            ("<|endoftext|>", 199_999),
            ("<|return|>", 200_002),
            ("<|constrain|>", 200_003),
            ("<|channel|>", 200_005),
            ("<|start|>", 200_006),
            ("<|end|>", 200_007),
            ("<|message|>", 200_008),
            ("<|call|>", 200_012),
            ("<|endofprompt|>", 200_018),
        ],
        reserved_to: 201_087,
    },
];

impl Tokenizer {
    /// Reads the bytes of a `.tiktoken` file of the encoding called `name`, such as `cl100k_base`.
    ///
    /// # Errors
    /// When there is no such encoding, or the bytes are not lines of base64 and rank.
    pub fn from_tiktoken(name: &str, ranks: &[u8]) -> Result<Self> {
        let Some(encoding) = ENCODINGS.iter().find(|encoding| encoding.name == name) else {
            let known: Vec<&str> = ENCODINGS.iter().map(|encoding| encoding.name).collect();
            let known = known.join(", ");
            return broken(format!("no tiktoken encoding is called {name:?}; there are: {known}"));
        };
        Tokenizer::from_pipeline(parts(encoding, &parse(ranks)?)?.assemble()?, None)
    }
}

/// The tokens of a file and their ranks, in the order of ranks.
fn parse(ranks: &[u8]) -> Result<Vec<(String, u32)>> {
    let text = std::str::from_utf8(ranks)
        .map_err(|error| Error::NotATokenizer(format!("a tiktoken file is text: {error}")))?;
    let mut tokens = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        if line.is_empty() {
            continue;
        }
        let fields = line.split_once(' ').and_then(|(token, rank)| {
            let token = base64::decode(token).filter(|token| !token.is_empty())?;
            Some((spell(&token), rank.parse::<u32>().ok().filter(|&rank| rank < MAX_ID)?))
        });
        match fields {
            Some(token) => tokens.push(token),
            None => return broken(format!("line {number} is not a token in base64 and its rank")),
        }
    }
    tokens.sort_unstable_by_key(|&(_, rank)| rank);
    Ok(tokens)
}

fn parts(encoding: &Encoding, tokens: &[(String, u32)]) -> Result<Parts> {
    let ids: HashMap<&str, u32> = tokens.iter().map(|(token, id)| (token.as_str(), *id)).collect();
    if ids.len() < tokens.len() {
        return broken("a token stands twice in the tiktoken file");
    }
    let merges = splits::merges(&ids, tokens.iter().map(|(token, _)| token))?;
    let mut vocabulary: HashMap<String, u32> = tokens.iter().cloned().collect();
    let mut specials: Vec<(String, u32)> =
        encoding.specials.iter().map(|&(token, id)| (token.to_owned(), id)).collect();
    let first_special = specials.iter().map(|&(_, id)| id).min().unwrap_or(0);
    let reserved = first_special..=encoding.reserved_to;
    for id in reserved.filter(|id| !encoding.specials.iter().any(|(_, taken)| taken == id)) {
        specials.push((format!("<|reserved_{id}|>"), id));
    }
    // Control tokens stand in the vocabulary too: the pipeline would number them without gaps.
    vocabulary.extend(specials.iter().cloned());
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.into_iter().collect::<Vocab>(), merges)
        .ignore_merges(true)
        .build()
        .map_err(|error| Error::NotATokenizer(error.to_string()))?;
    Ok(Parts {
        model: model.into(),
        normalizer: Value::Null,
        pre_tokenizer: split_bytes(&[encoding.pattern]),
        decoder: byte_level(),
        post_processor: Value::Null,
        added: specials.iter().map(|(token, id)| (control(token), *id)).collect(),
    })
}
