//! Reading a header: the only code that sees bytes nobody has checked.

use std::collections::BTreeMap;

use danlu_kernels::quant::BlockFormat;

use super::value::{Metadata, Value, ValueType, read_str};
use super::{ALIGNMENT_DEFAULT, ALIGNMENT_KEY, FORMAT, Gguf, MAGIC};
use crate::bytes::Source;
use crate::cursor::{Cursor, Phrased};
use crate::{Dtype, ElementType, Error, Result, WeightTensor};

/// Most keys that are read; models have some dozens.
const KEYS_MAX: usize = 1 << 16;
/// Most tensors that are read; models have hundreds, some tens of thousands.
const TENSORS_MAX: usize = 1 << 20;
/// Most dimensions of a tensor, as in ggml.
pub(super) const DIMENSIONS_MAX: usize = 4;
/// Largest alignment that is believed.
const ALIGNMENT_MAX: usize = 1 << 20;
/// The least a key, its type and a value take, and a tensor's line in the table.
const KEY_BYTES_LEAST: usize = 8 + 4 + 1;
const TENSOR_BYTES_LEAST: usize = 8 + 4 + 4 + 8;

/// Types of numbers that are no block format, by their number in the file.
const PLAIN: &[(u32, Dtype)] =
    &[(24, Dtype::I8), (25, Dtype::I16), (26, Dtype::I32), (27, Dtype::I64), (28, Dtype::F64)];

/// The number of a type in the file; none for those that GGUF lacks.
pub(super) fn ggml_type(element: ElementType) -> Option<u32> {
    match (element.block_format(), element) {
        (Some(format), _) => Some(format.ggml_type()),
        (None, ElementType::Plain(dtype)) => {
            PLAIN.iter().find(|row| row.1 == dtype).map(|row| row.0)
        }
        (None, ElementType::Block(_)) => None,
    }
}

/// Types that exist but are not read, by their number in the file.
const UNREAD: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// A line of the table of tensors.
struct Line {
    name: String,
    ggml_type: u32,
    shape: Vec<usize>,
    offset: u64,
    /// Where the line begins, for messages.
    at: usize,
}

/// Reads and checks the header of a whole file.
pub(super) fn read(source: Source) -> Result<Gguf> {
    let damaged = |message| source.damaged(FORMAT, message);
    let mut cursor = Cursor::new(source.as_slice(), 0);
    let version = read_version(&mut cursor, &source)?;
    let (metadata, lines) = read_tables(&mut cursor, &source).map_err(damaged)?;
    let alignment = alignment(&metadata).map_err(damaged)?;
    // The end of the header is within the file, so this cannot overflow.
    let data_start = cursor.at().next_multiple_of(alignment);
    let (mut tensors, mut by_name) = (Vec::new(), BTreeMap::new());
    for line in lines {
        let (name, at) = (line.name.clone(), line.at);
        tensors.push(place(line, data_start, alignment, &source)?);
        if by_name.insert(name.clone(), tensors.len() - 1).is_some() {
            return Err(damaged(format!(
                "two tensors are named `{name}`, the second at byte {at}"
            )));
        }
    }
    check_overlap(&tensors).map_err(damaged)?;
    let tensors = tensors.into_iter().map(|(tensor, _)| tensor).collect();
    Ok(Gguf { source, version, metadata, tensors, by_name })
}

fn read_version(cursor: &mut Cursor<'_>, source: &Source) -> Result<u32> {
    let damaged = |message| source.damaged(FORMAT, message);
    let magic: [u8; 4] = cursor.array("the magic").map_err(damaged)?;
    if magic != *MAGIC {
        return Err(damaged(format!("it begins with {magic:?}, not with `GGUF`")));
    }
    let version = cursor.u32("the version").map_err(damaged)?;
    if matches!(version, 2 | 3) {
        return Ok(version);
    }
    // A big-endian file has the version's byte at the other end.
    let (found, remedy) = if matches!(version.swap_bytes(), 1..=3) {
        ("a big-endian file".to_owned(), "convert it on a little-endian machine")
    } else {
        (format!("GGUF version {version}"), "versions 2 and 3 are read; convert the model again")
    };
    Err(Error::Unsupported { file: source.file.to_string(), found, remedy })
}

/// The metadata and the table of tensors.
fn read_tables(cursor: &mut Cursor<'_>, source: &Source) -> Phrased<(Metadata, Vec<Line>)> {
    let tensor_count = cursor.count(TENSOR_BYTES_LEAST, "the number of tensors")?;
    let key_count = cursor.count(KEY_BYTES_LEAST, "the number of metadata keys")?;
    if tensor_count > TENSORS_MAX || key_count > KEYS_MAX {
        return Err(format!(
            "it claims {tensor_count} tensors and {key_count} metadata keys, at most {TENSORS_MAX} \
             and {KEYS_MAX} are read"
        ));
    }
    let mut metadata = Metadata::new();
    for _ in 0..key_count {
        let at = cursor.at();
        let key = read_str(cursor, "a metadata key")?;
        let kind = ValueType::read(cursor)?;
        let value = Value::read(kind, cursor, &source.bytes)
            .map_err(|message| format!("metadata `{key}`: {message}"))?;
        if metadata.insert(key, value).is_some() {
            return Err(format!("metadata `{key}` is there twice, again at byte {at}"));
        }
    }
    let mut lines = Vec::new();
    for _ in 0..tensor_count {
        lines.push(read_line(cursor)?);
    }
    Ok((metadata, lines))
}

fn read_line(cursor: &mut Cursor<'_>) -> Phrased<Line> {
    let at = cursor.at();
    let name = read_str(cursor, "a tensor's name")?.to_owned();
    let dimensions = cursor.u32("a number of dimensions")? as usize;
    if dimensions > DIMENSIONS_MAX {
        return Err(format!(
            "tensor `{name}` at byte {at} has {dimensions} dimensions, at most {DIMENSIONS_MAX}"
        ));
    }
    let mut shape = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        let dim = cursor.u64("a dimension")?;
        shape.push(usize::try_from(dim).map_err(|_| format!("tensor `{name}`: {dim} numbers"))?);
    }
    shape.reverse();
    let ggml_type = cursor.u32("a tensor's type")?;
    Ok(Line { name, ggml_type, shape, offset: cursor.u64("a tensor's offset")?, at })
}

fn alignment(metadata: &Metadata) -> Phrased<usize> {
    match metadata.get(ALIGNMENT_KEY) {
        None => Ok(ALIGNMENT_DEFAULT),
        Some(Value::U32(alignment))
            if alignment.is_power_of_two() && *alignment as usize <= ALIGNMENT_MAX =>
        {
            Ok(*alignment as usize)
        }
        Some(other) => Err(format!(
            "metadata `{ALIGNMENT_KEY}` is {other:?}, not a U32 power of two up to {ALIGNMENT_MAX}"
        )),
    }
}

/// The tensor of a line and where its bytes begin in the file.
fn place(
    line: Line,
    data_start: usize,
    alignment: usize,
    source: &Source,
) -> Result<(WeightTensor, usize)> {
    let element = element(&line, source)?;
    let Line { name, shape, offset, at, .. } = line;
    let damaged = |problem: String| {
        source.damaged(FORMAT, format!("tensor `{name}` (byte {at} of the header) {problem}"))
    };
    let Some(size) = element.size_bytes(&shape) else {
        return Err(damaged(format!("cannot be {element} {shape:?}")));
    };
    let total = source.as_slice().len();
    let begin = usize::try_from(offset).ok().and_then(|offset| data_start.checked_add(offset));
    let end = begin.and_then(|begin| begin.checked_add(size));
    let (Some(begin), Some(end)) = (begin, end.filter(|end| *end <= total)) else {
        return Err(damaged(format!(
            "has {size} bytes from byte {offset} of the data, which begins at {data_start}; the \
             file has {total}"
        )));
    };
    if !begin.is_multiple_of(alignment) {
        return Err(damaged(format!("lies at byte {offset}, not at a multiple of {alignment}")));
    }
    Ok((WeightTensor::run(source, name, element, shape, begin..end), begin))
}

fn element(line: &Line, source: &Source) -> Result<ElementType> {
    if let Some(format) = BlockFormat::from_ggml_type(line.ggml_type) {
        return Ok(format.into());
    }
    if let Some((_, dtype)) = PLAIN.iter().find(|row| row.0 == line.ggml_type) {
        return Ok((*dtype).into());
    }
    let Some((_, unread)) = UNREAD.iter().find(|row| row.0 == line.ggml_type) else {
        let Line { name, ggml_type, at, .. } = line;
        let message = format!("tensor `{name}` (byte {at}) has the unknown type {ggml_type}");
        return Err(source.damaged(FORMAT, message));
    };
    Err(Error::Unsupported {
        file: source.file.to_string(),
        found: format!("tensor `{}` has the type {unread}, which is not read here", line.name),
        remedy: "quantise the model anew to a type that `danlu quantize --help` lists",
    })
}

/// No byte belongs to two tensors: a small file cannot claim to be a large model.
fn check_overlap(tensors: &[(WeightTensor, usize)]) -> Phrased<()> {
    let filled = tensors.iter().filter(|(tensor, _)| !tensor.is_empty());
    let mut ordered: Vec<_> = filled.collect();
    ordered.sort_by_key(|(_, begin)| *begin);
    for pair in ordered.windows(2) {
        let [(first, begin), (second, next)] = [pair[0], pair[1]];
        if begin + first.size_bytes() > *next {
            let (first, second) = (first.name(), second.name());
            return Err(format!("tensors `{first}` and `{second}` overlap at byte {next}"));
        }
    }
    Ok(())
}
