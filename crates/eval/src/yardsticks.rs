//! What held-out text costs without a neural network: the numbers a trained model has to beat.

use std::io::Write;

use liblzma::write::XzEncoder;

use crate::order5::Order5;
use crate::{Error, Result};

/// The preset of `xz -9`.
const XZ_PRESET: u32 = 9;

/// Bits per byte of held-out text by classical means that know the same training text.
pub struct Yardsticks {
    order5: Order5,
    /// The training text as xz sees it, and its compressed size.
    training: Vec<u8>,
    training_compressed: u64,
}

impl Yardsticks {
    /// Learns from the training documents.
    ///
    /// # Errors
    /// When xz fails.
    pub fn new(training: &[&str]) -> Result<Self> {
        let bytes = joined(training);
        let training_compressed = xz_size(&[&bytes])?;
        let order5 = Order5::train(training.iter().copied());
        Ok(Self { order5, training: bytes, training_compressed })
    }

    /// The order-5 character model, see [`crate::order5`].
    ///
    /// # Errors
    /// When there is no text.
    pub fn order5(&self, heldout: &[&str]) -> Result<f64> {
        let empty = || Error::Empty("there is no held-out text to measure on".to_owned());
        self.order5.bits_per_byte(heldout.iter().copied()).ok_or_else(empty)
    }

    /// `xz -9` of the held-out text after the training text: what it adds to the file.
    ///
    /// # Errors
    /// When there is no text or xz fails.
    pub fn xz(&self, heldout: &[&str]) -> Result<f64> {
        let bytes: usize = heldout.iter().map(|text| text.len()).sum();
        if bytes == 0 {
            return Err(Error::Empty("there is no held-out text to measure on".to_owned()));
        }
        let together = xz_size(&[&self.training, &joined(heldout)])?;
        let added = together.saturating_sub(self.training_compressed);
        Ok(added as f64 * 8.0 / bytes as f64)
    }
}

/// Documents with a line feed after each, as xz reads them.
fn joined(documents: &[&str]) -> Vec<u8> {
    documents.iter().flat_map(|text| text.bytes().chain([b'\n'])).collect()
}

/// Size of all parts compressed as one file.
fn xz_size(parts: &[&[u8]]) -> Result<u64> {
    let mut encoder = XzEncoder::new(Count(0), XZ_PRESET);
    for part in parts {
        encoder.write_all(part).map_err(Error::Xz)?;
    }
    Ok(encoder.finish().map_err(Error::Xz)?.0)
}

/// Counts what is written and keeps nothing.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_was_seen_costs_almost_nothing_and_new_text_costs_more() {
        let seen: Vec<String> = (0..300).map(|i| format!("line {} of a play", i * i)).collect();
        let seen: Vec<&str> = seen.iter().map(String::as_str).collect();
        let yardsticks = Yardsticks::new(&seen).unwrap();
        let new = ["completely different words, 和中文"];
        for (old, other) in [
            (yardsticks.xz(&seen).unwrap(), yardsticks.xz(&new).unwrap()),
            (yardsticks.order5(&seen).unwrap(), yardsticks.order5(&new).unwrap()),
        ] {
            assert!(old < 2.0 && other > 4.0, "{old} {other}");
        }
        assert!(yardsticks.xz(&[]).is_err() && yardsticks.order5(&[]).is_err());
    }
}
