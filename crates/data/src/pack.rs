//! Documents and dialogues to token shards.

use danlu_tokenizer::{ChatTemplate, Tokenizer, encode_chat};

use crate::document::{Dialogue, Document};
use crate::shard::{ShardBuilder, TokenShard};
use crate::{Error, Result};

/// Documents encoded at a time: enough to keep all threads busy, few enough for little memory.
const DOCUMENTS_AT_A_TIME: usize = 256;

/// Packs documents, each between two of the tokenizer's end-of-text tokens: after the first, the
/// model learns how documents begin; the second is how it learns to end. Every id but the first
/// of a document is to be predicted.
///
/// # Errors
/// When the tokenizer has no end-of-text token, fails on a text, or there is no document.
pub fn pack_pretrain(tokenizer: &Tokenizer, documents: &[Document]) -> Result<TokenShard> {
    let end = tokenizer.eos().ok_or_else(|| {
        let found = "it has no <|endoftext|>, which ends each document".to_owned();
        danlu_tokenizer::Error::NotATokenizer(found)
    })?;
    let mut builder = ShardBuilder::new(tokenizer.hash(), tokenizer.vocab_size());
    for group in documents.chunks(DOCUMENTS_AT_A_TIME) {
        let texts: Vec<&str> = group.iter().map(|document| document.text.as_str()).collect();
        for (document, text) in group.iter().zip(tokenizer.encode_batch(&texts)?) {
            let ids = [&[end][..], &text, &[end]].concat();
            builder.push(&document.id, &ids, None)?;
        }
    }
    builder.finish()
}

/// Packs dialogues rendered by `template`; only what the assistant says, its turn's end included,
/// is to be predicted.
///
/// # Errors
/// When the template or the tokenizer fails on a dialogue (the message names it), when the template
/// marks nothing as the assistant's, or there is no dialogue.
pub fn pack_sft(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    dialogues: &[Dialogue],
) -> Result<TokenShard> {
    let mut builder = ShardBuilder::new(tokenizer.hash(), tokenizer.vocab_size());
    for dialogue in dialogues {
        let chat = encode_chat(tokenizer, template, &dialogue.messages, false)
            .map_err(|source| Error::Dialogue { id: dialogue.id.clone(), source })?;
        if !chat.generated.contains(&true) {
            return Err(Error::NothingLeft {
                after: "to learn from a dialogue",
                hint: format!(
                    "the template marks nothing of {} as the assistant's; it must put the \
                     assistant's words between {{% generation %}} and {{% endgeneration %}}",
                    dialogue.id
                ),
            });
        }
        builder.push(&dialogue.id, &chat.ids, Some(&chat.generated))?;
    }
    builder.finish()
}
