//! A model as fastText's own file (`.bin`), which fastText reads.

use std::path::Path;

use super::matrix::Matrix;
use super::read::{MAGIC, VERSION};
use super::{Classifier, Settings, broken};
use crate::Result;
use crate::atomic::AtomicFile;

impl Classifier {
    /// Writes the model to `path`.
    ///
    /// # Errors
    /// When the file cannot be written, and for models that were read from `.ftz` without the rows
    /// that fastText expects of a `.bin`.
    pub fn save(&self, path: &Path) -> Result<()> {
        let Some(counts) = self.dictionary.counts() else {
            return Err(broken(path, "a model with rows cut off is no .bin"));
        };
        let mut file = AtomicFile::create(path)?;
        let mut head = [MAGIC, VERSION].map(i32::to_le_bytes).concat();
        self.settings.write(&mut head);
        let (size, labels) = (counts.len() as i32, self.labels().len() as i32);
        head.extend([size, size - labels, labels].map(i32::to_le_bytes).concat());
        head.extend(self.dictionary.tokens().to_le_bytes());
        head.extend((-1_i64).to_le_bytes());
        for (number, count) in counts.iter().enumerate() {
            head.extend(self.dictionary.entry(number));
            head.push(0);
            head.extend(count.to_le_bytes());
            head.push(u8::from(number as i32 >= size - labels));
        }
        file.write(&head)?;
        for matrix in [&self.input, &self.output] {
            write(matrix, &mut file)?;
        }
        Ok(file.commit()?)
    }
}

impl Settings {
    fn write(&self, out: &mut Vec<u8>) {
        let numbers = [
            self.columns,
            self.window,
            self.epochs,
            self.min_count,
            self.negatives,
            self.word_ngrams,
            self.loss,
            self.model,
            self.buckets,
            self.min_chars,
            self.max_chars,
            self.update_rate,
        ];
        out.extend(numbers.map(i32::to_le_bytes).concat());
        out.extend(self.threshold.to_le_bytes());
    }
}

/// That it is not quantised, its shape, its rows.
fn write(matrix: &Matrix, file: &mut AtomicFile) -> Result<()> {
    let shape = [matrix.rows(), matrix.columns()].map(|size| (size as i64).to_le_bytes());
    file.write(&[0])?;
    file.write(&shape.concat())?;
    for row in 0..matrix.rows() {
        let bytes: Vec<u8> = matrix.row(row).iter().flat_map(|v| v.to_le_bytes()).collect();
        file.write(&bytes)?;
    }
    Ok(())
}
