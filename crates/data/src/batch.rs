//! A batch: rows of ids with what to predict and which document each position belongs to.

/// The target of a position where nothing is to be predicted.
pub const IGNORE: i32 = -100;

/// Rows of tokens, all arrays `[B, T]` row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Number of rows, B.
    pub rows: usize,
    /// Positions in a row, T.
    pub context: usize,
    /// The ids that go in.
    pub inputs: Vec<u32>,
    /// The next id of the same document, or [`IGNORE`].
    pub targets: Vec<i32>,
    /// Number of the document inside its row, from 0; attention stays inside equal numbers.
    pub segments: Vec<u32>,
    /// Distance from the document's first token in this row.
    pub positions: Vec<u32>,
    /// Indices, in the shard, of the documents in this batch; each once, in order of appearance.
    pub documents: Vec<u32>,
}

/// Some rows of a batch, arrays `[rows, T]`.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Positions in a row, T.
    pub context: usize,
    /// See [`Batch::inputs`].
    pub inputs: &'a [u32],
    /// See [`Batch::targets`].
    pub targets: &'a [i32],
    /// See [`Batch::segments`].
    pub segments: &'a [u32],
    /// See [`Batch::positions`].
    pub positions: &'a [u32],
}

impl Batch {
    /// Number of positions where something is to be predicted.
    pub fn target_count(&self) -> usize {
        self.targets.iter().filter(|&&target| target != IGNORE).count()
    }

    /// The batch in pieces of `rows` rows; the last may have fewer.
    ///
    /// # Panics
    /// When `rows` is 0.
    pub fn micro_batches(&self, rows: usize) -> impl Iterator<Item = Rows<'_>> {
        assert!(rows > 0, "a micro-batch has at least 1 row, not {rows}");
        let tokens = rows.saturating_mul(self.context).max(1);
        let ids = self.inputs.chunks(tokens).zip(self.targets.chunks(tokens));
        let places = self.segments.chunks(tokens).zip(self.positions.chunks(tokens));
        ids.zip(places).map(|((inputs, targets), (segments, positions))| Rows {
            rows: inputs.len() / self.context,
            context: self.context,
            inputs,
            targets,
            segments,
            positions,
        })
    }
}
