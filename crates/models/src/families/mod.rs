//! The registry: every family, one line each. Tests, `danlu` and loading iterate it.

pub mod gemma2;
pub mod gemma3;
pub mod gpt2;
pub mod gpt_neox;
pub mod llama;
pub mod mistral;
pub mod mixtral;
pub mod phi3;
pub mod qwen2;
pub mod qwen3;
pub mod qwen3_moe;

use crate::config::ConfigJson;
use crate::gguf::GgufNames;
use crate::{BuildOptions, CausalLm, Result};

/// A family of models: what has one definition.
#[derive(Debug)]
pub struct Family {
    /// `model_type` in `config.json`, and the family's name in recipes.
    pub model_type: &'static str,
    /// The class in `architectures` that the reference library opens the folder with.
    pub architecture: &'static str,
    /// What every name but the head's begins with; some published files leave it out.
    pub base_prefix: &'static str,
    /// Endings of names in published files that are no parameters but constants of the code.
    pub constants: &'static [&'static str],
    /// What a GGUF of it looks like.
    pub gguf: GgufNames,
    /// Builds a model without values from its published configuration.
    pub build: fn(&ConfigJson, &BuildOptions) -> Result<Box<dyn CausalLm>>,
}

/// Every family there is.
pub const FAMILIES: &[Family] = &[
    llama::FAMILY,
    mistral::FAMILY,
    mixtral::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    qwen3_moe::FAMILY,
    gemma2::FAMILY,
    gemma3::FAMILY,
    phi3::FAMILY,
    gpt2::FAMILY,
    gpt_neox::FAMILY,
];

/// The family whose `model_type` a configuration names.
///
/// # Errors
/// When it names none, or one that is not here.
pub fn find_family(json: &ConfigJson) -> Result<&'static Family> {
    let model_type: String = json.get("model_type")?;
    FAMILIES.iter().find(|family| family.model_type == model_type).ok_or_else(|| {
        let known: Vec<_> = FAMILIES.iter().map(|family| family.model_type).collect();
        json.error(format!(
            "`model_type` is \"{model_type}\"; the families here are {}",
            known.join(", ")
        ))
    })
}
