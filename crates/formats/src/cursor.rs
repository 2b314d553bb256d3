//! A place in bytes that nobody has checked: every step forward is checked first.

/// A result whose error is a phrase about the file, for a message that names it.
pub(crate) type Phrased<T> = std::result::Result<T, String>;

/// Reads little-endian numbers; an error is a phrase about the file, with the place.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At byte `at`, which may lie beyond the end.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Bytes before the end.
    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// The next `len` bytes, which are `what`.
    pub(crate) fn take(&mut self, len: usize, what: &str) -> Phrased<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            let (at, total) = (self.at, self.bytes.len());
            return Err(format!("{what} at byte {at} needs {len} bytes, the file has {total}"));
        };
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Phrased<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self, what: &str) -> Phrased<u8> {
        self.array(what).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, what: &str) -> Phrased<u16> {
        self.array(what).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Phrased<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: &str) -> Phrased<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A 64-bit count of things that take at least `least_bytes` each in the bytes that follow.
    pub(crate) fn count(&mut self, least_bytes: usize, what: &str) -> Phrased<usize> {
        let at = self.at;
        let claimed = self.u64(what)?;
        let count = usize::try_from(claimed).unwrap_or(usize::MAX);
        if count.checked_mul(least_bytes).is_none_or(|least| least > self.left()) {
            let left = self.left();
            return Err(format!("{what} at byte {at} is {claimed}, {left} bytes follow"));
        }
        Ok(count)
    }
}
