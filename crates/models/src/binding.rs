//! Weights of a file as parameters of a model: copied to f32 where they are to learn, bound to the
//! file's bytes where not.
//!
//! Every parameter is found under its name and with its shape, and every tensor of the file belongs
//! to a parameter; anything else is an error that names file, tensor and remedy. All names and
//! shapes are checked before a value changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use danlu_formats::gguf::Mix;
use danlu_formats::{ElementType, WeightTensor, Weights};
use danlu_kernels::quant::{BlockFormat, QuantMatrix};
use danlu_tensor::{Device, ParamSpec};

use crate::damage::not_finite;
use crate::gguf::Fix;
use crate::{CausalLm, Error, Result, quantize};

/// The head's name; absent where it is the embedding table.
const HEADS: [&str; 2] = ["lm_head.weight", "output.weight"];
/// Tensors of a GGUF that the configuration has read already.
const GGUF_CONSTANTS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"];

/// A parameter's part of a tensor.
struct Piece<'a> {
    spec: &'a ParamSpec,
    tensor: &'a WeightTensor,
    /// Which rows of the tensor, seen as a matrix.
    rows: Range<usize>,
    /// How they lie there.
    fix: Fix,
}

/// Fills a model with the weights of a file or folder; frozen matrices get the types of `quantize`.
///
/// # Errors
/// When a tensor is missing, unknown, mis-shaped or has numbers that are none, or `quantize` would
/// change nothing.
pub(crate) fn load(model: &dyn CausalLm, weights: &Weights, quantize: Option<&Mix>) -> Result<()> {
    let specs = model.params().specs();
    let pieces = pieces(model, &specs, weights)?;
    model.params().allocate();
    let file = |piece: &Piece<'_>| (piece.spec.name.clone(), piece.tensor.file().to_owned());
    model.parts().files.get_or_init(|| pieces.iter().map(file).collect());
    let (frozen, learning): (Vec<_>, Vec<_>) =
        pieces.into_iter().partition(|piece| piece.spec.frozen.is_some());
    let specs: Vec<&ParamSpec> = frozen.iter().map(|piece| piece.spec).collect();
    let formats = quantize.map(|mix| quantize::plan(model, mix, &specs)).transpose()?;
    let mut shrinks = false;
    for (index, piece) in frozen.iter().enumerate() {
        let matrix = piece.matrix(model)?;
        let wanted = formats.as_ref().map(|formats| formats[index]);
        let wanted = wanted.filter(|&wanted| quantize::is_smaller(wanted, matrix.format()));
        shrinks |= wanted.is_some();
        piece.spec.bind(match wanted {
            Some(format) => piece.shrunk(model, &matrix, format)?,
            None => matrix,
        })?;
    }
    if let Some(mix) = quantize.filter(|_| !shrinks) {
        return Err(Error::Input(format!(
            "no matrix of {} takes less memory as {} than it does now; use it as it is",
            weights.path().display(),
            mix.name
        )));
    }
    model.params().update(|flat| {
        learning.iter().try_for_each(|piece| piece.read(model, &mut flat[piece.spec.range()]))
    })
}

/// Where each parameter's numbers lie, in the order of `specs`.
fn pieces<'a>(
    model: &dyn CausalLm,
    specs: &'a [ParamSpec],
    weights: &'a Weights,
) -> Result<Vec<Piece<'a>>> {
    match weights.gguf() {
        Some(_) => gguf_pieces(model, specs, weights),
        None => published_pieces(model, specs, weights),
    }
}

/// The parameters of a model that is never loaded, one at a time: what an export reads.
pub struct Parameters<'a> {
    model: &'a dyn CausalLm,
    pieces: Vec<Piece<'a>>,
}

impl<'a> Parameters<'a> {
    /// Finds every parameter of `model`, which is built as trainable, in the weights.
    ///
    /// # Errors
    /// When a tensor is missing, unknown or mis-shaped.
    pub fn new(
        model: &'a dyn CausalLm,
        specs: &'a [ParamSpec],
        weights: &'a Weights,
    ) -> Result<Self> {
        assert!(!model.params().freezes_matrices(), "exports read weights in the published order");
        Ok(Self { model, pieces: pieces(model, specs, weights)? })
    }

    /// Name and shape of each, as published.
    pub fn specs(&self) -> impl Iterator<Item = &'a ParamSpec> {
        self.pieces.iter().map(|piece| piece.spec)
    }

    /// What the numbers of parameter `index` are in the file.
    #[must_use]
    pub fn element(&self, index: usize) -> ElementType {
        self.pieces[index].tensor.element()
    }

    /// The numbers of parameter `index` in the published order.
    ///
    /// # Errors
    /// When one is not finite.
    pub fn read(&self, index: usize) -> Result<Vec<f32>> {
        let piece = &self.pieces[index];
        let mut values = vec![0.0; piece.spec.shape.len()];
        piece.read(self.model, &mut values)?;
        Ok(values)
    }
}

fn fault(tensor: &WeightTensor, name: &str, problem: impl Into<String>) -> Error {
    Error::Weights {
        file: tensor.file().to_owned(),
        tensor: name.to_owned(),
        problem: problem.into(),
    }
}

fn missing(weights: &Weights, name: &str) -> Error {
    let one_file = weights
        .tensors()
        .first()
        .map(WeightTensor::file)
        .filter(|file| weights.tensors().iter().all(|tensor| tensor.file() == *file));
    Error::Weights {
        file: one_file.map_or_else(|| weights.path().display().to_string(), str::to_owned),
        tensor: name.to_owned(),
        problem: "is missing; the file is of another model or incomplete, fetch it again".into(),
    }
}

/// Each parameter's tensor in files with published names.
fn published_pieces<'a>(
    model: &dyn CausalLm,
    specs: &'a [ParamSpec],
    weights: &'a Weights,
) -> Result<Vec<Piece<'a>>> {
    let mut tensors = by_full_name(model, specs, weights)?;
    let mut pieces = Vec::with_capacity(specs.len());
    for spec in specs {
        let tensor = tensors.remove(&spec.name).ok_or_else(|| missing(weights, &spec.name))?;
        let is_transposed =
            model.family().gguf.place(&spec.name).map(|place| place.fix) == Some(Fix::Transposed);
        // Frozen matrices are `[out, in]` whatever the file has.
        let flips = is_transposed && spec.frozen.is_some();
        let mut expected = spec.shape.dims().to_vec();
        if flips {
            expected.reverse();
        }
        if tensor.shape() != expected {
            let problem = format!(
                "is {:?}, config.json makes it {expected:?}; the two files are of different models",
                tensor.shape()
            );
            return Err(fault(tensor, tensor.name(), problem));
        }
        let rows = 0..expected[0];
        let fix = if flips { Fix::Transposed } else { Fix::Same };
        pieces.push(Piece { spec, tensor, rows, fix });
    }
    let constants = model.family().constants;
    let known = |tensor: &WeightTensor| {
        constants.iter().any(|end| tensor.name().ends_with(end))
            || is_copy_of_head(model, &pieces, tensor)
    };
    refuse_strangers(tensors.into_values().filter(|tensor| !known(tensor)))?;
    Ok(pieces)
}

/// Each parameter's place in a GGUF.
fn gguf_pieces<'a>(
    model: &dyn CausalLm,
    specs: &'a [ParamSpec],
    weights: &'a Weights,
) -> Result<Vec<Piece<'a>>> {
    let (mut pieces, mut used) = (Vec::with_capacity(specs.len()), BTreeSet::new());
    for spec in specs {
        let place = model.family().gguf.place(&spec.name);
        let place = place.ok_or_else(|| missing(weights, &spec.name))?;
        let tensor = weights.get(&place.name).ok_or_else(|| missing(weights, &place.name))?;
        used.insert(tensor.name());
        let frozen = spec.frozen.is_some();
        let fix = match place.fix {
            // Published files have `[in, out]`, a GGUF and frozen matrices `[out, in]`.
            Fix::Transposed if frozen || spec.shape.dims().len() == 1 => Fix::Same,
            // Their rotation follows the order in the file: see `read_config`.
            Fix::Queries | Fix::Keys if model.params().freezes_matrices() => Fix::Same,
            fix => fix,
        };
        let mut expected = spec.shape.dims().to_vec();
        if fix == Fix::Transposed {
            expected.reverse();
        }
        let mut rows = 0..expected[0];
        if let Some(expert) = place.expert {
            rows = expert * expected[0]..(expert + 1) * expected[0];
            expected.insert(0, tensor.shape().first().copied().unwrap_or(0).max(expert + 1));
        }
        if tensor.shape() != expected {
            let problem = format!(
                "is {:?}, the metadata makes it {expected:?}; fetch the file again",
                tensor.shape()
            );
            return Err(fault(tensor, tensor.name(), problem));
        }
        pieces.push(Piece { spec, tensor, rows, fix });
    }
    let known = |tensor: &WeightTensor| {
        used.contains(tensor.name())
            || GGUF_CONSTANTS.contains(&tensor.name())
            || is_copy_of_head(model, &pieces, tensor)
    };
    refuse_strangers(weights.tensors().iter().filter(|tensor| !known(tensor)))?;
    Ok(pieces)
}

/// A tied head is not a parameter of its own, but some published files hold a copy of it.
fn is_copy_of_head(model: &dyn CausalLm, pieces: &[Piece<'_>], tensor: &WeightTensor) -> bool {
    let head = model.head().weight.name();
    HEADS.contains(&tensor.name())
        && pieces.iter().any(|piece| {
            piece.spec.name == head
                && piece.tensor.element() == tensor.element()
                && piece.tensor.bytes() == tensor.bytes()
        })
}

fn refuse_strangers<'a>(mut strangers: impl Iterator<Item = &'a WeightTensor>) -> Result<()> {
    match strangers.next() {
        None => Ok(()),
        Some(tensor) => Err(fault(
            tensor,
            tensor.name(),
            "belongs to no parameter of the model that the configuration describes; use the \
             configuration that came with the file",
        )),
    }
}

/// The tensors of a file under their full names: some published files leave the prefix out.
fn by_full_name<'a>(
    model: &dyn CausalLm,
    specs: &[ParamSpec],
    weights: &'a Weights,
) -> Result<BTreeMap<String, &'a WeightTensor>> {
    let known: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut tensors = BTreeMap::new();
    for tensor in weights.tensors() {
        let longer = format!("{}{}", model.family().base_prefix, tensor.name());
        let name = if known.contains(longer.as_str()) { longer } else { tensor.name().to_owned() };
        if tensors.insert(name, tensor).is_some() {
            let problem = "is there twice, with and without its prefix";
            return Err(fault(tensor, tensor.name(), problem));
        }
    }
    Ok(tensors)
}

impl Piece<'_> {
    /// Its matrix in the bytes of the file; a copy where rows lie in another order or columns are
    /// rows.
    fn matrix(&self, model: &dyn CausalLm) -> Result<QuantMatrix> {
        let matrix = self.tensor.matrix()?.slice_rows(self.rows.clone());
        let (format, rows, cols) = (matrix.format(), matrix.rows(), matrix.cols());
        let refused = |fault_: String| fault(self.tensor, self.tensor.name(), fault_);
        if self.fix == Fix::Transposed {
            if format.is_quantized() {
                return Err(refused(format!("is {format}, which cannot be transposed")));
            }
            let size = format.block_bytes();
            let mut bytes = Vec::with_capacity(matrix.bytes().len());
            for col in 0..cols {
                for row in 0..rows {
                    bytes.extend_from_slice(&matrix.row(row)[col * size..(col + 1) * size]);
                }
            }
            return QuantMatrix::from_vec(format, (cols, rows), bytes)
                .map_err(|error| refused(error.to_string()));
        }
        if !self.fix.moves_rows() {
            return Ok(matrix);
        }
        let shape = model.shape();
        let mut bytes = Vec::with_capacity(matrix.bytes().len());
        for row in 0..rows {
            bytes.extend_from_slice(matrix.row(self.fix.source_row(row, shape)));
        }
        QuantMatrix::from_vec(format, (rows, cols), bytes)
            .map_err(|error| refused(error.to_string()))
    }

    /// Its matrix in another type; the pages of the original are given back.
    fn shrunk(
        &self,
        model: &dyn CausalLm,
        matrix: &QuantMatrix,
        format: BlockFormat,
    ) -> Result<QuantMatrix> {
        let Device::Cpu(cpu) = model.params().device();
        let shrunk = quantize::matrix(cpu, matrix, format)
            .map_err(|problem| fault(self.tensor, self.tensor.name(), problem))?;
        self.tensor.release()?;
        Ok(shrunk)
    }

    /// Its numbers as f32, as the model has them.
    fn read(&self, model: &dyn CausalLm, out: &mut [f32]) -> Result<()> {
        let cols = self.tensor.shape().last().copied().unwrap_or(1).max(1);
        let is_vector = self.tensor.shape().len() < 2;
        if out.len() < self.tensor.len() {
            let matrix = self.tensor.matrix()?;
            for (row, out) in self.rows.clone().zip(out.chunks_exact_mut(cols)) {
                matrix.dequantize_row(row, out);
            }
        } else {
            self.tensor.read_f32(out)?;
        }
        match self.fix {
            Fix::Same => {}
            Fix::WholeGain => out.iter_mut().for_each(|gain| *gain -= 1.0),
            Fix::Transposed => {
                let stored = out.to_vec();
                let rows = stored.len() / cols;
                for (index, value) in out.iter_mut().enumerate() {
                    *value = stored[index % rows * cols + index / rows];
                }
            }
            Fix::Queries | Fix::Keys | Fix::Parts => {
                let (stored, width) = (out.to_vec(), if is_vector { 1 } else { cols });
                for (row, out) in out.chunks_exact_mut(width).enumerate() {
                    let from = self.fix.source_row(row, model.shape());
                    out.copy_from_slice(&stored[from * width..(from + 1) * width]);
                }
            }
        }
        if let Some(value) = out.iter().find(|value| !value.is_finite()) {
            return Err(fault(self.tensor, self.tensor.name(), not_finite(*value)));
        }
        // What was copied is not needed in the page cache's share of this program any more.
        Ok(self.tensor.release()?)
    }
}
