//! Thrift's compact protocol, as much as Parquet's footers and page heads need. Fields that nobody
//! asks for are skipped. Format: thrift-compact-protocol of Apache Thrift.

/// What a fault is; where it is, the caller knows.
pub(super) type Result<T> = std::result::Result<T, String>;

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const MAX_DEPTH: usize = 16;

/// A value whose kind is known and that was not read yet.
#[derive(Clone, Copy)]
pub(super) struct Kind(u8);

/// Bytes that are read in order.
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.at).copied().ok_or("its description is cut")?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("an endless number in its description".to_owned())
    }

    /// An integer of any width.
    pub(super) fn int(&mut self, kind: Kind) -> Result<i64> {
        match kind.0 {
            3 => Ok(i64::from(self.byte()?.cast_signed())),
            4..=6 => {
                let value = self.varint()?;
                Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
            }
            other => Err(format!("type {other} where a number should stand in its description")),
        }
    }

    pub(super) fn bool(kind: Kind) -> bool {
        kind.0 == TRUE
    }

    pub(super) fn text(&mut self, kind: Kind) -> Result<String> {
        if kind.0 != 8 {
            return Err(format!("type {} where a name should stand in its description", kind.0));
        }
        Ok(String::from_utf8_lossy(self.binary()?).into_owned())
    }

    fn binary(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let rest = &self.bytes[self.at..];
        let found = rest.get(..length).ok_or("a name in its description is cut")?;
        self.at += length;
        Ok(found)
    }

    /// Gives each field of a structure to `take` with its number. What `take` leaves (false) is
    /// skipped.
    pub(super) fn fields(
        &mut self,
        mut take: impl FnMut(&mut Self, i64, Kind) -> Result<bool>,
    ) -> Result<()> {
        self.deeper(|thrift| {
            let mut number = 0;
            loop {
                let head = thrift.byte()?;
                if head == 0 {
                    return Ok(());
                }
                number = match head >> 4 {
                    0 => thrift.int(Kind(4))?,
                    step => number + i64::from(step),
                };
                let kind = Kind(head & 0xf);
                if !take(thrift, number, kind)? {
                    thrift.skip(kind)?;
                }
            }
        })
    }

    /// Gives each element of a list to `take`, which must read it.
    pub(super) fn list(
        &mut self,
        kind: Kind,
        mut take: impl FnMut(&mut Self, Kind) -> Result<()>,
    ) -> Result<()> {
        if !matches!(kind.0, 9 | 10) {
            return Err(format!("type {} where a list should stand in its description", kind.0));
        }
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.varint()?,
            count => u64::from(count),
        };
        // Each element takes a byte at least.
        if count > (self.bytes.len() - self.at) as u64 {
            return Err("a list in its description is longer than the file".to_owned());
        }
        (0..count).try_for_each(|_| take(self, Kind(head & 0xf)))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err("its description is too deep".to_owned());
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    fn skip(&mut self, kind: Kind) -> Result<()> {
        match kind.0 {
            TRUE | FALSE => Ok(()),
            3..=6 => self.int(kind).map(drop),
            7 => (0..8).try_for_each(|_| self.byte().map(drop)),
            8 => self.binary().map(drop),
            9 | 10 => self.deeper(|thrift| thrift.list(kind, Self::skip_element)),
            11 => self.deeper(Self::skip_map),
            12 => self.fields(|_, _, _| Ok(false)),
            other => Err(format!("unknown type {other} in its description")),
        }
    }

    /// An element of a list, where a truth value takes a byte.
    fn skip_element(&mut self, kind: Kind) -> Result<()> {
        if matches!(kind.0, TRUE | FALSE) { self.byte().map(drop) } else { self.skip(kind) }
    }

    fn skip_map(&mut self) -> Result<()> {
        let count = self.varint()?;
        if count == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        if count > (self.bytes.len() - self.at) as u64 {
            return Err("a map in its description is longer than the file".to_owned());
        }
        (0..count).try_for_each(|_| {
            self.skip_element(Kind(kinds >> 4))?;
            self.skip_element(Kind(kinds & 0xf))
        })
    }
}
