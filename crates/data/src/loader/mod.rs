//! A shard to batches: a pure function of (shard, seed, cursor).
//!
//! Documents are shuffled anew in each epoch, which has each as often as its weight says.
//! *Pretraining* lays them end to end and cuts rows of T tokens, over document and epoch borders:
//! no token of an epoch is lost or repeated. *Dialogues* are never cut: each goes to the first row
//! of the batch with room for it. Either way a position's target is the next token of its own
//! document.

mod order;
mod rows;

use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::shard::TokenShard;
use crate::{Error, MixWeight, Result};
use order::Order;
use rows::RowWriter;

/// A batch holds at most so many positions: 2^28, four arrays of a gigabyte.
const MAX_POSITIONS: usize = 1 << 28;

/// How documents become rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// End to end, cut at row borders.
    Pretrain,
    /// Whole, with room left over at the end of rows.
    Sft,
}

/// Where the next batch begins. Saved in a checkpoint, it makes a resumed run see the same batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Passes over the shard that are complete.
    pub epoch: u64,
    /// How far into this pass: tokens in [`Mode::Pretrain`], documents in [`Mode::Sft`].
    pub offset: u64,
}

/// What an epoch amounts to; made by [`Loader::estimate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Documents or dialogues used, each counted once.
    pub documents: u64,
    /// Dialogues longer than a row, which are left out; always 0 in pretraining.
    pub too_long: u64,
    /// Tokens in the first epoch.
    pub tokens_per_epoch: u64,
    /// Positions of the first epoch with something to predict.
    pub targets_per_epoch: u64,
    /// Batches until the first epoch is over; the last reaches into the next.
    pub batches_per_epoch: u64,
}

/// Gives out the batches of a shard.
#[derive(Debug)]
pub struct Loader {
    shard: Arc<TokenShard>,
    rows: usize,
    context: usize,
    seed: u64,
    mode: Mode,
    /// Documents used, rising.
    used: Vec<u32>,
    /// The order last asked for; a cache, not a state.
    order: Mutex<Arc<Order>>,
}

impl Loader {
    /// Batches of `rows` (B) rows of `context` (T) tokens from `shard`.
    ///
    /// # Errors
    /// When B or T is 0 or absurdly large, or every dialogue is longer than T.
    pub fn new(
        shard: impl Into<Arc<TokenShard>>,
        rows: usize,
        context: usize,
        seed: u64,
        mode: Mode,
    ) -> Result<Self> {
        let shard = shard.into();
        let positions = rows.saturating_mul(context);
        if !(1..=MAX_POSITIONS).contains(&positions)
            || u32::try_from(shard.document_count()).is_err()
        {
            return Err(Error::Loader(format!(
                "{rows} rows of {context} tokens from {} documents; expected 1 to {MAX_POSITIONS} \
                 positions and fewer than 2^32 documents",
                shard.document_count()
            )));
        }
        let fits = |&document: &u32| {
            mode == Mode::Pretrain || shard.document(document as usize).len() <= context
        };
        let used: Vec<u32> = (0..shard.document_count() as u32).filter(fits).collect();
        if used.is_empty() {
            let shortest = (0..shard.document_count()).map(|i| shard.document(i).len()).min();
            return Err(Error::Loader(format!(
                "every dialogue is longer than context_len = {context} tokens (the shortest has \
                 {shortest:?}); raise context_len or give shorter dialogues"
            )));
        }
        let order = Mutex::new(Arc::new(Order::new(&shard, &used, seed, 0)));
        let loader = Self { shard, rows, context, seed, mode, used, order };
        loader.expect_texts_in_every_epoch()?;
        Ok(loader)
    }

    /// Refuses weights that leave an epoch without a text: it would never end.
    fn expect_texts_in_every_epoch(&self) -> Result<()> {
        let weights = || self.used.iter().filter_map(|&index| self.shard.weight(index as usize));
        let changes = weights().map(MixWeight::epochs).max().unwrap_or(0);
        let is_empty = |&epoch: &u64| weights().all(|weight| weight.at(epoch) == 0.0);
        match (0..changes).find(is_empty) {
            Some(epoch) => Err(Error::Loader(format!(
                "every source's weight is 0 in epoch {}; give one of them more",
                epoch + 1
            ))),
            None => Ok(()),
        }
    }

    /// The batch at `cursor`, which then points to the next one.
    ///
    /// # Errors
    /// When the cursor lies outside the shard: it belongs to another one.
    pub fn next_batch(&self, cursor: &mut Cursor) -> Result<Batch> {
        let order = self.order(cursor.epoch);
        let end = match self.mode {
            Mode::Pretrain => order.tokens(),
            Mode::Sft => order.documents.len() as u64,
        };
        if cursor.offset >= end {
            let offset = cursor.offset;
            return Err(Error::Loader(format!(
                "the saved place {offset} lies beyond the shard's {end}; it is from another run"
            )));
        }
        let mut writer = RowWriter::new(&self.shard, self.rows, self.context);
        match self.mode {
            Mode::Pretrain => self.fill_end_to_end(&mut writer, cursor, order),
            Mode::Sft => self.fill_whole(&mut writer, cursor, order),
        }
        Ok(writer.finish())
    }

    /// Names, in the data files, of the documents in a batch.
    ///
    /// # Errors
    /// When the batch is from another shard.
    pub fn document_names(&self, batch: &Batch) -> Result<Vec<String>> {
        let name = |&document: &u32| {
            let name = self.shard.document_name(document as usize);
            name.map(str::to_owned).ok_or_else(|| {
                Error::Loader(format!("document {document} of a batch is not in the shard"))
            })
        };
        batch.documents.iter().map(name).collect()
    }

    /// Dialogues longer than a row, which are left out.
    pub fn too_long(&self) -> usize {
        self.shard.document_count() - self.used.len()
    }

    /// The shard that batches come from.
    pub fn shard(&self) -> &TokenShard {
        &self.shard
    }

    /// What an epoch amounts to.
    ///
    /// # Errors
    /// None in practice: the cursors are the loader's own.
    pub fn estimate(&self) -> Result<Estimate> {
        let learned = |&document: &u32| {
            let range = self.shard.document(document as usize);
            range.skip(1).filter(|&index| self.shard.is_learned(index)).count() as u64
        };
        let tokens = self.order(0).tokens();
        let batches_per_epoch = match self.mode {
            Mode::Pretrain => tokens.div_ceil((self.rows * self.context) as u64),
            Mode::Sft => self.count_sft_batches()?,
        };
        Ok(Estimate {
            documents: self.used.len() as u64,
            too_long: self.too_long() as u64,
            tokens_per_epoch: tokens,
            targets_per_epoch: self.order(0).documents.iter().map(learned).sum(),
            batches_per_epoch,
        })
    }

    fn count_sft_batches(&self) -> Result<u64> {
        let mut cursor = Cursor::default();
        let mut batches = 0;
        while cursor.epoch == 0 {
            self.next_batch(&mut cursor)?;
            batches += 1;
        }
        Ok(batches)
    }

    fn order(&self, epoch: u64) -> Arc<Order> {
        let mut cached = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if cached.epoch != epoch {
            *cached = Arc::new(Order::new(&self.shard, &self.used, self.seed, epoch));
        }
        Arc::clone(&cached)
    }

    fn fill_end_to_end(&self, writer: &mut RowWriter<'_>, cursor: &mut Cursor, first: Arc<Order>) {
        let mut order = first;
        for row in 0..self.rows {
            while writer.room(row) > 0 {
                let place = order.starts.partition_point(|&start| start <= cursor.offset) - 1;
                let document = order.documents[place];
                let range = self.shard.document(document as usize);
                let start = range.start + (cursor.offset - order.starts[place]) as usize;
                let count = writer.room(row).min(range.end - start);
                writer.put(row, document, start..start + count);
                cursor.offset += count as u64;
                if cursor.offset == order.tokens() {
                    *cursor = Cursor { epoch: cursor.epoch + 1, offset: 0 };
                    order = self.order(cursor.epoch);
                }
            }
        }
    }

    fn fill_whole(&self, writer: &mut RowWriter<'_>, cursor: &mut Cursor, first: Arc<Order>) {
        let mut order = first;
        loop {
            let document = order.documents[cursor.offset as usize];
            let range = self.shard.document(document as usize);
            let Some(row) = (0..self.rows).find(|&row| writer.room(row) >= range.len()) else {
                return;
            };
            writer.put(row, document, range);
            cursor.offset += 1;
            if cursor.offset == order.documents.len() as u64 {
                *cursor = Cursor { epoch: cursor.epoch + 1, offset: 0 };
                order = self.order(cursor.epoch);
            }
        }
    }
}
