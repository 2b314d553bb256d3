//! The layout before PyTorch 1.6: five pickles, then the storages one after the other.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pickle::{self, Read, Value};
use super::{FORMAT, collect, place};
use crate::bytes::Source;
use crate::cursor::{Cursor, Phrased};
use crate::{Result, WeightTensor};

/// The first pickle: 0x1950a86a20f9469cfc6c, little-endian.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// The second pickle.
const PROTOCOL: i64 = 1001;

/// Whether a file begins like this: a pickle of protocol 2 with the magic number.
pub(super) fn fits(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x80\x02\x8a\x0a") && bytes[4..].starts_with(&MAGIC)
}

/// The tensors of a whole file.
pub(super) fn read(source: &Source) -> Result<Vec<WeightTensor>> {
    let (file, bytes) = (&*source.file, source.as_slice());
    let damaged = |message: String| source.damaged(FORMAT, message);
    let magic = pickle::read(file, bytes, 0)?;
    let protocol = pickle::read(file, bytes, magic.end)?;
    if magic.value != Value::Long(&MAGIC) || protocol.value != Value::Int(PROTOCOL) {
        let (magic, protocol) = (magic.value, protocol.value);
        return Err(damaged(format!("it begins with {magic:?} and protocol {protocol:?}")));
    }
    // What machine wrote it; its byte order is checked by the numbers that follow.
    let system = pickle::read(file, bytes, protocol.end)?;
    let Read { mut machine, value, end } = pickle::read(file, bytes, system.end)?;
    let keys = pickle::read(file, bytes, end)?;
    let specs = collect(&mut machine, value, source)?;
    // Bytes per element by key; every storage of a key has one type.
    let mut sizes = BTreeMap::new();
    for storage in machine.storages() {
        let size = storage.dtype.map_or(1, crate::Dtype::size_bytes);
        if sizes.insert(storage.key, size).is_some_and(|other| other != size) {
            return Err(damaged(format!("storage `{}` has two element types", storage.key)));
        }
    }
    let places = places(&keys, &sizes, bytes).map_err(damaged)?;
    let find = |key: &str| places.get(key).cloned();
    specs.into_iter().map(|named| place(named, &machine, &find, source)).collect()
}

/// Where each storage lies: the listed keys have, in order, a count of elements and these.
fn places<'a>(
    keys: &Read<'a>,
    sizes: &BTreeMap<&str, usize>,
    bytes: &[u8],
) -> Phrased<BTreeMap<&'a str, Range<usize>>> {
    let mut cursor = Cursor::new(bytes, keys.end);
    let mut places = BTreeMap::new();
    for key in keys.machine.list(keys.value).ok_or("its list of storages is none")? {
        let Value::Text(key) = *key else {
            return Err("its list of storages holds what is no key".to_owned());
        };
        let Some(size) = sizes.get(key) else {
            return Err(format!("storage `{key}` belongs to no tensor"));
        };
        let len = cursor.count(*size, "a storage's length")?;
        let start = cursor.at();
        cursor.take(len * size, "a storage")?;
        if places.insert(key, start..cursor.at()).is_some() {
            return Err(format!("storage `{key}` is listed twice"));
        }
    }
    match cursor.left() {
        0 => Ok(places),
        left => Err(format!("{left} bytes follow the last storage")),
    }
}
