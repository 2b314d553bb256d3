//! Dialogues and the running text rehearsed between them.
#![allow(clippy::unwrap_used)]

use danlu_data::{
    Dialogue, Document, Meta, Rehearsal, ShardBuilder, TokenShard, pack_pretrain, pack_sft,
};
use danlu_tokenizer::{ChatTemplate, Message, Role, Tokenizer, TokenizerConfig};

const PIECE_LEN: usize = 16;

fn documents() -> Vec<Document> {
    (0..40)
        .map(|i| Document {
            id: format!("text-{i}"),
            text: format!("verse {i}: {}", "the moon is high, 月明。".repeat(1 + i % 5)),
            meta: Meta::new(),
        })
        .collect()
}

fn dialogues() -> Vec<Dialogue> {
    let messages = || vec![Message::new(Role::User, "Hello"), Message::new(Role::Assistant, "月")];
    (0..10)
        .map(|i| Dialogue { id: format!("ask-{i}"), messages: messages(), meta: Meta::new() })
        .collect()
}

fn tokenizer() -> Tokenizer {
    let config = TokenizerConfig::of_size(280);
    let documents = documents();
    danlu_tokenizer::train(&config, documents.iter().map(|document| &*document.text)).unwrap()
}

fn packed(share: f64) -> TokenShard {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clean.jsonl");
    let lines = documents().into_iter().map(|text| serde_json::to_string(&text).unwrap() + "\n");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let rehearsal = Rehearsal { documents: &file, share, piece_len: PIECE_LEN };
    let tokenizer = tokenizer();
    let mut builder = ShardBuilder::new(tokenizer.hash(), tokenizer.vocab_size());
    let template = ChatTemplate::chatml();
    pack_sft(&tokenizer, &template, &dialogues(), &rehearsal, &mut builder).unwrap();
    builder.finish().unwrap()
}

fn texts() -> TokenShard {
    let tokenizer = tokenizer();
    let folder = tempfile::tempdir().unwrap();
    let mut builder =
        ShardBuilder::spooling(tokenizer.hash(), tokenizer.vocab_size(), folder.path());
    pack_pretrain(&tokenizer, documents().into_iter().map(Ok), &mut builder).unwrap();
    builder.finish().unwrap()
}

#[test]
fn without_rehearsal_there_are_only_dialogues() {
    let shard = packed(0.0);
    let names: Vec<_> =
        (0..shard.document_count()).filter_map(|i| shard.document_name(i)).collect();
    assert_eq!(names, dialogues().iter().map(|dialogue| &*dialogue.id).collect::<Vec<_>>());
}

#[test]
fn rehearsed_text_has_its_share_in_short_pieces_and_all_of_it_is_learned() {
    let dialogue_tokens = packed(0.0).len();
    let longest = (0..40).map(|i| texts().document(i).len()).max().unwrap();
    for share in [0.25, 0.5] {
        let shard = packed(share);
        let wanted = (dialogue_tokens as f64 * share / (1.0 - share)) as usize;
        let text = shard.len() - dialogue_tokens;
        assert!((wanted..wanted + longest).contains(&text), "{text} tokens, wanted {wanted}");
        for piece in dialogues().len()..shard.document_count() {
            let range = shard.document(piece);
            assert!(range.len() <= PIECE_LEN && range.clone().all(|i| shard.is_learned(i)));
            assert!(shard.document_name(piece).unwrap().contains("text-"));
        }
    }
}

#[test]
fn more_rehearsal_than_there_is_text_takes_all_of_it_once() {
    let all = texts().len();
    assert_eq!(packed(0.99).len() - packed(0.0).len(), all);
}
