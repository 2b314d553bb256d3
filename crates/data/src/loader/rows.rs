//! Writing pieces of documents into the rows of a batch.

use std::ops::Range;

use crate::batch::{Batch, IGNORE};
use crate::shard::TokenShard;

/// A batch being filled. Positions that stay empty hold id 0 in a segment of their own with nothing
/// to predict.
pub(super) struct RowWriter<'a> {
    shard: &'a TokenShard,
    batch: Batch,
    /// Positions filled in each row.
    filled: Vec<usize>,
    /// Pieces put into each row.
    segments: Vec<u32>,
}

impl<'a> RowWriter<'a> {
    pub(super) fn new(shard: &'a TokenShard, rows: usize, context: usize) -> Self {
        let positions = rows * context;
        let batch = Batch {
            rows,
            context,
            inputs: vec![0; positions],
            targets: vec![IGNORE; positions],
            segments: vec![0; positions],
            positions: vec![0; positions],
            documents: Vec::new(),
        };
        Self { shard, batch, filled: vec![0; rows], segments: vec![0; rows] }
    }

    /// Positions left in a row.
    pub(super) fn room(&self, row: usize) -> usize {
        self.batch.context - self.filled[row]
    }

    /// Puts the ids `piece` (indices in the shard) of a document into a row with room for them.
    pub(super) fn put(&mut self, row: usize, document: u32, piece: Range<usize>) {
        let start = row * self.batch.context + self.filled[row];
        let end_of_document = self.shard.document(document as usize).end;
        for (at, index) in (start..).zip(piece.clone()) {
            self.batch.inputs[at] = self.shard.id(index);
            let next = index + 1;
            if next < end_of_document && self.shard.is_learned(next) {
                // Ids are below 2^31: vocabularies are tables in memory.
                self.batch.targets[at] = self.shard.id(next) as i32;
            }
        }
        self.number(row, start, piece.len());
        self.filled[row] += piece.len();
        if !self.batch.documents.contains(&document) {
            self.batch.documents.push(document);
        }
    }

    /// Numbers `count` positions from `start` as one segment.
    fn number(&mut self, row: usize, start: usize, count: usize) {
        self.batch.segments[start..start + count].fill(self.segments[row]);
        for (position, number) in self.batch.positions[start..start + count].iter_mut().zip(0..) {
            *position = number;
        }
        self.segments[row] += 1;
    }

    /// The batch, with the rest of each row numbered as padding.
    pub(super) fn finish(mut self) -> Batch {
        for row in 0..self.batch.rows {
            let room = self.room(row);
            if room > 0 {
                self.number(row, row * self.batch.context + self.filled[row], room);
            }
        }
        self.batch
    }
}
