//! Catches a broken step before it touches the weights: numbers that are not finite, and losses far
//! above what the run has been seeing.

use serde::{Deserialize, Serialize};

/// Share of the newest loss in the running mean and variance.
const MEMORY: f64 = 0.02;
/// Accepted steps before a spike can be told from the noise of the beginning.
const STEPS_TO_LEARN: u64 = 50;
/// A spread below this share of the mean is taken as this share: a very steady loss must not make
/// ordinary batches look like spikes.
const SPREAD_FLOOR: f64 = 0.02;
/// Broken steps in a row after which going on is pointless.
pub const INCIDENTS_IN_A_ROW_MAX: u32 = 5;

/// What the guard remembers; part of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    mean: f64,
    variance: f64,
    accepted: u64,
    /// Broken steps since the last good one.
    pub in_a_row: u32,
    /// Broken steps of the whole run.
    pub total: u64,
}

impl Guard {
    /// Why this step must not be applied, if so. `spike_sigmas` of 0 switches spikes off.
    #[must_use]
    pub fn check(&self, loss: f64, gradient_norm: f64, spike_sigmas: f64) -> Option<String> {
        if !loss.is_finite() {
            return Some(format!("the loss is {loss}"));
        }
        if !gradient_norm.is_finite() {
            return Some(format!(
                "the gradient holds NaN or infinity (its norm is {gradient_norm})"
            ));
        }
        let spread = self.variance.sqrt().max(SPREAD_FLOOR * self.mean.abs());
        let limit = self.mean + spike_sigmas * spread;
        let spike = spike_sigmas > 0.0 && self.accepted >= STEPS_TO_LEARN && loss > limit;
        spike.then(|| {
            format!(
                "the loss jumped to {loss:.4} (running mean {:.4}, limit {limit:.4})",
                self.mean
            )
        })
    }

    /// Remembers a step that was applied.
    pub fn accept(&mut self, loss: f64) {
        let weight = MEMORY.max(1.0 / (self.accepted + 1) as f64);
        let difference = loss - self.mean;
        self.mean += weight * difference;
        self.variance = (1.0 - weight) * (self.variance + weight * difference * difference);
        self.accepted += 1;
        self.in_a_row = 0;
    }

    /// Counts a step that was not applied; true when it is time to give up.
    pub fn reject(&mut self) -> bool {
        self.in_a_row += 1;
        self.total += 1;
        self.in_a_row >= INCIDENTS_IN_A_ROW_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trained() -> Guard {
        let mut guard = Guard::default();
        (0..200).for_each(|step| guard.accept(4.0 + 0.1 * f64::from(step % 7 - 3)));
        guard
    }

    #[test]
    fn numbers_that_are_not_finite_are_caught_from_the_first_step() {
        let guard = Guard::default();
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(guard.check(bad, 1.0, 0.0).is_some());
            assert!(guard.check(1.0, bad, 0.0).is_some());
        }
        assert_eq!(guard.check(9.0, 3.0, 12.0), None);
    }

    #[test]
    fn a_spike_is_caught_and_the_usual_noise_is_not() {
        let guard = trained();
        assert_eq!(guard.check(4.35, 1.0, 8.0), None);
        assert!(guard.check(9.0, 1.0, 8.0).is_some());
        assert_eq!(guard.check(9.0, 1.0, 0.0), None, "switched off");
    }

    /// serde_json reads some numbers one bit off without its feature `float_roundtrip`; a resumed
    /// run would then end with another `train_state.json`.
    #[test]
    fn what_it_remembers_is_read_back_to_the_last_bit() {
        let mut guard = Guard::default();
        for step in 0..2000 {
            guard.accept(5.0 + f64::from(step).sin() / 3.0);
            let saved = serde_json::to_string(&guard).unwrap();
            assert_eq!(serde_json::from_str::<Guard>(&saved).unwrap(), guard, "step {step}");
        }
    }

    #[test]
    fn a_rejected_step_leaves_the_memory_alone_and_a_row_of_them_gives_up() {
        let mut guard = trained();
        let before = (guard.mean, guard.variance);
        let given_up: Vec<bool> = (0..INCIDENTS_IN_A_ROW_MAX).map(|_| guard.reject()).collect();
        assert_eq!((guard.mean, guard.variance), before);
        assert_eq!(given_up, [false, false, false, false, true]);
        guard.accept(4.0);
        assert_eq!(guard.in_a_row, 0);
    }
}
