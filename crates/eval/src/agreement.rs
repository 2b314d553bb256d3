//! Whether two models say the same: a quantised or converted one beside its source.
//!
//! Both read the same text; after every token their next-token distributions are compared by the
//! Kullback-Leibler divergence `Σ p (ln p - ln q)`, p the reference's (in nats), by whether the
//! likeliest token is the same, and by the perplexity of the text under each.

use std::fmt;

use danlu_models::{CausalLm, KvCache, ModelInput};
use serde::Serialize;

use crate::{Error, Result};

/// Tokens computed at once: their logits, of both models, are in memory together.
const TOKENS_AT_ONCE: usize = 64;
/// Tokens of a stretch that is read with what stands before it; the next begins anew.
const WINDOW: usize = 512;

/// What a comparison found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Places compared.
    pub tokens: usize,
    /// Mean divergence in nats.
    pub kl_mean: f64,
    /// 99 of 100 places diverge less.
    pub kl_99: f64,
    /// The worst place.
    pub kl_max: f64,
    /// Share of places with the same likeliest token.
    pub top1: f64,
    /// Perplexity of the text under the reference.
    pub perplexity_reference: f64,
    /// Perplexity of the text under the other.
    pub perplexity_other: f64,
}

/// How far two models may be apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tolerance {
    /// Largest mean divergence in nats.
    pub kl_mean: f64,
    /// Smallest share of places with the same likeliest token.
    pub top1: f64,
    /// Largest perplexity of the other by that of the reference.
    pub perplexity_ratio: f64,
}

impl Tolerance {
    /// For the same weights in another file: rounding of sums apart, nothing changes.
    pub const SAME_WEIGHTS: Self = Self { kl_mean: 1e-5, top1: 0.99, perplexity_ratio: 1.001 };

    /// For weights kept in about `bits` bits each. The limits are what published quantisations of
    /// small models lose, doubled: a file beyond them is broken rather than coarse.
    #[must_use]
    pub fn of_bits(bits: f64) -> Self {
        match bits {
            16.0.. => Self { kl_mean: 0.001, top1: 0.97, perplexity_ratio: 1.005 },
            8.0.. => Self { kl_mean: 0.02, top1: 0.92, perplexity_ratio: 1.02 },
            6.0.. => Self { kl_mean: 0.04, top1: 0.90, perplexity_ratio: 1.04 },
            5.0.. => Self { kl_mean: 0.08, top1: 0.86, perplexity_ratio: 1.08 },
            4.0.. => Self { kl_mean: 0.25, top1: 0.78, perplexity_ratio: 1.25 },
            3.0.. => Self { kl_mean: 0.7, top1: 0.62, perplexity_ratio: 1.8 },
            _ => Self { kl_mean: 1.5, top1: 0.45, perplexity_ratio: 4.0 },
        }
    }
}

impl Agreement {
    /// The limits that are not kept, each in words; none is agreement.
    #[must_use]
    pub fn violations(&self, tolerance: &Tolerance) -> Vec<String> {
        let ratio = self.perplexity_other / self.perplexity_reference;
        let mut found = Vec::new();
        // Written so that a NaN is a violation too.
        let mut hold = |kept: bool, words: String| {
            if !kept {
                found.push(words);
            }
        };
        hold(
            self.kl_mean <= tolerance.kl_mean,
            format!("mean divergence {:.5} is above {}", self.kl_mean, tolerance.kl_mean),
        );
        hold(
            self.top1 >= tolerance.top1,
            format!("the likeliest token agrees in {:.4}, below {}", self.top1, tolerance.top1),
        );
        hold(
            ratio <= tolerance.perplexity_ratio,
            format!("perplexity is {ratio:.4} times, above {}", tolerance.perplexity_ratio),
        );
        found
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} tokens: divergence {:.6} mean, {:.5} at 99 %, {:.4} at most; the likeliest token \
             agrees in {:.2} %; perplexity {:.4} and {:.4}",
            self.tokens,
            self.kl_mean,
            self.kl_99,
            self.kl_max,
            self.top1 * 100.0,
            self.perplexity_reference,
            self.perplexity_other
        )
    }
}

/// Compares `other` with `reference` on the ids of some texts.
///
/// # Errors
/// When the vocabularies differ, no text has two tokens, or a model fails.
pub fn compare(
    reference: &dyn CausalLm,
    other: &dyn CausalLm,
    documents: &[&[u32]],
) -> Result<Agreement> {
    let [rows, others] = [reference, other].map(|model| model.shape().vocab_size);
    if rows != others {
        return Err(Error::Incomparable { reference: rows, other: others });
    }
    let contexts = [reference, other].map(|model| model.shape().context_len);
    let window = WINDOW.min(contexts[0]).min(contexts[1]);
    let mut places = Places::default();
    for ids in documents.iter().flat_map(|ids| ids.chunks(window)).filter(|ids| ids.len() > 1) {
        let mut caches = [KvCache::new(reference, ids.len())?, KvCache::new(other, ids.len())?];
        let (inputs, targets) = (&ids[..ids.len() - 1], &ids[1..]);
        for (inputs, targets) in inputs.chunks(TOKENS_AT_ONCE).zip(targets.chunks(TOKENS_AT_ONCE)) {
            let [ours, theirs] = &mut caches;
            let p = reference.logits(&ModelInput::after(ours, inputs), Some(ours))?.to_vec();
            let q = other.logits(&ModelInput::after(theirs, inputs), Some(theirs))?.to_vec();
            for ((p, q), &target) in p.chunks(rows).zip(q.chunks(rows)).zip(targets) {
                places.add(p, q, target as usize);
            }
        }
    }
    places.summary()
}

/// What was found place by place.
#[derive(Default)]
struct Places {
    divergences: Vec<f64>,
    same: usize,
    /// Negative log-likelihoods of the text.
    nats: [f64; 2],
}

impl Places {
    fn add(&mut self, p: &[f32], q: &[f32], target: usize) {
        let totals = [p, q].map(log_sum_exp);
        let divergence = p.iter().zip(q).map(|(&p, &q)| {
            let (p, q) = (f64::from(p) - totals[0], f64::from(q) - totals[1]);
            p.exp() * (p - q)
        });
        self.divergences.push(divergence.sum::<f64>());
        self.same += usize::from(likeliest(p) == likeliest(q));
        for (sum, (logits, total)) in self.nats.iter_mut().zip([p, q].iter().zip(totals)) {
            *sum += total - f64::from(logits[target]);
        }
    }

    fn summary(mut self) -> Result<Agreement> {
        let tokens = self.divergences.len();
        if tokens == 0 {
            return Err(Error::Empty("no text has two tokens to compare the models on".to_owned()));
        }
        self.divergences.sort_by(f64::total_cmp);
        let [perplexity_reference, perplexity_other] =
            self.nats.map(|nats| (nats / tokens as f64).exp());
        Ok(Agreement {
            tokens,
            kl_mean: self.divergences.iter().sum::<f64>() / tokens as f64,
            kl_99: self.divergences[tokens * 99 / 100],
            kl_max: self.divergences[tokens - 1],
            top1: self.same as f64 / tokens as f64,
            perplexity_reference,
            perplexity_other,
        })
    }
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - largest).exp()).sum();
    f64::from(largest) + sum.ln()
}

/// The first of the largest.
fn likeliest(logits: &[f32]) -> usize {
    let best = |best, (i, &x): (usize, &f32)| if x > logits[best] { i } else { best };
    logits.iter().enumerate().fold(0, best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(pairs: &[([f32; 3], [f32; 3], usize)]) -> Agreement {
        let mut places = Places::default();
        for (p, q, target) in pairs {
            places.add(p, q, *target);
        }
        places.summary().unwrap()
    }

    #[test]
    fn equal_logits_agree_wholly_whatever_is_added_to_all_of_them() {
        let found = summary(&[([1.0, 2.0, -3.0], [11.0, 12.0, 7.0], 1)]);
        assert!(found.kl_max.abs() < 1e-9 && found.top1 == 1.0, "{found}");
        assert!(found.violations(&Tolerance::SAME_WEIGHTS).is_empty());
    }

    #[test]
    fn the_divergence_is_the_written_one() {
        // p = [1/2, 1/4, 1/4], q = [1/4, 1/2, 1/4]: KL = 1/2 ln 2 - 1/4 ln 2 = 1/4 ln 2.
        let (half, quarter) = (0.5_f32.ln(), 0.25_f32.ln());
        let found = summary(&[([half, quarter, quarter], [quarter, half, quarter], 0)]);
        assert!((found.kl_mean - 0.25 * std::f64::consts::LN_2).abs() < 1e-6, "{found}");
        assert_eq!(found.top1, 0.0);
        assert!((found.perplexity_reference - 2.0).abs() < 1e-5, "{found}");
        assert!((found.perplexity_other - 4.0).abs() < 1e-5, "{found}");
        assert_eq!(found.violations(&Tolerance::of_bits(8.0)).len(), 3);
    }

    #[test]
    fn what_is_not_a_number_is_a_violation() {
        let found = summary(&[([0.0; 3], [f32::NAN, 0.0, 0.0], 1)]);
        assert!(!found.violations(&Tolerance::of_bits(2.0)).is_empty(), "{found}");
    }

    #[test]
    fn nothing_to_compare_on_is_an_error() {
        assert!(Places::default().summary().is_err());
    }
}
