//! `metrics.jsonl`: a line a step, the same bytes whether or not the run was interrupted.
//!
//! Times differ from run to run, so they are not written here; progress is reported as events.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step, counted from 1: the number of steps done.
    pub step: u64,
    /// Mean negative log-likelihood of the step's target tokens, in nats. What is not finite is
    /// written as null and read as NaN; the incident says what it was.
    #[serde(deserialize_with = "number_or_null")]
    pub loss: f64,
    /// Length of the gradient before clipping; null as above.
    #[serde(deserialize_with = "number_or_null")]
    pub gradient_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Target tokens seen since the run began.
    pub tokens: u64,
    /// Bits per byte on held-out text, at the steps that looked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heldout_bits_per_byte: Option<f64>,
    /// Why the step was not applied, if it was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub incident: Option<Incident>,
}

/// A step that was caught and left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// What was found.
    pub reason: String,
    /// Where the batch came from.
    pub documents: Vec<String>,
}

/// JSON has no NaN: serde_json writes null for it.
fn number_or_null<'de, D: Deserializer<'de>>(input: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or(f64::NAN))
}

/// The open log.
#[derive(Debug)]
pub struct MetricsLog {
    path: PathBuf,
    file: File,
}

impl MetricsLog {
    /// Opens the log for a run that has done `step` steps: later lines, written before a kill, go.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> Result<Self> {
        let kept = match fs::read_to_string(path) {
            Ok(text) => lines_up_to(&text, step),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(path)(error)),
        };
        let temporary = path.with_extension("jsonl.tmp");
        fs::write(&temporary, kept).map_err(Error::io(&temporary))?;
        fs::rename(&temporary, path).map_err(Error::io(path))?;
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn append(&mut self, record: &StepRecord) -> Result<()> {
        let line =
            serde_json::to_string(record).map_err(|error| Error::io(&self.path)(error.into()))?;
        self.file.write_all(format!("{line}\n").as_bytes()).map_err(Error::io(&self.path))
    }

    /// Makes all lines durable; called before a checkpoint that follows them.
    ///
    /// # Errors
    /// When the system cannot.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(Error::io(&self.path))
    }
}

/// The whole lines that belong to steps up to `step`. A line cut short by a kill is not one.
fn lines_up_to(text: &str, step: u64) -> String {
    let belongs = |line: &&str| {
        line.ends_with('\n')
            && serde_json::from_str::<StepRecord>(line).is_ok_and(|record| record.step <= step)
    };
    text.split_inclusive('\n').filter(belongs).collect()
}

/// Reads a log.
///
/// # Errors
/// When the file cannot be read or a line is not a record; the error names it.
pub fn read_metrics(path: &Path) -> Result<Vec<StepRecord>> {
    let text = fs::read_to_string(path).map_err(Error::io(path))?;
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| Error::Corrupt {
            path: path.to_owned(),
            message: format!("line {}: {error}", number + 1),
        })
    };
    text.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> StepRecord {
        StepRecord {
            step,
            loss: 1.0 / step as f64,
            gradient_norm: 0.5,
            learning_rate: 1e-3,
            tokens: step * 100,
            heldout_bits_per_byte: None,
            incident: None,
        }
    }

    #[test]
    fn a_resumed_log_has_the_bytes_of_an_undisturbed_one() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, broken) = (folder.path().join("a.jsonl"), folder.path().join("b.jsonl"));
        let mut log = MetricsLog::resume(&whole, 0).unwrap();
        (1..=20).for_each(|step| log.append(&record(step)).unwrap());
        let mut log = MetricsLog::resume(&broken, 0).unwrap();
        (1..=13).for_each(|step| log.append(&record(step)).unwrap());
        log.file.write_all(b"{\"step\":14,\"lo").unwrap();
        let mut log = MetricsLog::resume(&broken, 10).unwrap();
        (11..=20).for_each(|step| log.append(&record(step)).unwrap());
        log.sync().unwrap();
        assert_eq!(fs::read(&whole).unwrap(), fs::read(&broken).unwrap());
        assert_eq!(read_metrics(&whole).unwrap().len(), 20);
    }

    #[test]
    fn a_step_whose_loss_was_not_finite_stays_in_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let incident = Incident { reason: "the loss is NaN".to_owned(), documents: vec![] };
        for broken in [f64::NAN, f64::INFINITY] {
            let mut log = MetricsLog::resume(&path, 0).unwrap();
            let incident = Some(incident.clone());
            let record = StepRecord { loss: broken, gradient_norm: broken, incident, ..record(1) };
            log.append(&record).unwrap();
            log.append(&self::record(2)).unwrap();
            let before = fs::read(&path).unwrap();
            drop(MetricsLog::resume(&path, 2).unwrap());
            assert_eq!(fs::read(&path).unwrap(), before);
            let records = read_metrics(&path).unwrap();
            assert!(records[0].loss.is_nan() && records[0].incident.is_some());
        }
    }
}
