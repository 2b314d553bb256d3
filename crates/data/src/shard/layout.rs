//! The bytes of a token shard, and where in them is what. Everything is checked once.
//!
//! Numbers are little-endian. Header, 88 bytes:
//!
//! | bytes | |
//! |---|---|
//! | 0..8 | `DANLUTOK` |
//! | 8..12 | version, 2 |
//! | 12 | width of an id in bytes: 2 or 4 |
//! | 13 | 1 if there is a mask, else 0 |
//! | 14..16 | 0 |
//! | 16..48 | SHA-256 of the tokenizer |
//! | 48..56 | size of the vocabulary |
//! | 56..64 | number of ids, N |
//! | 64..72 | number of documents, M |
//! | 72..80 | size of all names in bytes |
//! | 80..88 | size of the weights in bytes, 0 if all are 1 |
//!
//! Then N ids; M document ends (8 bytes each, exclusive, strictly rising, the last is N); the mask,
//! N bits rounded up to bytes, lowest bit first, spare bits 0; M sizes of names (4 bytes each); the
//! names, UTF-8; if there are weights, M numbers of groups (2 bytes each) and a JSON list of each
//! group's weight; and the SHA-256 of all before it.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::{Error, MixWeight, Result};

const MAGIC: &[u8; 8] = b"DANLUTOK";
const VERSION: u32 = 2;
const HEADER_BYTES: usize = 88;
pub(super) const HASH_BYTES: usize = 32;
/// Bytes that are checked before their pages are given back; a multiple of every width.
const STRETCH: usize = 16 << 20;

/// What the header says, known to agree with the number of bytes, and where the parts begin.
#[derive(Debug)]
pub(super) struct Layout {
    width: usize,
    pub(super) has_mask: bool,
    pub(super) tokenizer_hash: String,
    pub(super) vocab_size: usize,
    pub(super) ids: usize,
    pub(super) documents: usize,
    ends_at: usize,
    mask_at: usize,
    sizes_at: usize,
    names_at: usize,
    groups_at: usize,
    weights_at: usize,
    checksum_at: usize,
}

/// The header's numbers.
pub(super) struct Sizes {
    pub(super) vocab_size: u64,
    pub(super) ids: u64,
    pub(super) documents: u64,
    pub(super) names: u64,
    pub(super) weights: u64,
}

/// Bytes an id takes.
pub(super) fn width(vocab_size: usize) -> usize {
    if vocab_size <= 1 << 16 { 2 } else { 4 }
}

/// The header.
///
/// # Errors
/// When the tokenizer's hash is not 64 hexadecimal digits.
pub(super) fn header(tokenizer_hash: &str, has_mask: bool, sizes: &Sizes) -> Result<Vec<u8>> {
    let hash = from_hex(tokenizer_hash).ok_or_else(|| {
        Error::Shard(format!("the tokenizer hash {tokenizer_hash:?} is not SHA-256"))
    })?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let width = width(usize::try_from(sizes.vocab_size).unwrap_or(usize::MAX)) as u8;
    bytes.extend_from_slice(&[width, u8::from(has_mask), 0, 0]);
    bytes.extend_from_slice(&hash);
    let Sizes { vocab_size, ids, documents, names, weights } = sizes;
    for size in [vocab_size, ids, documents, names, weights] {
        bytes.extend_from_slice(&size.to_le_bytes());
    }
    Ok(bytes)
}

impl Layout {
    /// Reads the header. What it claims is compared with the number of bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < HEADER_BYTES + HASH_BYTES || bytes[..8] != *MAGIC {
            return broken("it does not begin like one");
        }
        let version = number_u32(&bytes[8..12]);
        if version != VERSION {
            return broken(&format!("version {version}; this program reads version {VERSION}"));
        }
        let (width, has_mask) = match bytes[12..16] {
            [width @ (2 | 4), mask @ (0 | 1), 0, 0] => (usize::from(width), mask == 1),
            _ => return broken("its header has unknown settings"),
        };
        let field = |index: usize| number_u64(&bytes[48 + 8 * index..56 + 8 * index]);
        let [vocab_size, ids, documents, names, weights] = std::array::from_fn(field);
        let groups = if weights == 0 { 0 } else { u128::from(documents) * 2 };
        let mask = if has_mask { ids.div_ceil(8) } else { 0 };
        // Sums of products of 64-bit numbers fit in 128 bits: no claim can wrap around.
        let parts = [
            HEADER_BYTES as u128,
            u128::from(ids) * width as u128,
            u128::from(documents) * 8,
            u128::from(mask),
            u128::from(documents) * 4,
            u128::from(names),
            groups,
            u128::from(weights),
        ];
        let claimed = parts.iter().sum::<u128>() + HASH_BYTES as u128;
        if claimed != bytes.len() as u128 {
            let found = bytes.len();
            return broken(&format!("its header speaks of {claimed} bytes and there are {found}"));
        }
        let narrow = vocab_size <= 1 << 16;
        if ids == 0 || documents == 0 || vocab_size > 1 << 31 || (width == 2) != narrow {
            return broken("its header has impossible sizes");
        }
        let mut at = 0;
        let places = parts.map(|part| {
            at += part as usize;
            at
        });
        let [_, ends_at, mask_at, sizes_at, names_at, groups_at, weights_at, checksum_at] = places;
        let tokenizer_hash = bytes[16..48].iter().map(|byte| format!("{byte:02x}")).collect();
        // All are at most the number of bytes at hand, or at most 2^31.
        let [vocab_size, ids, documents] = [vocab_size, ids, documents].map(|n| n as usize);
        Ok(Self {
            width,
            has_mask,
            tokenizer_hash,
            vocab_size,
            ids,
            documents,
            ends_at,
            mask_at,
            sizes_at,
            names_at,
            groups_at,
            weights_at,
            checksum_at,
        })
    }

    /// Checks everything behind the header. `seen` is told which bytes are done with.
    pub(super) fn check(&self, bytes: &[u8], seen: &dyn Fn(Range<usize>)) -> Result<()> {
        let mut hash = Sha256::new();
        for stretch in stretches(0..self.checksum_at) {
            hash.update(&bytes[stretch.clone()]);
            seen(stretch);
        }
        if bytes[self.checksum_at..] != <[u8; HASH_BYTES]>::from(hash.finalize()) {
            return broken("its checksum does not fit; some bytes were changed");
        }
        for stretch in stretches(HEADER_BYTES..self.ends_at) {
            self.check_ids(&bytes[stretch.clone()])?;
            seen(stretch);
        }
        let mut last = 0;
        for index in 0..self.documents {
            let end = number_u64(&bytes[self.ends_at + 8 * index..][..8]);
            if end <= last {
                return broken("its document ends do not rise");
            }
            last = end;
        }
        if last != self.ids as u64 {
            return broken("its document ends do not rise to the number of ids");
        }
        if self.has_mask
            && !self.ids.is_multiple_of(8)
            && bytes[self.sizes_at - 1] >> (self.ids % 8) != 0
        {
            return broken("its mask has bits beyond the last id");
        }
        self.check_names(bytes)
    }

    fn check_ids(&self, ids: &[u8]) -> Result<()> {
        let largest = match self.width {
            2 => ids.chunks_exact(2).map(|id| u32::from(number_u16(id))).max(),
            _ => ids.chunks_exact(4).map(number_u32).max(),
        };
        match largest {
            Some(id) if id as usize >= self.vocab_size => {
                broken(&format!("id {id} in a vocabulary of {}", self.vocab_size))
            }
            _ => Ok(()),
        }
    }

    fn check_names(&self, bytes: &[u8]) -> Result<()> {
        let mut at = self.names_at;
        for index in 0..self.documents {
            let name = bytes[..self.groups_at].get(at..).and_then(|rest| {
                let size = self.name_size(bytes, index);
                rest.get(..size)
            });
            let Some(name) = name else { return broken("the sizes of its names do not add up") };
            if std::str::from_utf8(name).is_err() {
                return broken("a name is not UTF-8");
            }
            at += name.len();
        }
        if at == self.groups_at { Ok(()) } else { broken("the sizes of its names do not add up") }
    }

    /// The weight of each group; none where every document has the weight 1.
    pub(super) fn weights(&self, bytes: &[u8]) -> Result<Vec<MixWeight>> {
        let json = &bytes[self.weights_at..self.checksum_at];
        if json.is_empty() {
            return Ok(Vec::new());
        }
        let weights: Vec<MixWeight> = serde_json::from_slice(json)
            .map_err(|error| Error::Shard(format!("its weights cannot be read: {error}")))?;
        let known = |index| usize::from(self.group(bytes, index)) < weights.len();
        let written = serde_json::to_vec(&weights)? == json;
        match written && (0..self.documents).all(known) {
            true => Ok(weights),
            false => broken("its weights are not as they were written"),
        }
    }

    pub(super) fn id(&self, bytes: &[u8], index: usize) -> u32 {
        assert!(index < self.ids, "id {index} of {}", self.ids);
        let at = HEADER_BYTES + index * self.width;
        match self.width {
            2 => u32::from(number_u16(&bytes[at..at + 2])),
            _ => number_u32(&bytes[at..at + 4]),
        }
    }

    pub(super) fn document_end(&self, bytes: &[u8], index: usize) -> usize {
        assert!(index < self.documents, "document {index} of {}", self.documents);
        // Checked: at most the number of ids.
        number_u64(&bytes[self.ends_at + 8 * index..][..8]) as usize
    }

    pub(super) fn mask_bit(&self, bytes: &[u8], index: usize) -> bool {
        assert!(index < self.ids, "id {index} of {}", self.ids);
        bytes[self.mask_at + index / 8] >> (index % 8) & 1 == 1
    }

    pub(super) fn group(&self, bytes: &[u8], index: usize) -> u16 {
        assert!(index < self.documents, "document {index} of {}", self.documents);
        number_u16(&bytes[self.groups_at + 2 * index..][..2])
    }

    fn name_size(&self, bytes: &[u8], index: usize) -> usize {
        number_u32(&bytes[self.sizes_at + 4 * index..][..4]) as usize
    }

    /// Adds up the sizes before it: names are for messages.
    pub(super) fn document_name<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a str> {
        if index >= self.documents {
            return None;
        }
        let before: usize = (0..index).map(|before| self.name_size(bytes, before)).sum();
        let name = &bytes[self.names_at + before..][..self.name_size(bytes, index)];
        std::str::from_utf8(name).ok()
    }
}

/// `range` in pieces.
fn stretches(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(STRETCH).map(move |start| start..end.min(start + STRETCH))
}

fn broken<T>(found: &str) -> Result<T> {
    Err(Error::Shard(found.to_owned()))
}

fn number_u16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes([bytes[0], bytes[1]])
}

fn number_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
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
