//! The `decoder` of a `tokenizer.json` as a table: the bytes of each token, and what to drop where
//! a text begins. So ids become text one by one, and a stream equals the whole.

use serde_json::Value;

use crate::byte_alphabet::unspell;
use crate::{Error, Result};

/// How tokens become bytes.
#[derive(Debug, Default)]
pub(crate) struct Decoding {
    byte_level: bool,
    byte_fallback: bool,
    /// Each replaced by the other in every token.
    replacements: Vec<(String, String)>,
    words: Option<Words>,
    /// Spaces to drop at the beginning of a text, where there are any.
    pub(crate) drop_spaces: usize,
}

/// Tokens are words with a space before them, but for those that begin with `continuing`.
#[derive(Debug)]
struct Words {
    continuing: Option<String>,
    cleanup: bool,
}

/// A longer replacement in a token is refused; the ones in use are a space.
const MAX_REPLACEMENT_BYTES: usize = 8;

/// The library's table for `cleanup`: spaces that English has not. Source: `tokenizers`,
/// `decoders/wordpiece.rs`.
const CLEANUP: [(&str, &str); 11] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

impl Decoding {
    /// Reads a `decoder`; `Null` is the library's default, words with spaces between.
    ///
    /// # Errors
    /// [`Error::NotATokenizer`] for a decoder that no table can express.
    pub(crate) fn read(decoder: &Value) -> Result<Self> {
        let mut decoding = Self::default();
        if decoder.is_null() {
            decoding.words = Some(Words { continuing: None, cleanup: false });
            decoding.drop_spaces = 1;
        } else {
            decoding.add(decoder)?;
        }
        Ok(decoding)
    }

    fn add(&mut self, decoder: &Value) -> Result<()> {
        let unsupported = || {
            let found = format!("decoder {decoder} is not supported");
            Err(Error::NotATokenizer(found))
        };
        let text = |key: &str| decoder[key].as_str().map(str::to_owned);
        match decoder["type"].as_str().unwrap_or_default() {
            "Sequence" => {
                let Some(steps) = decoder["decoders"].as_array() else { return unsupported() };
                return steps.iter().try_for_each(|step| self.add(step));
            }
            "ByteLevel" => self.byte_level = true,
            "ByteFallback" => self.byte_fallback = true,
            "Fuse" => {}
            "Replace" => {
                let pattern = decoder["pattern"]["String"].as_str().map(str::to_owned);
                match (pattern, text("content")) {
                    (Some(pattern), Some(content))
                        if !pattern.is_empty() && content.len() <= MAX_REPLACEMENT_BYTES =>
                    {
                        self.replacements.push((pattern, content));
                    }
                    _ => return unsupported(),
                }
            }
            "Strip" => match (decoder["start"].as_u64(), decoder["stop"].as_u64()) {
                (Some(start @ 0..=8), Some(0)) if decoder["content"] == " " => {
                    self.drop_spaces += start as usize;
                }
                _ => return unsupported(),
            },
            "Metaspace" => {
                let Some(replacement) = text("replacement") else { return unsupported() };
                self.replacements.push((replacement, " ".to_owned()));
                self.drop_spaces += usize::from(decoder["prepend_scheme"] != "never");
            }
            "WordPiece" => {
                let Some(prefix) = text("prefix") else { return unsupported() };
                let cleanup = decoder["cleanup"].as_bool().unwrap_or(true);
                self.words = Some(Words { continuing: Some(prefix), cleanup });
                self.drop_spaces += 1;
            }
            _ => return unsupported(),
        }
        Ok(())
    }

    /// The bytes of `token`; of an added token, which the byte alphabet does not spell, if `added`.
    pub(crate) fn bytes(&self, token: &str, added: bool) -> Vec<u8> {
        if self.byte_level {
            let spelled = if added { None } else { unspell(token) };
            return spelled.unwrap_or_else(|| token.as_bytes().to_vec());
        }
        if self.byte_fallback
            && let Some(byte) = fallback_byte(token)
        {
            return vec![byte];
        }
        let mut text = token.to_owned();
        for (pattern, content) in &self.replacements {
            text = text.replace(pattern, content);
        }
        if let Some(words) = &self.words {
            let continued =
                words.continuing.as_deref().and_then(|prefix| text.strip_prefix(prefix));
            text = continued.map_or_else(|| format!(" {text}"), str::to_owned);
            if words.cleanup {
                text = CLEANUP.iter().fold(text, |text, (from, to)| text.replace(from, to));
            }
        }
        text.into_bytes()
    }
}

/// The byte of a token such as `<0x0A>`.
pub(crate) fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if hexadecimal { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn decoders_that_no_table_can_express_are_refused_by_name() {
        for decoder in [
            json!({ "type": "CTC" }),
            json!({ "type": "BPEDecoder", "suffix": "</w>" }),
            json!({ "type": "Strip", "content": " ", "start": 0, "stop": 1 }),
            json!({ "type": "Replace", "pattern": { "Regex": "a" }, "content": "" }),
            json!({ "type": "Sequence" }),
            json!({}),
        ] {
            let error = Decoding::read(&decoder).unwrap_err().to_string();
            assert!(error.contains(&decoder.to_string()), "{error}");
        }
    }

    #[test]
    fn words_get_their_spaces_and_continuations_do_not() {
        let decoder = json!({ "type": "WordPiece", "prefix": "##", "cleanup": true });
        let decoding = Decoding::read(&decoder).unwrap();
        assert_eq!(decoding.bytes("word", false), b" word");
        assert_eq!(decoding.bytes("##ing", false), b"ing");
        assert_eq!(decoding.bytes("?", false), b"?");
        assert_eq!(decoding.drop_spaces, 1);
    }

    #[test]
    fn only_whole_bytes_fall_back() {
        assert_eq!(fallback_byte("<0x0A>"), Some(10));
        for token in ["<0x0>", "<0x+1>", "<0x0A", "0x0A", "<0xGG>", "<0x00A>"] {
            assert_eq!(fallback_byte(token), None, "{token}");
        }
    }
}
