//! Model folders in and out: `config.json` and `model.safetensors`, as the reference library has
//! them.
//!
//! Every parameter is found in the file under its name and with its shape, and every tensor of the
//! file belongs to a parameter; anything else is an error that names file, tensor and remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use danlu_formats::{NewTensor, SafeTensors, TensorView, Values, safetensors};
use danlu_tensor::ParamSpec;

use crate::config::ConfigJson;
use crate::families::find_family;
use crate::{BuildOptions, CausalLm, Error, Family, Result};

/// The file that says what a model is.
pub const CONFIG_FILE: &str = "config.json";
/// The file that holds its weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";
/// The file that lists the parts of weights in several files.
const INDEX_FILE: &str = "model.safetensors.index.json";
/// The head's name; absent where it is the embedding table.
const HEAD: &str = "lm_head.weight";

/// Builds the model that a folder describes, with its weights.
///
/// # Errors
/// When a file is missing, damaged, describes what is not implemented, or does not fit the other.
pub fn load_model(folder: &Path, options: &BuildOptions) -> Result<Box<dyn CausalLm>> {
    let config_path = folder.join(CONFIG_FILE);
    let file = config_path.display().to_string();
    let text = std::fs::read_to_string(&config_path)
        .map_err(|source| Error::Read { file: file.clone(), source })?;
    let json = ConfigJson::parse(&file, &text)?;
    let model = (find_family(&json)?.build)(&json, options)?;
    let weights = folder.join(WEIGHTS_FILE);
    if !weights.exists() && folder.join(INDEX_FILE).exists() {
        return Err(json.error(
            "the weights beside it lie in several files; join them into one model.safetensors",
        ));
    }
    load_weights(model.as_ref(), &weights)?;
    Ok(model)
}

/// The text of a model's `config.json`.
#[must_use]
pub fn save_config(model: &dyn CausalLm) -> String {
    format!("{:#}\n", model.config())
}

/// Writes a model's `model.safetensors`; the same weights always give the same bytes.
///
/// # Errors
/// When `out` refuses the bytes.
pub fn save_weights(model: &dyn CausalLm, out: &mut impl Write) -> Result<()> {
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
    let file = SafeTensors::open(path)?;
    let (store, specs) = (model.params(), model.params().specs());
    let by_parameter = match_names(model, &specs, &file)?;
    store.allocate();
    store.update(|flat| {
        by_parameter.iter().try_for_each(|(spec, view)| view.read_f32(&mut flat[spec.range()]))
    })?;
    Ok(())
}

/// Each parameter's tensor in the file.
fn match_names<'a>(
    model: &dyn CausalLm,
    specs: &'a [ParamSpec],
    file: &'a SafeTensors,
) -> Result<Vec<(&'a ParamSpec, TensorView<'a>)>> {
    let error = |tensor: &str, problem: &str| Error::Weights {
        file: file.file().to_owned(),
        tensor: tensor.to_owned(),
        problem: problem.to_owned(),
    };
    let mut views = by_full_name(model.family(), specs, file)
        .map_err(|twice| error(&twice, "is there twice, with and without its prefix"))?;
    let mut found = Vec::with_capacity(specs.len());
    for spec in specs {
        let Some(view) = views.remove(&spec.name) else {
            let problem = "is missing; the file is of another model or incomplete, fetch it again";
            return Err(error(&spec.name, problem));
        };
        if view.shape != spec.shape.dims() {
            let problem = format!(
                "is {:?}, config.json makes it {}; the two files are of different models",
                view.shape, spec.shape
            );
            return Err(error(view.name, &problem));
        }
        found.push((spec, view));
    }
    // A tied head is not a parameter of its own, but some published files hold a copy of it.
    let head = model.head().name();
    let is_head = |view: &TensorView<'_>| {
        found.iter().any(|(spec, other)| spec.name == head && other.bytes == view.bytes)
    };
    let constants = model.family().constants;
    let stranger = views.iter().find(|(name, view)| {
        let is_constant = constants.iter().any(|end| name.ends_with(end));
        !(is_constant || *name == HEAD && is_head(view))
    });
    match stranger {
        None => Ok(found),
        Some((_, view)) => Err(error(
            view.name,
            "belongs to no parameter of the model that config.json describes; use the config.json \
             that came with the file",
        )),
    }
}

/// The tensors of a file under their full names: some published files leave the prefix out. An
/// error is a name that is there twice.
fn by_full_name<'a>(
    family: &Family,
    specs: &[ParamSpec],
    file: &'a SafeTensors,
) -> std::result::Result<BTreeMap<String, TensorView<'a>>, String> {
    let known: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut views = BTreeMap::new();
    for view in file.tensors() {
        let longer = format!("{}{}", family.base_prefix, view.name);
        let name = if known.contains(longer.as_str()) { longer } else { view.name.to_owned() };
        if views.insert(name, view).is_some() {
            return Err(view.name.to_owned());
        }
    }
    Ok(views)
}
