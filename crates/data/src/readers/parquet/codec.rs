//! Ways to compress pages. Each gives exactly as many bytes as the page says, or an error; none is
//! asked for more.

use std::io::Read;

use super::thrift::Result;

/// The bytes of a page.
pub(super) fn unpack(codec: i64, packed: Vec<u8>, length: u64) -> Result<Vec<u8>> {
    let size = usize::try_from(length).map_err(|_| "a page larger than memory")?;
    let found = match codec {
        _ if length == 0 => Vec::new(),
        0 => packed,
        1 => {
            let stated = snap::raw::decompress_len(&packed).map_err(|error| error.to_string())?;
            if stated != size {
                return Err(format!("a page of {stated} bytes where {size} are announced"));
            }
            snap::raw::Decoder::new().decompress_vec(&packed).map_err(|e| e.to_string())?
        }
        2 => all(flate2::read::MultiGzDecoder::new(&packed[..]), length)?,
        4 => all(brotli_decompressor::Decompressor::new(&packed[..], 1 << 14), length)?,
        // Hadoop puts lengths before each block; others who write this number do not.
        5 => match hadoop_blocks(&packed, size) {
            Ok(found) => found,
            Err(_) => lz4(&packed, size)?,
        },
        6 => all(zstd::Decoder::new(&packed[..]).map_err(|error| error.to_string())?, length)?,
        7 => lz4(&packed, size)?,
        other => return Err(format!("compression {other}, which is not read")),
    };
    if found.len() != size {
        return Err(format!("a page of {} bytes where {size} are announced", found.len()));
    }
    Ok(found)
}

fn all(decoder: impl Read, length: u64) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    decoder.take(length + 1).read_to_end(&mut found).map_err(|error| error.to_string())?;
    Ok(found)
}

fn lz4(packed: &[u8], size: usize) -> Result<Vec<u8>> {
    lz4_flex::block::decompress(packed, size).map_err(|error| error.to_string())
}

fn hadoop_blocks(mut packed: &[u8], size: usize) -> Result<Vec<u8>> {
    let mut found = Vec::new();
    while !packed.is_empty() {
        let mut number = || {
            let (first, rest) = packed.split_first_chunk().ok_or("a block is cut")?;
            packed = rest;
            Ok::<usize, String>(u32::from_be_bytes(*first) as usize)
        };
        let (unpacked, length) = (number()?, number()?);
        if unpacked > size - found.len() || length > packed.len() {
            return Err("a block beyond its page".to_owned());
        }
        let (block, rest) = packed.split_at(length);
        found.extend(lz4(block, unpacked)?);
        packed = rest;
    }
    Ok(found)
}
