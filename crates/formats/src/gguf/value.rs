//! Metadata: keys with values of a few types, in the order of the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::bytes::Bytes;
use crate::cursor::{Cursor, Phrased};

/// Arrays of arrays of arrays ... are read to this depth.
const DEPTH_MAX: usize = 4;

/// The type of a value, by its number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Unsigned, 16 bits.
    U16,
    /// Signed, 16 bits.
    I16,
    /// Unsigned, 32 bits.
    U32,
    /// Signed, 32 bits.
    I32,
    /// 32-bit float.
    F32,
    /// A byte that is 0 or 1.
    Bool,
    /// UTF-8 text.
    String,
    /// Values of one type.
    Array,
    /// Unsigned, 64 bits.
    U64,
    /// Signed, 64 bits.
    I64,
    /// 64-bit float.
    F64,
}

/// Every type with its bytes (the least it can have, where that varies), in the order of their
/// numbers.
const VALUE_TYPES: &[(ValueType, usize)] = &[
    (ValueType::U8, 1),
    (ValueType::I8, 1),
    (ValueType::U16, 2),
    (ValueType::I16, 2),
    (ValueType::U32, 4),
    (ValueType::I32, 4),
    (ValueType::F32, 4),
    (ValueType::Bool, 1),
    (ValueType::String, 8),
    (ValueType::Array, 12),
    (ValueType::U64, 8),
    (ValueType::I64, 8),
    (ValueType::F64, 8),
];

/// A value. Cloning an array shares its bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Unsigned, 8 bits.
    U8(u8),
    /// Signed, 8 bits.
    I8(i8),
    /// Unsigned, 16 bits.
    U16(u16),
    /// Signed, 16 bits.
    I16(i16),
    /// Unsigned, 32 bits.
    U32(u32),
    /// Signed, 32 bits.
    I32(i32),
    /// 32-bit float.
    F32(f32),
    /// True or false.
    Bool(bool),
    /// Text.
    String(String),
    /// Values of one type.
    Array(Array),
    /// Unsigned, 64 bits.
    U64(u64),
    /// Signed, 64 bits.
    I64(i64),
    /// 64-bit float.
    F64(f64),
}

/// Values of one type as they lie in the file: a vocabulary is not copied.
#[derive(Clone, Debug)]
pub struct Array {
    element: ValueType,
    len: usize,
    bytes: Arc<Bytes>,
    range: Range<usize>,
}

impl ValueType {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Phrased<Self> {
        let at = cursor.at();
        let number = cursor.u32("a value's type")?;
        let row = usize::try_from(number).ok().and_then(|index| VALUE_TYPES.get(index));
        row.map(|row| row.0)
            .ok_or_else(|| format!("the value type {number} at byte {at} does not exist"))
    }

    fn least_bytes(self) -> usize {
        VALUE_TYPES[self as usize].1
    }
}

/// A string of the file.
pub(super) fn read_str<'a>(cursor: &mut Cursor<'a>, what: &str) -> Phrased<&'a str> {
    let at = cursor.at();
    let len = cursor.count(1, what)?;
    std::str::from_utf8(cursor.take(len, what)?)
        .map_err(|_| format!("{what} at byte {at} is not UTF-8"))
}

impl Value {
    /// Reads a value of this type; the cursor's `bytes` are shared with its arrays.
    pub(super) fn read(
        kind: ValueType,
        cursor: &mut Cursor<'_>,
        bytes: &Arc<Bytes>,
    ) -> Phrased<Self> {
        const WHAT: &str = "a value";
        let value = match kind {
            ValueType::U8 => Self::U8(cursor.u8(WHAT)?),
            ValueType::I8 => Self::I8(cursor.u8(WHAT)?.cast_signed()),
            ValueType::U16 => Self::U16(cursor.u16(WHAT)?),
            ValueType::I16 => Self::I16(cursor.u16(WHAT)?.cast_signed()),
            ValueType::U32 => Self::U32(cursor.u32(WHAT)?),
            ValueType::I32 => Self::I32(cursor.u32(WHAT)?.cast_signed()),
            ValueType::F32 => Self::F32(f32::from_bits(cursor.u32(WHAT)?)),
            ValueType::U64 => Self::U64(cursor.u64(WHAT)?),
            ValueType::I64 => Self::I64(cursor.u64(WHAT)?.cast_signed()),
            ValueType::F64 => Self::F64(f64::from_bits(cursor.u64(WHAT)?)),
            ValueType::Bool => Self::Bool(read_bool(cursor)?),
            ValueType::String => Self::String(read_str(cursor, WHAT)?.to_owned()),
            ValueType::Array => Self::Array(Array::read(cursor, bytes)?),
        };
        Ok(value)
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> ValueType {
        match self {
            Self::U8(_) => ValueType::U8,
            Self::I8(_) => ValueType::I8,
            Self::U16(_) => ValueType::U16,
            Self::I16(_) => ValueType::I16,
            Self::U32(_) => ValueType::U32,
            Self::I32(_) => ValueType::I32,
            Self::F32(_) => ValueType::F32,
            Self::Bool(_) => ValueType::Bool,
            Self::String(_) => ValueType::String,
            Self::Array(_) => ValueType::Array,
            Self::U64(_) => ValueType::U64,
            Self::I64(_) => ValueType::I64,
            Self::F64(_) => ValueType::F64,
        }
    }

    /// The value of any integer type, if it is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::U64(value) => Some(value),
            Self::I8(value) => value.try_into().ok(),
            Self::I16(value) => value.try_into().ok(),
            Self::I32(value) => value.try_into().ok(),
            Self::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The value of any number type, as near as f64 has it.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            Self::I8(value) => Some(value.into()),
            Self::I16(value) => Some(value.into()),
            Self::I32(value) => Some(value.into()),
            Self::I64(value) => Some(value as f64),
            _ => self.as_u64().map(|value| value as f64),
        }
    }

    /// Its bytes in a file, without its type.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::U8(value) => out.push(*value),
            Self::I8(value) => out.push(value.cast_unsigned()),
            Self::U16(value) => out.extend(value.to_le_bytes()),
            Self::I16(value) => out.extend(value.to_le_bytes()),
            Self::U32(value) => out.extend(value.to_le_bytes()),
            Self::I32(value) => out.extend(value.to_le_bytes()),
            Self::F32(value) => out.extend(value.to_le_bytes()),
            Self::Bool(value) => out.push(u8::from(*value)),
            Self::String(value) => write_str(value, out),
            Self::Array(value) => {
                out.extend((value.element as u32).to_le_bytes());
                out.extend((value.len as u64).to_le_bytes());
                out.extend(value.raw());
            }
            Self::U64(value) => out.extend(value.to_le_bytes()),
            Self::I64(value) => out.extend(value.to_le_bytes()),
            Self::F64(value) => out.extend(value.to_le_bytes()),
        }
    }
}

pub(super) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn read_bool(cursor: &mut Cursor<'_>) -> Phrased<bool> {
    let at = cursor.at();
    match cursor.u8("a boolean")? {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(format!("the boolean at byte {at} is {byte}")),
    }
}

impl Array {
    /// Reads an array's type, length and, to check them, elements.
    fn read(cursor: &mut Cursor<'_>, bytes: &Arc<Bytes>) -> Phrased<Self> {
        let (element, len, range) = skip_array(cursor, DEPTH_MAX)?;
        Ok(Self { element, len, bytes: bytes.clone(), range })
    }

    /// An array of elements that are written as they are in a file.
    fn of(element: ValueType, len: usize, bytes: Vec<u8>) -> Self {
        let range = 0..bytes.len();
        Self { element, len, bytes: Arc::new(Bytes::Owned(bytes)), range }
    }

    /// An array of strings.
    pub fn of_strings<S: AsRef<str>>(strings: impl IntoIterator<Item = S>) -> Self {
        let (mut bytes, mut len) = (Vec::new(), 0);
        for text in strings {
            write_str(text.as_ref(), &mut bytes);
            len += 1;
        }
        Self::of(ValueType::String, len, bytes)
    }

    /// An array of 32-bit floats.
    #[must_use]
    pub fn of_f32(values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::of(ValueType::F32, values.len(), bytes)
    }

    /// An array of signed 32-bit integers.
    #[must_use]
    pub fn of_i32(values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::of(ValueType::I32, values.len(), bytes)
    }

    /// An array of unsigned 32-bit integers.
    #[must_use]
    pub fn of_u32(values: &[u32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self::of(ValueType::U32, values.len(), bytes)
    }

    /// The type of its elements.
    #[must_use]
    pub fn element(&self) -> ValueType {
        self.element
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its elements, read one by one.
    pub fn iter(&self) -> impl Iterator<Item = Value> + '_ {
        let mut cursor = Cursor::new(self.whole(), self.range.start);
        // They were checked when the array was read, so reading them again does not fail.
        (0..self.len).map_while(move |_| Value::read(self.element, &mut cursor, &self.bytes).ok())
    }

    /// The elements of an array of strings, borrowed; none for other arrays.
    #[must_use]
    pub fn strings(&self) -> Option<impl Iterator<Item = &str> + '_> {
        let mut cursor = Cursor::new(self.whole(), self.range.start);
        let strings =
            (0..self.len).map_while(move |_| read_str(&mut cursor, "an array's string").ok());
        (self.element == ValueType::String).then_some(strings)
    }

    /// The elements of an array of numbers, as near as f32 has them; none for other arrays.
    #[must_use]
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        self.iter().map(|value| value.as_f64().map(|value| value as f32)).collect()
    }

    /// The elements of an array of integers that fit 64 signed bits; none for other arrays.
    #[must_use]
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        let integer = |value: Value| match value {
            Value::I8(value) => Some(value.into()),
            Value::I16(value) => Some(value.into()),
            Value::I32(value) => Some(value.into()),
            Value::I64(value) => Some(value),
            other => other.as_u64()?.try_into().ok(),
        };
        self.iter().map(integer).collect()
    }

    fn whole(&self) -> &[u8] {
        (*self.bytes).as_ref()
    }

    /// The bytes of its elements.
    fn raw(&self) -> &[u8] {
        &self.whole()[self.range.clone()]
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.element == other.element && self.len == other.len && self.raw() == other.raw()
    }
}

/// Steps over an array and checks it: its element type, its length, where its elements lie.
fn skip_array(cursor: &mut Cursor<'_>, depth: usize) -> Phrased<(ValueType, usize, Range<usize>)> {
    const WHAT: &str = "an array's length";
    let at = cursor.at();
    if depth == 0 {
        return Err(format!("the array at byte {at} lies in {DEPTH_MAX} others"));
    }
    let element = ValueType::read(cursor)?;
    let len = cursor.count(element.least_bytes(), WHAT)?;
    let start = cursor.at();
    match element {
        ValueType::String => {
            for _ in 0..len {
                read_str(cursor, "an array's string")?;
            }
        }
        ValueType::Array => {
            for _ in 0..len {
                skip_array(cursor, depth - 1)?;
            }
        }
        ValueType::Bool => {
            for _ in 0..len {
                read_bool(cursor)?;
            }
        }
        // The count was checked against the bytes there are.
        _ => {
            cursor.take(len * element.least_bytes(), "an array")?;
        }
    }
    Ok((element, len, start..cursor.at()))
}

/// All keys and values of a file, in its order; no key is there twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metadata {
    entries: Vec<(String, Value)>,
    by_key: BTreeMap<String, usize>,
}

impl Metadata {
    /// No keys.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.by_key.get(key).map(|&index| &self.entries[index].1)
    }

    /// Sets a key, at the end if it is new; gives back what it was before.
    pub fn insert(&mut self, key: &str, value: Value) -> Option<Value> {
        if let Some(&index) = self.by_key.get(key) {
            return Some(std::mem::replace(&mut self.entries[index].1, value));
        }
        self.by_key.insert(key.to_owned(), self.entries.len());
        self.entries.push((key.to_owned(), value));
        None
    }

    /// Every key with its value, in the order of the file.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }
}
