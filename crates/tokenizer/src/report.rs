//! How well a vocabulary fits a text: bytes a token, for Chinese and for the rest.

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

/// How well a vocabulary fits a text; made by [`Tokenizer::report`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenizerReport {
    /// Number of ids.
    pub vocab_size: usize,
    /// [`Tokenizer::hash`].
    pub hash: String,
    /// Number of different ids that occurred.
    pub tokens_used: usize,
    /// All text.
    pub total: Share,
    /// Lines whose letters are mostly Chinese characters.
    pub han: Share,
    /// All other lines.
    pub latin: Share,
}

impl TokenizerReport {
    pub(crate) fn measure<'a>(
        tokenizer: &Tokenizer,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut used = vec![false; tokenizer.vocab_size()];
        let mut report = Self {
            vocab_size: tokenizer.vocab_size(),
            hash: tokenizer.hash().to_owned(),
            tokens_used: 0,
            total: Share::default(),
            han: Share::default(),
            latin: Share::default(),
        };
        for line in texts.into_iter().flat_map(|text| text.split_inclusive('\n')) {
            let ids = tokenizer.encode(line)?;
            for &id in &ids {
                used[id as usize] = true;
            }
            let share = if mostly_han(line) { &mut report.han } else { &mut report.latin };
            share.add(line, ids.len());
            report.total.add(line, ids.len());
        }
        report.tokens_used = used.into_iter().filter(|&used| used).count();
        Ok(report)
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
