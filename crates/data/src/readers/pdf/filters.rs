//! What streams are packed with, as far as text needs it (ISO 32000-1, 7.4): a step gives so many
//! bytes at most; what a damaged one gave before its fault is kept, as every viewer does.

use std::io::Read;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::syntax::{Dict, Object};

/// Filters of a stream; more are not read.
const MAX_FILTERS: usize = 8;

/// The unpacked bytes; none for images and for more than `limit` bytes.
pub(super) fn unpack(
    packed: &[u8],
    filters: &[Object],
    parameters: &[Option<Dict>],
    limit: u64,
) -> Option<Vec<u8>> {
    if filters.len() > MAX_FILTERS {
        return None;
    }
    let mut bytes = packed.to_vec();
    for (index, filter) in filters.iter().enumerate() {
        let parameters = parameters.get(index).and_then(Option::as_ref);
        bytes = match filter.name()? {
            b"FlateDecode" | b"Fl" => predicted(flate(&bytes, limit), parameters),
            b"LZWDecode" | b"LZW" => {
                let early = parameters.and_then(|dict| dict.get(&b"EarlyChange"[..])?.number());
                predicted(lzw(&bytes, early != Some(0.0), limit), parameters)
            }
            b"ASCII85Decode" | b"A85" => ascii_85(&bytes),
            b"ASCIIHexDecode" | b"AHx" => ascii_hex(&bytes),
            b"RunLengthDecode" | b"RL" => run_length(&bytes, limit),
            _ => return None,
        };
        if bytes.len() as u64 > limit {
            return None;
        }
    }
    Some(bytes)
}

fn flate(packed: &[u8], limit: u64) -> Vec<u8> {
    let mut found = Vec::new();
    // Whatever a fault leaves is used.
    let _ = ZlibDecoder::new(packed).take(limit + 1).read_to_end(&mut found);
    if found.is_empty() {
        let _ = DeflateDecoder::new(packed).take(limit + 1).read_to_end(&mut found);
    }
    found
}

fn lzw(packed: &[u8], early: bool, limit: u64) -> Vec<u8> {
    let mut found: Vec<u8> = Vec::new();
    // Each entry repeats a stretch of what was given: where it is, and its length.
    let mut table: Vec<(usize, usize)> = Vec::new();
    let (mut bits, mut count, mut last) = (0_u32, 0, None);
    let mut bytes = packed.iter();
    loop {
        let next = 258 + table.len() + usize::from(early) + usize::from(last.is_some());
        let width = if next < 512 { 9 } else { (next.ilog2() + 1).min(12) };
        while count < width {
            let Some(&byte) = bytes.next() else { return found };
            bits = bits << 8 | u32::from(byte);
            count += 8;
        }
        count -= width;
        let code = (bits >> count & ((1 << width) - 1)) as usize;
        bits &= (1 << count) - 1;
        let start = found.len();
        match code {
            0..=255 => found.push(u8::try_from(code).unwrap_or(0)),
            256 => {
                table.clear();
                last = None;
                continue;
            }
            257 => return found,
            _ => {
                // The entry that is being made is the last stretch and the byte after it.
                let entry = table.get(code - 258).copied();
                let being_made = last.filter(|_| code - 258 == table.len());
                let being_made = being_made.map(|(at, length)| (at, length + 1));
                let Some((at, length)) = entry.or(being_made) else { return found };
                for index in at..at + length {
                    found.push(found[index]);
                }
            }
        }
        if let Some((at, length)) = last
            && table.len() < 4096 - 258
        {
            table.push((at, length + 1));
        }
        last = Some((start, found.len() - start));
        if found.len() as u64 > limit {
            return found;
        }
    }
}

/// Rows as they were before each was written as its difference from what is beside or above.
fn predicted(bytes: Vec<u8>, parameters: Option<&Dict>) -> Vec<u8> {
    let number = |key: &[u8], default: usize| {
        parameters.and_then(|dict| dict.get(key)?.count()).unwrap_or(default)
    };
    let predictor = number(b"Predictor", 1);
    let bits = number(b"Colors", 1).min(32) * number(b"BitsPerComponent", 8).min(16);
    let (pixel, row) = (bits.div_ceil(8), (bits * number(b"Columns", 1).min(1 << 20)).div_ceil(8));
    if predictor < 2 || row == 0 {
        return bytes;
    }
    let mut found: Vec<u8> = Vec::with_capacity(bytes.len());
    let is_png = predictor >= 10;
    for line in bytes.chunks(row + usize::from(is_png)) {
        let (kind, line) = if is_png { (line[0], &line[1..]) } else { (1, line) };
        let (start, above) = (found.len(), found.len().checked_sub(row));
        for (index, &byte) in line.iter().enumerate() {
            let left = index.checked_sub(pixel).map_or(0, |at| found[start + at]);
            let up = above.map_or(0, |above| found[above + index]);
            let corner = index.checked_sub(pixel).zip(above);
            let corner = corner.map_or(0, |(at, above)| found[above + at]);
            let guess = match kind {
                1 => left,
                2 => up,
                3 => u8::try_from((u16::from(left) + u16::from(up)) / 2).unwrap_or(0),
                4 => paeth(left, up, corner),
                _ => 0,
            };
            found.push(byte.wrapping_add(guess));
        }
    }
    found
}

fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let guess = i16::from(left) + i16::from(up) - i16::from(corner);
    let distance = |value: u8| (guess - i16::from(value)).abs();
    let best = if distance(left) <= distance(up) { left } else { up };
    if distance(best) <= distance(corner) { best } else { corner }
}

fn ascii_hex(bytes: &[u8]) -> Vec<u8> {
    let end = memchr::memchr(b'>', bytes).unwrap_or(bytes.len());
    let digit = |&byte: &u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let mut digits: Vec<u8> = bytes[..end].iter().filter_map(digit).collect();
    digits.resize(digits.len().next_multiple_of(2), 0);
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn ascii_85(bytes: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut group: Vec<u8> = Vec::new();
    let flush = |group: &mut Vec<u8>, found: &mut Vec<u8>| {
        let length = group.len();
        group.resize(5, 84);
        let add = |sum: u32, &digit: &u8| sum.wrapping_mul(85).wrapping_add(digit.into());
        let value = group.iter().fold(0_u32, add);
        found.extend(&value.to_be_bytes()[..length.saturating_sub(1)]);
        group.clear();
    };
    for &byte in bytes.strip_prefix(b"<~").unwrap_or(bytes) {
        match byte {
            b'z' if group.is_empty() => found.extend([0; 4]),
            b'!'..=b'u' => group.push(byte - b'!'),
            b'~' => break,
            _ => {}
        }
        if group.len() == 5 {
            flush(&mut group, &mut found);
        }
    }
    if group.len() > 1 {
        flush(&mut group, &mut found);
    }
    found
}

fn run_length(bytes: &[u8], limit: u64) -> Vec<u8> {
    let (mut found, mut rest) = (Vec::new(), bytes);
    while let Some((&head, after)) = rest.split_first() {
        let length = usize::from(head);
        match head {
            0..=127 => {
                let end = (length + 1).min(after.len());
                found.extend(&after[..end]);
                rest = &after[end..];
            }
            128 => break,
            _ => {
                let Some((&byte, after)) = after.split_first() else { break };
                found.resize(found.len() + 257 - length, byte);
                rest = after;
            }
        }
        if found.len() as u64 > limit {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_filter_gives_what_the_standard_says() {
        // The example of ISO 32000-1, 7.4.4.2.
        let packed = [0x80, 0x0b, 0x60, 0x50, 0x22, 0x0c, 0x0c, 0x85, 0x01];
        assert_eq!(lzw(&packed, true, 100), [45, 45, 45, 45, 45, 65, 45, 45, 45, 66]);
        assert_eq!(ascii_85(b"87cURD]i,\"Ebo80~>"), b"Hello World!");
        assert_eq!(ascii_hex(b"4a 4B5>"), b"JKP");
        assert_eq!(run_length(&[1, 7, 8, 254, 9, 128, 5], 100), [7, 8, 9, 9, 9]);
        let up = Dict::from([
            (b"Predictor".to_vec(), Object::Number(12.0)),
            (b"Columns".to_vec(), Object::Number(2.0)),
        ]);
        assert_eq!(predicted(vec![2, 1, 2, 2, 1, 1], Some(&up)), [1, 2, 2, 3]);
        assert_eq!(flate(b"\x78\x9cno", 10), b"");
    }
}
