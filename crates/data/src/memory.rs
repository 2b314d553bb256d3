//! Sizes of memory as a recipe writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The units that are understood, the smallest first.
const UNITS: &[(&str, u64)] = &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
/// Less would not hold a batch of documents.
const MIN_BYTES: u64 = 32 << 20;

/// An amount of memory, in a recipe `"512 MiB"` or `"1GiB"`.
///
/// ```
/// use danlu_data::MemorySize;
///
/// let size: MemorySize = "512MiB".parse()?;
/// assert_eq!((size.bytes(), size.to_string().as_str()), (512 << 20, "512 MiB"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MemorySize(u64);

impl MemorySize {
    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl Default for MemorySize {
    /// 1 GiB.
    fn default() -> Self {
        Self(1 << 30)
    }
}

impl FromStr for MemorySize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("{text:?} is no size of memory: {why}");
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = (&text[..digits], text[digits..].trim());
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, factor) = known.ok_or_else(|| refuse("write it as \"512 MiB\" or \"1 GiB\""))?;
        let number: u64 = number.parse().map_err(|_| refuse("it begins with a whole number"))?;
        match number.checked_mul(*factor) {
            None => Err(refuse("it is too large")),
            Some(bytes) if bytes < MIN_BYTES => Err(refuse("at least 32 MiB are needed")),
            Some(bytes) => Ok(Self(bytes)),
        }
    }
}

impl fmt::Display for MemorySize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &&(&str, u64)| self.0.is_multiple_of(*factor);
        let (unit, factor) = UNITS.iter().rev().find(whole).copied().unwrap_or(("B", 1));
        write!(out, "{} {unit}", self.0 / factor)
    }
}

impl TryFrom<String> for MemorySize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> Self {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written_and_nonsense_is_refused() {
        for (text, bytes) in [("1GiB", 1 << 30), ("33554433 B", (32 << 20) + 1)] {
            let size: MemorySize = text.parse().unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(size.to_string().parse(), Ok(size));
        }
        for text in ["", "1", "GiB", "1 GB", "-1 GiB", "1.5 GiB", "9 MiB", "99999999999 GiB"] {
            let message = text.parse::<MemorySize>().unwrap_err();
            assert!(message.contains(text), "{message}");
        }
    }
}
