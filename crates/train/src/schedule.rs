//! Learning-rate schedules: a pure function from step to rate, so nothing has to be saved.

use serde::{Deserialize, Serialize};

/// The shape of the rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays at the peak.
    Constant,
    /// Half a cosine from the peak to the floor (Loshchilov & Hutter 2016, arXiv:1608.03983).
    Cosine,
    /// Warm-up, stable, decay: the peak until the last part of the run, then a straight line to the
    /// floor (Hu et al. 2024, arXiv:2404.06395).
    Wsd,
}

/// A schedule with its numbers.
#[derive(Clone, Copy, Debug)]
pub struct LearningRate {
    /// The shape.
    pub schedule: Schedule,
    /// The highest rate.
    pub peak: f64,
    /// The last rate as a share of the peak.
    pub floor_ratio: f64,
    /// Steps that rise linearly to the peak.
    pub warmup_steps: u64,
    /// Share of all steps that [`Schedule::Wsd`] spends going down.
    pub decay_ratio: f64,
    /// Steps of the whole run.
    pub total_steps: u64,
}

impl LearningRate {
    /// The rate of step `step`, counted from 0. Step 0 already moves: it has `peak / warmup_steps`.
    #[must_use]
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup_steps {
            return self.peak * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let after = (step - self.warmup_steps) as f64;
        let span = self.total_steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let done = (after / span).min(1.0);
        let floor = self.peak * self.floor_ratio;
        match self.schedule {
            Schedule::Constant => self.peak,
            Schedule::Cosine => {
                floor + (self.peak - floor) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
            Schedule::Wsd => {
                let left = (1.0 - done) / self.decay_ratio.max(f64::EPSILON);
                floor + (self.peak - floor) * left.min(1.0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(schedule: Schedule) -> LearningRate {
        LearningRate {
            schedule,
            peak: 1.0,
            floor_ratio: 0.1,
            warmup_steps: 10,
            decay_ratio: 0.5,
            total_steps: 110,
        }
    }

    #[test]
    fn every_schedule_rises_linearly_to_its_peak() {
        for schedule in [Schedule::Constant, Schedule::Cosine, Schedule::Wsd] {
            let rate = rate(schedule);
            assert!((rate.at(0) - 0.1).abs() < 1e-12);
            assert!((rate.at(4) - 0.5).abs() < 1e-12);
            assert!((rate.at(10) - 1.0).abs() < 1e-12, "{schedule:?}");
        }
    }

    #[test]
    fn decaying_schedules_end_at_the_floor_and_never_rise() {
        for schedule in [Schedule::Cosine, Schedule::Wsd] {
            let rate = rate(schedule);
            assert!((rate.at(110) - 0.1).abs() < 1e-12, "{schedule:?}");
            assert!((10..110).all(|step| rate.at(step + 1) <= rate.at(step)), "{schedule:?}");
        }
    }

    #[test]
    fn wsd_stays_at_the_peak_until_its_decay_begins() {
        let rate = rate(Schedule::Wsd);
        assert!((10..=60).all(|step| (rate.at(step) - 1.0).abs() < 1e-12));
        assert!(rate.at(61) < 1.0);
    }
}
