//! How often an epoch has the documents of a source.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::document::Meta;
use crate::{Error, Result};

/// Key of a document's `meta` that holds its [`MixWeight`].
pub(crate) const WEIGHT_KEY: &str = "mix_weight";
/// No document is repeated more often in an epoch.
const MAX_WEIGHT: f64 = 100.0;

/// How often an epoch has each document of a source: a number, or one for each epoch, of which the
/// last holds for all that follow. `2` is twice, `0.5` every other document, and the ones left out
/// in the next epoch; `[1, 0]` is in the first epoch only.
///
/// ```
/// use danlu_data::MixWeight;
///
/// let weight: MixWeight = serde_json::from_str("[2, 0.5]")?;
/// assert_eq!([0, 1, 9].map(|epoch| weight.at(epoch)), [2.0, 0.5, 0.5]);
/// assert!(serde_json::from_str::<MixWeight>("-1").is_err());
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct MixWeight(Vec<f64>);

#[derive(Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number, or a list of numbers, one for each epoch")]
enum Written {
    Always(f64),
    ByEpoch(Vec<f64>),
}

impl TryFrom<Written> for MixWeight {
    type Error = String;

    fn try_from(written: Written) -> std::result::Result<Self, String> {
        let weights = match written {
            Written::Always(weight) => vec![weight],
            Written::ByEpoch(weights) => weights,
        };
        let possible = |weight: &f64| (0.0..=MAX_WEIGHT).contains(weight);
        if weights.is_empty() || !weights.iter().all(possible) {
            return Err(format!("{weights:?}: a weight is a number from 0 to {MAX_WEIGHT}"));
        }
        Ok(Self(weights))
    }
}

impl From<MixWeight> for Written {
    fn from(weight: MixWeight) -> Self {
        match weight.0[..] {
            [always] => Self::Always(always),
            _ => Self::ByEpoch(weight.0),
        }
    }
}

impl Default for MixWeight {
    fn default() -> Self {
        Self(vec![1.0])
    }
}

impl MixWeight {
    /// The weight in an epoch, counted from 0.
    pub fn at(&self, epoch: u64) -> f64 {
        let last = self.0.len() - 1;
        self.0[usize::try_from(epoch).map_or(last, |epoch| epoch.min(last))]
    }

    /// As it is written.
    pub(crate) fn to_json(&self) -> Value {
        match self.0[..] {
            [always] => always.into(),
            _ => self.0.clone().into(),
        }
    }

    /// Epochs until the weight changes no more.
    pub(crate) fn epochs(&self) -> u64 {
        self.0.len() as u64
    }

    /// The weight that a document's `meta` states.
    ///
    /// # Errors
    /// When what it states is none; `name` is the document's.
    pub(crate) fn of(name: &str, meta: &Meta) -> Result<Self> {
        let Some(value) = meta.get(WEIGHT_KEY) else { return Ok(Self::default()) };
        serde_json::from_value(value.clone())
            .map_err(|error| Error::Weight { document: name.to_owned(), found: error.to_string() })
    }

    /// How often `epoch` has a document whose draw, the same in all epochs, is `draw` in [0, 1).
    /// Over the epochs a document comes as often as the weights add up to, but for a fraction.
    pub(crate) fn copies(&self, epoch: u64, draw: f64) -> u64 {
        let until = |epoch: u64| {
            let listed = self.0.iter().take(usize::try_from(epoch).unwrap_or(usize::MAX));
            let rest = epoch.saturating_sub(self.epochs()) as f64;
            (listed.sum::<f64>() + rest * self.at(u64::MAX) + draw).floor()
        };
        (until(epoch + 1) - until(epoch)) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(json: &str) -> MixWeight {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn over_the_epochs_a_document_comes_as_often_as_its_weights_add_up_to() {
        let cases = [("1", 8), ("0", 0), ("0.5", 4), ("2.25", 18), ("[3, 0, 0.5]", 6)];
        for (json, expected) in cases {
            for draw in [0.0, 0.3, 0.999] {
                let seen: u64 = (0..8).map(|epoch| weight(json).copies(epoch, draw)).sum();
                assert_eq!(seen, expected, "{json} with {draw}");
            }
        }
    }

    #[test]
    fn of_many_documents_an_epoch_has_the_share_that_the_weight_says() {
        for epoch in 0..5 {
            let draws = (0..1000).map(|document| f64::from(document) / 1000.0);
            let seen: u64 = draws.map(|draw| weight("0.3").copies(epoch, draw)).sum();
            assert!((299..=301).contains(&seen), "{seen} of 1000 in epoch {epoch}");
        }
    }

    #[test]
    fn what_is_no_weight_is_refused() {
        for json in ["-0.1", "101", "[]", "[1, -1]", "\"2\"", "null"] {
            assert!(serde_json::from_str::<MixWeight>(json).is_err(), "{json}");
        }
        let meta: Meta = serde_json::from_str(r#"{"mix_weight": "heavy"}"#).unwrap();
        let message = MixWeight::of("doc 7", &meta).unwrap_err().to_string();
        assert!(message.contains("doc 7") && message.contains("number"), "{message}");
        assert_eq!(MixWeight::of("doc 8", &Meta::new()).unwrap(), MixWeight::default());
    }
}
