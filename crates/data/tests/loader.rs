//! Batches: every token once an epoch, targets inside documents, the same after any interruption.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use danlu_data::{Batch, Cursor, IGNORE, Loader, MixWeight, Mode, ShardBuilder, TokenShard};
use proptest::prelude::*;

const HASH: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// Documents of the given lengths whose ids all differ.
fn shard(lengths: &[usize], masked: bool) -> TokenShard {
    let mut builder = ShardBuilder::new(HASH, 1 << 20);
    let mut next = 0_u32;
    for (index, &length) in lengths.iter().enumerate() {
        let ids: Vec<u32> = (next..).take(length).collect();
        let learned: Vec<bool> = ids.iter().map(|id| id % 2 == 0).collect();
        builder.push(&format!("doc {index}"), &ids, masked.then_some(&learned)).unwrap();
        next += length as u32;
    }
    builder.finish().unwrap()
}

/// The batches until the first one that begins in a later epoch.
fn first_epochs(loader: &Loader, epochs: u64) -> Vec<Batch> {
    let mut cursor = Cursor::default();
    let mut batches = Vec::new();
    while cursor.epoch < epochs {
        batches.push(loader.next_batch(&mut cursor).unwrap());
    }
    batches
}

fn document_of(shard: &TokenShard, id: u32) -> usize {
    (0..shard.document_count())
        .find(|&index| shard.document(index).contains(&(id as usize)))
        .unwrap()
}

/// What must hold in every batch, whatever the mode. In these shards, ids are indices.
fn check(batch: &Batch, shard: &TokenShard) {
    let length = batch.rows * batch.context;
    for array in
        [batch.inputs.len(), batch.targets.len(), batch.segments.len(), batch.positions.len()]
    {
        assert_eq!(array, length);
    }
    for row in 0..batch.rows {
        for column in 0..batch.context {
            let at = row * batch.context + column;
            let (id, target) = (batch.inputs[at], batch.targets[at]);
            let new = column == 0 || batch.segments[at] != batch.segments[at - 1];
            let position = if new { 0 } else { batch.positions[at - 1] + 1 };
            assert_eq!(batch.positions[at], position, "positions count from 0 in each segment");
            let segment = match column {
                0 => 0,
                _ => batch.segments[at - 1] + u32::from(new),
            };
            assert_eq!(batch.segments[at], segment, "segments count from 0 in each row");
            if target != IGNORE {
                assert_eq!(target, id as i32 + 1, "the target is the next token");
                let same = document_of(shard, id) == document_of(shard, target as u32);
                assert!(same, "the target is of the same document");
                assert!(shard.is_learned(target as usize), "only what is to be learned");
                assert!(batch.documents.contains(&(document_of(shard, id) as u32)));
            }
        }
    }
}

proptest! {
    #[test]
    fn pretraining_uses_every_token_once_an_epoch(
        lengths in prop::collection::vec(1_usize..30, 1..20),
        (rows, context) in (1_usize..4, 1_usize..16),
        seed: u64,
    ) {
        let shard = Arc::new(shard(&lengths, false));
        let total = shard.len();
        let loader = Loader::new(Arc::clone(&shard), rows, context, seed, Mode::Pretrain).unwrap();
        let batches = first_epochs(&loader, 3);
        batches.iter().for_each(|batch| check(batch, &shard));
        let stream: Vec<u32> = batches.iter().flat_map(|batch| batch.inputs.clone()).collect();
        for epoch in 0..3 {
            let mut ids = stream[epoch * total..(epoch + 1) * total].to_vec();
            ids.sort_unstable();
            prop_assert_eq!(ids, (0..total as u32).collect::<Vec<_>>(), "epoch {}", epoch);
        }
        let targets: usize = batches.iter().map(Batch::target_count).sum();
        let estimate = loader.estimate().unwrap();
        prop_assert_eq!(estimate.tokens_per_epoch, total as u64);
        prop_assert_eq!(estimate.targets_per_epoch, (total - lengths.len()) as u64);
        prop_assert!(targets as u64 >= 3 * estimate.targets_per_epoch);
        prop_assert_eq!(estimate.batches_per_epoch, first_epochs(&loader, 1).len() as u64);
    }

    #[test]
    fn dialogues_stay_whole_and_each_comes_once_an_epoch(
        lengths in prop::collection::vec(1_usize..20, 1..20),
        (rows, context) in (1_usize..4, 1_usize..24),
        seed: u64,
    ) {
        let shard = Arc::new(shard(&lengths, true));
        let fitting: Vec<usize> =
            (0..lengths.len()).filter(|&index| lengths[index] <= context).collect();
        let Ok(loader) = Loader::new(Arc::clone(&shard), rows, context, seed, Mode::Sft) else {
            prop_assert!(fitting.is_empty());
            return Ok(());
        };
        prop_assert_eq!(loader.too_long(), lengths.len() - fitting.len());
        let batches = first_epochs(&loader, 2);
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        for batch in &batches {
            check(batch, &shard);
            for (at, &id) in batch.inputs.iter().enumerate() {
                let document = document_of(&shard, id);
                let range = shard.document(document);
                if id as usize != range.start || !batch.documents.contains(&(document as u32)) {
                    continue;
                }
                let whole = &batch.inputs[at..(at + range.len()).min(batch.inputs.len())];
                let ids: Vec<u32> = range.map(|index| index as u32).collect();
                if whole == ids {
                    *seen.entry(document).or_default() += 1;
                }
            }
        }
        for document in fitting {
            prop_assert!(seen[&document] >= 2, "dialogue {} in two epochs", document);
        }
    }

    #[test]
    fn resuming_from_any_cursor_equals_no_interruption(
        lengths in prop::collection::vec(1_usize..16, 1..20),
        (rows, context) in (1_usize..4, 16_usize..24),
        seed: u64,
        sft: bool,
    ) {
        let mode = if sft { Mode::Sft } else { Mode::Pretrain };
        let shard = Arc::new(shard(&lengths, sft));
        let loader = Loader::new(Arc::clone(&shard), rows, context, seed, mode).unwrap();
        let mut cursor = Cursor::default();
        for _ in 0..6 {
            let saved = serde_json::to_string(&cursor).unwrap();
            let batch = loader.next_batch(&mut cursor).unwrap();
            let fresh = Loader::new(Arc::clone(&shard), rows, context, seed, mode).unwrap();
            let mut resumed: Cursor = serde_json::from_str(&saved).unwrap();
            prop_assert_eq!(fresh.next_batch(&mut resumed).unwrap(), batch);
            prop_assert_eq!(resumed, cursor);
        }
    }

    #[test]
    fn micro_batches_are_the_batch_in_pieces(rows in 1_usize..6, size in 1_usize..7) {
        let loader = Loader::new(shard(&[50], false), rows, 4, 0, Mode::Pretrain).unwrap();
        let batch = loader.next_batch(&mut Cursor::default()).unwrap();
        let pieces: Vec<_> = batch.micro_batches(size).collect();
        prop_assert_eq!(pieces.len(), rows.div_ceil(size));
        prop_assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<usize>(), rows);
        let inputs: Vec<u32> = pieces.iter().flat_map(|piece| piece.inputs.to_vec()).collect();
        let targets: Vec<i32> = pieces.iter().flat_map(|piece| piece.targets.to_vec()).collect();
        prop_assert_eq!((&inputs, &targets), (&batch.inputs, &batch.targets));
    }
}

#[test]
fn epochs_and_seeds_differ_in_order() {
    let order = |seed, epoch| {
        let loader = Loader::new(shard(&[1; 50], false), 1, 50, seed, Mode::Pretrain).unwrap();
        loader.next_batch(&mut Cursor { epoch, offset: 0 }).unwrap().inputs
    };
    assert_eq!(order(1, 0), order(1, 0));
    assert_ne!(order(1, 0), order(1, 1));
    assert_ne!(order(1, 0), order(2, 0));
    assert_ne!(order(1, 0), (0..50).collect::<Vec<_>>());
}

#[test]
fn a_bad_batch_is_reported_by_the_names_of_its_documents() {
    let loader = Loader::new(shard(&[3, 3], false), 1, 6, 0, Mode::Pretrain).unwrap();
    let batch = loader.next_batch(&mut Cursor::default()).unwrap();
    let mut names = loader.document_names(&batch).unwrap();
    names.sort();
    assert_eq!(names, ["doc 0", "doc 1"]);
    let foreign = Batch { documents: vec![9], ..batch };
    assert!(loader.document_names(&foreign).is_err());
}

#[test]
fn impossible_batches_and_foreign_cursors_are_refused() {
    let make = |rows, context, mode| Loader::new(shard(&[5], false), rows, context, 0, mode);
    for (rows, context) in [(0, 4), (4, 0), (usize::MAX, 2)] {
        assert!(make(rows, context, Mode::Pretrain).is_err());
    }
    let message = make(1, 4, Mode::Sft).unwrap_err().to_string();
    assert!(message.contains("context_len = 4"), "{message}");
    let loader = make(1, 5, Mode::Pretrain).unwrap();
    assert!(loader.next_batch(&mut Cursor { epoch: 0, offset: 5 }).is_err());
}

/// Documents of 10 tokens, every second one with the first weight, the others with the second.
fn weighted(count: usize, weights: [&str; 2]) -> TokenShard {
    let weights: Vec<MixWeight> =
        weights.iter().map(|json| serde_json::from_str(json).unwrap()).collect();
    let mut builder = ShardBuilder::new(HASH, 1 << 20);
    for index in 0..count {
        let ids: Vec<u32> = (0..10).map(|i| (10 * index + i) as u32).collect();
        builder.push_weighted(&format!("{index}"), &ids, None, &weights[index % 2]).unwrap();
    }
    builder.finish().unwrap()
}

#[test]
fn an_epoch_has_each_document_as_often_as_its_weight_says() {
    let loader = Loader::new(weighted(40, ["[2, 0]", "0.5"]), 1, 10, 3, Mode::Sft).unwrap();
    let mut cursor = Cursor::default();
    let mut seen = vec![BTreeMap::<u32, usize>::new(); 3];
    while cursor.epoch < 3 {
        let epoch = cursor.epoch as usize;
        let batch = loader.next_batch(&mut cursor).unwrap();
        *seen[epoch].entry(batch.documents[0]).or_default() += 1;
    }
    let times = |epoch: usize, document: u32| seen[epoch].get(&document).copied().unwrap_or(0);
    for even in (0..40).step_by(2) {
        assert_eq!([0, 1, 2].map(|epoch| times(epoch, even)), [2, 0, 0], "document {even}");
        let odd = even + 1;
        assert_eq!(times(0, odd) + times(1, odd), 1, "document {odd} is in one of two epochs");
        assert_eq!(times(0, odd), times(2, odd), "and again in the same turn");
    }
    let estimate = loader.estimate().unwrap();
    assert_eq!(estimate.documents, 40);
    assert!((440..560).contains(&estimate.tokens_per_epoch), "{estimate:?}");
}

#[test]
fn an_epoch_without_a_text_is_refused_and_small_weights_still_give_one() {
    let error = Loader::new(weighted(4, ["[1, 0]", "0"]), 1, 10, 3, Mode::Pretrain).unwrap_err();
    assert!(error.to_string().contains("epoch 2"), "{error}");
    let loader = Loader::new(weighted(4, ["0.001", "0"]), 2, 10, 3, Mode::Pretrain).unwrap();
    let mut cursor = Cursor::default();
    let batch = loader.next_batch(&mut cursor).unwrap();
    assert!(batch.documents.iter().all(|document| document % 2 == 0));
    assert_eq!(cursor, Cursor { epoch: 2, offset: 0 });
}
