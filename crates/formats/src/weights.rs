//! One front for every weight format: [`Weights::open`] on a file or a model folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::bytes::Source;
use crate::{Error, Gguf, Result, SafeTensors, WeightTensor, gguf, index, torch};

/// A weight format: its name, how its files begin, how one is read.
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// The extensions its files have.
    pub extensions: &'static [&'static str],
    fits: fn(&[u8]) -> bool,
    read: fn(Source) -> Result<Contents>,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name)
    }
}

/// Every format that is read.
pub const FORMATS: &[Format] = &[
    Format {
        name: "GGUF",
        extensions: &["gguf"],
        fits: |bytes| bytes.starts_with(gguf::MAGIC),
        read: |source| {
            let gguf = Gguf::read(source)?;
            Ok(Contents { tensors: gguf.tensors().to_vec(), gguf: Some(gguf) })
        },
    },
    Format {
        name: "PyTorch",
        extensions: &["bin", "pt", "pth"],
        fits: torch::fits,
        read: |source| Ok(Contents { tensors: torch::read(&source)?, gguf: None }),
    },
    Format {
        name: "safetensors",
        extensions: &["safetensors"],
        // The length of the header, then the header.
        fits: |bytes| bytes.get(8) == Some(&b'{'),
        read: |source| {
            Ok(Contents { tensors: SafeTensors::read(source)?.weight_tensors(), gguf: None })
        },
    },
];

/// What is often found where weights should be, by how it begins.
const IMPOSTORS: &[(&[u8], &str)] = &[
    (b"version https://git-lfs", "a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (b"<", "a web page; fetch the file itself"),
    (b"\x1f\x8b", "compressed with gzip; unpack it first"),
    (b"\x89HDF", "in HDF5"),
    (b"\x08", "perhaps in ONNX"),
];

/// The tensors of one file.
struct Contents {
    tensors: Vec<WeightTensor>,
    gguf: Option<Gguf>,
}

/// The weights of a model, in one file or many: names, shapes and types are read and checked,
/// elements stay in the mapped files until asked for.
///
/// ```no_run
/// # use danlu_formats::Weights;
/// # use std::path::Path;
/// let weights = Weights::open(Path::new("models/SmolLM2-135M-Instruct.Q4_1.gguf"))?;
/// let matrix = weights.tensor("blk.0.attn_q.weight")?.matrix()?; // shares the file's bytes
/// let norm = weights.tensor("blk.0.attn_norm.weight")?.to_f32()?; // converted
/// # Ok::<(), danlu_formats::Error>(())
/// ```
#[derive(Debug)]
pub struct Weights {
    path: PathBuf,
    tensors: Vec<WeightTensor>,
    by_name: BTreeMap<String, usize>,
    gguf: Option<Gguf>,
}

impl Weights {
    /// Opens a file of any of the [`FORMATS`] (told by its first bytes, not by its name), an index
    /// (`*.index.json`) with the files it lists, the first of a GGUF in several parts, or a folder.
    ///
    /// A folder holds, in this order of preference, `model.safetensors` or its index,
    /// `pytorch_model.bin` or its index, or a single model file of any name.
    ///
    /// # Errors
    /// When no weights are there, a part is missing, or a file is damaged or holds what is not
    /// read.
    pub fn open(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { index::weights_in_folder(path)? } else { path.to_owned() };
        if file.extension().is_some_and(|extension| extension == "json") {
            return Self::from_index(path, &file);
        }
        let first = read_file(&file)?;
        let parts = first.gguf.as_ref().map_or(Ok(Vec::new()), |gguf| index::parts(&file, gguf))?;
        let mut all = first;
        for part in &parts {
            all.tensors.extend(read_file(part)?.tensors);
        }
        Self::of(path, all)
    }

    /// Reads bytes in memory, of any of the [`FORMATS`]; `file` is their name in messages.
    ///
    /// # Errors
    /// When they are damaged or of no known format.
    pub fn from_bytes(file: &str, bytes: Vec<u8>) -> Result<Self> {
        Self::of(Path::new(file), read_source(Source::owned(file, bytes))?)
    }

    fn from_index(path: &Path, index: &Path) -> Result<Self> {
        let listed = index::Index::read(index)?;
        let mut tensors = Vec::new();
        for shard in listed.shards() {
            if !shard.is_file() {
                let index = index.display().to_string();
                return Err(Error::MissingShard { index, shard });
            }
            tensors.extend(read_file(&shard)?.tensors);
        }
        let weights = Self::of(path, Contents { tensors, gguf: None })?;
        listed.check(&weights)?;
        Ok(weights)
    }

    fn of(path: &Path, contents: Contents) -> Result<Self> {
        let Contents { tensors, gguf } = contents;
        let mut by_name = BTreeMap::new();
        for (index, tensor) in tensors.iter().enumerate() {
            if by_name.insert(tensor.name().to_owned(), index).is_some() {
                return Err(Error::Damaged {
                    file: tensor.file().to_owned(),
                    format: "weight",
                    message: format!("two tensors are named `{}`", tensor.name()),
                });
            }
        }
        Ok(Self { path: path.to_owned(), tensors, by_name, gguf })
    }

    /// The file or folder that was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor: file after file, in each in its order.
    #[must_use]
    pub fn tensors(&self) -> &[WeightTensor] {
        &self.tensors
    }

    /// The tensor with this name, if there is one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&WeightTensor> {
        self.by_name.get(name).map(|&index| &self.tensors[index])
    }

    /// The tensor with this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn tensor(&self, name: &str) -> Result<&WeightTensor> {
        self.get(name).ok_or_else(|| Error::NoSuchTensor {
            file: self.path.display().to_string(),
            name: name.to_owned(),
        })
    }

    /// The GGUF file with its metadata, where the weights came in one.
    #[must_use]
    pub fn gguf(&self) -> Option<&Gguf> {
        self.gguf.as_ref()
    }
}

fn read_file(path: &Path) -> Result<Contents> {
    read_source(Source::open(path)?)
}

/// Reads a file of whichever format its first bytes show.
fn read_source(source: Source) -> Result<Contents> {
    let bytes = source.as_slice();
    if let Some(format) = FORMATS.iter().find(|format| (format.fits)(bytes)) {
        return (format.read)(source);
    }
    let found = match IMPOSTORS.iter().find(|(start, _)| bytes.starts_with(start)) {
        Some((_, what)) => format!("the file is {what}"),
        None => {
            format!("the file begins with {:02x?}, as none known", &bytes[..bytes.len().min(8)])
        }
    };
    let expected = format!("a {} file", names().join(", "));
    Err(Error::NoWeights { path: PathBuf::from(&*source.file), found, expected })
}

fn names() -> Vec<&'static str> {
    FORMATS.iter().map(|format| format.name).collect()
}
