//! The vocabulary inside a GGUF file, taken out as the plain values that the tokenizer asks for.

use anyhow::Result;
use danlu_formats::Gguf;
use danlu_formats::gguf::Array;
use danlu_tokenizer::GgufVocabulary;

/// The vocabulary of a GGUF file.
///
/// # Errors
/// When a key that is there has another type than the format says, or tokens are missing.
pub(crate) fn read(gguf: &Gguf) -> Result<GgufVocabulary> {
    let keys = Keys { gguf };
    Ok(GgufVocabulary {
        model: gguf.text("tokenizer.ggml.model")?.to_owned(),
        pre: keys.text("pre")?,
        tokens: gguf.strings("tokenizer.ggml.tokens")?.map(str::to_owned).collect(),
        scores: keys.array("scores", Array::to_f32)?,
        token_types: keys.array("token_type", |array| {
            let types = array.to_i64()?;
            types.into_iter().map(|kind| i32::try_from(kind).ok()).collect()
        })?,
        merges: keys
            .array("merges", |array| Some(array.strings()?.map(str::to_owned).collect()))?,
        bos_token_id: keys.id("bos_token_id")?,
        eos_token_id: keys.id("eos_token_id")?,
        eot_token_id: keys.id("eot_token_id")?,
        unknown_token_id: keys.id("unknown_token_id")?,
        padding_token_id: keys.id("padding_token_id")?,
        add_bos_token: keys.boolean("add_bos_token")?,
        add_eos_token: keys.boolean("add_eos_token")?,
        add_space_prefix: keys.boolean("add_space_prefix")?,
        remove_extra_whitespaces: keys.boolean("remove_extra_whitespaces")?,
        precompiled_charsmap: keys.array("precompiled_charsmap", |array| {
            let bytes = array.to_i64()?;
            bytes.into_iter().map(|byte| u8::try_from(byte & 0xff).ok()).collect()
        })?,
        chat_template: match gguf.metadata().get(TEMPLATE) {
            Some(_) => Some(gguf.text(TEMPLATE)?.to_owned()),
            None => None,
        },
    })
}

const TEMPLATE: &str = "tokenizer.chat_template";

/// The keys below `tokenizer.ggml.`, each of which may be absent.
struct Keys<'a> {
    gguf: &'a Gguf,
}

impl Keys<'_> {
    /// The full key, if the file has it.
    fn present(&self, name: &str) -> Option<String> {
        let key = format!("tokenizer.ggml.{name}");
        self.gguf.metadata().get(&key).map(|_| key)
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(key) = self.present(name) else { return Ok(None) };
        Ok(Some(self.gguf.text(&key)?.to_owned()))
    }

    fn id(&self, name: &str) -> Result<Option<u32>> {
        let Some(key) = self.present(name) else { return Ok(None) };
        // What is no id of a vocabulary is written as the largest number by some.
        Ok(u32::try_from(self.gguf.integer(&key)?).ok())
    }

    fn boolean(&self, name: &str) -> Result<Option<bool>> {
        let Some(key) = self.present(name) else { return Ok(None) };
        Ok(Some(self.gguf.boolean(&key)?))
    }

    /// An array, empty if it is absent.
    fn array<T>(&self, name: &str, convert: impl Fn(&Array) -> Option<Vec<T>>) -> Result<Vec<T>> {
        let Some(key) = self.present(name) else { return Ok(Vec::new()) };
        convert(self.gguf.array(&key)?).ok_or_else(|| {
            anyhow::anyhow!(
                "{}: {key} has elements of another type than the format says; the file is damaged \
                 or made by a program that does not keep to it",
                self.gguf.file()
            )
        })
    }
}
