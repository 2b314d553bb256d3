//! The table of contents of a zip archive whose entries are stored, not compressed
//! (<https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT>). Nothing is unpacked: an entry
//! is a range of the file.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::cursor::{Cursor, Phrased};

const END: u32 = 0x0605_4b50;
const END_BYTES: usize = 22;
const END64: u32 = 0x0606_4b50;
const LOCATOR64: u32 = 0x0706_4b50;
const LOCATOR64_BYTES: usize = 20;
const CENTRAL: u32 = 0x0201_4b50;
const CENTRAL_BYTES: usize = 46;
const LOCAL: u32 = 0x0403_4b50;
const COMMENT_BYTES_MAX: usize = 65_535;
/// The kind of extra field that holds sizes of 64 bits.
const EXTRA64: u16 = 1;
const ENCRYPTED: u16 = 1;

/// Entries by name, each where its bytes lie in the file; an error is a phrase about the file.
pub(super) fn entries(bytes: &[u8]) -> Phrased<BTreeMap<&str, Range<usize>>> {
    let (start, count) = directory(bytes)?;
    let mut cursor = Cursor::new(bytes, start);
    if count.checked_mul(CENTRAL_BYTES).is_none_or(|least| least > cursor.left()) {
        return Err(format!("its directory at byte {start} claims {count} entries"));
    }
    let mut entries = BTreeMap::new();
    for _ in 0..count {
        let at = cursor.at();
        let (name, range) = entry(&mut cursor, bytes)?;
        if entries.insert(name, range).is_some() {
            return Err(format!("entry `{name}` is there twice, again at byte {at}"));
        }
    }
    check_overlap(&entries)?;
    Ok(entries)
}

/// Where the directory begins and how many entries it has.
fn directory(bytes: &[u8]) -> Phrased<(usize, usize)> {
    let is_end = |at: &usize| {
        let record = &bytes[*at..];
        let comment = usize::from(u16::from_le_bytes([record[20], record[21]]));
        record.starts_with(&END.to_le_bytes()) && at + END_BYTES + comment == bytes.len()
    };
    let last = bytes.len().checked_sub(END_BYTES).ok_or("it is too short for an archive")?;
    let first = last.saturating_sub(COMMENT_BYTES_MAX);
    let end = (first..=last).rev().find(is_end).ok_or("it has no end of archive; it is cut")?;
    let mut cursor = Cursor::new(bytes, end + 10);
    let count = cursor.u16("a directory")?;
    cursor.u32("a directory")?;
    let start = cursor.u32("a directory")?;
    if count != u16::MAX && start != u32::MAX {
        return Ok((start as usize, count.into()));
    }
    let locator = end.checked_sub(LOCATOR64_BYTES).ok_or("it has no 64-bit end of archive")?;
    let mut cursor = Cursor::new(bytes, locator);
    if cursor.u32("a locator")? != LOCATOR64 {
        return Err(format!("byte {locator} should hold the place of the 64-bit end of archive"));
    }
    cursor.u32("a locator")?;
    let end = usize::try_from(cursor.u64("a locator")?).unwrap_or(usize::MAX);
    let mut cursor = Cursor::new(bytes, end);
    if cursor.u32("the 64-bit end of archive")? != END64 {
        return Err(format!("byte {end} should hold the 64-bit end of archive"));
    }
    cursor.take(28, "the 64-bit end of archive")?;
    let count = cursor.u64("the 64-bit end of archive")?;
    cursor.u64("the 64-bit end of archive")?;
    let start = cursor.u64("the 64-bit end of archive")?;
    Ok((usize::try_from(start).unwrap_or(usize::MAX), usize::try_from(count).unwrap_or(usize::MAX)))
}

/// The next entry of the directory.
fn entry<'a>(cursor: &mut Cursor<'a>, bytes: &'a [u8]) -> Phrased<(&'a str, Range<usize>)> {
    let at = cursor.at();
    if cursor.u32("an entry")? != CENTRAL {
        return Err(format!("byte {at} should begin an entry of the directory"));
    }
    cursor.take(4, "an entry")?;
    let (flags, method) = (cursor.u16("an entry")?, cursor.u16("an entry")?);
    cursor.take(8, "an entry")?;
    let (packed, size) = (cursor.u32("an entry")?, cursor.u32("an entry")?);
    let name_len = cursor.u16("an entry")?;
    let (extra_len, comment_len) = (cursor.u16("an entry")?, cursor.u16("an entry")?);
    cursor.take(8, "an entry")?;
    let offset = cursor.u32("an entry")?;
    let name = std::str::from_utf8(cursor.take(name_len.into(), "an entry's name")?)
        .map_err(|_| format!("the entry at byte {at} has a name that is not UTF-8"))?;
    let extra = cursor.take(extra_len.into(), "an entry")?;
    cursor.take(comment_len.into(), "an entry")?;
    if method != 0 || flags & ENCRYPTED != 0 {
        return Err(format!(
            "entry `{name}` is compressed or encrypted, torch.save writes neither"
        ));
    }
    let [size, packed, offset] = widen(extra, [size, packed, offset])
        .map_err(|message| format!("entry `{name}`: {message}"))?;
    if packed != size {
        return Err(format!("entry `{name}` is stored in {packed} bytes but has {size}"));
    }
    let start = data_start(bytes, offset, name)?;
    let end = start.checked_add(size).filter(|end| *end <= bytes.len());
    let end = end.ok_or_else(|| {
        format!("entry `{name}` has {size} bytes from {start}, the file {}", bytes.len())
    })?;
    Ok((name, start..end))
}

/// Numbers of 32 bits that are all ones stand in the extra field, in this order, with 64.
fn widen(extra: &[u8], numbers: [u32; 3]) -> Phrased<[usize; 3]> {
    let mut fields = Cursor::new(extra, 0);
    let mut wide = Cursor::new(&[], 0);
    while fields.left() >= 4 {
        let (kind, len) = (fields.u16("an extra field")?, fields.u16("an extra field")?);
        let field = fields.take(len.into(), "an extra field")?;
        if kind == EXTRA64 {
            wide = Cursor::new(field, 0);
        }
    }
    let mut out = [0; 3];
    for (out, number) in out.iter_mut().zip(numbers) {
        *out = match number {
            u32::MAX => usize::try_from(wide.u64("a 64-bit size")?).unwrap_or(usize::MAX),
            _ => number as usize,
        };
    }
    Ok(out)
}

/// Where an entry's bytes begin: behind its local header, which repeats its name.
fn data_start(bytes: &[u8], offset: usize, name: &str) -> Phrased<usize> {
    let mut cursor = Cursor::new(bytes, offset);
    let signature = cursor.u32("a local header")?;
    cursor.take(22, "a local header")?;
    let name_len = cursor.u16("a local header")?;
    let extra_len = cursor.u16("a local header")?;
    let local_name = cursor.take(name_len.into(), "a local header")?;
    cursor.take(extra_len.into(), "a local header")?;
    if signature != LOCAL || local_name != name.as_bytes() {
        return Err(format!("entry `{name}` is not at byte {offset}, where the directory says"));
    }
    Ok(cursor.at())
}

/// No byte belongs to two entries: a small file cannot claim to be a large one.
fn check_overlap(entries: &BTreeMap<&str, Range<usize>>) -> Phrased<()> {
    let mut ordered: Vec<_> = entries.iter().filter(|(_, range)| !range.is_empty()).collect();
    ordered.sort_by_key(|(_, range)| range.start);
    match ordered.windows(2).find(|pair| pair[0].1.end > pair[1].1.start) {
        None => Ok(()),
        Some(pair) => Err(format!("entries `{}` and `{}` overlap", pair[0].0, pair[1].0)),
    }
}
