//! Documents and dialogues to token shards.

use std::path::Path;

use danlu_tokenizer::{ChatTemplate, Tokenizer, encode_chat};

use crate::document::{Dialogue, Document, DocumentFile};
use crate::shard::ShardBuilder;
use crate::{Error, MixWeight, Result};

/// Documents and bytes encoded at a time: enough to keep all threads busy, few enough for little
/// memory.
const GROUP_DOCUMENTS: usize = 1024;
const GROUP_BYTES: usize = 4 << 20;

/// Packs documents, each between two of the tokenizer's end-of-text tokens: after the first, the
/// model learns how documents begin; the second is how it learns to end. Every id but the first
/// of a document is to be predicted.
///
/// # Errors
/// When the tokenizer has no end-of-text token or fails on a text, a document cannot be read or
/// states an impossible weight, or the disk is full.
pub fn pack_pretrain(
    tokenizer: &Tokenizer,
    documents: impl IntoIterator<Item = Result<Document>>,
    builder: &mut ShardBuilder,
) -> Result<()> {
    let end = end_of_text(tokenizer)?;
    let mut documents = documents.into_iter();
    loop {
        let group = next_group(&mut documents)?;
        if group.is_empty() {
            return Ok(());
        }
        let texts: Vec<&str> = group.iter().map(|document| document.text.as_str()).collect();
        for (document, text) in group.iter().zip(tokenizer.encode_batch(&texts)?) {
            let ids = [&[end][..], &text, &[end]].concat();
            let weight = MixWeight::of(&document.id, &document.meta)?;
            builder.push_weighted(&document.id, &ids, None, &weight)?;
        }
    }
}

/// Documents to be encoded at once; none at the end.
fn next_group(documents: &mut impl Iterator<Item = Result<Document>>) -> Result<Vec<Document>> {
    let (mut group, mut bytes) = (Vec::new(), 0);
    while group.len() < GROUP_DOCUMENTS && bytes < GROUP_BYTES {
        let Some(document) = documents.next() else { break };
        let document = document?;
        bytes += document.text.len();
        group.push(document);
    }
    Ok(group)
}

fn end_of_text(tokenizer: &Tokenizer) -> Result<u32> {
    let found = "it has no <|endoftext|>, which ends each document";
    Ok(tokenizer.eos().ok_or_else(|| danlu_tokenizer::Error::NotATokenizer(found.to_owned()))?)
}

/// Running text among dialogues, so that a model that learns to answer does not forget how texts
/// go on ("rehearsal": Robins 1995; mixed into instruction tuning by Ouyang et al. 2022,
/// arXiv:2203.02155, section 3.5).
#[derive(Clone, Copy, Debug)]
pub struct Rehearsal<'a> {
    /// The file that is chosen from: in the order of a hash of the documents' ids.
    pub documents: &'a Path,
    /// Share of the shard's tokens, from 0 to below 1.
    pub share: f64,
    /// Tokens a piece has at most; documents are cut to them.
    pub piece_len: usize,
}

/// Packs dialogues rendered by `template`; only what the assistant says, its turn's end included,
/// is to be predicted. Of the texts between them everything is.
///
/// # Errors
/// When the template or the tokenizer fails on a dialogue (the message names it), when the template
/// marks nothing as the assistant's, a dialogue states an impossible weight, the texts cannot be
/// read, or the disk is full.
pub fn pack_sft(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    dialogues: &[Dialogue],
    rehearsal: &Rehearsal<'_>,
    builder: &mut ShardBuilder,
) -> Result<()> {
    let mut tokens = 0;
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
        let weight = MixWeight::of(&dialogue.id, &dialogue.meta)?;
        builder.push_weighted(&dialogue.id, &chat.ids, Some(&chat.generated), &weight)?;
        tokens += chat.ids.len();
    }
    let wanted = tokens as f64 * rehearsal.share / (1.0 - rehearsal.share);
    rehearse(tokenizer, rehearsal, wanted as usize, builder)
}

/// Adds pieces of at least `wanted` tokens, or all there are.
fn rehearse(
    tokenizer: &Tokenizer,
    rehearsal: &Rehearsal<'_>,
    wanted: usize,
    builder: &mut ShardBuilder,
) -> Result<()> {
    if wanted == 0 {
        return Ok(());
    }
    let end = end_of_text(tokenizer)?;
    let mut tokens = 0;
    for document in DocumentFile::open(rehearsal.documents)?.shuffled()? {
        if tokens >= wanted {
            break;
        }
        let document = document?;
        let ids = [&[end][..], &tokenizer.encode(&document.text)?, &[end]].concat();
        for (piece, ids) in ids.chunks(rehearsal.piece_len).enumerate() {
            let name = format!("{} (text, piece {})", document.id, piece + 1);
            builder.push(&name, ids, Some(&vec![true; ids.len()]))?;
        }
        tokens += ids.len();
    }
    Ok(())
}
