//! The `tokenizers` library's pipeline (normalise, cut, look up) over one shared vocabulary.
//!
//! A vocabulary is used in several ways: with control tokens recognised or not, at the beginning
//! of a text or inside it. Each is a [`Pipeline`] of its own; the vocabulary, by far the largest
//! part, exists once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::{
    AddedToken, DecoderWrapper, Model, NormalizerWrapper, PostProcessorWrapper,
    PreTokenizerWrapper, Token, TokenizerImpl,
};

use crate::{Error, Result};

/// A pipeline as `tokenizer.json` describes it.
pub(crate) type Pipeline = TokenizerImpl<
    SharedModel,
    NormalizerWrapper,
    PreTokenizerWrapper,
    PostProcessorWrapper,
    DecoderWrapper,
>;

/// The vocabulary and its merges, shared by clones.
#[derive(Clone, Debug)]
pub(crate) struct SharedModel(Arc<ModelWrapper>);

impl SharedModel {
    pub(crate) fn new(model: impl Into<ModelWrapper>) -> Self {
        Self(Arc::new(model.into()))
    }
}

impl Model for SharedModel {
    type Trainer = TrainerWrapper;

    fn tokenize(&self, sequence: &str) -> tokenizers::Result<Vec<Token>> {
        self.0.tokenize(sequence)
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }

    fn id_to_token(&self, id: u32) -> Option<String> {
        self.0.id_to_token(id)
    }

    fn get_vocab(&self) -> HashMap<String, u32> {
        self.0.get_vocab()
    }

    fn get_vocab_size(&self) -> usize {
        self.0.get_vocab_size()
    }

    fn save(&self, folder: &Path, prefix: Option<&str>) -> tokenizers::Result<Vec<PathBuf>> {
        self.0.save(folder, prefix)
    }

    fn get_trainer(&self) -> TrainerWrapper {
        self.0.get_trainer()
    }
}

impl Serialize for SharedModel {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedModel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        ModelWrapper::deserialize(deserializer).map(Self::new)
    }
}

/// What a vocabulary needs around it to become a pipeline; each step as `tokenizer.json` has it,
/// or `Null` for none.
pub(crate) struct Parts {
    pub(crate) model: ModelWrapper,
    pub(crate) normalizer: Value,
    pub(crate) pre_tokenizer: Value,
    pub(crate) decoder: Value,
    pub(crate) post_processor: Value,
    /// Tokens found before everything else, with the ids that they must have.
    pub(crate) added: Vec<(AddedToken, u32)>,
}

impl Parts {
    pub(crate) fn assemble(self) -> Result<Pipeline> {
        let failed = |error: tokenizers::Error| Error::NotATokenizer(error.to_string());
        let mut pipeline = Pipeline::new(SharedModel::new(self.model));
        let normalizer: Option<NormalizerWrapper> = step(self.normalizer)?;
        pipeline.with_normalizer(normalizer).map_err(failed)?;
        pipeline.with_pre_tokenizer(step::<PreTokenizerWrapper>(self.pre_tokenizer)?);
        pipeline.with_decoder(step::<DecoderWrapper>(self.decoder)?);
        pipeline.with_post_processor(step::<PostProcessorWrapper>(self.post_processor)?);
        let (tokens, ids): (Vec<_>, Vec<_>) = self.added.into_iter().unzip();
        pipeline.add_tokens(tokens.iter().cloned()).map_err(failed)?;
        expect_ids(&pipeline, tokens.iter().map(|token| token.content.as_str()).zip(ids))?;
        Ok(pipeline)
    }
}

/// The library numbers added tokens itself where the file's numbers leave a gap.
pub(crate) fn expect_ids<'a>(
    pipeline: &Pipeline,
    added: impl IntoIterator<Item = (&'a str, u32)>,
) -> Result<()> {
    for (token, id) in added {
        if pipeline.token_to_id(token) != Some(id) {
            let found = format!("added token {token:?} cannot have id {id}");
            return Err(Error::NotATokenizer(found));
        }
    }
    Ok(())
}

/// Reads one step of a pipeline.
fn step<T: for<'de> Deserialize<'de>>(value: Value) -> Result<Option<T>> {
    serde_json::from_value(value).map_err(|error| Error::NotATokenizer(error.to_string()))
}

/// Where a piece of text stands; decides what the pipeline puts before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the beginning of the text.
    Beginning,
    /// Right after a control token.
    AfterControl,
    /// In the middle of text that was cut for reasons of ours.
    Inside,
}

/// The ways in which one vocabulary is used.
pub(crate) struct Views {
    /// Recognises control tokens.
    pub(crate) control: Pipeline,
    beginning: Arc<Pipeline>,
    after_control: Arc<Pipeline>,
    inside: Arc<Pipeline>,
}

impl Views {
    pub(crate) fn new(mut control: Pipeline) -> Result<Self> {
        let usable = |error: tokenizers::Error| Error::NotATokenizer(error.to_string());
        control.set_encode_special_tokens(false);
        control.with_truncation(None).map_err(usable)?.with_padding(None);
        let mut plain = control.clone();
        plain.set_encode_special_tokens(true);
        let beginning = Arc::new(plain);
        let after_control = without_prefix(&beginning, &["first"])?;
        let inside = without_prefix(&beginning, &["first", "always"])?;
        Ok(Self { control, beginning, after_control, inside })
    }

    /// The pipeline for text at `place` that can spell no control token.
    pub(crate) fn plain(&self, place: Place) -> &Pipeline {
        match place {
            Place::Beginning => &self.beginning,
            Place::AfterControl => &self.after_control,
            Place::Inside => &self.inside,
        }
    }
}

/// `pipeline` without the space that it puts before text under one of `schemes`: `first` at the
/// beginning only, `always` before every piece.
fn without_prefix(pipeline: &Arc<Pipeline>, schemes: &[&str]) -> Result<Arc<Pipeline>> {
    let unreadable = |error: serde_json::Error| Error::NotATokenizer(error.to_string());
    let steps = |value: serde_json::Result<Value>| value.map_err(unreadable);
    let before = steps(serde_json::to_value(pipeline.get_pre_tokenizer()))?;
    let mut pre_tokenizer = before.clone();
    unprefix(&mut pre_tokenizer, schemes);
    // A normaliser may carry large tables: it is read only where it must change.
    let mut normalizer = None;
    if schemes.contains(&"always") {
        let before = steps(serde_json::to_value(pipeline.get_normalizer()))?;
        let mut after = before.clone();
        unprefix(&mut after, schemes);
        normalizer = (after != before).then_some(after);
    }
    if pre_tokenizer == before && normalizer.is_none() {
        return Ok(Arc::clone(pipeline));
    }
    let mut changed = Pipeline::clone(pipeline);
    changed.with_pre_tokenizer(step::<PreTokenizerWrapper>(pre_tokenizer)?);
    if let Some(normalizer) = normalizer {
        let normalizer: Option<NormalizerWrapper> = step(normalizer)?;
        let usable = |error: tokenizers::Error| Error::NotATokenizer(error.to_string());
        changed.with_normalizer(normalizer).map_err(usable)?;
    }
    Ok(Arc::new(changed))
}

fn unprefix(step: &mut Value, schemes: &[&str]) {
    let scheme = step["prepend_scheme"].as_str().unwrap_or_default();
    let always = schemes.contains(&"always");
    match step["type"].as_str() {
        Some("Metaspace") if schemes.contains(&scheme) => step["prepend_scheme"] = "never".into(),
        Some("ByteLevel") if always => step["add_prefix_space"] = false.into(),
        Some("Prepend") if always => *step = empty_sequence(),
        Some("Sequence") => {
            for list in ["pretokenizers", "normalizers"] {
                let steps = step.get_mut(list).and_then(Value::as_array_mut);
                steps.into_iter().flatten().for_each(|step| unprefix(step, schemes));
            }
        }
        _ => {}
    }
}

/// A normaliser that does nothing.
fn empty_sequence() -> Value {
    serde_json::json!({ "type": "Sequence", "normalizers": [] })
}
