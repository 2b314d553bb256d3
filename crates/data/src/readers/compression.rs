//! Files as streams of bytes, plain or compressed. Decoders keep a window, never the whole file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// A way to compress files. Files of several members or frames are read to the end.
pub struct Compression {
    /// File name ending, lower case, without the dot.
    pub extension: &'static str,
    open: fn(File) -> io::Result<Box<dyn Read>>,
}

/// All ways to compress files.
pub const COMPRESSIONS: &[Compression] = &[
    Compression { extension: "gz", open: |file| Ok(Box::new(MultiGzDecoder::new(file))) },
    Compression { extension: "zst", open: |file| Ok(Box::new(zstd::Decoder::new(file)?)) },
    Compression { extension: "bz2", open: |file| Ok(Box::new(MultiBzDecoder::new(file))) },
    Compression { extension: "xz", open: open_xz },
];

/// The largest dictionary that a compressed file may ask us to keep: `zstd` without `--long` and
/// `xz -9` stay below.
const MAX_WINDOW_BYTES: u64 = 128 << 20;

const BUFFER_BYTES: usize = 1 << 18;

fn open_xz(file: File) -> io::Result<Box<dyn Read>> {
    let stream = Stream::new_stream_decoder(MAX_WINDOW_BYTES, CONCATENATED)?;
    Ok(Box::new(XzDecoder::new_stream(file, stream)))
}

impl Compression {
    /// How a file is compressed, by the ending of its name.
    pub fn of(path: &Path) -> Option<&'static Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        COMPRESSIONS.iter().find(|compression| compression.extension == extension)
    }
}

/// The bytes of a file, uncompressed. What a decoder objects to is an error without a system code;
/// see [`is_damage`].
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let file = File::open(path)?;
    Ok(match Compression::of(path) {
        Some(found) => Box::new(BufReader::with_capacity(BUFFER_BYTES, (found.open)(file)?)),
        None => Box::new(BufReader::with_capacity(BUFFER_BYTES, file)),
    })
}

/// Whether the file's bytes are at fault, not the system.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}
