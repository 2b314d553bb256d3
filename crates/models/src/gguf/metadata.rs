//! A model's configuration as the metadata of a GGUF: the way back from `config`.

use danlu_formats::gguf::{Metadata, Value as Meta};
use danlu_tensor::ops::frequencies;
use serde_json::Value;

use super::names::GgufNames;
use crate::config::ConfigJson;
use crate::layers::rope::{read_rope, rope_from};
use crate::{CausalLm, ModelShape, Result};

/// Tensors that hold constants of the rotation, not parameters.
pub type Constants = Vec<(String, Vec<f32>)>;

/// What a GGUF says of a model, but for its vocabulary and the types of its tensors.
///
/// # Errors
/// When the configuration says something that GGUF has no word for.
pub fn describe(model: &dyn CausalLm) -> Result<(Metadata, Constants)> {
    let (names, mut shape) = (&model.family().gguf, *model.shape());
    let config = ConfigJson::new("the model's configuration", model.config());
    refuse_unsaid(&config, names)?;
    // As published: a model of ours may end its context earlier.
    shape.context_len = config.get_or("max_position_embeddings", shape.context_len)?;
    let shape = &shape;
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", Meta::String(names.architecture.to_owned()));
    let key = |name: &str| format!("{}.{name}", names.architecture);
    metadata.insert(&key("vocab_size"), Meta::U32(shape.vocab_size as u32));
    for (name, published) in names.keys {
        if let Some(value) = value_of(name, published, &config, shape)? {
            metadata.insert(&key(name), value);
        }
    }
    if let Some(length) = metadata.get(&key("attention.key_length")).cloned() {
        metadata.insert(&key("attention.value_length"), length);
    }
    let constants = rotation(&config, shape, &mut metadata, &key)?;
    Ok((metadata, constants))
}

/// The value of a key; `None` where the model has no such thing.
fn value_of(
    name: &str,
    published: &str,
    config: &ConfigJson,
    shape: &ModelShape,
) -> Result<Option<Meta>> {
    let size = match name {
        "block_count" => Some(shape.num_layers),
        "embedding_length" => Some(shape.hidden_size),
        "feed_forward_length" => Some(shape.ffn_size),
        "attention.head_count" => Some(shape.num_heads),
        "attention.head_count_kv" => Some(shape.num_kv_heads),
        "attention.key_length" => Some(shape.head_dim),
        "context_length" => Some(context_len(config, shape)?),
        _ => None,
    };
    if let Some(size) = size {
        return Ok(Some(Meta::U32(size as u32)));
    }
    Ok(match &config.value()[published] {
        // Written with the rotation.
        _ if name == "rope.freq_base" => None,
        _ if name == "attention.sliding_window" && loses_window(config) => None,
        Value::Null => None,
        Value::Bool(value) => Some(Meta::Bool(*value)),
        value => match value.as_u64().map(u32::try_from) {
            Some(Ok(value)) => Some(Meta::U32(value)),
            _ => value.as_f64().map(|value| Meta::F32(value as f32)),
        },
    })
}

/// Refuses a configuration that differs from what every reader of such a file takes for granted.
fn refuse_unsaid(config: &ConfigJson, names: &GgufNames) -> Result<()> {
    let Value::Object(keys) = config.value() else { return Ok(()) };
    let mut implied = keys.clone();
    (names.implied)(&mut implied);
    let same = |one: &Value, other: &Value| {
        one == other || one.as_f64().is_some_and(|number| other.as_f64() == Some(number))
    };
    let changed = |(key, value): &(&String, &Value)| {
        implied.get(*key).is_none_or(|other| !same(value, other))
    };
    match keys.iter().find(changed) {
        None => Ok(()),
        Some((key, value)) => Err(config.error(format!(
            "`{key}` is {value}, which a GGUF of the architecture {} cannot say",
            names.architecture
        ))),
    }
}

/// Whether the architecture under which a family is written has no window, or none by default.
fn loses_window(config: &ConfigJson) -> bool {
    let family = config.value()["model_type"].as_str().unwrap_or_default();
    ["mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"].contains(&family)
}

/// The longest text. Where the window is lost, it ends before the window would hide any of it.
fn context_len(config: &ConfigJson, shape: &ModelShape) -> Result<usize> {
    let is_used: bool = config.get_or("use_sliding_window", true)?;
    let window: Option<usize> = config.find("sliding_window")?.filter(|_| is_used);
    let window = window.filter(|_| loses_window(config));
    Ok(window.map_or(shape.context_len, |window| window.min(shape.context_len)))
}

/// How positions rotate: keys, and the factors that only tensors can hold.
fn rotation(
    config: &ConfigJson,
    shape: &ModelShape,
    metadata: &mut Metadata,
    key: &impl Fn(&str) -> String,
) -> Result<Constants> {
    let rope = config.object("rope_parameters").or_else(|| config.object("rope_scaling"));
    // Where blocks rotate in two ways, those that see all tokens are described, the others implied.
    let rope = rope.map(|rope| rope.object("full_attention").unwrap_or(rope));
    let theta: Option<f64> = match &rope {
        Some(rope) => rope.find("rope_theta")?.or(config.find("rope_theta")?),
        None => config.find("rope_theta")?,
    };
    let Some(theta) = theta else { return Ok(Constants::new()) };
    let spec = match &rope {
        Some(rope) => rope_from(rope, config, shape)?,
        None => read_rope(config, shape)?,
    };
    metadata.insert(&key("rope.freq_base"), Meta::F32(theta as f32));
    let width = 2 * spec.frequencies.len();
    metadata.insert(&key("rope.dimension_count"), Meta::U32(width as u32));
    let Some(rope) = rope else { return Ok(Constants::new()) };
    let kind: Option<String> = rope.find("rope_type")?.or(rope.find("type")?);
    let mut scaling = |kind: &str| -> Result<()> {
        metadata.insert(&key("rope.scaling.type"), Meta::String(kind.to_owned()));
        if let Some(factor) = rope.find::<f32>("factor")? {
            metadata.insert(&key("rope.scaling.factor"), Meta::F32(factor));
        }
        let trained = rope.find::<u32>("original_max_position_embeddings")?;
        if let Some(trained) = trained.or(config.find("original_max_position_embeddings")?) {
            let name = key("rope.scaling.original_context_length");
            metadata.insert(&name, Meta::U32(trained));
        }
        Ok(())
    };
    let list = |name: &str| rope.find::<Vec<f32>>(name);
    match kind.as_deref().unwrap_or("default") {
        "linear" => scaling("linear")?,
        "yarn" => scaling("yarn")?,
        "llama3" | "factors" => {
            let plain = frequencies(width, theta);
            let factors = plain.iter().zip(&spec.frequencies).map(|(a, b)| (a / b) as f32);
            return Ok(vec![("rope_freqs.weight".to_owned(), factors.collect())]);
        }
        "longrope" | "su" => {
            scaling("longrope")?;
            metadata.insert(&key("rope.scaling.attn_factor"), Meta::F32(spec.magnitude as f32));
            let short = list("short_factor")?.unwrap_or_default();
            let long = list("long_factor")?.unwrap_or_else(|| short.clone());
            let names = ["rope_factors_long.weight", "rope_factors_short.weight"];
            return Ok(names.map(str::to_owned).into_iter().zip([long, short]).collect());
        }
        _ => {}
    }
    Ok(Constants::new())
}
