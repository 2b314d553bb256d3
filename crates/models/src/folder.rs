//! Models in and out: a folder with `config.json` and weights, as the reference library has them,
//! or a single GGUF.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use danlu_formats::{NewTensor, Values, Weights, safetensors};

use crate::config::ConfigJson;
use crate::families::find_family;
use crate::gguf::read_config;
use crate::{BuildOptions, CausalLm, Error, Result, binding};

/// The file that says what a model is.
pub const CONFIG_FILE: &str = "config.json";
/// The file that holds its weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Builds the model that a folder or a GGUF describes, with its weights: safetensors in one file or
/// many, PyTorch's `.bin` likewise, or GGUF.
///
/// # Errors
/// When a file is missing, damaged, describes what is not implemented, or does not fit the other.
pub fn load_model(path: &Path, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let (model, weights) = describe_model(path, options)?;
    binding::load(model.as_ref(), &weights, options.quantize)?;
    Ok(model)
}

/// The model that a folder or a GGUF describes, without values, and the weights it is to get.
///
/// # Errors
/// As [`load_model`], but for what only the weights' names and shapes show.
pub fn describe_model(path: &Path, options: &BuildOptions) -> Result<(Box<dyn CausalLm>, Weights)> {
    let config_path = path.join(CONFIG_FILE);
    if path.is_dir() && config_path.is_file() {
        let json = read_json(&config_path)?;
        let family = find_family(&json)?;
        return Ok(((family.build)(&json, options)?, Weights::open(path)?));
    }
    let no_config = || Error::Config {
        file: config_path.display().to_string(),
        message: "it is missing; a model is a folder with config.json and weights, or a GGUF"
            .into(),
    };
    let weights = match Weights::open(path) {
        Err(danlu_formats::Error::NoWeights { .. }) if path.is_dir() => return Err(no_config()),
        weights => weights?,
    };
    let gguf = weights.gguf().ok_or_else(no_config)?;
    let (family, json) = read_config(&weights, gguf, options.weights)?;
    Ok(((family.build)(&json, options)?, weights))
}

fn read_json(path: &Path) -> Result<ConfigJson> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { file: file.clone(), source })?;
    let json = ConfigJson::parse(&file, &text)?;
    if let Some(method) = json.object("quantization_config") {
        let method: Option<String> = method.find("quant_method")?;
        return Err(json.error(format!(
            "the weights beside it are quantised by \"{}\", which is not read; fetch the model's \
             GGUF or the weights it was made from",
            method.as_deref().unwrap_or("a method it does not name")
        )));
    }
    Ok(json)
}

/// The text of a model's `config.json`.
#[must_use]
pub fn save_config(model: &dyn CausalLm) -> String {
    format!("{:#}\n", model.config())
}

/// Writes a model's `model.safetensors`; the same weights always give the same bytes.
///
/// # Errors
/// When the weights are frozen, or `out` refuses the bytes.
pub fn save_weights(model: &dyn CausalLm, out: &mut impl Write) -> Result<()> {
    if model.params().freezes_matrices() {
        let message = "frozen weights are not written again; the file they lie in is the model";
        return Err(Error::Input(message.to_owned()));
    }
    let flat = model.params().values();
    let specs = model.params().specs();
    let tensors: Vec<_> = specs
        .iter()
        .map(|spec| NewTensor {
            name: spec.name.clone(),
            shape: spec.shape.dims().to_vec(),
            values: Values::F32(&flat[spec.range()]),
        })
        .collect();
    // The reference library refuses files that do not say which framework's layout they have.
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    Ok(safetensors::write(out, &metadata, &tensors)?)
}

/// Fills a model with the weights of a file. All of it is checked before a value changes.
///
/// # Errors
/// When a tensor is missing, unknown or mis-shaped, or the file is damaged.
pub fn load_weights(model: &dyn CausalLm, path: &Path) -> Result<()> {
    binding::load(model, &Weights::open(path)?, None)
}
