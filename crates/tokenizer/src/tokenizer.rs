//! A vocabulary in use: text to ids and back.
//!
//! The file is the common `tokenizer.json`; the encoding itself is the `tokenizers` library. Two
//! views of one vocabulary are kept: one that cannot produce control tokens, for everything people
//! and documents wrote, and one that can, for templates.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokenizers::Tokenizer as Library;

use crate::byte_alphabet::unspell;
use crate::scan::scan;
use crate::{
    END_OF_TEXT, Error, Result, StreamDecoder, TURN_END, TokenizerReport, template::ChatTemplate,
};

/// A larger file is refused before it is parsed.
const MAX_FILE_BYTES: usize = 256 << 20;

/// A byte-level vocabulary: text to ids and back.
///
/// ```
/// use danlu_tokenizer::{TokenizerConfig, train};
///
/// let config = TokenizerConfig { vocab_size: 262, min_frequency: 2 };
/// let tokenizer = train(&config, ["to be or not to be, 生還是死"])?;
/// let ids = tokenizer.encode("not to be")?;
/// assert_eq!(tokenizer.decode(&ids)?, "not to be");
/// # Ok::<(), danlu_tokenizer::Error>(())
/// ```
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    plain: Library,
    control: Library,
    json: Vec<u8>,
    hash: String,
    /// Bytes of every id; `None` where the file leaves a gap.
    bytes: Vec<Option<Box<[u8]>>>,
    specials: BTreeMap<String, u32>,
    is_special: Vec<bool>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Tokenizer({} tokens, sha256 {})", self.vocab_size(), self.hash())
    }
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a usable byte-level tokenizer.
    pub fn load(path: &Path) -> Result<Self> {
        let read = |source| Error::File { action: "read", path: path.to_owned(), source };
        Self::from_json(&std::fs::read(path).map_err(read)?)
    }

    /// Parses the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// When the bytes are not a byte-level tokenizer, or when plain text can spell one of its
    /// control tokens.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        if json.len() > MAX_FILE_BYTES {
            let found = format!("{} bytes, more than {MAX_FILE_BYTES}", json.len());
            return Err(Error::NotATokenizer(found));
        }
        let added = scan(json)?;
        let library =
            Library::from_bytes(json).map_err(|error| Error::NotATokenizer(error.to_string()))?;
        // The library numbers added tokens itself where the file's numbers leave a gap.
        for (token, id) in added {
            if library.token_to_id(&token) != Some(id) {
                let found = format!("added token {token:?} cannot have id {id}");
                return Err(Error::NotATokenizer(found));
            }
        }
        Self::from_library(library)
    }

    pub(crate) fn from_library(mut control: Library) -> Result<Self> {
        control.set_encode_special_tokens(false);
        let usable = |error: tokenizers::Error| Error::NotATokenizer(error.to_string());
        control.with_truncation(None).map_err(usable)?.with_padding(None);
        let json = control.to_string(true).map_err(usable)?.into_bytes();
        let mut plain = control.clone();
        plain.set_encode_special_tokens(true);

        let (bytes, specials) = token_table(&control)?;
        let mut is_special = vec![false; bytes.len()];
        for &id in specials.values() {
            is_special[id as usize] = true;
        }
        let hash = Sha256::digest(&json).iter().map(|byte| format!("{byte:02x}")).collect();
        let inner = Inner { plain, control, json, hash, bytes, specials, is_special };
        let tokenizer = Self { inner: Arc::new(inner) };
        tokenizer.refuse_forgeable_tokens()?;
        Ok(tokenizer)
    }

    fn refuse_forgeable_tokens(&self) -> Result<()> {
        for token in self.inner.specials.keys() {
            if self.encode(token)?.iter().any(|&id| self.is_special(id)) {
                return Err(Error::ForgeableToken { token: token.clone() });
            }
        }
        Ok(())
    }

    /// The canonical bytes of `tokenizer.json`: equal for equal vocabularies, however the file that
    /// they came from was formatted.
    pub fn json(&self) -> &[u8] {
        &self.inner.json
    }

    /// SHA-256 of [`Tokenizer::json`] in hexadecimal. Token shards and checkpoints carry it.
    pub fn hash(&self) -> &str {
        &self.inner.hash
    }

    /// The files that let other programs open the vocabulary and its chat template, as
    /// `(name, bytes)`: `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`.
    pub fn files(&self, template: &ChatTemplate) -> Vec<(&'static str, Vec<u8>)> {
        let config = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": self.bos().map(|_| END_OF_TEXT),
            "eos_token": self.eos().map(|_| END_OF_TEXT),
            "pad_token": self.eos().map(|_| END_OF_TEXT),
            "clean_up_tokenization_spaces": false,
            "add_bos_token": false,
        });
        vec![
            ("tokenizer.json", self.inner.json.clone()),
            ("tokenizer_config.json", format!("{config:#}\n").into_bytes()),
            ("chat_template.jinja", template.source().as_bytes().to_vec()),
        ]
    }

    /// Ids of `text`. Text that spells a control token is encoded as the characters it is.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        encode_with(&self.inner.plain, text)
    }

    /// Ids of many texts, in their order, on all threads; the same ids as [`Tokenizer::encode`].
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on a text.
    pub fn encode_batch(&self, texts: &[&str]) -> Result<Vec<Vec<u32>>> {
        let encodings = self
            .inner
            .plain
            .encode_batch_fast(texts.to_vec(), false)
            .map_err(|error| Error::Encode(error.to_string()))?;
        Ok(encodings.into_iter().map(|encoding| encoding.get_ids().to_vec()).collect())
    }

    /// Ids of `text` where the spelling of a control token *is* the control token. For text that
    /// the program itself wrote, such as a raw prompt given by its owner; never for messages.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on the text.
    pub fn encode_with_specials(&self, text: &str) -> Result<Vec<u32>> {
        encode_with(&self.inner.control, text)
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
        for &id in ids {
            let unknown = Error::UnknownId { id, vocab_size: self.vocab_size() };
            let bytes = self.token_bytes(id).ok_or(unknown)?;
            if keep(id) {
                text.extend_from_slice(bytes);
            }
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// A decoder that takes one id at a time and gives out complete characters.
    pub fn stream(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// The bytes that `id` stands for; for a control token, its spelling.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.inner.bytes.get(id as usize)?.as_deref()
    }

    /// One more than the largest id: the rows that an embedding needs.
    pub fn vocab_size(&self) -> usize {
        self.inner.bytes.len()
    }

    /// The id of a token given as the file spells it (`<|im_end|>`, `Ġthe`).
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.control.token_to_id(token)
    }

    /// True for control tokens.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.is_special.get(id as usize).copied().unwrap_or(false)
    }

    /// The control tokens and their ids.
    pub fn specials(&self) -> &BTreeMap<String, u32> {
        &self.inner.specials
    }

    /// The token that a text may start with: [`END_OF_TEXT`], as it separates documents.
    pub fn bos(&self) -> Option<u32> {
        self.eos()
    }

    /// The token that ends a document: [`END_OF_TEXT`].
    pub fn eos(&self) -> Option<u32> {
        self.inner.specials.get(END_OF_TEXT).copied()
    }

    /// The tokens that end an answer: the turn's end and the document's end, where they exist.
    pub fn stop_ids(&self) -> Vec<u32> {
        let find = |token: &&str| self.inner.specials.get(*token).copied();
        [TURN_END, END_OF_TEXT].iter().filter_map(find).collect()
    }

    /// How well the vocabulary fits `texts`: bytes a token for Chinese and other lines.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's own rules fail on a text.
    pub fn report<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Result<TokenizerReport> {
        TokenizerReport::measure(self, texts)
    }
}

fn encode_with(library: &Library, text: &str) -> Result<Vec<u32>> {
    let encoding =
        library.encode_fast(text, false).map_err(|error| Error::Encode(error.to_string()))?;
    Ok(encoding.get_ids().to_vec())
}

type TokenTable = (Vec<Option<Box<[u8]>>>, BTreeMap<String, u32>);

/// The bytes of every id, and the control tokens.
fn token_table(library: &Library) -> Result<TokenTable> {
    let mut tokens: Vec<(String, u32)> = library.get_vocab(true).into_iter().collect();
    tokens.sort_unstable_by_key(|&(_, id)| id);
    // The scan has bounded all ids, so the table is bounded too.
    let size = tokens.last().map_or(0, |&(_, id)| id as usize + 1);
    let mut bytes = vec![None; size];
    let mut specials = BTreeMap::new();
    let added = library.get_added_tokens_decoder();
    for (token, id) in tokens {
        let of_token = match added.get(&id) {
            Some(added) => {
                if added.special {
                    specials.insert(added.content.clone(), id);
                }
                Some(added.content.clone().into_bytes())
            }
            None => unspell(&token),
        };
        let not_bytes = || Error::NotATokenizer(format!("token {id} ({token:?}) spells no bytes"));
        bytes[id as usize] = Some(of_token.ok_or_else(not_bytes)?.into_boxed_slice());
    }
    Ok((bytes, specials))
}
