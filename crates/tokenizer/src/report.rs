//! How well a vocabulary fits a text: bytes a token, for Chinese and for the rest, and by source;
//! which tokens are of no use there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Result, Tokenizer};

/// Bytes, characters and tokens of one kind of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Size of the text in bytes of UTF-8.
    pub bytes: u64,
    /// Size of the text in characters.
    pub characters: u64,
    /// Size of the text in tokens.
    pub tokens: u64,
    /// `bytes / tokens`; 0 when there is no text.
    pub bytes_per_token: f64,
    /// `characters / tokens`; 0 when there is no text.
    pub characters_per_token: f64,
}

impl Share {
    fn add(&mut self, text: &str, tokens: usize) {
        self.bytes += text.len() as u64;
        self.characters += text.chars().count() as u64;
        self.tokens += tokens as u64;
        self.bytes_per_token = self.bytes as f64 / self.tokens.max(1) as f64;
        self.characters_per_token = self.characters as f64 / self.tokens.max(1) as f64;
    }
}

/// How well a vocabulary fits a text; made by [`Tokenizer::report`] or a [`Reporter`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenizerReport {
    /// Number of ids.
    pub vocab_size: usize,
    /// [`Tokenizer::hash`].
    pub hash: String,
    /// Number of different ids that occurred.
    pub tokens_used: usize,
    /// The first tokens, in the order of ids, that did not occur; control tokens and single bytes,
    /// which are there for any text, are left out. At most [`UNUSED_SHOWN`].
    pub unused: Vec<String>,
    /// All text.
    pub total: Share,
    /// Lines whose letters are mostly Chinese characters.
    pub han: Share,
    /// All other lines.
    pub latin: Share,
    /// The text of each source, where sources were named.
    pub sources: BTreeMap<String, Share>,
}

/// Tokens that did not occur and are named in a report.
pub const UNUSED_SHOWN: usize = 20;

/// Makes a report of texts that are given one after the other.
pub struct Reporter<'a> {
    tokenizer: &'a Tokenizer,
    used: Vec<bool>,
    report: TokenizerReport,
}

impl<'a> Reporter<'a> {
    /// A report of no text.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        let report = TokenizerReport {
            vocab_size: tokenizer.vocab_size(),
            hash: tokenizer.hash().to_owned(),
            tokens_used: 0,
            unused: Vec::new(),
            total: Share::default(),
            han: Share::default(),
            latin: Share::default(),
            sources: BTreeMap::new(),
        };
        Self { tokenizer, used: vec![false; tokenizer.vocab_size()], report }
    }

    /// Another text, and where it is from.
    ///
    /// # Errors
    /// [`crate::Error::Encode`] when the tokenizer's own rules fail on the text.
    pub fn add(&mut self, source: Option<&str>, text: &str) -> Result<()> {
        let Self { tokenizer, used, report } = self;
        for line in text.split_inclusive('\n') {
            let ids = tokenizer.encode(line)?;
            for &id in &ids {
                used[id as usize] = true;
            }
            let share = if mostly_han(line) { &mut report.han } else { &mut report.latin };
            share.add(line, ids.len());
            report.total.add(line, ids.len());
            if let Some(source) = source {
                if !report.sources.contains_key(source) {
                    report.sources.insert(source.to_owned(), Share::default());
                }
                if let Some(share) = report.sources.get_mut(source) {
                    share.add(line, ids.len());
                }
            }
        }
        Ok(())
    }

    /// The report of all texts.
    pub fn finish(self) -> TokenizerReport {
        let Self { tokenizer, used, mut report } = self;
        report.tokens_used = used.iter().filter(|&&used| used).count();
        let unused = used.iter().zip(0_u32..).filter(|(used, _)| !**used).map(|(_, id)| id);
        let learned = |id: u32| tokenizer.token_bytes(id).filter(|bytes| bytes.len() > 1);
        report.unused = unused
            .filter(|&id| !tokenizer.is_special(id))
            .filter_map(learned)
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .take(UNUSED_SHOWN)
            .collect();
        report
    }
}

/// True for a Chinese character (CJK ideographs with extensions, and the zero `〇`).
pub fn is_han(character: char) -> bool {
    matches!(u32::from(character),
        0x3007 | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

fn mostly_han(line: &str) -> bool {
    let letters = line.chars().filter(|c| c.is_alphabetic()).count();
    let han = line.chars().filter(|&c| is_han(c)).count();
    han > 0 && 2 * han >= letters
}
