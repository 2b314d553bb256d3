//! Vocabularies inside GGUF files, handed over as plain values: this crate reads no GGUF itself.
//!
//! Source: `gguf-py/gguf/constants.py` (`tokenizer.ggml.*`) and `llama-vocab.cpp`.

mod patterns;
mod write;

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};

use super::sentencepiece::{Kind, Model, Piece, Purpose, Rules, from_model};
use super::{broken, byte_level, control, frame, split, split_bytes, user_defined, words};
use crate::pipeline::Parts;
use crate::roles::Roles;
use crate::token_table::MAX_ID;
use crate::{Error, Result, Tokenizer};
use patterns::PRE_TOKENIZERS;

/// Stands for the space in vocabularies that are not of bytes.
const SPACE: &str = "\u{2581}";

/// The values of `tokenizer.*` in a GGUF file, each under the last part of its key.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GgufVocabulary {
    /// `tokenizer.ggml.model`: `gpt2`, `gemma4`, `llama`, `t5` or `bert`.
    pub model: String,
    /// `tokenizer.ggml.pre`: how byte-level vocabularies cut text.
    pub pre: Option<String>,
    /// The tokens; the index is the id.
    pub tokens: Vec<String>,
    /// One for each token; empty for vocabularies with merges.
    pub scores: Vec<f32>,
    /// `tokenizer.ggml.token_type`, one for each token; empty where all are ordinary.
    pub token_types: Vec<i32>,
    /// Two tokens each, with a space between.
    pub merges: Vec<String>,
    /// The token that begins a text.
    pub bos_token_id: Option<u32>,
    /// The token that ends a text.
    pub eos_token_id: Option<u32>,
    /// The token that ends a turn.
    pub eot_token_id: Option<u32>,
    /// The token for text that the vocabulary cannot spell.
    pub unknown_token_id: Option<u32>,
    /// The token that pads.
    pub padding_token_id: Option<u32>,
    /// Whether texts begin with `bos_token_id`; the default depends on the model.
    pub add_bos_token: Option<bool>,
    /// Whether texts end with `eos_token_id`; by default not.
    pub add_eos_token: Option<bool>,
    /// Whether a space is put before a text; by default for `llama` and `t5`.
    pub add_space_prefix: Option<bool>,
    /// Whether runs of spaces become one; by default not.
    pub remove_extra_whitespaces: Option<bool>,
    /// SentencePiece's character map; may be empty.
    pub precompiled_charsmap: Vec<u8>,
    /// `tokenizer.chat_template`.
    pub chat_template: Option<String>,
    /// `tokenizer.huggingface.json`: the whole of a `tokenizer.json`. What it says of cutting text
    /// counts where [`GgufVocabulary::pre`] cannot say it.
    pub huggingface_json: Option<String>,
}

impl Tokenizer {
    /// Builds the vocabulary of a GGUF file.
    ///
    /// # Errors
    /// [`Error::NotATokenizer`] when the values do not fit together, or name a model or a way to
    /// cut text that is not supported; the message names it.
    pub fn from_gguf(vocabulary: &GgufVocabulary) -> Result<Self> {
        let count = vocabulary.tokens.len();
        if count == 0 || count > MAX_ID as usize {
            return broken(format!("tokenizer.ggml.tokens has {count} tokens"));
        }
        for (key, length) in
            [("token_type", vocabulary.token_types.len()), ("scores", vocabulary.scores.len())]
        {
            if length != 0 && length != count {
                return broken(format!("tokenizer.ggml.{key} has {length} values, not {count}"));
            }
        }
        let json = vocabulary.huggingface_json.as_deref();
        let tokenizer = match vocabulary.model.as_str() {
            _ if json.is_some() => Self::from_json(json.unwrap_or_default().as_bytes())?,
            "gpt2" => byte_pairs(vocabulary)?,
            "gemma4" => character_pairs(vocabulary)?,
            "llama" => pieces(vocabulary, Kind::Bpe)?,
            "t5" => pieces(vocabulary, Kind::Unigram)?,
            "bert" => word_pieces(vocabulary)?,
            model => {
                return broken(format!(
                    "tokenizer.ggml.model is {model:?}; supported: gpt2, gemma4, llama, t5, bert"
                ));
            }
        };
        let known = |id: Option<u32>| id.filter(|&id| (id as usize) < count);
        let roles = Roles {
            bos: known(vocabulary.bos_token_id),
            eos: known(vocabulary.eos_token_id),
            padding: known(vocabulary.padding_token_id),
            stop: known(vocabulary.eot_token_id).into_iter().collect(),
            template: vocabulary.chat_template.clone(),
        };
        Ok(tokenizer.with_completed_roles(roles))
    }
}

impl GgufVocabulary {
    /// What token `id` is for.
    fn purpose(&self, id: usize) -> Result<Purpose> {
        let Some(&number) = self.token_types.get(id) else { return Ok(Purpose::Normal) };
        match u64::try_from(number).ok().and_then(Purpose::numbered) {
            Some(purpose) => Ok(purpose),
            None => broken(format!("tokenizer.ggml.token_type of token {id} is {number}")),
        }
    }

    /// The step that frames texts; `adds_bos` is what the model does where the file is silent.
    fn frame(&self, adds_bos: bool) -> Value {
        let token = |wanted: bool, id: Option<u32>| -> Option<(&str, u32)> {
            let id = id.filter(|_| wanted)?;
            Some((self.tokens.get(id as usize)?, id))
        };
        let start = token(self.add_bos_token.unwrap_or(adds_bos), self.bos_token_id);
        let end = token(self.add_eos_token.unwrap_or(false), self.eos_token_id);
        frame(start.as_slice(), end.as_slice())
    }

    /// Control and user-defined tokens, which are found in text before anything else.
    fn added(&self) -> Result<Vec<(tokenizers::AddedToken, u32)>> {
        let mut added = Vec::new();
        for (token, id) in self.tokens.iter().zip(0..) {
            match self.purpose(id as usize)? {
                Purpose::Control | Purpose::Unknown => added.push((control(token), id)),
                Purpose::UserDefined => added.push((user_defined(token), id)),
                Purpose::Normal | Purpose::Byte | Purpose::Unused => {}
            }
        }
        Ok(added)
    }

    fn ids(&self) -> Result<HashMap<String, u32>> {
        let ids: HashMap<String, u32> = self.tokens.iter().cloned().zip(0..).collect();
        if ids.len() < self.tokens.len() {
            return broken("tokenizer.ggml.tokens has a token twice");
        }
        Ok(ids)
    }

    fn pairs(&self) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::with_capacity(self.merges.len());
        for merge in &self.merges {
            // A token may begin with a space where tokens are not of bytes.
            let space = merge.bytes().skip(1).position(|byte| byte == b' ').map(|place| place + 1);
            match space {
                Some(space) => {
                    pairs.push((merge[..space].to_owned(), merge[space + 1..].to_owned()));
                }
                None => return broken(format!("the merge {merge:?} is not two tokens")),
            }
        }
        Ok(pairs)
    }
}

/// `gpt2`: merges over bytes, text cut by patterns.
fn byte_pairs(vocabulary: &GgufVocabulary) -> Result<Tokenizer> {
    let name = vocabulary.pre.as_deref().unwrap_or("default");
    let Some(pre) = PRE_TOKENIZERS.iter().find(|pre| pre.names.contains(&name)) else {
        let known: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|pre| pre.names).copied().collect();
        let known = known.join(", ");
        return broken(format!("tokenizer.ggml.pre is {name:?}; supported: {known}"));
    };
    let model = BPE::builder()
        .vocab_and_merges(vocabulary.ids()?.into_iter().collect::<Vocab>(), vocabulary.pairs()?)
        .ignore_merges(pre.ignore_merges)
        .build()
        .map_err(|error| Error::NotATokenizer(error.to_string()))?;
    let adds_bos = ["llama3", "llama-v3", "llama-bpe", "tekken"].contains(&name);
    let parts = Parts {
        model: model.into(),
        normalizer: Value::Null,
        pre_tokenizer: split_bytes(pre.patterns),
        decoder: byte_level(),
        post_processor: vocabulary.frame(adds_bos),
        added: vocabulary.added()?,
    };
    Tokenizer::from_pipeline(parts.assemble()?, None)
}

/// `gemma4`: merges over characters, bytes where there is no character; only line ends cut text.
fn character_pairs(vocabulary: &GgufVocabulary) -> Result<Tokenizer> {
    let unknown = vocabulary.unknown_token_id.filter(|&id| (id as usize) < vocabulary.tokens.len());
    let mut builder = BPE::builder()
        .vocab_and_merges(vocabulary.ids()?.into_iter().collect::<Vocab>(), vocabulary.pairs()?)
        .fuse_unk(true)
        .byte_fallback(true);
    if let Some(id) = unknown {
        builder = builder.unk_token(vocabulary.tokens[id as usize].clone());
    }
    let model = builder.build().map_err(|error| Error::NotATokenizer(error.to_string()))?;
    let replace = |pattern: &str, content: &str| {
        let pattern = json!({ "String": pattern });
        json!({ "type": "Replace", "pattern": pattern, "content": content })
    };
    let parts = Parts {
        model: model.into(),
        normalizer: replace(" ", SPACE),
        pre_tokenizer: split(r"[^\n]+|[\n]+"),
        decoder: json!({ "type": "Sequence", "decoders": [
            replace(SPACE, " "), { "type": "ByteFallback" }, { "type": "Fuse" },
        ] }),
        post_processor: vocabulary.frame(true),
        added: vocabulary.added()?,
    };
    Tokenizer::from_pipeline(parts.assemble()?, unknown)
}

/// `llama` and `t5`: SentencePiece's pieces.
fn pieces(vocabulary: &GgufVocabulary, kind: Kind) -> Result<Tokenizer> {
    if vocabulary.scores.is_empty() {
        return broken("tokenizer.ggml.scores is missing");
    }
    let mut pieces = Vec::with_capacity(vocabulary.tokens.len());
    for (id, (text, &score)) in vocabulary.tokens.iter().zip(&vocabulary.scores).enumerate() {
        if !score.is_finite() {
            return broken(format!("tokenizer.ggml.scores of token {id} is {score}"));
        }
        pieces.push(Piece { text: text.clone(), score, purpose: vocabulary.purpose(id)? });
    }
    let byte_fallback = pieces.iter().any(|piece| piece.purpose == Purpose::Byte);
    let model = Model {
        kind,
        pieces,
        byte_fallback,
        bos: vocabulary.bos_token_id,
        eos: vocabulary.eos_token_id,
        padding: vocabulary.padding_token_id,
        rules: Rules {
            charsmap: vocabulary.precompiled_charsmap.clone(),
            add_dummy_prefix: vocabulary.add_space_prefix.unwrap_or(true),
            remove_extra_whitespaces: vocabulary.remove_extra_whitespaces.unwrap_or(false),
            ..Rules::default()
        },
    };
    from_model(&model, vocabulary.frame(kind == Kind::Bpe))
}

/// `bert`: WordPiece, where GGUF marks the beginnings of words instead of continuations.
fn word_pieces(vocabulary: &GgufVocabulary) -> Result<Tokenizer> {
    let tokens = vocabulary.tokens.iter().map(|token| match token.strip_prefix(SPACE) {
        Some(word) => word.to_owned(),
        None if token.starts_with('[') && token.ends_with(']') => token.clone(),
        None => format!("##{token}"),
    });
    words::from_tokens(tokens, true)
}
