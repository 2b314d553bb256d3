//! What a SentencePiece `.model` file says, as far as text and ids depend on it.
//!
//! Source: `sentencepiece_model.proto`; field numbers and defaults are its.

use super::protobuf::{Content, Fields};
use crate::{Error, Result};

/// How text is covered by pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The most probable cover.
    Unigram,
    /// Neighbours merge, best score first.
    Bpe,
}

/// What a piece is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Byte,
    Unused,
}

impl Purpose {
    /// The purpose numbered as in the format, and in GGUF's `tokenizer.ggml.token_type`.
    pub(crate) fn numbered(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// Its number there.
    pub(crate) fn number(self) -> i32 {
        (1..=6).find(|&number| Self::numbered(number as u64) == Some(self)).unwrap_or(1)
    }
}

/// A piece; its id is its place in the list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    /// A logarithm of a probability, or minus the rank of a merge.
    pub(crate) score: f32,
    pub(crate) purpose: Purpose,
}

/// A model.
#[derive(Debug, PartialEq)]
pub(crate) struct Model {
    pub(crate) kind: Kind,
    pub(crate) pieces: Vec<Piece>,
    pub(crate) byte_fallback: bool,
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) padding: Option<u32>,
    pub(crate) rules: Rules,
}

/// What happens to text before pieces are looked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Rules {
    /// A precompiled character map; may be empty.
    pub(crate) charsmap: Vec<u8>,
    pub(crate) add_dummy_prefix: bool,
    pub(crate) remove_extra_whitespaces: bool,
    pub(crate) escape_whitespaces: bool,
    pub(crate) whitespace_as_suffix: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
            whitespace_as_suffix: false,
        }
    }
}

type Parsed<T> = std::result::Result<T, String>;

impl Model {
    /// Parses the bytes of a `.model` file.
    ///
    /// # Errors
    /// [`Error::NotATokenizer`] with what is wrong; never a panic, and never more memory than a
    /// small multiple of the bytes.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let failed =
            |found: String| Error::NotATokenizer(format!("the SentencePiece model {found}"));
        parse(bytes).map_err(failed)
    }
}

fn parse(bytes: &[u8]) -> Parsed<Model> {
    let mut model = Model {
        kind: Kind::Unigram,
        pieces: Vec::new(),
        byte_fallback: false,
        bos: Some(1),
        eos: Some(2),
        padding: None,
        rules: Rules::default(),
    };
    let mut fields = Fields::new(bytes);
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Bytes(piece)) => model.pieces.push(parse_piece(piece)?),
            (2, Content::Bytes(trainer)) => parse_trainer(trainer, &mut model)?,
            (3, Content::Bytes(rules)) => parse_rules(rules, &mut model.rules)?,
            _ => {}
        }
    }
    if model.pieces.is_empty() {
        return Err("has no pieces".to_owned());
    }
    let known = |id: &u32| (*id as usize) < model.pieces.len();
    model.bos = model.bos.filter(known);
    model.eos = model.eos.filter(known);
    model.padding = model.padding.filter(known);
    Ok(model)
}

fn parse_piece(message: &[u8]) -> Parsed<Piece> {
    let mut piece = Piece { text: String::new(), score: 0.0, purpose: Purpose::Normal };
    let mut fields = Fields::new(message);
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (1, Content::Bytes(text)) => {
                let text = std::str::from_utf8(text);
                text.map_err(|_| "has a piece that is not UTF-8")?.clone_into(&mut piece.text);
            }
            (2, Content::Fixed32(score)) => piece.score = f32::from_le_bytes(score),
            (3, Content::Number(purpose)) => {
                piece.purpose = Purpose::numbered(purpose)
                    .ok_or_else(|| format!("has a piece of the unknown type {purpose}"))?;
            }
            _ => {}
        }
    }
    match piece {
        Piece { ref text, .. } if text.is_empty() => Err("has an empty piece".to_owned()),
        Piece { score, .. } if !score.is_finite() => Err(format!("has the score {score}")),
        piece => Ok(piece),
    }
}

fn parse_trainer(message: &[u8], model: &mut Model) -> Parsed<()> {
    let mut fields = Fields::new(message);
    while let Some((number, content)) = fields.next()? {
        let Content::Number(value) = content else { continue };
        // Negative ids, which mean none, are numbers of 64 bits.
        let id = u32::try_from(value).ok();
        match number {
            3 => {
                model.kind = match value {
                    1 => Kind::Unigram,
                    2 => Kind::Bpe,
                    3 => return Err("is of words, which is not supported".to_owned()),
                    4 => return Err("is of characters, which is not supported".to_owned()),
                    kind => return Err(format!("is of the unknown kind {kind}")),
                }
            }
            24 => model.rules.whitespace_as_suffix = value != 0,
            35 => model.byte_fallback = value != 0,
            41 => model.bos = id,
            42 => model.eos = id,
            43 => model.padding = id,
            _ => {}
        }
    }
    Ok(())
}

fn parse_rules(message: &[u8], rules: &mut Rules) -> Parsed<()> {
    let mut fields = Fields::new(message);
    while let Some((number, content)) = fields.next()? {
        match (number, content) {
            (2, Content::Bytes(map)) => rules.charsmap = map.to_vec(),
            (3, Content::Number(value)) => rules.add_dummy_prefix = value != 0,
            (4, Content::Number(value)) => rules.remove_extra_whitespaces = value != 0,
            (5, Content::Number(value)) => rules.escape_whitespaces = value != 0,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: &[u8] =
        include_bytes!("../../../../../golden/tokenizer/sentencepiece/bpe-user.model");

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50_000))]

        #[test]
        fn a_mutated_model_is_an_error_or_no_larger_than_its_bytes(
            changes in prop::collection::vec((0..FILE.len(), any::<u8>()), 0..8),
            start in 0..FILE.len(),
            length in 0..2_000_usize,
        ) {
            let mut bytes = FILE.to_vec();
            for (place, byte) in changes {
                bytes[place] = byte;
            }
            // Often the whole file, often a part of it.
            let start = if start % 2 == 0 { 0 } else { start };
            let end = if length % 2 == 0 { bytes.len() } else { bytes.len().min(start + length) };
            if let Ok(model) = Model::parse(&bytes[start..end]) {
                let texts: usize = model.pieces.iter().map(|piece| piece.text.len()).sum();
                let parts = model.rules.charsmap.len() + model.pieces.len();
                prop_assert!(texts + parts <= end - start);
                prop_assert!(model.pieces.iter().all(|piece| piece.score.is_finite()));
            }
        }
    }

    #[test]
    fn what_a_model_says_is_read() {
        let model = Model::parse(FILE).unwrap();
        assert_eq!((model.kind, model.byte_fallback), (Kind::Bpe, true));
        assert_eq!((model.bos, model.eos, model.padding), (Some(1), Some(2), None));
        assert!(!model.rules.add_dummy_prefix && !model.rules.remove_extra_whitespaces);
        let purposes: Vec<Purpose> = model.pieces.iter().take(6).map(|p| p.purpose).collect();
        use Purpose::{Byte, Control, Unknown, UserDefined};
        assert_eq!(purposes, [Unknown, Control, Control, UserDefined, UserDefined, Byte]);
    }
}
