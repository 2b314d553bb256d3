//! Token shards: what was written is read, and nothing else is.

#![allow(clippy::unwrap_used)]

use danlu_data::{Error, MixWeight, ShardBuilder, TokenShard};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

fn shard(vocab_size: usize, documents: &[Vec<u32>], masked: bool) -> TokenShard {
    let mut builder = ShardBuilder::new(HASH, vocab_size);
    fill(&mut builder, documents, masked);
    builder.finish().unwrap()
}

/// Every second document of other weight, if some are masked.
fn fill(builder: &mut ShardBuilder, documents: &[Vec<u32>], masked: bool) {
    let weights: Vec<MixWeight> = serde_json::from_str("[1, [2, 0.5]]").unwrap();
    for (index, ids) in documents.iter().enumerate() {
        let learned: Vec<bool> = ids.iter().map(|id| id % 3 == 0).collect();
        let weight = &weights[if masked { index % 2 } else { 0 }];
        let name = format!("詩/{index}");
        builder.push_weighted(&name, ids, masked.then_some(&learned), weight).unwrap();
    }
}

#[test]
fn through_files_it_is_the_same_shard() {
    let documents: Vec<Vec<u32>> = (1..3000).map(|i| vec![i % 250; i as usize % 700]).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.tok");
    for masked in [false, true] {
        let mut builder = ShardBuilder::spooling(HASH, 300, folder.path());
        fill(&mut builder, &documents, masked);
        builder.write(&path).unwrap();
        let read = TokenShard::read(&path).unwrap();
        assert_eq!(read, shard(300, &documents, masked));
        assert_eq!(read.weight(1).is_some(), masked);
    }
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "only the shard is left");
}

#[test]
fn a_shard_knows_its_documents() {
    let shard = shard(70_000, &[vec![1, 2, 3], vec![69_999], vec![4, 6]], true);
    assert_eq!((shard.len(), shard.document_count(), shard.vocab_size()), (6, 3, 70_000));
    assert_eq!(shard.document(1), 3..4);
    assert_eq!(shard.document_name(2), Some("詩/2"));
    let learned: Vec<bool> = (0..6).map(|index| shard.is_learned(index)).collect();
    assert_eq!(learned, [false, false, true, true, false, true]);
    assert!(shard.expect_tokenizer(HASH).is_ok());
    let message = shard.expect_tokenizer("other").unwrap_err().to_string();
    assert!(message.contains(HASH) && message.contains("other"), "{message}");
}

#[test]
fn ids_outside_the_vocabulary_and_empty_shards_are_refused() {
    assert!(ShardBuilder::new(HASH, 10).push("a", &[10], None).is_err());
    let mut empty = ShardBuilder::new(HASH, 10);
    empty.push("a", &[], None).unwrap();
    assert!(matches!(empty.finish(), Err(Error::NothingLeft { .. })));
}

#[test]
fn truncation_at_every_byte_is_an_error() {
    for masked in [false, true] {
        let bytes = shard(300, &[vec![1, 2], vec![3; 9]], masked).as_bytes().to_vec();
        for length in 0..bytes.len() {
            assert!(TokenShard::from_bytes(bytes[..length].to_vec()).is_err(), "{length} bytes");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(TokenShard::from_bytes(longer).is_err());
        assert!(TokenShard::from_bytes(bytes).is_ok());
    }
}

#[test]
fn a_damaged_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.tok");
    let shard = shard(300, &[vec![1, 2]], false);
    shard.write(&path).unwrap();
    assert_eq!(TokenShard::read(&path).unwrap(), shard);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[90] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let message = TokenShard::read(&path).unwrap_err().to_string();
    assert!(message.contains("tokens.tok") && message.contains("checksum"), "{message}");
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        documents in prop::collection::vec(prop::collection::vec(0_u32..300, 1..40), 1..8),
        masked: bool,
        wide: bool,
    ) {
        let shard = shard(if wide { 70_000 } else { 300 }, &documents, masked);
        prop_assert_eq!(TokenShard::from_bytes(shard.as_bytes().to_vec()).unwrap(), shard);
    }

    /// With the checksum made to fit, so that every later check is reached.
    #[test]
    fn changed_bytes_are_an_error_or_another_valid_shard(
        at in 0_usize..1000,
        value: u8,
        masked: bool,
    ) {
        let mut bytes = shard(300, &[vec![1, 2], vec![3; 9], vec![7]], masked).as_bytes().to_vec();
        let body = bytes.len() - 32;
        bytes[at % body] = value;
        let checksum: [u8; 32] = Sha256::digest(&bytes[..body]).into();
        bytes[body..].copy_from_slice(&checksum);
        if let Ok(shard) = TokenShard::from_bytes(bytes.clone()) {
            prop_assert_eq!(shard.as_bytes(), bytes);
        }
    }
}
