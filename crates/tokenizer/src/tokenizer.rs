//! A vocabulary in use: text to ids and back.
//!
//! Whatever file a vocabulary comes from, it becomes the pipeline that the common `tokenizer.json`
//! describes. Our own encoder runs it where it knows the steps, the `tokenizers` library otherwise;
//! the ids are the same. It is used in views: one that cannot produce control tokens, for what
//! people and documents wrote, and one that can, for templates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::byte_level::ByteLevel;
use crate::decoding::Decoding;
use crate::pipeline::{Pipeline, Place, Views, expect_ids};
use crate::roles::Roles;
use crate::scan::{Unknown, scan};
use crate::spellings::Spellings;
use crate::token_table::{AddedToken, TokenTable};
use crate::{Error, Reporter, Result, StreamDecoder, TokenizerReport};
use crate::{parallel, template::ChatTemplate};

/// A larger file is refused before it is parsed.
pub(crate) const MAX_FILE_BYTES: usize = 256 << 20;

/// A vocabulary: text to ids and back.
///
/// ```
/// use danlu_tokenizer::{TokenizerConfig, train};
///
/// let config = TokenizerConfig::of_size(262);
/// let tokenizer = train(&config, ["to be or not to be, 生還是死"])?;
/// let ids = tokenizer.encode("not to be")?;
/// assert_eq!(tokenizer.decode(&ids)?, "not to be");
/// # Ok::<(), danlu_tokenizer::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    roles: Arc<Roles>,
}

struct Inner {
    views: Views,
    /// Our own encoder, or why the library encodes.
    byte_level: std::result::Result<ByteLevel, String>,
    table: TokenTable,
    decoding: Decoding,
    /// Spellings of the control tokens.
    controls: Spellings,
    /// The token for text that the vocabulary cannot spell.
    unknown: Option<u32>,
    /// Control tokens before and after a text, where the file asks for them.
    frame: (Vec<u32>, Vec<u32>),
    written: OnceLock<(Vec<u8>, String)>,
}

/// Refuses steps whose JSON is broken: the library would panic on them.
fn check_steps(json: &[u8]) -> Result<()> {
    #[derive(serde::Deserialize)]
    struct Steps {
        #[serde(rename = "normalizer")]
        _normalizer: Option<serde_json::Value>,
        #[serde(rename = "pre_tokenizer")]
        _pre_tokenizer: Option<serde_json::Value>,
        #[serde(rename = "post_processor")]
        _post_processor: Option<serde_json::Value>,
        #[serde(rename = "decoder")]
        _decoder: Option<serde_json::Value>,
    }
    match serde_json::from_slice::<Steps>(json) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::NotATokenizer(error.to_string())),
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tokenizer({} tokens, {})", self.vocab_size(), self.encoder())
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json` and nothing beside it; [`Tokenizer::open`] reads whole folders.
    ///
    /// # Errors
    /// When the file cannot be read or is not a usable tokenizer.
    pub fn load(path: &Path) -> Result<Self> {
        Self::from_json(&crate::sources::read(path)?)
    }

    /// Parses the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// When the bytes are not a tokenizer that can be used here; the message names the part.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_FILE_BYTES {
            let found = format!("{} bytes, more than {MAX_FILE_BYTES}", json.len());
            return Err(Error::NotATokenizer(found));
        }
        let scanned = scan(json)?;
        check_steps(json)?;
        let pipeline: Pipeline = serde_json::from_slice(json)
            .map_err(|error| Error::NotATokenizer(error.to_string()))?;
        expect_ids(&pipeline, scanned.added.iter().map(|(token, id)| (token.as_str(), *id)))?;
        let unknown = match scanned.unknown {
            Unknown::Absent => None,
            Unknown::Id(id) => Some(id),
            Unknown::Token(token) => pipeline.token_to_id(&token),
        };
        Self::from_pipeline(pipeline, unknown)
    }

    pub(crate) fn from_pipeline(pipeline: Pipeline, unknown: Option<u32>) -> Result<Self> {
        let unreadable = |error: serde_json::Error| Error::NotATokenizer(error.to_string());
        let decoder = serde_json::to_value(pipeline.get_decoder()).map_err(unreadable)?;
        let decoding = Decoding::read(&decoder)?;
        let views = Views::new(pipeline)?;
        let table = TokenTable::new(&views.control, &decoding)?;
        let frame = frame(&views.control)?;
        let specials = table.added.iter().filter(|token| token.special).cloned();
        let controls = Spellings::new(specials);
        let byte_level = ByteLevel::recognise(&views.control, &table)?;
        let roles = Arc::new(Roles::by_convention(&table));
        let written = OnceLock::new();
        let inner = Inner { views, byte_level, table, decoding, controls, unknown, frame, written };
        Ok(Self { inner: Arc::new(inner), roles })
    }

    /// The same vocabulary with roles from elsewhere, and with the known ends of answers.
    pub(crate) fn with_completed_roles(mut self, mut roles: Roles) -> Self {
        roles.complete_stop(&self.inner.table);
        self.roles = Arc::new(roles);
        self
    }

    fn written(&self) -> &(Vec<u8>, String) {
        self.inner.written.get_or_init(|| {
            let json = match self.inner.views.control.to_string(true) {
                Ok(json) => json.into_bytes(),
                Err(error) => unreachable!("what was read can be written: {error}"),
            };
            let hash = Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect();
            (json, hash)
        })
    }

    /// The canonical bytes of `tokenizer.json`: equal for equal vocabularies, however the file that
    /// they came from was formatted.
    pub fn json(&self) -> &[u8] {
        &self.written().0
    }

    /// SHA-256 of [`Tokenizer::json`] in hexadecimal. Token shards and checkpoints carry it.
    pub fn hash(&self) -> &str {
        &self.written().1
    }

    /// The files that let other programs open the vocabulary and its chat template, as
    /// `(name, bytes)`: `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`.
    pub fn files(&self, template: &ChatTemplate) -> Vec<(&'static str, Vec<u8>)> {
        let mut files = self.files_without_template();
        files.push(("chat_template.jinja", template.source().as_bytes().to_vec()));
        files
    }

    /// [`Tokenizer::files`] of a model that has no chat template.
    pub fn files_without_template(&self) -> Vec<(&'static str, Vec<u8>)> {
        let spelling = |id: Option<u32>| id.and_then(|id| self.token(id));
        let adds_bos = self.bos().is_some_and(|bos| self.text_start().contains(&bos));
        let mut config = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": spelling(self.bos()),
            "eos_token": spelling(self.eos()),
            "pad_token": spelling(self.roles.padding.or(self.eos())),
            "clean_up_tokenization_spaces": false,
            "add_bos_token": adds_bos,
        });
        if let Some(unknown) = spelling(self.inner.unknown) {
            config["unk_token"] = unknown.into();
        }
        vec![
            ("tokenizer.json", self.json().to_vec()),
            ("tokenizer_config.json", format!("{config:#}\n").into_bytes()),
        ]
    }

    /// What turns text into ids: our own encoder of byte-level vocabularies, or the `tokenizers`
    /// library and why.
    pub fn encoder(&self) -> String {
        match &self.inner.byte_level {
            Ok(_) => "own byte-level encoder".to_owned(),
            Err(reason) => format!("tokenizers library, because of {reason}"),
        }
    }

    /// Ids of `text`. Text that spells a control token is encoded as the characters it is.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_at(text, Place::Beginning)
    }

    /// Ids of text that stands at `place`.
    pub(crate) fn encode_at(&self, text: &str, place: Place) -> Result<Vec<u32>> {
        let ids = self.encode_whole(text, place)?;
        let safe = self.inner.byte_level.as_ref().is_ok_and(ByteLevel::is_safe);
        if safe || self.forged(&ids).is_none() { Ok(ids) } else { self.encode_torn(text, place) }
    }

    /// Ids of text that stands at `place`, whatever control tokens may be among them.
    fn encode_whole(&self, text: &str, place: Place) -> Result<Vec<u32>> {
        match &self.inner.byte_level {
            Ok(encoder) => encoder.encode(text, false),
            Err(_) => encode_with(self.inner.views.plain(place), text),
        }
    }

    /// Ids of many texts, in their order, on all threads; the same ids as [`Tokenizer::encode`].
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on a text.
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        if self.inner.byte_level.is_ok() {
            return parallel::map(texts, |text| self.encode(text)).into_iter().collect();
        }
        let encodings = self
            .inner
            .views
            .plain(Place::Beginning)
            .encode_batch_fast(texts.to_vec(), false)
            .map_err(|error| Error::Encode(error.to_string()))?;
        let mut batch = Vec::with_capacity(texts.len());
        for (encoding, text) in encodings.into_iter().zip(texts) {
            let ids = encoding.get_ids();
            batch.push(match self.forged(ids) {
                None => ids.to_vec(),
                Some(_) => self.encode_torn(text, Place::Beginning)?,
            });
        }
        Ok(batch)
    }

    /// A control token among the ids of ordinary text, if there is one. The token for what the
    /// vocabulary cannot spell is no forgery.
    fn forged(&self, ids: &[u32]) -> Option<u32> {
        let unknown = self.inner.unknown;
        ids.iter().copied().find(|&id| self.is_special(id) && Some(id) != unknown)
    }

    /// Ids of a text whose characters the vocabulary itself, not only its list of control tokens,
    /// would read as a control token: the text is torn inside each such spelling, and where that
    /// is not enough, between all its characters.
    fn encode_torn(&self, text: &str, place: Place) -> Result<Vec<u32>> {
        let mut tears = Vec::new();
        let mut from = 0;
        while let Some(found) = self.inner.controls.find(text, from) {
            from = found.start + text[found.start..].chars().next().map_or(1, char::len_utf8);
            tears.push(from);
        }
        let everywhere = text.char_indices().skip(1).map(|(start, _)| start).collect();
        let mut forged = None;
        for tears in [tears, everywhere] {
            let ids = self.encode_pieces(text, &tears, place)?;
            forged = self.forged(&ids);
            if forged.is_none() {
                return Ok(ids);
            }
        }
        let token = forged.and_then(|id| self.token(id)).unwrap_or_default();
        Err(Error::ForgeableToken { token })
    }

    fn encode_pieces(&self, text: &str, tears: &[usize], place: Place) -> Result<Vec<u32>> {
        let (mut ids, mut start, mut place) = (Vec::new(), 0, place);
        for &end in tears.iter().chain([&text.len()]) {
            ids.extend(self.encode_whole(&text[start..end], place)?);
            (start, place) = (end, Place::Inside);
        }
        Ok(ids)
    }

    /// Ids of `text` where the spelling of a control token *is* the control token. For text that
    /// the program itself wrote, such as a raw prompt given by its owner; never for messages.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on the text.
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>> {
        match &self.inner.byte_level {
            Ok(encoder) => encoder.encode(text, true),
            Err(_) => encode_with(&self.inner.views.control, text),
        }
    }

    /// The control tokens that the file puts before a text, such as the token that begins it.
    /// [`Tokenizer::encode`] leaves them out: chat templates spell them themselves.
    pub fn text_start(&self) -> &[u32] {
        &self.inner.frame.0
    }

    /// The control tokens that the file puts after a text.
    pub fn text_end(&self) -> &[u32] {
        &self.inner.frame.1
    }

    /// The text of `ids` without control tokens. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::UnknownId`] when an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.join(ids, |id| !self.is_special(id))
    }

    /// The text of `ids` with control tokens spelled out, to look at.
    ///
    /// # Errors
    /// [`Error::UnknownId`] when an id is not in the vocabulary.
    pub fn decode_with_specials(&self, ids: &[u32]) -> Result<String> {
        self.join(ids, |_| true)
    }

    fn join(&self, ids: &[u32], keep: impl Fn(u32) -> bool) -> Result<String> {
        let mut text = Vec::with_capacity(ids.len() * 4);
        let mut drop_spaces = self.leading_spaces();
        for &id in ids {
            let unknown = Error::UnknownId { id, vocab_size: self.vocab_size() };
            let bytes = self.token_bytes(id).ok_or(unknown)?;
            if keep(id) {
                text.extend_from_slice(drop_leading(bytes, &mut drop_spaces));
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Spaces that decoding drops at the beginning of a text, where there are any.
    pub(crate) fn leading_spaces(&self) -> usize {
        self.inner.decoding.drop_spaces
    }

    /// A decoder that takes one id at a time and gives out complete characters.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// The bytes that `id` stands for inside a text; for a control token, its spelling.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.inner.table.get(id)
    }

    /// One more than the largest id: the rows that an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.inner.table.len()
    }

    /// The id of a token given as the file spells it (`<|im_end|>`, `Ġthe`).
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.views.control.token_to_id(token)
    }

    /// The token of an id as the file spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.views.control.id_to_token(id)
    }

    /// True for control tokens.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.table.is_special(id)
    }

    /// The control tokens and their ids.
    pub fn specials(&self) -> &BTreeMap<String, u32> {
        &self.inner.table.specials
    }

    /// Every token that is found in text before the vocabulary's own rules are asked.
    pub(crate) fn added(&self) -> &[AddedToken] {
        &self.inner.table.added
    }

    pub(crate) fn roles(&self) -> &Roles {
        &self.roles
    }

    pub(crate) fn unknown(&self) -> Option<u32> {
        self.inner.unknown
    }

    /// The token that a text may start with.
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// The token that ends a document.
    pub fn eos(&self) -> Option<u32> {
        self.roles.eos
    }

    /// The tokens that end an answer: what the files say, the turn's end and the document's end.
    pub fn stop_ids(&self) -> Vec<u32> {
        self.roles.stop.clone()
    }

    /// The chat template that came with the vocabulary, told the tokens that it may print.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`] when there is one and it does not parse.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>> {
        let Some(source) = self.roles.template.as_deref() else { return Ok(None) };
        let mut template = ChatTemplate::new(source)?;
        for (name, id) in [
            ("bos_token", self.bos()),
            ("eos_token", self.eos()),
            ("pad_token", self.roles.padding),
            ("unk_token", self.unknown()),
        ] {
            template = template.with_token(name, id.and_then(|id| self.token(id)));
        }
        Ok(Some(template))
    }

    /// How well the vocabulary fits `texts`: bytes a token for Chinese and other lines.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on a text.
    pub fn report<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<TokenizerReport> {
        let mut reporter = Reporter::new(self);
        texts.into_iter().try_for_each(|text| reporter.add(None, text))?;
        Ok(reporter.finish())
    }
}

fn encode_with(pipeline: &Pipeline, text: &str) -> Result<Vec<u32>> {
    let encoding =
        pipeline.encode_fast(text, false).map_err(|error| Error::Encode(error.to_string()))?;
    Ok(encoding.get_ids().to_vec())
}

/// The control tokens that the pipeline puts before and after a text.
fn frame(control: &Pipeline) -> Result<(Vec<u32>, Vec<u32>)> {
    let failed = |error: tokenizers::Error| Error::NotATokenizer(error.to_string());
    let plain = control.encode_fast("a", false).map_err(failed)?;
    let framed = control.encode_fast("a", true).map_err(failed)?;
    let (plain, framed) = (plain.get_ids(), framed.get_ids());
    let inside = (0..=framed.len().saturating_sub(plain.len()))
        .find(|&start| framed[start..].starts_with(plain));
    Ok(match inside {
        Some(start) => (framed[..start].to_vec(), framed[start + plain.len()..].to_vec()),
        None => (Vec::new(), Vec::new()),
    })
}

/// `bytes` without the spaces that are still to be dropped.
pub(crate) fn drop_leading<'a>(bytes: &'a [u8], drop_spaces: &mut usize) -> &'a [u8] {
    let mut rest = bytes;
    while *drop_spaces > 0 {
        match rest.split_first() {
            Some((b' ', after)) => (rest, *drop_spaces) = (after, *drop_spaces - 1),
            Some(_) => *drop_spaces = 0,
            None => break,
        }
    }
    rest
}
