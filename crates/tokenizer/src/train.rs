//! Learning a vocabulary: the `[tokenizer]` section and byte-level byte-pair encoding.
//!
//! The text is cut into pieces by [`PRE_SPLIT`]; merges never cross a piece. The pattern has no
//! look-around, so cutting takes linear time on any text, and every character lies in some piece:
//! - an English contraction, in any of the two apostrophes' ASCII form (`'s`, `'ll`);
//! - a run of Chinese characters: words are learned inside it, never across punctuation;
//! - a word of any other script with the space before it;
//! - one digit: numbers are spelled, so equal digits always look equal;
//! - a run of signs with the space before and the line ends after it (`，\n`);
//! - blank lines, then other white space.

use serde::{Deserialize, Serialize};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::byte_alphabet::spell;
use crate::byte_level::split::Splitter;
use crate::counts::count;
use crate::merges::{FIRST_BYTE_ID, Merges, learn};
use crate::pipeline::{Pipeline, SharedModel};
use crate::{Error, Result, SPECIAL_TOKENS, Tokenizer};

/// How text is cut before merges are learned and applied; stored in `tokenizer.json`.
pub const PRE_SPLIT: &str = concat!(
    r"'(?:[sdmtSDMT]|ll|LL|ve|VE|re|RE)",
    r"|\p{Han}+",
    r"| ?[\p{L}\p{M}&&\P{Han}]+",
    r"|\p{N}",
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*",
    r"|\s*[\r\n]+",
    r"|\s+",
);

/// The smallest vocabulary: the control tokens and the 256 bytes.
const MIN_VOCAB_SIZE: usize = SPECIAL_TOKENS.len() + 256;
/// The largest vocabulary that may be trained: a million rows of an embedding.
const MAX_VOCAB_SIZE: usize = 1 << 20;

/// The `[tokenizer]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// Number of ids, control tokens and single bytes included.
    pub vocab_size: usize,
    /// A pair of tokens must occur this often to become a token.
    #[serde(default = "two")]
    pub min_frequency: u64,
}

fn two() -> u64 {
    2
}

impl TokenizerConfig {
    /// Refuses values that cannot be trained.
    ///
    /// # Errors
    /// [`Error::Config`] with the key, the value and what would be accepted.
    pub fn validate(&self) -> Result<()> {
        if !(MIN_VOCAB_SIZE..=MAX_VOCAB_SIZE).contains(&self.vocab_size) {
            return Err(Error::Config {
                key: "vocab_size",
                found: self.vocab_size.to_string(),
                expected: format!(
                    "expected {MIN_VOCAB_SIZE} (256 bytes, {} control tokens) to {MAX_VOCAB_SIZE}",
                    SPECIAL_TOKENS.len()
                ),
            });
        }
        if self.min_frequency == 0 {
            let expected = "expected at least 1".to_owned();
            return Err(Error::Config { key: "min_frequency", found: "0".to_owned(), expected });
        }
        Ok(())
    }
}

/// Learns a vocabulary of exactly `config.vocab_size` ids from `texts`. The same texts in the same
/// or another order give the same bytes.
///
/// # Errors
/// [`Error::Config`] for impossible values, [`Error::TooLittleText`] when the text does not support
/// a vocabulary of that size.
pub fn train<'a>(
    config: &TokenizerConfig,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Tokenizer> {
    config.validate()?;
    let Some(splitter) = Splitter::of_pattern(PRE_SPLIT) else {
        unreachable!("the rules of our own pattern are known");
    };
    let counts = count(splitter, texts);
    let words = counts.sorted();
    let merges = learn(&words, config.vocab_size, config.min_frequency);
    let reached = merges.tokens.len() + SPECIAL_TOKENS.len();
    if reached < config.vocab_size {
        let (wanted, min_frequency) = (config.vocab_size, config.min_frequency);
        return Err(Error::TooLittleText { wanted, reached, min_frequency });
    }
    assemble(&merges)
}

/// The learned tokens as a tokenizer in the common layout.
fn assemble(merges: &Merges) -> Result<Tokenizer> {
    let failed = |error: tokenizers::Error| Error::NotATokenizer(error.to_string());
    let spelled: Vec<String> = merges.tokens.iter().map(|token| spell(token)).collect();
    let specials = SPECIAL_TOKENS.iter().map(|&token| token.to_owned());
    let vocab: Vocab = specials.chain(spelled.iter().cloned()).zip(0_u32..).collect();
    let spelling = |id: u32| spelled[(id - FIRST_BYTE_ID) as usize].clone();
    let pairs = merges.pairs.iter().map(|&(left, right)| (spelling(left), spelling(right)));
    let model = BPE::builder().vocab_and_merges(vocab, pairs.collect()).build().map_err(failed)?;

    let pattern = SplitPattern::Regex(PRE_SPLIT.to_owned());
    let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
    let bytes = ByteLevel::new(false, false, false);
    let steps: Vec<PreTokenizerWrapper> = vec![split.into(), bytes.into()];
    let mut pipeline = Pipeline::new(SharedModel::new(model));
    pipeline.with_pre_tokenizer(Some(Sequence::new(steps)));
    pipeline.with_decoder(Some(bytes));
    let control = SPECIAL_TOKENS.iter().map(|&token| AddedToken::from(token, true));
    pipeline.add_special_tokens(control).map_err(failed)?;
    Tokenizer::from_pipeline(pipeline, None)
}
