//! SentencePiece vocabularies as pipelines: from `.model` files, and from GGUF, which carries the
//! same pieces.
//!
//! Source: `sentencepiece/src/{normalizer,unigram_model,bpe_model}.cc`. What a pipeline cannot say
//! exactly is refused by name.

mod model;
mod protobuf;

use std::collections::HashMap;

use serde_json::{Value, json};
use tokenizers::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;

pub(crate) use model::{Kind, Model, Piece, Purpose, Rules};

use super::{broken, control, splits, user_defined};
use crate::decoding::fallback_byte;
use crate::pipeline::Parts;
use crate::roles::Roles;
use crate::{Error, Result, Tokenizer, base64, charsmap};

/// Stands for the space in pieces.
const SPACE: &str = "\u{2581}";

impl Tokenizer {
    /// Reads the bytes of a SentencePiece `.model` file, unigram or BPE.
    ///
    /// # Errors
    /// When the bytes are no such model, or it uses something that is not supported; the message
    /// names it.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self> {
        let model = Model::parse(bytes)?;
        let user_defined = |piece: &Piece| piece.purpose == Purpose::UserDefined;
        if model.rules.add_dummy_prefix && model.pieces.iter().any(user_defined) {
            // There, only the text's beginning gets a space; in a pipeline, also what follows
            // such a piece.
            return broken(
                "the SentencePiece model has user-defined pieces and a dummy prefix, which no \
                 tokenizer.json can express; use the tokenizer.json of the same model",
            );
        }
        let roles =
            Roles { bos: model.bos, eos: model.eos, padding: model.padding, ..Roles::default() };
        let tokenizer = from_model(&model, Value::Null)?;
        Ok(tokenizer.with_completed_roles(roles))
    }
}

/// Builds the pipeline of a model; `post_processor` frames texts.
pub(crate) fn from_model(model: &Model, post_processor: Value) -> Result<Tokenizer> {
    let unknown = model.pieces.iter().position(|piece| piece.purpose == Purpose::Unknown);
    let unknown = unknown.map(|id| id as u32);
    let parts = Parts {
        model: match model.kind {
            Kind::Unigram => unigram(model, unknown)?,
            Kind::Bpe => bpe(model, unknown)?,
        },
        normalizer: normalizer(&model.rules)?,
        pre_tokenizer: Value::Null,
        decoder: decoder(&model.rules),
        post_processor,
        added: model
            .pieces
            .iter()
            .zip(0..)
            .filter_map(|(piece, id)| match piece.purpose {
                Purpose::Control | Purpose::Unknown => Some((control(&piece.text), id)),
                // A piece with spaces is found where they are written as in pieces.
                Purpose::UserDefined => {
                    let spaces = piece.text.contains(SPACE);
                    Some((user_defined(&piece.text).normalized(spaces), id))
                }
                Purpose::Normal | Purpose::Byte | Purpose::Unused => None,
            })
            .collect(),
    };
    Tokenizer::from_pipeline(parts.assemble()?, unknown)
}

/// Whether text that no piece covers becomes its bytes: a piece for each must be there.
fn bytes_fall_back(model: &Model) -> Result<bool> {
    let bytes = model
        .pieces
        .iter()
        .filter(|piece| piece.purpose == Purpose::Byte && fallback_byte(&piece.text).is_some());
    match (model.byte_fallback, bytes.count()) {
        (false, _) => Ok(false),
        (true, 256) => Ok(true),
        (true, found) => broken(format!("bytes shall stand for other text, but {found} of 256 do")),
    }
}

fn unigram(model: &Model, unknown: Option<u32>) -> Result<ModelWrapper> {
    if model.pieces.iter().any(|piece| piece.purpose == Purpose::Unused) {
        return broken("a unigram model with unused pieces is not supported");
    }
    let pieces =
        model.pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect();
    let unknown = unknown.map(|id| id as usize);
    let model = Unigram::from(pieces, unknown, bytes_fall_back(model)?);
    model.map(ModelWrapper::from).map_err(|error| Error::NotATokenizer(error.to_string()))
}

fn bpe(model: &Model, unknown: Option<u32>) -> Result<ModelWrapper> {
    let ids: HashMap<String, u32> =
        model.pieces.iter().map(|piece| piece.text.clone()).zip(0..).collect();
    if ids.len() < model.pieces.len() {
        return broken("a piece stands twice in the SentencePiece model");
    }
    let mergeable = |piece: &&Piece| {
        matches!(piece.purpose, Purpose::Normal | Purpose::UserDefined | Purpose::Unused)
    };
    let mut ranked: Vec<&Piece> = model.pieces.iter().filter(mergeable).collect();
    let parts: HashMap<&str, u32> = ranked
        .iter()
        .filter_map(|piece| Some((piece.text.as_str(), *ids.get(&piece.text)?)))
        .collect();
    ranked.sort_by(|left, right| right.score.total_cmp(&left.score));
    let merges = splits::merges(&parts, ranked.iter().map(|piece| &piece.text))?;
    let mut builder = BPE::builder()
        .vocab_and_merges(ids.into_iter().collect::<Vocab>(), merges)
        .fuse_unk(true)
        .byte_fallback(bytes_fall_back(model)?);
    if let Some(unknown) = unknown {
        builder = builder.unk_token(model.pieces[unknown as usize].text.clone());
    }
    let model = builder.build().map_err(|error| Error::NotATokenizer(error.to_string()))?;
    Ok(model.into())
}

/// The rules in the order in which SentencePiece applies them.
fn normalizer(rules: &Rules) -> Result<Value> {
    if !rules.escape_whitespaces || rules.whitespace_as_suffix {
        return broken("a SentencePiece model that writes spaces otherwise is not supported");
    }
    let mut steps = Vec::new();
    if !rules.charsmap.is_empty() {
        charsmap::check(&rules.charsmap)
            .or_else(|fault| broken(format!("the precompiled character map {fault}")))?;
        let encoded = base64::encode(&rules.charsmap);
        steps.push(json!({ "type": "Precompiled", "precompiled_charsmap": encoded }));
    }
    if rules.remove_extra_whitespaces {
        steps.push(replace(json!({ "Regex": r"\A +" }), ""));
        steps.push(replace(json!({ "Regex": " {2,}" }), " "));
    }
    if rules.add_dummy_prefix {
        steps.push(json!({ "type": "Prepend", "prepend": SPACE }));
    }
    steps.push(replace(json!({ "String": " " }), SPACE));
    if rules.remove_extra_whitespaces {
        // After the replacement: at the end, a written space mark counts as a space.
        steps.push(replace(json!({ "Regex": format!(r"{SPACE}+\z") }), ""));
    }
    Ok(json!({ "type": "Sequence", "normalizers": steps }))
}

fn decoder(rules: &Rules) -> Value {
    let mut steps = vec![
        replace(json!({ "String": SPACE }), " "),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if rules.add_dummy_prefix {
        steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
    }
    json!({ "type": "Sequence", "decoders": steps })
}

#[expect(clippy::needless_pass_by_value, reason = "it becomes part of the result")]
fn replace(pattern: Value, content: &str) -> Value {
    json!({ "type": "Replace", "pattern": pattern, "content": content })
}
