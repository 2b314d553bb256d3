//! A quality classifier from two heaps of documents: good ones, and ones that are not.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::{Classifier, Training};
use crate::readers::{Item, read_file, source_files};
use crate::split::is_held_out;
use crate::{DataConfig, Error, MemorySize, Result, Source};

/// Labels of the classifier, those of good documents first.
pub const LABELS: [&str; 2] = ["positive", "negative"];
/// Of 1000 documents, so many judge the classifier and are not learnt from.
const JUDGES_PER_MILLE: u64 = 100;
/// Share of the memory that texts may take; their features and the model take the rest.
const TEXTS_SHARE: u64 = 4;

/// Where a classifier learns from.
#[derive(Clone, Debug)]
pub struct Corpora<'a> {
    /// Good documents, and others.
    pub sources: [&'a [Source]; 2],
    /// At most so many documents of each, the first ones.
    pub max_documents: usize,
    /// What training may take.
    pub memory: MemorySize,
}

/// What a trained classifier is worth, on documents that it did not learn from.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quality {
    /// Documents learnt from, good ones and others.
    pub learnt: [usize; 2],
    /// Documents judged, good ones and others.
    pub judged: [usize; 2],
    /// Of those judged, the share that has the right label.
    pub accuracy: f64,
    /// Of those called positive, the share that is.
    pub precision: f64,
    /// Of those that are positive, the share that is called so.
    pub recall: f64,
}

impl Corpora<'_> {
    /// Trains on nine of ten documents and judges by the others, chosen by their ids.
    ///
    /// # Errors
    /// For files that cannot be read, texts larger than their share of the memory, a heap without
    /// documents, and settings that cannot work.
    pub fn train(&self, base: &Path, training: &Training) -> Result<(Classifier, Quality)> {
        let (mut learnt, mut judges) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        for (label, sources) in self.sources.iter().enumerate() {
            let config: DataConfig = serde_json::from_value(json!({ "text": sources }))?;
            let mut count = 0;
            for file in source_files(sources, base)? {
                read_file(&file, &config, &mut |item| {
                    let Item::Document(_, document) = item else { return Ok(()) };
                    if count == self.max_documents {
                        return Ok(());
                    }
                    count += 1;
                    bytes += document.text.len() as u64;
                    if bytes > self.memory.bytes() / TEXTS_SHARE {
                        let memory = self.memory;
                        return Err(Error::Training(format!(
                            "the texts take more than a quarter of {memory}; give more memory, or \
                             fewer documents"
                        )));
                    }
                    let judge = is_held_out(&document.id, JUDGES_PER_MILLE);
                    let side = if judge { &mut judges } else { &mut learnt };
                    side.push((label, document.text));
                    Ok(())
                })?;
            }
        }
        let classifier = training.train(&LABELS, &learnt)?;
        let quality = judge(&classifier, &learnt, &judges);
        Ok((classifier, quality))
    }
}

fn judge(
    classifier: &Classifier,
    learnt: &[(usize, String)],
    judges: &[(usize, String)],
) -> Quality {
    let called = |text: &str| {
        let found = classifier.predict(text).map(|found| found.label);
        LABELS.iter().position(|label| Some(*label) == found)
    };
    let mut table = [[0_usize; 3]; 2];
    for (label, text) in judges {
        table[*label][called(text).unwrap_or(2)] += 1;
    }
    let count = |documents: &[(usize, String)], label| {
        documents.iter().filter(|(of, _)| *of == label).count()
    };
    let share =
        |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    Quality {
        learnt: [0, 1].map(|label| count(learnt, label)),
        judged: [0, 1].map(|label| count(judges, label)),
        accuracy: share(table[0][0] + table[1][1], judges.len()),
        precision: share(table[0][0], table[0][0] + table[1][0]),
        recall: share(table[0][0], table[0].iter().sum()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_heaps_become_a_classifier_judged_by_what_it_has_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        for (name, word) in [("good.jsonl", "river"), ("bad.jsonl", "casino")] {
            let line = |number: usize| {
                let text = format!("the {word} number {} of the {word}", number % 7);
                json!({ "id": format!("{name}{number}"), "text": text }).to_string()
            };
            let lines: Vec<String> = (0..200).map(line).collect();
            std::fs::write(folder.path().join(name), lines.join("\n")).unwrap();
        }
        let heaps = ["good.jsonl", "bad.jsonl"].map(|name| [Source::from(name)]);
        let mut corpora = Corpora {
            sources: [&heaps[0], &heaps[1]],
            max_documents: 150,
            memory: MemorySize::default(),
        };
        let training = Training { buckets: 100, ..Training::default() };
        let (classifier, quality) = corpora.train(folder.path(), &training).unwrap();
        assert_eq!(classifier.predict("a river").map(|found| found.label), Some("positive"));
        assert_eq!([0, 1].map(|label| quality.learnt[label] + quality.judged[label]), [150, 150]);
        assert!(quality.judged.iter().all(|&count| count > 2), "{quality:?}");
        assert_eq!((quality.accuracy, quality.precision, quality.recall), (1.0, 1.0, 1.0));
        corpora.sources[1] = &[];
        let message = corpora.train(folder.path(), &training).err().unwrap().to_string();
        assert!(message.contains("label negative"), "{message}");
    }
}
