//! WordPiece vocabularies: BERT's `vocab.txt`, a token a line, whose number is the id.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;

use super::{control, frame};
use crate::pipeline::Parts;
use crate::{Error, Result, Tokenizer};

/// The control tokens of BERT's vocabularies.
const SPECIALS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Longer words are the unknown token. Source: BERT's `tokenization.py`.
const MAX_WORD_CHARACTERS: usize = 100;

/// Parses a `vocab.txt`. Text becomes lower case where the vocabulary has no capitals, as BERT's
/// `uncased` models want it.
pub(super) fn from_vocab_txt(text: &str) -> Result<Tokenizer> {
    let tokens: Vec<&str> = text.lines().map(str::trim_end).collect();
    let cased =
        tokens.iter().any(|token| !token.starts_with('[') && token.chars().any(char::is_uppercase));
    from_tokens(tokens.into_iter().map(str::to_owned), !cased)
}

/// Builds the pipeline of tokens in the order of their ids, continuations written `##`.
pub(super) fn from_tokens(
    tokens: impl IntoIterator<Item = String>,
    lowercase: bool,
) -> Result<Tokenizer> {
    let vocabulary: HashMap<String, u32> = tokens.into_iter().zip(0..).collect();
    let id = |token: &'static str| vocabulary.get(token).map(|&id| (token, id));
    let known: Vec<(&str, u32)> = SPECIALS.iter().filter_map(|token| id(token)).collect();
    let (start, end): (Vec<_>, Vec<_>) =
        (id("[CLS]").into_iter().collect(), id("[SEP]").into_iter().collect());
    let Some((unknown, unknown_id)) = id("[UNK]") else {
        return super::broken("a WordPiece vocabulary needs the token [UNK]");
    };
    let model = WordPiece::builder()
        .vocab(vocabulary.clone().into_iter().collect::<Vocab>())
        .unk_token(unknown.to_owned())
        .continuing_subword_prefix("##".to_owned())
        .max_input_chars_per_word(MAX_WORD_CHARACTERS)
        .build()
        .map_err(|error| Error::NotATokenizer(error.to_string()))?;
    let parts = Parts {
        model: model.into(),
        normalizer: json!({
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": true,
            "strip_accents": Value::Null,
            "lowercase": lowercase,
        }),
        pre_tokenizer: json!({ "type": "BertPreTokenizer" }),
        decoder: json!({ "type": "WordPiece", "prefix": "##", "cleanup": true }),
        post_processor: frame(&start, &end),
        added: known.into_iter().map(|(token, id)| (control(token), id)).collect(),
    };
    Tokenizer::from_pipeline(parts.assemble()?, Some(unknown_id))
}
