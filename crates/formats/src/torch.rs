//! PyTorch files (`.bin`, `.pt`, `.pth`): a pickle that says where tensors lie, and their bytes.
//!
//! Two layouts: an uncompressed zip archive (since PyTorch 1.6) and pickles followed by raw
//! storages. In both the pickle is read by a machine that can build nothing but plain values (see
//! `pickle`), so a file cannot make us do anything. Tensors are views of storages: offsets, strides
//! and shared storages are honoured. They are named by their path through dictionaries and lists,
//! joined by dots; what is no tensor (an epoch, settings) is not kept.

mod allowed;
mod legacy;
mod opcodes;
mod pickle;
mod zip;

use std::ops::Range;

use self::allowed::TensorSpec;
use self::pickle::{Machine, Read, Value};
use crate::bytes::Source;
use crate::cursor::Phrased;
use crate::{ElementType, Error, Result, WeightTensor};

/// The format's name in messages.
const FORMAT: &str = "PyTorch";
/// How an archive begins.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// The entry that holds the pickle, behind the archive's name.
const PICKLE_ENTRY: &str = "/data.pkl";
/// Deepest nesting of dictionaries and lists.
const DEPTH_MAX: usize = 32;
/// What a named tensor costs in memory beside its name, about.
const TENSOR_BYTES: usize = 256;

/// Whether a file begins like a PyTorch file.
pub(crate) fn fits(bytes: &[u8]) -> bool {
    bytes.starts_with(ZIP_MAGIC) || legacy::fits(bytes)
}

/// The tensors of a whole file.
pub(crate) fn read(source: &Source) -> Result<Vec<WeightTensor>> {
    if legacy::fits(source.as_slice()) { legacy::read(source) } else { read_zip(source) }
}

fn read_zip(source: &Source) -> Result<Vec<WeightTensor>> {
    let damaged = |message: String| source.damaged(FORMAT, message);
    let bytes = source.as_slice();
    let entries = zip::entries(bytes).map_err(damaged)?;
    let is_pickle = |name: &str| name.find('/').is_some_and(|at| &name[at..] == PICKLE_ENTRY);
    let mut pickles = entries.iter().filter(|(name, _)| is_pickle(name));
    let (Some((name, range)), None) = (pickles.next(), pickles.next()) else {
        return Err(damaged("it has not exactly one entry `NAME/data.pkl`".to_owned()));
    };
    let prefix = name.trim_end_matches(PICKLE_ENTRY);
    if let Some(order) = entries.get(format!("{prefix}/byteorder").as_str())
        && &bytes[order.clone()] != b"little"
    {
        return Err(Error::Unsupported {
            file: source.file.to_string(),
            found: "its numbers are big-endian".to_owned(),
            remedy: "save it again on a little-endian machine",
        });
    }
    let file = format!("{}:{name}", source.file);
    let pickle = &bytes[range.clone()];
    let Read { mut machine, value, end } = pickle::read(&file, pickle, 0)?;
    if end != pickle.len() {
        return Err(damaged(format!("{} bytes follow the pickle", pickle.len() - end)));
    }
    let specs = collect(&mut machine, value, source)?;
    let find = |key: &str| entries.get(format!("{prefix}/data/{key}").as_str()).cloned();
    specs.into_iter().map(|named| place(named, &machine, &find, source)).collect()
}

/// Every tensor of a value with its path.
fn collect(
    machine: &mut Machine<'_>,
    value: Value<'_>,
    source: &Source,
) -> Result<Vec<(String, TensorSpec)>> {
    let mut out = Vec::new();
    let damaged = |message| source.damaged(FORMAT, message);
    walk(machine, value, &mut Vec::new(), &mut out).map_err(damaged)?;
    Ok(out)
}

fn walk(
    machine: &mut Machine<'_>,
    value: Value<'_>,
    path: &mut Vec<String>,
    out: &mut Vec<(String, TensorSpec)>,
) -> Phrased<()> {
    if let Some(spec) = machine.tensor(value) {
        let (spec, name) = (spec.clone(), path.join("."));
        machine.charge(TENSOR_BYTES + name.len())?;
        out.push((name, spec));
        return Ok(());
    }
    if path.len() == DEPTH_MAX {
        return Err(format!("its dictionaries and lists are more than {DEPTH_MAX} deep"));
    }
    let mut index = 0;
    while let Some((key, value)) = item(machine, value, index) {
        let key = key.unwrap_or(Value::Int(index as i64));
        index += 1;
        if !matches!(value, Value::Node(_)) {
            continue;
        }
        if let Value::Text(text) = key {
            machine.charge(text.len())?;
        }
        path.push(key_text(key)?);
        machine.charge(TENSOR_BYTES)?;
        walk(machine, value, path, out)?;
        path.pop();
    }
    Ok(())
}

/// An item of a container, with its key if that is a dictionary.
fn item<'a>(
    machine: &Machine<'a>,
    container: Value<'a>,
    index: usize,
) -> Option<(Option<Value<'a>>, Value<'a>)> {
    if let Some(pairs) = machine.dict(container) {
        return pairs.get(index).map(|(key, value)| (Some(*key), *value));
    }
    let items = machine.list(container).or_else(|| machine.tuple(container))?;
    items.get(index).map(|value| (None, *value))
}

fn key_text(key: Value<'_>) -> Phrased<String> {
    match key {
        Value::Text(text) => Ok(text.to_owned()),
        Value::Int(number) => Ok(number.to_string()),
        other => Err(format!("a dictionary has the key {other:?}, neither text nor number")),
    }
}

/// The tensor of a description, after a check that it lies in its storage; `find` gives a
/// storage's place in the file.
fn place(
    (name, spec): (String, TensorSpec),
    machine: &Machine<'_>,
    find: &impl Fn(&str) -> Option<Range<usize>>,
    source: &Source,
) -> Result<WeightTensor> {
    let storage = machine.storage(spec.storage);
    let TensorSpec { dtype, offset, shape, strides, .. } = spec;
    let damaged = |problem: String| source.damaged(FORMAT, format!("tensor `{name}` {problem}"));
    let Some(range) = find(storage.key) else {
        return Err(damaged(format!("lies in storage `{}`, which is missing", storage.key)));
    };
    let storage_size = storage.dtype.map_or(1, crate::Dtype::size_bytes);
    let begin = storage.begin.checked_mul(storage_size);
    let needed = storage.begin.checked_add(storage.len).and_then(|n| n.checked_mul(storage_size));
    let fits = storage.dtype.is_none_or(|stored| stored == dtype)
        && needed.is_some_and(|needed| needed <= range.len());
    let (true, Some(begin)) = (fits, begin) else {
        return Err(damaged(format!(
            "is {dtype:?} in storage `{}` of {} elements of {:?}, which has {} bytes at byte {}",
            storage.key,
            storage.len,
            storage.dtype,
            range.len(),
            range.start
        )));
    };
    let len = shape.iter().try_fold(1_usize, |len, dim| len.checked_mul(*dim));
    let last = last_element(offset, &shape, &strides);
    let storage_len = storage.len * storage_size / dtype.size_bytes();
    let (Some(len), Some(last)) = (len, last) else {
        return Err(damaged(format!("cannot be {shape:?} with strides {strides:?}")));
    };
    if len > 0 && (last >= storage_len || len > storage_len) {
        return Err(damaged(format!(
            "{shape:?} with strides {strides:?} from element {offset} is more than the \
             {storage_len} elements of storage `{}` (an expanded tensor must be saved contiguous)",
            storage.key
        )));
    }
    let first =
        if len == 0 { range.start } else { range.start + begin + offset * dtype.size_bytes() };
    let element = ElementType::from(dtype);
    Ok(WeightTensor::strided(source, name, element, shape, (first, strides)))
}

/// The highest element of a view that is not empty; none when it overflows.
fn last_element(offset: usize, shape: &[usize], strides: &[usize]) -> Option<usize> {
    shape.iter().zip(strides).try_fold(offset, |last, (dim, stride)| {
        last.checked_add(dim.saturating_sub(1).checked_mul(*stride)?)
    })
}
