//! How published configurations say that positions rotate, and how a context is stretched beyond
//! the one that a model was trained with.
//!
//! `default` is RoPE itself (arXiv:2104.09864); `linear` divides every position
//! (arXiv:2306.15595); `llama3` divides slow rotations only (LLaMA 3.1); `yarn` likewise, with
//! longer vectors (arXiv:2309.00071); `longrope` has a measured factor for each pair
//! (arXiv:2402.13753).

use std::f64::consts::TAU;

use danlu_tensor::ops::{Pairs, RopeSpec, frequencies};
use serde_json::{Value, json};

use crate::config::ConfigJson;
use crate::{ModelShape, Result};

/// Every way of stretching that is known here.
const ROPE_TYPES: &str = "default, linear, llama3, yarn and longrope";

/// The rotation that a configuration describes, under the keys of any version of the reference
/// library.
///
/// # Errors
/// When a key is missing or absurd, or asks for a way of stretching that is not here.
pub fn read_rope(config: &ConfigJson, shape: &ModelShape) -> Result<RopeSpec> {
    // Since version 5 of the reference library the base is in an object of its own, too.
    let parameters = config.object("rope_parameters").or_else(|| config.object("rope_scaling"));
    let parameters = parameters.unwrap_or_else(|| config.with_value(json!({})));
    rope_from(&parameters, config, shape)
}

/// The rotation that the object `parameters` of a configuration describes; what is absent there is
/// looked for in the configuration itself.
///
/// # Errors
/// As [`read_rope`].
pub fn rope_from(
    parameters: &ConfigJson,
    config: &ConfigJson,
    shape: &ModelShape,
) -> Result<RopeSpec> {
    let keys = ["rope_theta", "partial_rotary_factor", "original_max_position_embeddings"];
    let outer = keys.iter().filter_map(|key| {
        let value = &config.value()[*key];
        (!value.is_null()).then(|| ((*key).to_owned(), value.clone()))
    });
    let json = parameters.with_defaults(Value::Object(outer.collect()));
    let share: f64 = json.get_or("partial_rotary_factor", 1.0)?;
    let (theta, head_dim): (f64, usize) = (json.get("rope_theta")?, shape.head_dim);
    let width = (head_dim as f64 * share.clamp(0.0, 1.0)) as usize;
    if width == 0 || !width.is_multiple_of(2) || theta <= 1.0 {
        return Err(json.error(format!(
            "positions rotate pairs at a base above 1: {width} rotated elements of head_dim \
             {head_dim} must be even, rope_theta {theta} larger than 1"
        )));
    }
    let interleaved = config.get_or("rope_interleave", false)?;
    let pairs = if interleaved { Pairs::Adjacent } else { Pairs::Halves };
    let spec = RopeSpec {
        max_positions: shape.context_len,
        head_dim,
        frequencies: frequencies(width, theta),
        magnitude: 1.0,
        pairs,
    };
    stretched(spec, &json, theta)
}

fn stretched(mut spec: RopeSpec, json: &ConfigJson, theta: f64) -> Result<RopeSpec> {
    let kind: Option<String> = json.find("rope_type")?.or(json.find("type")?);
    match kind.as_deref().unwrap_or("default") {
        "default" => {}
        "linear" => {
            let factor = factor(json)?;
            spec.frequencies.iter_mut().for_each(|frequency| *frequency /= factor);
        }
        "llama3" => llama3(&mut spec, json)?,
        "yarn" => yarn(&mut spec, json, theta)?,
        "longrope" | "su" => longrope(&mut spec, json)?,
        "factors" => divided(&mut spec, json, "factors")?,
        other => {
            return Err(json.error(format!(
                "`rope_type` is \"{other}\"; the ways of rotating known here are {ROPE_TYPES}"
            )));
        }
    }
    if spec.frequencies.iter().all(|f| f.is_finite()) && spec.magnitude.is_finite() {
        return Ok(spec);
    }
    Err(json.error("the rotation's parameters give a frequency that is no number"))
}

/// How much longer the context is than the one of the training.
fn factor(json: &ConfigJson) -> Result<f64> {
    let factor: f64 = json.get("factor")?;
    if factor >= 1.0 {
        return Ok(factor);
    }
    Err(json.error(format!("`factor` is {factor}; it stretches a context and is at least 1")))
}

/// Rotations slower than the context of the training are divided by the factor, those that turn
/// `high_freq_factor` times in it are kept, those between are in between.
fn llama3(spec: &mut RopeSpec, json: &ConfigJson) -> Result<()> {
    let (low, high): (f64, f64) = (json.get("low_freq_factor")?, json.get("high_freq_factor")?);
    let trained: f64 = json.get("original_max_position_embeddings")?;
    let factor = factor(json)?;
    for frequency in &mut spec.frequencies {
        let turns = trained * *frequency / TAU;
        let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
        *frequency *= (1.0 - kept) / factor + kept;
    }
    Ok(())
}

/// Pairs that turn `beta_fast` times in the context of the training are kept, those that turn less
/// than `beta_slow` times are divided by the factor, in between linear in the pair's number.
fn yarn(spec: &mut RopeSpec, json: &ConfigJson, theta: f64) -> Result<()> {
    let (fast, slow) = (json.get_or("beta_fast", 32.0)?, json.get_or("beta_slow", 1.0)?);
    let trained: f64 = json.get("original_max_position_embeddings")?;
    let factor = factor(json)?;
    let width = 2 * spec.frequencies.len();
    let pair = |turns: f64| width as f64 * (trained / (turns * TAU)).ln() / (2.0 * theta.ln());
    let (mut first, mut last) = (pair(fast), pair(slow));
    if json.get_or("truncate", true)? {
        (first, last) = (first.floor(), last.ceil());
    }
    (first, last) = (first.max(0.0), last.min(width as f64 - 1.0));
    // The reference's guard against a ramp without width.
    let ramp = if first == last { 0.001 } else { last - first };
    for (i, frequency) in spec.frequencies.iter_mut().enumerate() {
        let divided = ((i as f64 - first) / ramp).clamp(0.0, 1.0);
        *frequency *= divided / factor + (1.0 - divided);
    }
    let magnitude = |scale: f64| 0.1 * scale * factor.ln() + 1.0;
    let scales: [Option<f64>; 2] = [json.find("mscale")?, json.find("mscale_all_dim")?];
    let by_rule = match scales {
        [Some(one), Some(all)] if one != 0.0 && all != 0.0 => magnitude(one) / magnitude(all),
        _ => magnitude(1.0),
    };
    spec.magnitude = json.get_or("attention_factor", by_rule)?;
    Ok(())
}

/// Each pair has a factor. There are two lists, for texts within the context of the training and
/// for longer ones; as a text that grows past it would need every earlier key again, the context
/// here ends there.
fn longrope(spec: &mut RopeSpec, json: &ConfigJson) -> Result<()> {
    divided(spec, json, "short_factor")?;
    let trained: usize = json.get("original_max_position_embeddings")?;
    if trained < 2 {
        return Err(json.error("`original_max_position_embeddings` is less than 2"));
    }
    let longer = json.get_or("factor", spec.max_positions as f64 / trained as f64)?;
    let by_rule = (1.0 + longer.max(1.0).ln() / (trained as f64).ln()).sqrt();
    spec.magnitude = json.get_or("attention_factor", by_rule)?;
    spec.max_positions = spec.max_positions.min(trained);
    Ok(())
}

/// Each pair has a factor of its own, in the list under `key`; GGUF files hold those of LLaMA 3.1.
fn divided(spec: &mut RopeSpec, json: &ConfigJson, key: &str) -> Result<()> {
    let (factors, pairs): (Vec<f64>, usize) = (json.get(key)?, spec.frequencies.len());
    if factors.len() != pairs {
        let count = factors.len();
        return Err(json.error(format!("`{key}` has {count} numbers for {pairs} rotated pairs")));
    }
    spec.frequencies.iter_mut().zip(factors).for_each(|(frequency, factor)| *frequency /= factor);
    Ok(())
}
