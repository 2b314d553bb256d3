//! A GGUF's metadata as the configuration of a family.

use danlu_formats::gguf::Value as Meta;
use danlu_formats::{Gguf, Weights};
use serde_json::{Map, Value, json};

use super::names::GgufNames;
use crate::config::ConfigJson;
use crate::{Error, FAMILIES, Family, Result, WeightKind};

/// The family of a GGUF and its configuration under the published keys.
///
/// # Errors
/// When the architecture is not here, or a size is missing or contradicts a tensor.
pub fn read_config(
    weights: &Weights,
    gguf: &Gguf,
    kind: WeightKind,
) -> Result<(&'static Family, ConfigJson)> {
    let file = gguf.file();
    let family = family_of(gguf)?;
    let error = |message| Error::Config { file: file.to_owned(), message };
    let GgufNames { architecture, keys, .. } = family.gguf;
    let mut json = Map::new();
    for (gguf_key, key) in keys {
        let value = gguf.metadata().get(&format!("{architecture}.{gguf_key}"));
        json.insert((*key).to_owned(), value.map_or(Value::Null, plain));
    }
    // Absent sizes are left to the family's rules; only a window that is absent means none.
    json.retain(|key, value| !value.is_null() || key == "sliding_window");
    json.insert("model_type".to_owned(), family.model_type.into());
    let embedding = weights.tensor("token_embd.weight")?;
    let vocab_size = embedding.shape().first().copied().unwrap_or(0);
    if let Ok(tokens) = gguf.array("tokenizer.ggml.tokens")
        && tokens.len() > vocab_size
    {
        return Err(error(format!(
            "the vocabulary has {} tokens, tensor `token_embd.weight` has rows for {vocab_size}; \
             fetch the file again or convert it with its own tokenizer",
            tokens.len()
        )));
    }
    json.insert("vocab_size".to_owned(), vocab_size.into());
    let tied = weights.get("output.weight").is_none();
    json.insert("tie_word_embeddings".to_owned(), (tied || architecture == "gpt2").into());
    for (key, name) in
        [("bos_token_id", "bos"), ("eos_token_id", "eos"), ("pad_token_id", "padding")]
    {
        let id = gguf.integer(&format!("tokenizer.ggml.{name}_token_id"));
        json.insert(key.to_owned(), id.map_or(Value::Null, Value::from));
    }
    biases(weights, &mut json);
    (family.gguf.implied)(&mut json);
    // Queries and keys of LLaMA's architecture are in the order of the paper: read where they lie,
    // they are rotated in that order; copied, they are put into the published one.
    let adjacent = architecture == "llama" && kind != WeightKind::Trainable;
    json.insert("rope_interleave".to_owned(), adjacent.into());
    let label = format!("{file} (metadata)");
    rotation(weights, gguf, architecture, &mut json)?;
    Ok((family, ConfigJson::new(&label, Value::Object(json))))
}

/// The family whose architecture a file names.
fn family_of(gguf: &Gguf) -> Result<&'static Family> {
    let architecture = gguf.text("general.architecture")?;
    let has_experts = gguf.integer(&format!("{architecture}.expert_count")).is_ok_and(|n| n > 0);
    let fits = |family: &&Family| {
        family.gguf.architecture == architecture && family.gguf.has_experts == has_experts
    };
    FAMILIES.iter().find(fits).ok_or_else(|| {
        let known: Vec<_> = FAMILIES.iter().map(|family| family.gguf.architecture).collect();
        Error::Config {
            file: gguf.file().to_owned(),
            message: format!(
                "`general.architecture` is \"{architecture}\"{}; the architectures here are {}",
                if has_experts { " with experts" } else { "" },
                known.join(", ")
            ),
        }
    })
}

/// A number or a truth value of the metadata.
fn plain(value: &Meta) -> Value {
    match value {
        Meta::Bool(value) => (*value).into(),
        Meta::F32(value) => shortest(*value),
        value => value.as_u64().map(Value::from).or_else(|| value.as_f64().map(Value::from)).into(),
    }
}

/// The decimal number that was meant by an f32: `1e-5`, not `0.000009999999747378752`.
fn shortest(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Whether layers have biases: the tensors say so.
fn biases(weights: &Weights, json: &mut Map<String, Value>) {
    for (key, tensor) in [("attention_bias", "attn_output"), ("mlp_bias", "ffn_down")] {
        let has = weights.get(&format!("blk.0.{tensor}.bias")).is_some();
        json.insert(key.to_owned(), has.into());
    }
}

/// How positions rotate.
fn rotation(
    weights: &Weights,
    gguf: &Gguf,
    architecture: &str,
    json: &mut Map<String, Value>,
) -> Result<()> {
    let key = |name: &str| format!("{architecture}.rope.{name}");
    let number = |name: &str| gguf.number(&key(name)).ok();
    let size = |key: &str| json.get(key).and_then(Value::as_f64);
    let head_dim = size("head_dim").or_else(|| {
        Some(size("hidden_size")? / size("num_attention_heads").filter(|heads| *heads > 0.0)?)
    });
    let mut rope = Map::new();
    if let (Some(rotated), Some(head_dim)) = (number("dimension_count"), head_dim) {
        rope.insert("partial_rotary_factor".to_owned(), (rotated / head_dim).into());
    }
    for (name, published) in [
        ("scaling.factor", "factor"),
        ("scaling.original_context_length", "original_max_position_embeddings"),
        ("scaling.attn_factor", "attention_factor"),
    ] {
        if let Some(value) = number(name) {
            rope.insert(
                published.to_owned(),
                if value.fract() == 0.0 { (value as u64).into() } else { value.into() },
            );
        }
    }
    let kind = match gguf.text(&key("scaling.type")) {
        Ok("none") | Err(_) => "default",
        Ok(kind) => kind,
    };
    rope.insert("rope_type".to_owned(), kind.into());
    for (tensor, list) in [("rope_freqs", "factors"), ("rope_factors_short", "short_factor")] {
        if let Some(tensor) = weights.get(&format!("{tensor}.weight")) {
            let kind = if list == "factors" { list } else { "longrope" };
            rope.insert("rope_type".to_owned(), kind.into());
            rope.insert(list.to_owned(), json!(tensor.to_f32()?));
        }
    }
    json.insert("rope_parameters".to_owned(), Value::Object(rope));
    Ok(())
}
