//! The values of a page, one at a time, in every encoding that is in use.

use super::bits::{Deltas, Runs, Slice};
use super::schema::Physical;
use super::thrift::Result;

/// A value as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw {
    Bool(bool),
    Int(i64),
    Float(f32),
    Double(f64),
    Bytes(Vec<u8>),
}

/// The distinct values of a column.
pub(super) struct Dictionary {
    data: Slice,
    physical: Physical,
    /// Where each begins, for those of unequal lengths.
    starts: Vec<u32>,
}

impl Dictionary {
    pub(super) fn new(data: Slice, physical: Physical) -> Result<Self> {
        let (mut starts, mut rest) = (Vec::new(), data.clone());
        while physical == Physical::Bytes && !rest.rest().is_empty() {
            let start = data.rest().len() - rest.rest().len();
            starts.push(u32::try_from(start).map_err(|_| "a dictionary of more than 4 GiB")?);
            let length = rest.length()?;
            rest.take(length)?;
        }
        Ok(Self { data, physical, starts })
    }

    fn get(&self, index: u64) -> Result<Raw> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let start = match width(self.physical) {
            Some(width) => index.checked_mul(width),
            None => self.starts.get(index).map(|&start| start as usize),
        };
        let mut data = self.data.clone();
        let missing = || format!("value {index} of a dictionary that does not have it");
        data.take(start.ok_or_else(missing)?).map_err(|_| missing())?;
        plain(&mut data, self.physical)
    }
}

fn width(physical: Physical) -> Option<usize> {
    match physical {
        Physical::Int32 | Physical::Float => Some(4),
        Physical::Int64 | Physical::Double => Some(8),
        Physical::Int96 => Some(12),
        Physical::Fixed(width) => Some(width),
        Physical::Bool | Physical::Bytes => None,
    }
}

fn plain(data: &mut Slice, physical: Physical) -> Result<Raw> {
    Ok(match physical {
        Physical::Int32 => Raw::Int(i32::from_le_bytes(data.array()?).into()),
        Physical::Int64 => Raw::Int(i64::from_le_bytes(data.array()?)),
        Physical::Float => Raw::Float(f32::from_le_bytes(data.array()?)),
        Physical::Double => Raw::Double(f64::from_le_bytes(data.array()?)),
        Physical::Int96 => Raw::Bytes(data.take(12)?.rest().to_vec()),
        Physical::Fixed(width) => Raw::Bytes(data.take(width)?.rest().to_vec()),
        Physical::Bytes => {
            let length = data.length()?;
            Raw::Bytes(data.take(length)?.rest().to_vec())
        }
        Physical::Bool => return Err("a dictionary of truth values".to_owned()),
    })
}

/// The values of a page.
pub(super) enum Values {
    Plain(Slice),
    Bools(Runs),
    Indices(Runs),
    Deltas(Deltas),
    Lengths(Deltas, Slice),
    Prefixes { shared: Deltas, lengths: Deltas, data: Slice, last: Vec<u8> },
    Split { data: Slice, count: usize, at: usize },
}

impl Values {
    pub(super) fn new(encoding: i64, mut data: Slice, physical: Physical) -> Result<Self> {
        let is_bytes = matches!(physical, Physical::Bytes | Physical::Fixed(_));
        Ok(match encoding {
            // Bits of truth values are one packed group.
            0 if physical == Physical::Bool => Self::Bools(packed(&data)?),
            0 => Self::Plain(data),
            2 | 8 => {
                // A page of nothing but nulls may be empty.
                let width = if data.rest().is_empty() { [0] } else { data.array()? };
                Self::Indices(Runs::new(data, width[0].into())?)
            }
            3 if physical == Physical::Bool => {
                let length = data.length()?;
                Self::Bools(Runs::new(data.take(length)?, 1)?)
            }
            5 if matches!(physical, Physical::Int32 | Physical::Int64) => {
                Self::Deltas(Deltas::new(data)?)
            }
            6 if is_bytes => {
                let lengths = Deltas::new(data)?;
                let data = lengths.after()?;
                Self::Lengths(lengths, data)
            }
            7 if is_bytes => {
                let shared = Deltas::new(data)?;
                let lengths = Deltas::new(shared.after()?)?;
                let data = lengths.after()?;
                Self::Prefixes { shared, lengths, data, last: Vec::new() }
            }
            9 if width(physical).is_some() => {
                let count = data.rest().len() / width(physical).unwrap_or(1);
                Self::Split { data, count, at: 0 }
            }
            other => return Err(format!("encoding {other} of {physical:?}")),
        })
    }

    pub(super) fn next(
        &mut self,
        physical: Physical,
        dictionary: Option<&Dictionary>,
    ) -> Result<Raw> {
        let length = |value: i64| usize::try_from(value).map_err(|_| "a length below nothing");
        match self {
            Self::Plain(data) => plain(data, physical),
            Self::Bools(runs) => Ok(Raw::Bool(runs.next()? == 1)),
            Self::Indices(runs) => {
                dictionary.ok_or("a page without its dictionary")?.get(runs.next()?)
            }
            Self::Deltas(deltas) if physical == Physical::Int32 =>
            {
                #[allow(clippy::cast_possible_truncation)]
                Ok(Raw::Int(i64::from(deltas.next()? as i32)))
            }
            Self::Deltas(deltas) => Ok(Raw::Int(deltas.next()?)),
            Self::Lengths(lengths, data) => {
                Ok(Raw::Bytes(data.take(length(lengths.next()?)?)?.rest().to_vec()))
            }
            Self::Prefixes { shared, lengths, data, last } => {
                let (shared, own) = (length(shared.next()?)?, length(lengths.next()?)?);
                if shared > last.len() {
                    return Err("a value shares more than there is".to_owned());
                }
                last.truncate(shared);
                last.extend_from_slice(data.take(own)?.rest());
                Ok(Raw::Bytes(last.clone()))
            }
            Self::Split { data, count, at } => {
                if at == count {
                    return Err("fewer values than its page says".to_owned());
                }
                let bytes: Vec<u8> = data.rest()[*at..].iter().step_by(*count).copied().collect();
                *at += 1;
                plain(&mut Slice::new(bytes), physical)
            }
        }
    }
}

/// Bits without the heads of runs.
fn packed(data: &Slice) -> Result<Runs> {
    let mut head = ((data.rest().len() as u64) << 1) | 1;
    let mut bytes = Vec::with_capacity(data.rest().len() + 10);
    while head >= 0x80 {
        bytes.push(u8::try_from(head & 0x7f).unwrap_or(0) | 0x80);
        head >>= 7;
    }
    bytes.push(u8::try_from(head).unwrap_or(0));
    bytes.extend_from_slice(data.rest());
    Runs::new(Slice::new(bytes), 1)
}
