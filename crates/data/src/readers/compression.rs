//! Files as streams of bytes, plain or compressed. Decoders keep a window, never the whole file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};

/// A way to compress files. Files of several members or frames are read to the end.
pub struct Compression {
    /// File name ending, lower case, without the dot.
    pub extension: &'static str,
    /// What such a file begins with.
    magic: &'static [u8],
    open: fn(File) -> io::Result<Box<dyn Read>>,
}

/// All ways to compress files.
pub const COMPRESSIONS: &[Compression] = &[
    Compression {
        extension: "gz",
        magic: b"\x1f\x8b\x08",
        open: |file| Ok(Box::new(MultiGzDecoder::new(file))),
    },
    Compression {
        extension: "zst",
        magic: b"\x28\xb5\x2f\xfd",
        open: |file| Ok(Box::new(zstd::Decoder::new(file)?)),
    },
    Compression {
        extension: "bz2",
        magic: b"BZh",
        open: |file| Ok(Box::new(MultiBzDecoder::new(file))),
    },
    Compression { extension: "xz", magic: b"\xfd7zXZ\0", open: open_xz },
];

/// The largest dictionary that a compressed file may ask us to keep: `zstd` without `--long` and
/// `xz -9` stay below.
const MAX_WINDOW_BYTES: u64 = 128 << 20;

/// What follows the four first bytes of a bzip2 file: a block, or its end.
const BZIP2_BLOCKS: [&[u8]; 2] = [b"\x31\x41\x59\x26\x53\x59", b"\x17\x72\x45\x38\x50\x90"];

const BUFFER_BYTES: usize = 1 << 18;

fn open_xz(file: File) -> io::Result<Box<dyn Read>> {
    let stream = Stream::new_stream_decoder(MAX_WINDOW_BYTES, CONCATENATED)?;
    Ok(Box::new(XzDecoder::new_stream(file, stream)))
}

impl Compression {
    /// How a file is compressed, by its first bytes: a name may say nothing, or be wrong.
    fn by_bytes(head: &[u8]) -> Option<&'static Self> {
        let begins = |compression: &&Self| head.starts_with(compression.magic);
        let found = COMPRESSIONS.iter().find(begins)?;
        // A text may begin with the three letters of bzip2, but not go on with its block mark.
        let block = head.get(4..).unwrap_or_default();
        let is_block = BZIP2_BLOCKS.iter().any(|mark| block.starts_with(mark));
        (found.extension != "bz2" || is_block).then_some(found)
    }

    /// How a file is compressed: as its first bytes say, else as its name does.
    pub(super) fn of_file(file: &mut File, path: &Path) -> io::Result<Option<&'static Self>> {
        let mut head = Vec::new();
        file.by_ref().take(10).read_to_end(&mut head)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Self::by_bytes(&head).or_else(|| Self::of(path)))
    }

    /// How a file is compressed, by the ending of its name.
    pub fn of(path: &Path) -> Option<&'static Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        COMPRESSIONS.iter().find(|compression| compression.extension == extension)
    }
}

/// The bytes of a file, uncompressed: as its first bytes say, else as its name does. What a decoder
/// objects to is an error without a system code; see [`is_damage`].
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = File::open(path)?;
    Ok(match Compression::of_file(&mut file, path)? {
        Some(found) => Box::new(BufReader::with_capacity(BUFFER_BYTES, (found.open)(file)?)),
        None => Box::new(BufReader::with_capacity(BUFFER_BYTES, file)),
    })
}

/// Whether the file's bytes are at fault, not the system.
pub(super) fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}
