//! What the tests on bad input share: seeds, mutations, and small files made by hand.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::{Path, PathBuf};

use danlu_formats::{Error, Weights};

/// Files that the reference libraries wrote, one and more of each format.
pub(crate) const SEEDS: &[&str] = &[
    "model.gguf",
    "dtypes.pt",
    "views.pth",
    "nested.bin",
    "protocol4.pt",
    "legacy.pth",
    "legacy_module.pth",
    "dtypes.safetensors",
];

pub(crate) fn golden(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/formats/files").join(file)
}

pub(crate) fn seed(file: &str) -> Vec<u8> {
    std::fs::read(golden(file)).unwrap()
}

/// Reads all there is to read, as a loader would; the number of tensors.
pub(crate) fn read_all(bytes: Vec<u8>) -> Result<usize, Error> {
    let len = bytes.len();
    let weights = Weights::from_bytes("hostile", bytes)?;
    for tensor in weights.tensors() {
        assert!(tensor.size_bytes() <= len, "{tensor:?} is larger than its file");
        assert_eq!(tensor.bytes().len(), tensor.size_bytes(), "{tensor:?}");
        // Errors for types that are not floats or not integers, never a panic.
        let _ = (tensor.to_f32(), tensor.to_i64());
        if let Ok(matrix) = tensor.matrix() {
            assert_eq!(matrix.bytes().len(), tensor.size_bytes(), "{tensor:?}");
        }
    }
    for (_, value) in weights.gguf().iter().flat_map(|gguf| gguf.metadata().iter()) {
        if let danlu_formats::gguf::Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len(), "elements that were checked");
        }
    }
    Ok(weights.tensors().len())
}

/// Numbers that look random and are the same at every run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Numbers at which checks go wrong.
const EDGES: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    1 << 40,
    1 << 62,
    u64::MAX / 2,
    u64::MAX - 31,
    u64::MAX,
];

/// Changes one place in one of many ways.
pub(crate) fn mutate(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    if bytes.is_empty() {
        return bytes.push(random.next() as u8);
    }
    let at = random.below(bytes.len());
    let len = random.below(1 + (bytes.len() - at).min(64));
    match random.below(9) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.next() as u8,
        2 | 3 => {
            let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
            let edge = EDGES[random.below(EDGES.len())].to_le_bytes();
            bytes[at..at + width].copy_from_slice(&edge[..width]);
        }
        4 => bytes[at] = bytes[at].wrapping_add([1, 255][random.below(2)]),
        5 => drop(bytes.drain(at..at + len)),
        6 => {
            let copy = bytes[at..at + len].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        7 => {
            let from = random.below(other.len());
            let piece = &other[from..(from + len).min(other.len())];
            bytes.splice(at..at, piece.iter().copied());
        }
        _ => bytes.truncate(at),
    }
}

/// A GGUF made by hand: what a writer would never write.
#[derive(Clone)]
pub(crate) struct HandMadeGguf {
    pub(crate) version: u32,
    pub(crate) key_count: u64,
    pub(crate) keys: Vec<u8>,
    pub(crate) tensor_count: u64,
    pub(crate) lines: Vec<u8>,
    pub(crate) data_len: usize,
}

impl HandMadeGguf {
    pub(crate) fn new() -> Self {
        let (keys, lines) = (Vec::new(), Vec::new());
        Self { version: 3, key_count: 0, keys, tensor_count: 0, lines, data_len: 0 }
    }

    pub(crate) fn key(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.key_count += 1;
        self.keys.extend(text(key));
        self.keys.extend(kind.to_le_bytes());
        self.keys.extend(value);
        self
    }

    pub(crate) fn tensor(mut self, name: &str, dims: &[u64], ggml_type: u32, offset: u64) -> Self {
        self.tensor_count += 1;
        self.lines.extend(text(name));
        self.lines.extend((dims.len() as u32).to_le_bytes());
        self.lines.extend(dims.iter().flat_map(|dim| dim.to_le_bytes()));
        self.lines.extend(ggml_type.to_le_bytes());
        self.lines.extend(offset.to_le_bytes());
        self
    }

    pub(crate) fn data(self, data_len: usize) -> Self {
        Self { data_len, ..self }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.key_count.to_le_bytes());
        bytes.extend(&self.keys);
        bytes.extend(&self.lines);
        bytes.resize(bytes.len().next_multiple_of(32) + self.data_len, 0);
        bytes
    }
}

/// A string as GGUF has it.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A file of the older PyTorch layout around a pickle made by hand, without `PROTO` and `STOP`.
pub(crate) fn legacy(pickle: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend(b"\x80\x02M\xe9\x03.");
    bytes.extend(b"\x80\x02}.");
    for part in [pickle, keys] {
        bytes.extend(b"\x80\x02");
        bytes.extend(part);
        bytes.push(b'.');
    }
    bytes.extend(storages);
    bytes
}

/// The opcodes of a tensor in storage "0" of two f32; size and stride are opcodes of tuples.
pub(crate) fn tensor_opcodes(offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut out = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
    out.extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x02NtQK");
    out.push(offset);
    out.extend(size);
    out.extend(stride);
    out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    out
}

/// The list of storages of [`tensor_opcodes`], and their bytes.
pub(crate) const ONE_STORAGE: (&[u8], &[u8]) =
    (b"]X\x01\0\0\x000a", b"\x02\0\0\0\0\0\0\0\0\0\x80\x3f\0\0\0\x40");
