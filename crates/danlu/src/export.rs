//! Models to other files: quantised, or between a folder and a GGUF.
//!
//! Every export is written aside, opened as a user would open it, and compared with its source on a
//! text ([`crate::verify`]). Only a file that says the same takes its name; one that is off is
//! removed, and the error says by how much.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use danlu_eval::{Agreement, Tolerance};
use danlu_formats::gguf::{Metadata, Mix, Value};
use danlu_formats::{TensorEntry, Weights};
use danlu_kernels::quant::BlockFormat;
use danlu_models::gguf::{Constants, Export, Importance, describe};
use danlu_models::{
    BuildOptions, CausalLm, Parameters, WeightKind, describe_model, published_config,
    save_parameters,
};
use danlu_tensor::{Device, Precision};
use danlu_tokenizer::Tokenizer;
use serde::Serialize;

use crate::generation_config::{GENERATION_FILE, GenerationConfig};
use crate::opened::{Opened, tokenizer};
use crate::{gguf_vocabulary, verify};

/// Tensors of a GGUF that hold constants of the rotation.
const CONSTANTS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];
/// Metadata that an export sets anew.
const OWN_KEYS: [&str; 4] =
    ["general.file_type", "general.quantization_version", "general.alignment", "danlu.verified"];

/// What an export is told beside its source and its target.
pub struct ExportOptions<'a> {
    /// What computes.
    pub device: Device,
    /// The text on which the result is compared with its source; `None` leaves that out, which the
    /// file records.
    pub text: Option<&'a str>,
    /// Limits of the comparison; by default those that fit the bits of a weight.
    pub tolerance: Option<Tolerance>,
}

/// What an export made.
#[derive(Debug, Serialize)]
pub struct Exported {
    /// The file or folder.
    pub path: PathBuf,
    /// Bytes of all weights.
    pub weight_bytes: usize,
    /// Bits of a weight on average.
    pub bits_per_weight: f64,
    /// Tensors of each type.
    pub types: BTreeMap<String, usize>,
    /// How the result agrees with its source; absent where that was not asked for.
    pub agreement: Option<Agreement>,
}

/// Takes note of numbers written, of how many; an error ends the work.
pub type Steps<'a> = dyn FnMut(usize, usize) -> danlu_models::Result<()> + 'a;

/// A source, its model without values, and its vocabulary.
struct Source {
    path: PathBuf,
    model: Box<dyn CausalLm>,
    weights: Weights,
    tokenizer: Tokenizer,
}

impl Source {
    fn open(path: &Path, device: &Device) -> Result<Self> {
        let options = BuildOptions::trainable(device.clone(), Precision::F32);
        let (model, weights) = describe_model(path, &options)?;
        Ok(Self { path: path.to_owned(), model, weights, tokenizer: tokenizer(path)? })
    }

    /// The metadata of a GGUF of it: the source's own, if it is one.
    fn metadata(&self) -> Result<(Metadata, Constants)> {
        if let Some(gguf) = self.weights.gguf() {
            let mut metadata = Metadata::new();
            for (key, value) in gguf.metadata().iter().filter(|(key, _)| !OWN_KEYS.contains(key)) {
                metadata.insert(key, value.clone());
            }
            let held = CONSTANTS.iter().filter_map(|name| self.weights.get(name));
            let constants = held.map(|tensor| Ok((tensor.name().to_owned(), tensor.to_f32()?)));
            return Ok((metadata, constants.collect::<Result<_>>()?));
        }
        let (mut metadata, constants) = describe(self.model.as_ref())?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        metadata.insert("general.name", Value::String(name));
        let vocabulary = self.tokenizer.to_gguf(self.model.shape().vocab_size)?;
        gguf_vocabulary::write(&vocabulary, &mut metadata);
        Ok((metadata, constants))
    }
}

/// How much errors matter in the matrices of the model at `source`, by what it computes on a text.
///
/// # Errors
/// When the source cannot be read, or the text holds no token.
pub fn importance(source: &Path, text: &str, device: &Device) -> Result<danlu_eval::Importance> {
    let options = BuildOptions::frozen(device.clone(), Precision::F32);
    let opened = Opened::open_path(source, &options)?;
    let ids = opened.tokenizer.encode_with_specials(text)?;
    Ok(danlu_eval::Importance::collect(opened.model.as_ref(), &[&ids])?)
}

/// Writes the model at `source` as the GGUF `target` in the types of `mix`, those of the source if
/// there is none. `importance` says how much errors matter.
///
/// # Errors
/// When the source cannot be read, the target not written, or the result is off.
pub fn to_gguf(
    source: &Path,
    target: &Path,
    mix: Option<&Mix>,
    (options, importance): (&ExportOptions<'_>, Option<&Importance<'_>>),
    steps: &mut Steps<'_>,
) -> Result<Exported> {
    let source = Source::open(source, &options.device)?;
    let (mut metadata, constants) = source.metadata()?;
    let specs = source.model.params().specs();
    let parameters = Parameters::new(source.model.as_ref(), &specs, &source.weights)?;
    let export = Export::new(source.model.as_ref(), &parameters, constants)?;
    let entries = export.entries();
    let formats = match mix {
        Some(mix) => mix.plan(&export.facts(importance.is_some()), &entries),
        None => entries.iter().map(as_it_is).collect(),
    };
    let file_type = mix.map_or_else(|| file_type_of(&formats), |mix| mix.file_type);
    metadata.insert("general.file_type", Value::U32(file_type));
    metadata.insert("general.quantization_version", Value::U32(2));
    metadata.insert("danlu.verified", Value::Bool(options.text.is_some()));
    let aside = Aside::at(target, FILE)?;
    let failed = || aside.0.display().to_string();
    let file = BufWriter::new(File::create(&aside.0).with_context(failed)?);
    let Device::Cpu(cpu) = &options.device;
    let none: &Importance<'_> = &|_: &str| None;
    let importance = importance.unwrap_or(none);
    let out = export.write(cpu, file, (&metadata, &formats), importance, steps)?;
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()
        .with_context(failed)?;
    let bits =
        mix.map_or(16.0, |mix| 8.0 * mix.base.block_bytes() as f64 / mix.base.block_len() as f64);
    finish(&source, aside, target, options, (summary(&entries, &formats), bits))
}

/// Writes the model at `source` as the folder `target`: weights of the type `format` in files of
/// at most `shard_bytes`, configuration, vocabulary and template as the reference library has them.
///
/// # Errors
/// As [`to_gguf`], and when `target` is there already.
pub fn to_folder(
    source: &Path,
    target: &Path,
    (format, shard_bytes): (BlockFormat, usize),
    options: &ExportOptions<'_>,
    steps: &mut Steps<'_>,
) -> Result<Exported> {
    ensure!(!target.exists(), "{} is there already; name another folder", target.display());
    let source = Source::open(source, &options.device)?;
    let specs = source.model.params().specs();
    let parameters = Parameters::new(source.model.as_ref(), &specs, &source.weights)?;
    let config = published_config(source.model.as_ref(), format)?;
    let aside = Aside::at(target, FOLDER)?;
    fs::create_dir_all(&aside.0).with_context(|| aside.0.display().to_string())?;
    let template = source.tokenizer.chat_template().context("the chat template")?;
    let words = match &template {
        Some(template) => source.tokenizer.files(template),
        None => source.tokenizer.files_without_template(),
    };
    let generation = GenerationConfig::read(&source.path)?.to_json(&source.tokenizer)?;
    let config = format!("{config:#}\n").into_bytes();
    let others = [("config.json", config), (GENERATION_FILE, generation.into_bytes())];
    for (name, bytes) in others.into_iter().chain(words) {
        let path = aside.0.join(name);
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    let Device::Cpu(cpu) = &options.device;
    save_parameters(cpu, &parameters, format, (&aside.0, shard_bytes), steps)?;
    let entries: Vec<TensorEntry> = parameters
        .specs()
        .map(|spec| TensorEntry {
            name: spec.name.clone(),
            element: format.into(),
            shape: spec.shape.dims().to_vec(),
        })
        .collect();
    let summary = summary(&entries, &vec![format; entries.len()]);
    finish(&source, aside, target, options, (summary, 16.0))
}

/// Tensors of each type, and bytes of all.
type Summary = (BTreeMap<String, usize>, usize);

/// Compares what lies aside with its source and gives it its name. Most matrices have `bits` bits a
/// weight.
fn finish(
    source: &Source,
    aside: Aside,
    target: &Path,
    options: &ExportOptions<'_>,
    ((types, weight_bytes), bits): (Summary, f64),
) -> Result<Exported> {
    let bits_per_weight =
        8.0 * weight_bytes as f64 / source.model.params().weight_count().max(1) as f64;
    let mut agreement = None;
    if let Some(text) = options.text {
        let build = BuildOptions {
            weights: WeightKind::FrozenExact,
            ..BuildOptions::frozen(options.device.clone(), Precision::F32)
        };
        let made =
            Opened::open_path(&aside.0, &build).context("what was written cannot be read")?;
        let reference = Opened::open_path(&source.path, &build)?;
        let found = verify::agreement(&reference, &made, text)?;
        let tolerance = options.tolerance.unwrap_or_else(|| Tolerance::of_bits(bits));
        verify::require(&found, &tolerance)
            .with_context(|| format!("{} was not left behind", target.display()))?;
        agreement = Some(found);
    }
    aside.take_place(target)?;
    let path = target.to_owned();
    Ok(Exported { path, weight_bytes, bits_per_weight, types, agreement })
}

/// Removes what is written so far of an export to `target`: for a program that a signal ends in the
/// middle of it.
///
/// # Errors
/// When the system refuses.
pub fn abandon(target: &Path) -> Result<()> {
    loop {
        let removed = Aside::at(target, FILE).and_then(|_| Aside::at(target, FOLDER));
        let Err(error) = removed else { return Ok(()) };
        // The export that still runs may have put another file into its folder meanwhile.
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if kind != Some(std::io::ErrorKind::DirectoryNotEmpty) {
            return Err(error);
        }
    }
}

/// What lies aside is a file.
const FILE: &str = "gguf";
/// What lies aside is a folder.
const FOLDER: &str = "folder";

/// A file or folder beside its target, removed unless it takes its place.
struct Aside(PathBuf);

impl Aside {
    /// The place aside of `target`, where nothing is any more.
    fn at(target: &Path, kind: &str) -> Result<Self> {
        let name = target.file_name().context("the target has no name")?.to_string_lossy();
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        ensure!(folder.is_dir(), "there is no folder {}; make it first", folder.display());
        let aside = Self(folder.join(format!(".{name}.writing.{kind}")));
        aside.remove()?;
        Ok(aside)
    }

    fn remove(&self) -> Result<()> {
        let removed =
            if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| self.0.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn take_place(self, target: &Path) -> Result<()> {
        fs::rename(&self.0, target).with_context(|| target.display().to_string())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // After `take_place` nothing is there; else what is left says nothing true.
        let _ = self.remove();
    }
}

/// The type that a tensor has; vectors are always F32 in a GGUF.
fn as_it_is(entry: &TensorEntry) -> BlockFormat {
    match entry.element.block_format() {
        Some(format) if entry.shape.len() > 1 => format,
        _ => BlockFormat::F32,
    }
}

/// The number of the mix whose base most matrices have.
fn file_type_of(formats: &[BlockFormat]) -> u32 {
    let count = |format: BlockFormat| formats.iter().filter(|other| **other == format).count();
    let plain = ["F32", "F16", "BF16"].into_iter().filter_map(Mix::from_name);
    plain.max_by_key(|mix| count(mix.base)).map_or(0, |mix| mix.file_type)
}

fn summary(entries: &[TensorEntry], formats: &[BlockFormat]) -> Summary {
    let (mut types, mut bytes) = (BTreeMap::new(), 0);
    for (entry, &format) in entries.iter().zip(formats) {
        *types.entry(format.name().to_owned()).or_default() += 1;
        bytes += TensorEntry { element: format.into(), ..entry.clone() }.size_bytes();
    }
    (types, bytes)
}
