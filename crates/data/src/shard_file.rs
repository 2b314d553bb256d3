//! The file of a token shard. Everything in it is checked when it is read.
//!
//! Numbers are little-endian. Header, 80 bytes:
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | `DANLUTOK` |
//! | 8..12 | version, 1 |
//! | 12 | width of an id in bytes: 2 or 4 |
//! | 13 | 1 if there is a mask, else 0 |
//! | 14..16 | 0 |
//! | 16..48 | SHA-256 of the tokenizer |
//! | 48..56 | size of the vocabulary |
//! | 56..64 | number of ids, N |
//! | 64..72 | number of documents, M |
//! | 72..80 | size of all names in bytes |
//!
//! Then N ids; M document ends (8 bytes each, exclusive, strictly rising, the last is N); the mask,
//! N bits rounded up to bytes, lowest bit first, spare bits 0; M sizes of names (4 bytes each); the
//! names, UTF-8; and the SHA-256 of all before it.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::atomic::write_file_atomically;
use crate::shard::{Ids, TokenShard};
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"DANLUTOK";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 80;
const HASH_BYTES: usize = 32;

impl TokenShard {
    /// The bytes of the file.
    ///
    /// # Errors
    /// When the tokenizer's hash is not 64 hexadecimal digits.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let hash = from_hex(&self.tokenizer_hash).ok_or_else(|| {
            Error::Shard(format!("the tokenizer hash {:?} is not SHA-256", self.tokenizer_hash))
        })?;
        let width = match &self.ids {
            Ids::U16(_) => 2_u8,
            Ids::U32(_) => 4,
        };
        let names_bytes: usize = self.names.iter().map(String::len).sum();
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.len() * 4 + names_bytes);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[width, u8::from(self.mask.is_some()), 0, 0]);
        bytes.extend_from_slice(&hash);
        for count in [self.vocab_size, self.len(), self.ends.len(), names_bytes] {
            bytes.extend_from_slice(&(count as u64).to_le_bytes());
        }
        match &self.ids {
            Ids::U16(ids) => ids.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes())),
            Ids::U32(ids) => ids.iter().for_each(|id| bytes.extend_from_slice(&id.to_le_bytes())),
        }
        for &end in &self.ends {
            bytes.extend_from_slice(&(end as u64).to_le_bytes());
        }
        bytes.extend_from_slice(self.mask.as_deref().unwrap_or_default());
        for name in &self.names {
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        }
        for name in &self.names {
            bytes.extend_from_slice(name.as_bytes());
        }
        let checksum: [u8; HASH_BYTES] = Sha256::digest(&bytes).into();
        bytes.extend_from_slice(&checksum);
        Ok(bytes)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(write_file_atomically(path, &self.to_bytes()?)?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, or is not exactly what [`TokenShard::write`] wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::from_bytes(&bytes)
            .map_err(|error| Error::Damaged { path: path.to_owned(), found: error.to_string() })
    }

    /// Parses the bytes of a file. What the header claims is compared with the number of bytes
    /// before anything is allocated.
    ///
    /// # Errors
    /// [`Error::Shard`] for anything but the exact bytes of [`TokenShard::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let header = Header::parse(bytes)?;
        let (body, checksum) = bytes.split_at(bytes.len() - HASH_BYTES);
        if *checksum != <[u8; HASH_BYTES]>::from(Sha256::digest(body)) {
            return broken("its checksum does not fit; some bytes were changed");
        }
        let mut rest = &body[HEADER_BYTES..];
        let ids = take(&mut rest, header.ids * header.width);
        let ids = match header.width {
            2 => {
                Ids::U16(ids.chunks_exact(2).map(|id| u16::from_le_bytes([id[0], id[1]])).collect())
            }
            _ => Ids::U32(ids.chunks_exact(4).map(number_u32).collect()),
        };
        let out_of_range = |index: &usize| ids.get(*index) as usize >= header.vocab_size;
        if let Some(index) = (0..ids.len()).find(out_of_range) {
            let (id, size) = (ids.get(index), header.vocab_size);
            return broken(&format!("id {id} at {index} in a vocabulary of {size}"));
        }
        let ends = take(&mut rest, header.documents * 8).chunks_exact(8).map(number_u64);
        let ends: Vec<usize> = ends.map(|end| usize::try_from(end).unwrap_or(usize::MAX)).collect();
        let rising = ends.first() != Some(&0) && ends.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || ends.last() != Some(&header.ids) {
            return broken("its document ends do not rise to the number of ids");
        }
        let mask = header.has_mask.then(|| take(&mut rest, header.ids.div_ceil(8)).to_vec());
        let spare = mask.as_ref().and_then(|mask| mask.last()).map_or(0, |last| {
            let used = header.ids % 8;
            if used == 0 { 0 } else { last >> used }
        });
        if spare != 0 {
            return broken("its mask has bits beyond the last id");
        }
        let sizes: Vec<u32> =
            take(&mut rest, header.documents * 4).chunks_exact(4).map(number_u32).collect();
        let names = parse_names(rest, &sizes)?;
        let tokenizer_hash = header.tokenizer_hash;
        Ok(Self { tokenizer_hash, vocab_size: header.vocab_size, ids, ends, mask, names })
    }
}

/// What the header says, known to agree with the number of bytes.
struct Header {
    width: usize,
    has_mask: bool,
    tokenizer_hash: String,
    vocab_size: usize,
    ids: usize,
    documents: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < HEADER_BYTES + HASH_BYTES || bytes[..8] != *MAGIC {
            return broken("it does not begin like one");
        }
        let version = number_u32(&bytes[8..12]);
        if version != VERSION {
            return broken(&format!("version {version}; this program reads version {VERSION}"));
        }
        let (width, has_mask) = match bytes[12..16] {
            [width @ (2 | 4), mask @ (0 | 1), 0, 0] => (u64::from(width), mask == 1),
            _ => return broken("its header has unknown settings"),
        };
        let field = |index: usize| number_u64(&bytes[48 + 8 * index..56 + 8 * index]);
        let (vocab_size, ids, documents, names_bytes) = (field(0), field(1), field(2), field(3));
        let mask_bytes = if has_mask { ids.div_ceil(8) } else { 0 };
        // Sums of products of 64-bit numbers fit in 128 bits: no claim can wrap around.
        let claimed = (HEADER_BYTES + HASH_BYTES) as u128
            + u128::from(ids) * u128::from(width)
            + u128::from(documents) * 12
            + u128::from(mask_bytes)
            + u128::from(names_bytes);
        if claimed != bytes.len() as u128 {
            let found = bytes.len();
            return broken(&format!("its header speaks of {claimed} bytes and there are {found}"));
        }
        if ids == 0
            || documents == 0
            || vocab_size > 1 << 31
            || (width == 2) != (vocab_size <= 1 << 16)
        {
            return broken("its header has impossible sizes");
        }
        let tokenizer_hash = bytes[16..48].iter().map(|byte| format!("{byte:02x}")).collect();
        // All are at most the number of bytes in memory, or at most 2^31.
        let [vocab_size, ids, documents] = [vocab_size, ids, documents].map(|n| n as usize);
        Ok(Self { width: width as usize, has_mask, tokenizer_hash, vocab_size, ids, documents })
    }
}

fn parse_names(mut bytes: &[u8], sizes: &[u32]) -> Result<Vec<String>> {
    let total: u64 = sizes.iter().map(|&size| u64::from(size)).sum();
    if total != bytes.len() as u64 {
        return broken("the sizes of its names do not add up");
    }
    let mut names = Vec::with_capacity(sizes.len());
    for &size in sizes {
        match std::str::from_utf8(take(&mut bytes, size as usize)) {
            Ok(name) => names.push(name.to_owned()),
            Err(_) => return broken("a name is not UTF-8"),
        }
    }
    Ok(names)
}

fn broken<T>(found: &str) -> Result<T> {
    Err(Error::Shard(found.to_owned()))
}

/// The first `count` bytes, which are there: all sizes were checked against the whole.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn number_u32(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

fn number_u64(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

fn from_hex(text: &str) -> Option<[u8; HASH_BYTES]> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect();
    let bytes: Vec<u8> =
        digits?.chunks(2).map(|pair| pair.iter().fold(0, |b, d| b << 4 | d)).collect();
    (text.len() == 2 * HASH_BYTES).then_some(bytes)?.try_into().ok()
}
