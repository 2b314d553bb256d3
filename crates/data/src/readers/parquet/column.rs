//! One column of a row group as a stream of (repetition level, definition level, value), a page in
//! memory at a time.

use std::io::{Read, Seek, SeekFrom};

use super::bits::{Runs, Slice};
use super::codec::unpack;
use super::schema::{Chunk, Leaf};
use super::thrift::{Kind, Result, Thrift};
use super::values::{Dictionary, Raw, Values};

/// Where pages are read from.
pub(super) trait Bytes: Read + Seek {}
impl<T: Read + Seek> Bytes for T {}

/// A file, and how many bytes of pages may be in memory at once.
pub(super) struct Pages<'a> {
    pub(super) bytes: &'a mut dyn Bytes,
    pub(super) left: u64,
    pub(super) allowed: u64,
}

/// The head of a page takes at most so many bytes, its statistics included.
const MAX_HEAD_BYTES: u64 = 1 << 20;

pub(super) struct Column {
    leaf: Leaf,
    codec: i64,
    at: u64,
    end: u64,
    /// Values, nulls included, that were not read yet.
    left: u64,
    dictionary: Option<Dictionary>,
    page: Option<Page>,
    /// What the dictionary and the page take of the allowed bytes.
    dictionary_bytes: u64,
    page_bytes: u64,
    /// Levels of the next value.
    levels: Option<(u32, u32)>,
    /// Rows that were begun.
    pub(super) rows: u64,
}

struct Page {
    left: u64,
    repetitions: Option<Runs>,
    definitions: Option<Runs>,
    values: Values,
}

#[derive(Default)]
struct Head {
    kind: i64,
    unpacked: u64,
    packed: u64,
    values: u64,
    encoding: i64,
    level_encodings: [i64; 2],
    /// Bytes of both kinds of levels in pages of the second version.
    levels: [u64; 2],
    second: bool,
    is_packed: bool,
}

impl Column {
    pub(super) fn new(leaf: Leaf, chunk: &Chunk) -> Self {
        Self {
            leaf,
            codec: chunk.codec,
            at: chunk.start,
            end: chunk.end,
            left: chunk.values,
            dictionary: None,
            page: None,
            dictionary_bytes: 0,
            page_bytes: 0,
            levels: None,
            rows: 0,
        }
    }

    pub(super) fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Levels of the next value (repetition, definition); none at the end.
    pub(super) fn peek(&mut self, pages: &mut Pages<'_>) -> Result<Option<(u32, u32)>> {
        if self.levels.is_some() || self.left == 0 {
            return Ok(self.levels);
        }
        while self.page.as_ref().is_none_or(|page| page.left == 0) {
            self.turn(pages)?;
        }
        let page = self.page.as_mut().ok_or("no page")?;
        let level = |runs: &mut Option<Runs>, max: u32, fixed: u32| match runs {
            None => Ok(fixed),
            Some(runs) => match u32::try_from(runs.next()?) {
                Ok(level) if level <= max => Ok(level),
                _ => Err(format!("a level above {max}")),
            },
        };
        let repetition = level(&mut page.repetitions, self.leaf.max_repetition, 0)?;
        let max = self.leaf.max_definition;
        let definition = level(&mut page.definitions, max, max)?;
        page.left -= 1;
        self.left -= 1;
        self.rows += u64::from(repetition == 0);
        self.levels = Some((repetition, definition));
        Ok(self.levels)
    }

    /// The next value; none when it is null, or within a list that is empty.
    pub(super) fn next(&mut self, pages: &mut Pages<'_>) -> Result<Option<Raw>> {
        self.peek(pages)?;
        let (_, definition) = self.levels.take().ok_or("a column ends before the others")?;
        if definition < self.leaf.max_definition {
            return Ok(None);
        }
        let page = self.page.as_mut().ok_or("no page")?;
        page.values.next(self.leaf.physical, self.dictionary.as_ref()).map(Some)
    }

    /// Reads the next page.
    fn turn(&mut self, pages: &mut Pages<'_>) -> Result<()> {
        self.page = None;
        pages.left += std::mem::take(&mut self.page_bytes);
        let head = self.head(pages)?;
        let taken = head.unpacked.max(head.packed);
        pages.left = pages.left.checked_sub(taken).ok_or_else(|| {
            let allowed = pages.allowed;
            format!(
                "its pages take more than {allowed} bytes at once; write it with smaller pages or \
                 raise data.max_record_bytes"
            )
        })?;
        let packed = self.read(pages, head.packed)?;
        match head.kind {
            0 | 3 => {
                self.page_bytes = taken;
                self.page = Some(self.page(&head, packed)?);
            }
            2 if self.dictionary.is_none() => {
                self.dictionary_bytes = taken;
                let data = unpack(self.codec, packed, head.unpacked)?;
                self.dictionary = Some(Dictionary::new(Slice::new(data), self.leaf.physical)?);
            }
            2 => return Err("a second dictionary".to_owned()),
            // An index; other kinds are to be passed over.
            _ => pages.left += taken,
        }
        Ok(())
    }

    fn read(&mut self, pages: &mut Pages<'_>, length: u64) -> Result<Vec<u8>> {
        if length > self.end - self.at {
            return Err("a page beyond the end of its column".to_owned());
        }
        let mut bytes = Vec::new();
        let seek = pages.bytes.seek(SeekFrom::Start(self.at));
        seek.and_then(|_| (&mut *pages.bytes).take(length).read_to_end(&mut bytes))
            .map_err(|error| error.to_string())?;
        if (bytes.len() as u64) < length {
            return Err("a page beyond the end of the file".to_owned());
        }
        self.at += length;
        Ok(bytes)
    }

    fn head(&mut self, pages: &mut Pages<'_>) -> Result<Head> {
        let start = self.at;
        // Most heads are short; statistics make some long.
        for length in [256, MAX_HEAD_BYTES] {
            self.at = start;
            let length = length.min(self.end - start);
            let bytes = self.read(pages, length)?;
            let mut thrift = Thrift::new(&bytes);
            match Head::read(&mut thrift) {
                Ok(head) => {
                    self.at = start + thrift.at() as u64;
                    return Ok(head);
                }
                Err(error) if length == MAX_HEAD_BYTES || length == self.end - start => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        Err("a page whose head is too long".to_owned())
    }

    fn page(&self, head: &Head, packed: Vec<u8>) -> Result<Page> {
        let width = |max: u32| u32::BITS - max.leading_zeros();
        let (max_repetition, max_definition) = (self.leaf.max_repetition, self.leaf.max_definition);
        let runs = |max: u32, data: Slice| Runs::new(data, width(max)).map(Some);
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let (mut repetitions, mut definitions) = (None, None);
        let data = if head.second {
            let [first, second] = head.levels.map(size);
            let mut levels = Slice::new(packed);
            let (first, second) = (levels.take(first)?, levels.take(second)?);
            if max_repetition > 0 {
                repetitions = runs(max_repetition, first)?;
            }
            if max_definition > 0 {
                definitions = runs(max_definition, second)?;
            }
            let unpacked = head.unpacked.saturating_sub(head.levels[0] + head.levels[1]);
            let codec = if head.is_packed { self.codec } else { 0 };
            Slice::new(unpack(codec, levels.rest().to_vec(), unpacked)?)
        } else {
            let mut data = Slice::new(unpack(self.codec, packed, head.unpacked)?);
            let maxima = [max_definition, max_repetition];
            if maxima.iter().zip(head.level_encodings).any(|(&max, how)| max > 0 && how != 3) {
                return Err("levels in an encoding of before 2013".to_owned());
            }
            for (max, levels) in
                [(max_repetition, &mut repetitions), (max_definition, &mut definitions)]
            {
                if max > 0 {
                    let length = data.length()?;
                    *levels = runs(max, data.take(length)?)?;
                }
            }
            data
        };
        let values = match self.leaf.physical {
            // Pages of nulls have no values to decode.
            _ if data.rest().is_empty() => Values::Plain(data),
            physical => Values::new(head.encoding, data, physical)?,
        };
        Ok(Page { left: head.values, repetitions, definitions, values })
    }
}

impl Head {
    fn read(thrift: &mut Thrift<'_>) -> Result<Self> {
        let mut head = Self { is_packed: true, ..Self::default() };
        let length = |thrift: &mut Thrift<'_>, kind: Kind| {
            let value = thrift.int(kind)?;
            u64::try_from(value).map_err(|_| format!("a page of {value} bytes"))
        };
        thrift.fields(|thrift, number, kind| {
            match number {
                1 => head.kind = thrift.int(kind)?,
                2 => head.unpacked = length(thrift, kind)?,
                3 => head.packed = length(thrift, kind)?,
                5 | 7 | 8 => {
                    head.second = number == 8;
                    thrift.fields(|thrift, field, kind| {
                        match (number, field) {
                            (_, 1) => head.values = length(thrift, kind)?,
                            (5 | 7, 2) | (8, 4) => head.encoding = thrift.int(kind)?,
                            (5, 3) => head.level_encodings[0] = thrift.int(kind)?,
                            (5, 4) => head.level_encodings[1] = thrift.int(kind)?,
                            (8, 5) => head.levels[1] = length(thrift, kind)?,
                            (8, 6) => head.levels[0] = length(thrift, kind)?,
                            (8, 7) => {
                                head.is_packed = Thrift::bool(kind);
                                return Ok(false);
                            }
                            _ => return Ok(false),
                        }
                        Ok(true)
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(head)
    }
}
