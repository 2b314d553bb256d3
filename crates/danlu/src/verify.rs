//! Whether a model in another form still says the same: what `danlu verify` does, and what every
//! export does with its own file before it leaves it.

use anyhow::{Result, bail};
use danlu_eval::{Agreement, Tolerance, compare};

use crate::opened::Opened;

/// Poems and a scene, in Chinese and English, in the public domain: what models are compared on
/// when the user gives no text.
pub const TEXT: &str = include_str!("../assets/verify.txt");

/// Compares `other` with `reference` on `text`, read by the reference's vocabulary.
///
/// # Errors
/// When the two vocabularies cut the text differently, or a model fails.
pub fn agreement(reference: &Opened, other: &Opened, text: &str) -> Result<Agreement> {
    let ids = reference.tokenizer.encode_with_specials(text)?;
    if other.tokenizer.encode_with_specials(text)? != ids {
        bail!(
            "the two vocabularies turn the same text into different ids: whatever the weights, the \
             models do not say the same; use the tokenizer that belongs to the weights"
        );
    }
    Ok(compare(reference.model.as_ref(), other.model.as_ref(), &[&ids])?)
}

/// Refuses an agreement that is not good enough, in words.
///
/// # Errors
/// With every limit that is not kept.
pub fn require(found: &Agreement, tolerance: &Tolerance) -> Result<()> {
    let violations = found.violations(tolerance);
    if violations.is_empty() {
        return Ok(());
    }
    bail!("the models do not agree: {}", violations.join("; "))
}
