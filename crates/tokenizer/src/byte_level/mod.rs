//! Byte-level byte-pair encoding of our own: the vocabularies of GPT-2, GPT-4 (cl100k, o200k),
//! LLaMA-3, Qwen2 and later, SmolLM, and those trained here.
//!
//! In reading order: [`split`] cuts text without a regular expression, [`bonds`] cuts long pieces
//! of Chinese once more, [`cache`] knows the pieces that were met before, [`pairs`] merges the
//! others, [`recognise`] decides whether a pipeline is one that all this can stand for. Where it is
//! not, the `tokenizers` library does the work, and `Tokenizer::encoder` says so and why.
//!
//! Invariant: the ids are the library's, for any text.

mod bonds;
mod cache;
mod classes;
pub(crate) mod hash;
mod nfc;
mod pairs;
mod recognise;
pub(crate) mod split;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokenizers::{NormalizedString, Normalizer, NormalizerWrapper};

use crate::spellings::Spellings;
use crate::token_table::TokenTable;
use crate::{Error, Result};
use bonds::Bonds;
use cache::Cache;
use pairs::{Pairs, Work};
use split::Splitter;

/// Pieces up to this many bytes are not cut into parts.
const WITHOUT_PARTS: usize = 6;

/// Tokens that are found in a text before it is cut.
struct Found {
    spellings: Spellings,
    /// Whether a token of the list is no control token.
    some_ordinary: bool,
}

/// An encoder for one vocabulary.
pub(crate) struct ByteLevel {
    splitter: Splitter,
    pairs: Pairs,
    bonds: Bonds,
    /// Where a piece that is a token as a whole is that token: the tokens.
    whole: Option<HashMap<Box<[u8]>, u32>>,
    /// Length of the longest of those.
    longest: usize,
    /// Normalises text; it is normal form C or nothing.
    normalizer: Option<NormalizerWrapper>,
    /// Whether no control token comes out of merges, or of a piece as a whole.
    safe: bool,
    /// Looked for in the text as it stands, and then in normalised text.
    found: [Found; 2],
    spare: Mutex<Vec<Memory>>,
}

/// What one encoding after another uses: one thread has it at a time.
struct Memory {
    cache: Cache,
    /// Of the parts of pieces: what is a token as a whole is one only as a piece.
    parts: Cache,
    work: Work,
}

impl ByteLevel {
    /// Ids of `text`, with the spellings of control tokens recognised if `control`.
    pub(crate) fn encode(&self, text: &str, control: bool) -> Result<Vec<u32>> {
        let mut memory = self.lend();
        let mut ids = Vec::with_capacity(text.len() / 4 + 8);
        let encoded = self.text(text, control, &mut memory, &mut ids);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        encoded.map(|()| ids)
    }

    /// Whether the ids of text are never those of control tokens, unless these are asked for.
    pub(crate) fn is_safe(&self) -> bool {
        self.safe
    }

    fn lend(&self) -> Memory {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Memory {
            cache: Cache::new(),
            parts: Cache::new(),
            work: Work::default(),
        })
    }

    fn text(
        &self,
        text: &str,
        control: bool,
        memory: &mut Memory,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let [as_it_stands, normalized] = &self.found;
        as_it_stands.cut(text, control, ids, &mut |part, ids| {
            let part = self.normalize(part)?;
            normalized.cut(&part, control, ids, &mut |part, ids| {
                self.plain(part, memory, ids);
                Ok(())
            })
        })
    }

    fn normalize<'a>(&self, text: &'a str) -> Result<Cow<'a, str>> {
        let Some(normalizer) = &self.normalizer else { return Ok(Cow::Borrowed(text)) };
        if nfc::is_certainly_nfc(text) {
            return Ok(Cow::Borrowed(text));
        }
        let mut normalized = NormalizedString::from(text);
        normalizer.normalize(&mut normalized).map_err(|error| Error::Encode(error.to_string()))?;
        Ok(Cow::Owned(normalized.get().to_owned()))
    }

    fn plain(&self, text: &str, memory: &mut Memory, ids: &mut Vec<u32>) {
        let Memory { cache, parts, work } = memory;
        let bytes = text.as_bytes();
        self.splitter.pieces(text, |start, end| {
            if end - start > WITHOUT_PARTS && bytes[start].max(bytes[start + 1]) >= 0xE0 {
                let mut at = self.bonds.part_end(bytes, start, end);
                if at < end {
                    let mut start = start;
                    while start < end {
                        let part = &bytes[start..at];
                        parts.get_or(bytes, (start, at), ids, |ids| {
                            self.pairs.merge(part, work, ids);
                        });
                        start = at;
                        at = self.bonds.part_end(bytes, start, end);
                    }
                    return;
                }
            }
            cache.get_or(bytes, (start, end), ids, |ids| self.piece(&bytes[start..end], work, ids));
        });
    }

    #[cold]
    fn piece(&self, piece: &[u8], work: &mut Work, ids: &mut Vec<u32>) {
        if let Some(whole) = &self.whole
            && piece.len() <= self.longest
            && let Some(&id) = whole.get(piece)
        {
            ids.push(id);
            return;
        }
        self.pairs.merge(piece, work, ids);
    }
}

impl Found {
    /// Cuts `text` at the tokens: their ids are appended, the text between them is given to
    /// `between`. Control tokens count only if `control`; what they cover otherwise holds no other.
    fn cut(
        &self,
        text: &str,
        control: bool,
        ids: &mut Vec<u32>,
        between: &mut dyn FnMut(&str, &mut Vec<u32>) -> Result<()>,
    ) -> Result<()> {
        let (mut start, mut from) = (0, 0);
        while (control || self.some_ordinary)
            && let Some(found) = self.spellings.find(text, from)
        {
            from = found.end();
            if found.token.special && !control {
                continue;
            }
            if start < found.start {
                between(&text[start..found.start], ids)?;
            }
            ids.push(found.token.id);
            start = from;
        }
        if start < text.len() { between(&text[start..], ids) } else { Ok(()) }
    }
}

/// The tokens of `table` that are spelled in `text` as they stand, or in normalised text.
fn found(table: &TokenTable, normalized: bool) -> Found {
    let tokens = || table.added.iter().filter(|token| token.normalized == normalized);
    Found {
        spellings: Spellings::new(tokens().cloned()),
        some_ordinary: tokens().any(|token| !token.special),
    }
}

#[cfg(test)]
mod tests {
    use crate::Tokenizer;
    use crate::pipeline::Pipeline;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const GOLDEN: &[u8] = include_bytes!("../../../../golden/tokenizer/tokenizer.json");

    /// The golden vocabulary with other steps around it, and tokens of all kinds added.
    fn changed(pre_tokenizer: Value, normalizer: &Value, ignore_merges: bool) -> Vec<u8> {
        let mut json: Value = serde_json::from_slice(GOLDEN).unwrap();
        json["pre_tokenizer"] = pre_tokenizer;
        json["normalizer"] = normalizer.clone();
        json["model"]["ignore_merges"] = ignore_merges.into();
        let added = [("<|b|>", false, false), ("|>c", false, true), ("<tool>", true, false)];
        for ((content, normalized, special), id) in added.into_iter().zip(640..) {
            json["added_tokens"].as_array_mut().unwrap().push(json!({
                "id": id, "content": content, "special": special, "normalized": normalized,
                "single_word": false, "lstrip": false, "rstrip": false,
            }));
        }
        json.to_string().into_bytes()
    }

    fn split(pattern: &str) -> Value {
        json!({ "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
                "invert": false })
    }

    fn bytes(use_regex: bool) -> Value {
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": use_regex })
    }

    fn sequence(steps: &[Value]) -> Value {
        json!({ "type": "Sequence", "pretokenizers": steps })
    }

    fn texts() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            "[a-z ]{1,20}",
            "(<\\|b\\|>|\\|>c|<tool>|<\\|endoftext\\|>|<\\|im_end\\|>c|<\\||>)",
            "[一-龥，。\\n]{1,30}",
            "(e\u{301}|é|\u{1100}\u{1161}|가|ﬁ|\u{F900}|か\u{3099}|q\u{323}\u{307}){1,3}",
            "[0-9 '\r\n\t]{1,5}",
            any::<String>(),
        ];
        prop::collection::vec(parts, 0..10).prop_map(|parts| parts.concat())
    }

    #[test]
    fn ids_are_those_of_the_library() {
        let ways = [
            sequence(&[split(super::split::PATTERNS[2].0), bytes(false)]),
            sequence(&[split(crate::PRE_SPLIT), bytes(false)]),
            sequence(&[split(r"\p{N}"), bytes(true)]),
            sequence(&[json!({ "type": "Digits", "individual_digits": true }), bytes(true)]),
            bytes(true),
        ];
        let mut runner = proptest::test_runner::TestRunner::default();
        for way in ways {
            for (normalizer, ignore_merges) in [(json!(null), false), (json!({"type":"NFC"}), true)]
            {
                let json = changed(way.clone(), &normalizer, ignore_merges);
                let tokenizer = Tokenizer::from_json(&json).unwrap();
                assert_eq!(tokenizer.encoder(), "own byte-level encoder", "{way}");
                let mut library: Pipeline = serde_json::from_slice(&json).unwrap();
                let ids = |library: &Pipeline, text: &str| {
                    library.encode_fast(text, false).unwrap().get_ids().to_vec()
                };
                let judged = |text: String| {
                    let control = tokenizer.encode_with_specials(&text).unwrap();
                    prop_assert_eq!(control, ids(&library, &text), "{:?}", text);
                    library.set_encode_special_tokens(true);
                    let plain = ids(&library, &text);
                    library.set_encode_special_tokens(false);
                    prop_assert_eq!(tokenizer.encode(&text).unwrap(), plain, "{:?}", text);
                    Ok(())
                };
                let judged = std::cell::RefCell::new(judged);
                runner.run(&texts(), |text| (judged.borrow_mut())(text)).unwrap();
            }
        }
    }

    #[test]
    fn a_pipeline_that_is_not_known_goes_to_the_library_and_says_why() {
        let null = json!(null);
        for (pre_tokenizer, normalizer, reason) in [
            (sequence(&[split("a+"), bytes(false)]), &null, "a+"),
            (sequence(&[split(crate::PRE_SPLIT)]), &null, "the way to cut text"),
            (bytes(true), &json!({ "type": "NFKC" }), "NFKC"),
        ] {
            let json = changed(pre_tokenizer, normalizer, false);
            let tokenizer = Tokenizer::from_json(&json).unwrap();
            assert!(tokenizer.encoder().contains(reason), "{}", tokenizer.encoder());
            assert!(tokenizer.encoder().starts_with("tokenizers library"));
            assert!(format!("{tokenizer:?}").contains(reason));
        }
    }
}
