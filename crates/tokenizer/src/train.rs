//! Learning a vocabulary: the `[tokenizer]` section, and the way from texts to a tokenizer.
//!
//! The text is cut into pieces by a pattern ([`SplitName`]); tokens never cross a piece. Pieces are
//! counted, and the vocabulary is learned from the counts, so that memory grows with the different
//! pieces and not with the text.
//!
//! Our own pattern, [`PRE_SPLIT`], has no look-around, so that any program cuts any text in linear
//! time, and every character lies in some piece:
//! - an English contraction, in any of the two apostrophes' ASCII form (`'s`, `'ll`);
//! - a run of Chinese characters: words are learned inside it, never across punctuation;
//! - a word of any other script with the space before it;
//! - one digit: numbers are spelled, so equal digits always look equal;
//! - a run of signs with the space before and the line ends after it (`，\n`);
//! - blank lines, then other white space.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, PreTokenizerWrapper, SplitDelimiterBehavior};

use crate::byte_alphabet::spell;
use crate::byte_level::split::Splitter;
use crate::counting::{Counter, Pieces};
use crate::merges::{FIRST_BYTE_ID, Merges, Words, learn};
use crate::pipeline::{Pipeline, SharedModel};
use crate::sources::tiktoken::{CL100K, GPT2, O200K};
use crate::{Error, Result, SPECIAL_TOKENS, Tokenizer, unigram};

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

/// How text is cut into pieces: our own way, or that of a published vocabulary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitName {
    /// [`PRE_SPLIT`]: Chinese apart from other scripts, digits one by one.
    #[default]
    Danlu,
    /// That of GPT-2.
    Gpt2,
    /// That of GPT-4: words take any sign before them, three digits a piece.
    Cl100k,
    /// That of GPT-4o: as before, and capitals begin a word.
    O200k,
}

impl SplitName {
    /// All of them, by the names that settings have.
    pub const ALL: &[(&str, Self)] = &[
        ("danlu", Self::Danlu),
        ("gpt2", Self::Gpt2),
        ("cl100k", Self::Cl100k),
        ("o200k", Self::O200k),
    ];

    /// The regular expression.
    pub fn pattern(self) -> &'static str {
        match self {
            Self::Danlu => PRE_SPLIT,
            Self::Gpt2 => GPT2,
            Self::Cl100k => CL100K,
            Self::O200k => O200K,
        }
    }

    fn splitter(self) -> Splitter {
        let Some(splitter) = Splitter::of_pattern(self.pattern()) else {
            unreachable!("the rules of {self:?} are known");
        };
        splitter
    }
}

/// How tokens are learned and text is cut into them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VocabularyKind {
    /// Byte-pair encoding: frequent neighbours are merged.
    #[default]
    Bpe,
    /// Unigram: the likeliest way to cut a text, by the probabilities of tokens.
    Unigram,
}

impl VocabularyKind {
    /// All of them, by the names that settings have.
    pub const ALL: &[(&str, Self)] = &[("bpe", Self::Bpe), ("unigram", Self::Unigram)];
}

/// The `[tokenizer]` section of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// How tokens are learned.
    #[serde(default)]
    pub kind: VocabularyKind,
    /// Number of ids, control tokens and single bytes included.
    pub vocab_size: usize,
    /// A pair of tokens must occur this often to become a token; for byte-pair encoding.
    #[serde(default = "two")]
    pub min_frequency: u64,
    /// How text is cut into pieces.
    #[serde(default)]
    pub split: SplitName,
}

fn two() -> u64 {
    2
}

/// What training may take, which changes nothing about its result.
#[derive(Clone, Debug)]
pub struct TrainingLimits {
    /// Bytes of memory, all in all; `None` for as many as it takes.
    pub memory: Option<u64>,
    /// Where files lie while counts do not fit in memory.
    pub scratch: PathBuf,
}

impl Default for TrainingLimits {
    fn default() -> Self {
        Self { memory: None, scratch: std::env::temp_dir() }
    }
}

impl TokenizerConfig {
    /// A vocabulary of so many ids, with all else as it is where a recipe says nothing.
    pub fn of_size(vocab_size: usize) -> Self {
        let (kind, split) = (VocabularyKind::default(), SplitName::default());
        Self { kind, vocab_size, min_frequency: two(), split }
    }

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
/// As [`Trainer::finish`].
pub fn train<'a>(
    config: &TokenizerConfig,
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Tokenizer> {
    let mut trainer = Trainer::new(config, &TrainingLimits::default())?;
    texts.into_iter().for_each(|text| trainer.feed(text));
    trainer.finish()
}

/// Memory beside the tables: the program, texts on their way to the counting threads, and the
/// finished vocabulary.
const BASE_BYTES: u64 = 64 << 20;

/// Learns a vocabulary of texts that are given one after the other and not kept.
pub struct Trainer {
    config: TokenizerConfig,
    memory: usize,
    counter: Counter,
}

impl Trainer {
    /// A trainer that has seen no text.
    ///
    /// # Errors
    /// [`Error::Config`] for impossible values, [`Error::Memory`] when there is less than any
    /// training takes.
    pub fn new(config: &TokenizerConfig, limits: &TrainingLimits) -> Result<Self> {
        config.validate()?;
        let memory = match limits.memory {
            None => usize::MAX,
            Some(memory) if memory >= 2 * BASE_BYTES => (memory - BASE_BYTES) as usize,
            Some(memory) => {
                return Err(Error::Memory { needed: 2 * BASE_BYTES, memory, pieces: 0 });
            }
        };
        let counter = Counter::new(config.split.splitter(), memory, &limits.scratch);
        Ok(Self { config: config.clone(), memory, counter })
    }

    /// Another text.
    pub fn feed(&mut self, text: &str) {
        self.counter.feed(text);
    }

    /// The vocabulary of what was fed.
    ///
    /// # Errors
    /// [`Error::TooLittleText`] when the text does not support a vocabulary of that size,
    /// [`Error::Memory`] when its different pieces do not fit in the memory that was given,
    /// [`Error::File`] when counts could not be written or read.
    pub fn finish(self) -> Result<Tokenizer> {
        let Self { config, memory, counter } = self;
        let pieces = counter.finish()?;
        let size = config.vocab_size - SPECIAL_TOKENS.len();
        let (model, reached) = match config.kind {
            VocabularyKind::Bpe => {
                let mut words = Words::new();
                let pieces = fit(pieces, memory, Words::learning_bytes)?;
                let (count, bytes) = pieces.size()?;
                words.reserve(count, bytes);
                pieces.each(|piece, count| words.push(piece, count))?;
                drop(pieces);
                let merges = learn(words, config.vocab_size, config.min_frequency);
                (merged(&merges)?, merges.tokens.len())
            }
            VocabularyKind::Unigram => {
                let mut words = unigram::Words::default();
                let needed = |count, bytes| unigram::Words::learning_bytes(count, bytes, size);
                let pieces = fit(pieces, memory, needed)?;
                pieces.each_in_order(|piece, count| words.push(piece, count))?;
                drop(pieces);
                let tokens = unigram::learn(&words, size);
                (weighed(&tokens)?, tokens.len())
            }
        };
        if reached < size {
            return Err(Error::TooLittleText {
                wanted: config.vocab_size,
                reached: reached + SPECIAL_TOKENS.len(),
                min_frequency: config.min_frequency,
            });
        }
        assemble(model, config.split)
    }
}

/// The pieces, in memory only where there is enough to learn from them beside.
fn fit(pieces: Pieces, memory: usize, needed: impl Fn(usize, usize) -> usize) -> Result<Pieces> {
    let (count, bytes) = pieces.size()?;
    let needed = needed(count, bytes);
    if needed > memory {
        let given = |bytes: usize| (bytes as u64).saturating_add(BASE_BYTES);
        let (needed, memory) = (given(needed), given(memory));
        return Err(Error::Memory { needed, memory, pieces: count });
    }
    if pieces.held_bytes() > memory - needed { pieces.write_out() } else { Ok(pieces) }
}

/// The model of learned merges.
fn merged(merges: &Merges) -> Result<ModelWrapper> {
    let spelled: Vec<String> = merges.tokens.iter().map(|token| spell(token)).collect();
    let specials = SPECIAL_TOKENS.iter().map(|&token| token.to_owned());
    let vocab: Vocab = specials.chain(spelled.iter().cloned()).zip(0_u32..).collect();
    let spelling = |id: u32| spelled[(id - FIRST_BYTE_ID) as usize].clone();
    let pairs = merges.pairs.iter().map(|&(left, right)| (spelling(left), spelling(right)));
    let model = BPE::builder().vocab_and_merges(vocab, pairs.collect()).build();
    Ok(model.map_err(failed)?.into())
}

/// The model of tokens with the logarithms of their probabilities.
fn weighed(tokens: &[(Vec<u8>, f64)]) -> Result<ModelWrapper> {
    let specials = SPECIAL_TOKENS.iter().map(|&token| (token.to_owned(), 0.0));
    let tokens = tokens.iter().map(|(token, logarithm)| (spell(token), *logarithm));
    let model = Unigram::from(specials.chain(tokens).collect(), None, false);
    Ok(model.map_err(failed)?.into())
}

#[expect(clippy::needless_pass_by_value, reason = "what errors are mapped by")]
fn failed(error: tokenizers::Error) -> Error {
    Error::NotATokenizer(error.to_string())
}

/// A learned model as a tokenizer in the common layout.
fn assemble(model: ModelWrapper, split: SplitName) -> Result<Tokenizer> {
    let pattern = SplitPattern::Regex(split.pattern().to_owned());
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
