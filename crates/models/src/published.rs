//! A model's parameters as the safetensors of a folder, and the configuration beside them.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::Path;

use danlu_formats::{TensorEntry, safetensors};
use danlu_kernels::Cpu;
use danlu_kernels::quant::BlockFormat;
use danlu_tensor::ops::frequencies;
use serde_json::{Value, json};

use crate::config::ConfigJson;
use crate::folder::WEIGHTS_FILE;
use crate::layers::rope::read_rope;
use crate::quantize::encode;
use crate::{CausalLm, Error, Parameters, Result};

/// LLaMA 3's rotation: turns in the context of the training up to which a pair is slowed, and from
/// which on it is kept.
const TURNS: [f64; 2] = [1.0, 4.0];
/// That context, where no pair lies in between and tells.
const TRAINED: f64 = 8192.0;

/// The configuration of a model as it is published, for weights of a type.
///
/// # Errors
/// When the model is from a GGUF and rotates in a way for which there are no published keys.
pub fn published_config(model: &dyn CausalLm, format: BlockFormat) -> Result<Value> {
    let mut value = model.config();
    let dtype = match format {
        BlockFormat::F16 => "float16",
        BlockFormat::Bf16 => "bfloat16",
        _ => "float32",
    };
    for key in ["dtype", "torch_dtype"] {
        value[key] = dtype.into();
    }
    if let Some(keys) = value.as_object_mut() {
        keys.remove("rope_interleave");
    }
    if value["rope_parameters"]["rope_type"] != "factors" {
        return Ok(value);
    }
    // A GGUF has the factors of LLaMA 3's rotation, but not what they were made from.
    let config = ConfigJson::new("the GGUF's metadata", value.clone());
    let factors: Vec<f64> = config.with_value(value["rope_parameters"].clone()).get("factors")?;
    let factor = factors.iter().copied().fold(1.0, f64::max);
    let [low, high] = TURNS;
    let theta = value["rope_theta"].clone();
    let plain = frequencies(2 * factors.len(), theta.as_f64().unwrap_or(1.0));
    let trained = trained_context(&factors, &plain, factor).unwrap_or(TRAINED).round() as u64;
    value["rope_parameters"] = json!({
        "rope_type": "llama3", "rope_theta": theta, "factor": factor, "low_freq_factor": low,
        "high_freq_factor": high, "original_max_position_embeddings": trained,
    });
    let (shape, made) = (model.shape(), ConfigJson::new("the configuration", value.clone()));
    let (wanted, found) = (read_rope(&config, shape)?, read_rope(&made, shape)?);
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-5 * a.abs();
    if wanted.frequencies.iter().zip(&found.frequencies).all(near) {
        return Ok(value);
    }
    Err(config.error("its rotation (rope_freqs) is not LLaMA 3's, and has no published keys"))
}

/// The context of the training, from the first pair that is neither slowed wholly nor kept.
fn trained_context(factors: &[f64], plain: &[f64], factor: f64) -> Option<f64> {
    let [low, high] = TURNS;
    let kept = |own: f64| (1.0 / own - 1.0 / factor) / (1.0 - 1.0 / factor);
    let between = |own: f64| (0.001..0.999).contains(&kept(own));
    let (own, frequency) = factors.iter().zip(plain).find(|(own, _)| between(**own))?;
    Some((low + kept(*own) * (high - low)) * TAU / frequency)
}

/// Writes parameters as safetensors, in one file or, beyond `shard_bytes`, in several with their
/// index; no more than one tensor is in memory. `watch` is told after each how many of how many
/// numbers are written.
///
/// # Errors
/// When a number cannot be read, a file not written, or `watch` fails, which ends the work.
pub fn save_parameters(
    cpu: &Cpu,
    parameters: &Parameters<'_>,
    format: BlockFormat,
    (folder, shard_bytes): (&Path, usize),
    watch: &mut dyn FnMut(usize, usize) -> Result<()>,
) -> Result<()> {
    let entry = |spec: &danlu_tensor::ParamSpec| TensorEntry {
        name: spec.name.clone(),
        element: format.into(),
        shape: spec.shape.dims().to_vec(),
    };
    let entries: Vec<TensorEntry> = parameters.specs().map(entry).collect();
    let shards = shards_of(&entries, shard_bytes);
    let count = |entry: &TensorEntry| entry.shape.iter().product::<usize>();
    let total = entries.iter().map(count).sum();
    // The reference library refuses files that do not say which framework's layout they have.
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let (mut done, mut places) = (0, serde_json::Map::new());
    for (number, shard) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => WEIGHTS_FILE.to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let path = folder.join(&name);
        let failed = |source| Error::Write { file: path.display().to_string(), source };
        let file = BufWriter::new(File::create(&path).map_err(failed)?);
        let entries = &entries[shard.clone()];
        let mut writer = safetensors::Writer::new(file, &metadata, entries.to_vec())?;
        for (index, entry) in shard.clone().zip(entries) {
            let values = parameters.read(index)?;
            done += values.len();
            let cols = entry.shape.last().copied().unwrap_or(1);
            let rows = (&values[..], cols);
            let bytes = encode(cpu, format, rows, None).map_err(|problem| {
                let (file, tensor) = (path.display().to_string(), entry.name.clone());
                Error::Weights { file, tensor, problem }
            })?;
            writer.write(&entry.name, &bytes)?;
            places.insert(entry.name.clone(), name.clone().into());
            watch(done, total)?;
        }
        let file = writer.finish()?.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
    }
    if shards.len() > 1 {
        let bytes = entries.iter().map(TensorEntry::size_bytes).sum::<usize>();
        let index = json!({ "metadata": { "total_size": bytes }, "weight_map": places });
        let path = folder.join(format!("{WEIGHTS_FILE}.index.json"));
        std::fs::write(&path, format!("{index:#}\n"))
            .map_err(|source| Error::Write { file: path.display().to_string(), source })?;
    }
    Ok(())
}

/// Ranges of tensors that fit a file together; a tensor larger than that has a file of its own.
fn shards_of(entries: &[TensorEntry], shard_bytes: usize) -> Vec<Range<usize>> {
    let (mut shards, mut start, mut size) = (Vec::new(), 0, 0);
    for (index, entry) in entries.iter().enumerate() {
        if index > start && size + entry.size_bytes() > shard_bytes {
            shards.push(start..index);
            (start, size) = (index, 0);
        }
        size += entry.size_bytes();
    }
    shards.push(start..entries.len());
    shards
}
