//! Reading a header: the only code that sees bytes nobody has checked.

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{METADATA, Metadata};
use crate::{Dtype, ElementType};

/// Longest header that is read, as in the reference implementation.
const HEADER_BYTES_MAX: usize = 100_000_000;
/// Bytes before the header: its length.
const LENGTH_BYTES: usize = 8;

/// A checked header.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) metadata: Metadata,
    /// In the order of the data, which they cover exactly.
    pub(super) tensors: Vec<Entry>,
    /// Where the data begins in the file.
    pub(super) data_start: usize,
}

/// A tensor's place in the data.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// Reads and checks the header of a whole file; an error is a phrase about the file.
pub(super) fn read(bytes: &[u8]) -> Result<Header, String> {
    let data_start = data_start(bytes)?;
    let raw: RawHeader = serde_json::from_slice(&bytes[LENGTH_BYTES..data_start])
        .map_err(|error| format!("its header: {error}"))?;
    let tensors = check(raw.tensors, bytes.len() - data_start)?;
    Ok(Header { metadata: raw.metadata, tensors, data_start })
}

/// Where the data begins, after a check of the length field.
fn data_start(bytes: &[u8]) -> Result<usize, String> {
    let Some(length) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Err(format!("it has {} bytes, a header alone has more", bytes.len()));
    };
    let length = u64::from_le_bytes(*length);
    if length > HEADER_BYTES_MAX as u64 {
        return Err(format!(
            "its header claims {length} bytes, at most {HEADER_BYTES_MAX} are read"
        ));
    }
    let end = LENGTH_BYTES + length as usize;
    if end > bytes.len() {
        return Err(format!("it ends after {} bytes, inside a header of {end}", bytes.len()));
    }
    Ok(end)
}

/// Checks that the tensors cover `data_len` bytes exactly, and puts them in the order of the data.
fn check(raw: Vec<(String, RawTensor)>, data_len: usize) -> Result<Vec<Entry>, String> {
    let mut entries =
        raw.into_iter().map(|(name, tensor)| tensor.check(name)).collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(|entry| (entry.begin, entry.end));
    let mut covered = 0;
    for entry in &entries {
        if entry.begin != covered {
            return Err(format!(
                "tensor `{}` begins at byte {} of the data, the one before it ends at {covered}",
                entry.name, entry.begin
            ));
        }
        covered = entry.end;
    }
    if covered != data_len {
        return Err(format!("its tensors have {covered} bytes, its data {data_len}"));
    }
    Ok(entries)
}

/// The header as JSON says it. A list, so that a name given twice is seen.
struct RawHeader {
    metadata: Metadata,
    tensors: Vec<(String, RawTensor)>,
}

#[derive(Deserialize)]
struct RawTensor {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl RawTensor {
    fn check(self, name: String) -> Result<Entry, String> {
        let Some(dtype) = Dtype::from_name(&self.dtype) else {
            return Err(format!("tensor `{name}` has the unknown type `{}`", self.dtype));
        };
        let (begin, end) = self.data_offsets;
        let size = ElementType::from(dtype).size_bytes(&self.shape);
        if size.is_none() || end.checked_sub(begin) != size {
            return Err(format!(
                "tensor `{name}` ({} {:?}) does not fill bytes {begin}..{end} of the data",
                self.dtype, self.shape
            ));
        }
        Ok(Entry { name, dtype, shape: self.shape, begin, end })
    }
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut metadata: Option<Metadata> = None;
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name != METADATA {
                        tensors.push((name, map.next_value()?));
                    } else if metadata.replace(map.next_value()?).is_some() {
                        return Err(de::Error::custom("two keys are `__metadata__`"));
                    }
                }
                Ok(RawHeader { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}
