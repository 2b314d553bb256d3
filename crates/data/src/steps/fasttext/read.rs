//! fastText's files, of which no length is believed before it was compared with what is left.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::dictionary::Dictionary;
use super::loss::Loss;
use super::matrix::{CENTROIDS, Matrix, Quantiser};
use super::{Classifier, LABEL_PREFIX, Settings, broken};
use crate::steps::words::{HashMap, new_map};
use crate::{Error, Result};

pub(super) const MAGIC: i32 = 793_712_314;
/// Files of this version, and of that before it, in which classifiers have no n-grams of
/// characters whatever their settings say.
pub(super) const VERSION: i32 = 12;
/// fastText's number for classifiers; the others hold vectors of words.
pub(super) const CLASSIFIER: i32 = 3;
/// A quantised matrix may become so many times as large as it is in the file; those of fastText's
/// defaults become about eight times as large.
const MAX_GROWTH: u64 = 64;
/// What fastText takes for the count of what is not there yet.
pub(super) const MAX_COUNT: i64 = 1_000_000_000_000_000;

/// A value, or what was found instead.
type Found<T> = std::result::Result<T, String>;

/// Reads a model.
pub(super) fn open(path: &Path, max_bytes: u64) -> Result<Classifier> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let left = file.metadata().map_err(unreadable)?.len();
    if left > max_bytes {
        let found =
            format!("it takes {left} bytes, of which {max_bytes} are given; give more memory");
        return Err(broken(path, found));
    }
    let mut bytes = Bytes { reader: BufReader::with_capacity(1 << 18, file), left };
    classifier(&mut bytes).map_err(|found| broken(path, found))
}

fn classifier(bytes: &mut Bytes<impl Read>) -> Found<Classifier> {
    if bytes.i32()? != MAGIC {
        return Err("it does not begin as one".to_owned());
    }
    let version = bytes.i32()?;
    if !(VERSION - 1..=VERSION).contains(&version) {
        return Err(format!("version {version}, where {VERSION} is known"));
    }
    let mut settings = settings(bytes)?;
    if settings.model != CLASSIFIER {
        return Err("it has vectors of words and no labels".to_owned());
    }
    if version < VERSION {
        settings.max_chars = 0;
    }
    let hashed = settings.max_chars > 0 || settings.word_ngrams > 1;
    if hashed && settings.buckets < 1 {
        return Err(format!("n-grams in {} buckets", settings.buckets));
    }
    let (dictionary, counts) = dictionary(bytes)?;
    let loss = Loss::new(settings.loss, &counts)
        .ok_or_else(|| format!("a loss with the unknown number {}", settings.loss))?;
    let quantised = bytes.u8()? != 0;
    let input = if quantised { quantised_matrix(bytes)? } else { matrix(bytes)? };
    let output_quantised = bytes.u8()? != 0 && quantised;
    let output = if output_quantised { quantised_matrix(bytes)? } else { matrix(bytes)? };
    let (labels, rows) = (counts.len(), dictionary.rows(&settings));
    if input.rows() < rows || output.rows() != labels || input.columns() != output.columns() {
        return Err(format!(
            "matrices of {} x {} and {} x {} numbers, where at least {rows} and {labels} rows \
             are expected",
            input.rows(),
            input.columns(),
            output.rows(),
            output.columns()
        ));
    }
    Ok(Classifier { settings, dictionary, input, output, loss })
}

fn settings(bytes: &mut Bytes<impl Read>) -> Found<Settings> {
    Ok(Settings {
        columns: bytes.i32()?,
        window: bytes.i32()?,
        epochs: bytes.i32()?,
        min_count: bytes.i32()?,
        negatives: bytes.i32()?,
        word_ngrams: bytes.i32()?,
        loss: bytes.i32()?,
        model: bytes.i32()?,
        buckets: bytes.i32()?,
        min_chars: bytes.i32()?,
        max_chars: bytes.i32()?,
        update_rate: bytes.i32()?,
        threshold: f64::from_le_bytes(bytes.array()?),
    })
}

/// The dictionary, and how often each label came in training.
fn dictionary(bytes: &mut Bytes<impl Read>) -> Found<(Dictionary, Vec<i64>)> {
    let size = i64::from(bytes.i32()?);
    let size = bytes.count(size, 10)?;
    let (words, count) = (bytes.i32()?, bytes.i32()?);
    if i64::from(words) + i64::from(count) != size as i64 || words < 0 || count < 1 {
        return Err(format!("{size} entries of which {words} are words and {count} labels"));
    }
    let (tokens, kept) = (bytes.i64()?, bytes.i64()?);
    let (mut entries, mut labels, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..size {
        let entry = bytes.word()?;
        let (times, is_label) = (bytes.i64()?, bytes.u8()? == 1);
        if is_label != (number >= words as usize) {
            return Err(format!("entry {number} is not where its kind belongs"));
        }
        if is_label {
            let name = std::str::from_utf8(&entry).map_err(|_| "a label that is no UTF-8")?;
            labels.push(name.strip_prefix(LABEL_PREFIX).unwrap_or(name).to_owned());
            counts.push(times);
        }
        entries.push((entry, times));
    }
    let most = counts.iter().try_fold(0_i64, |sum, &count| sum.checked_add(count));
    if counts.iter().any(|&count| count < 0) || most.is_none_or(|sum| sum >= MAX_COUNT) {
        return Err("labels that came more often than can be".to_owned());
    }
    let kept = if kept < 0 { None } else { Some(kept_buckets(bytes, kept)?) };
    Ok((Dictionary::new(&entries, labels, tokens, kept), counts))
}

fn kept_buckets(bytes: &mut Bytes<impl Read>, count: i64) -> Found<HashMap<u32, u32>> {
    let count = bytes.count(count, 8)?;
    let mut kept = new_map(count);
    for _ in 0..count {
        let pair = [bytes.i32()?, bytes.i32()?].map(u32::try_from);
        let [Ok(bucket), Ok(row)] = pair else {
            return Err("a row of an n-gram below zero".to_owned());
        };
        kept.insert(bucket, row);
    }
    Ok(kept)
}

fn matrix(bytes: &mut Bytes<impl Read>) -> Found<Matrix> {
    let (rows, columns) = shape(bytes)?;
    let count = rows.checked_mul(columns).and_then(|count| i64::try_from(count).ok());
    let count = count.ok_or_else(|| format!("{rows} x {columns} numbers"))?;
    Ok(Matrix::new(columns, bytes.floats(count)?))
}

fn shape(bytes: &mut Bytes<impl Read>) -> Found<(usize, usize)> {
    let (rows, columns) = (bytes.i64()?, bytes.i64()?);
    match (usize::try_from(rows), usize::try_from(columns)) {
        (Ok(rows), Ok(columns)) if columns > 0 => Ok((rows, columns)),
        _ => Err(format!("a matrix of {rows} x {columns} numbers")),
    }
}

/// A matrix of codes: the quantiser stands behind the codes, and then, where norms are apart,
/// their codes and quantiser.
fn quantised_matrix(bytes: &mut Bytes<impl Read>) -> Found<Matrix> {
    let with_norms = bytes.u8()? != 0;
    let (rows, columns) = shape(bytes)?;
    let size = i64::from(bytes.i32()?);
    let (before, size) = (bytes.left, bytes.count(size, 1)?);
    let codes = bytes.take(size)?;
    let quantiser = quantiser(bytes, columns)?;
    if rows.checked_mul(quantiser.codes()) != Some(size) {
        return Err(format!("{size} codes for {rows} rows of {}", quantiser.codes()));
    }
    let norms =
        if with_norms { Some((bytes.take(rows)?, self::quantiser(bytes, 1)?)) } else { None };
    let whole = (rows as u64).saturating_mul(columns as u64 * 4);
    if whole > MAX_GROWTH * (before - bytes.left) {
        return Err(format!("{rows} x {columns} numbers in {size} codes"));
    }
    let mut values = Vec::with_capacity(rows * columns);
    for (row, codes) in codes.chunks_exact(quantiser.codes()).enumerate() {
        let mut norm = vec![1.0];
        if let Some((codes, quantiser)) = &norms {
            norm.clear();
            quantiser.decode(&codes[row..=row], 1.0, &mut norm);
        }
        quantiser.decode(codes, norm[0], &mut values);
    }
    Ok(Matrix::new(columns, values))
}

fn quantiser(bytes: &mut Bytes<impl Read>, columns: usize) -> Found<Quantiser> {
    let [size, stretches, part, last] =
        [bytes.i32()?, bytes.i32()?, bytes.i32()?, bytes.i32()?].map(i64::from);
    let fits = usize::try_from(size).is_ok_and(|size| size == columns)
        && part > 0
        && stretches == (size + part - 1) / part
        && last == size - (stretches - 1) * part;
    if !fits {
        return Err(format!("a quantiser of {size} columns in {stretches} x {part} and {last}"));
    }
    let centroids = bytes.floats(columns as i64 * CENTROIDS as i64)?;
    Ok(Quantiser::new(columns, part as usize, centroids))
}

/// What is left of a file.
struct Bytes<R> {
    reader: R,
    left: u64,
}

impl<R: Read> Bytes<R> {
    /// `count`, if so many things of at least `size` bytes can follow.
    fn count(&self, count: i64, size: u64) -> Found<usize> {
        let fits = |count: &u64| count.checked_mul(size).is_some_and(|bytes| bytes <= self.left);
        let fitting = u64::try_from(count).ok().filter(fits);
        let error =
            || format!("{count} entries of {size} bytes in the {} that are left", self.left);
        fitting.and_then(|count| usize::try_from(count).ok()).ok_or_else(error)
    }

    fn take(&mut self, count: usize) -> Found<Vec<u8>> {
        let mut bytes = vec![0; self.count(count as i64, 1)?];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Found<()> {
        self.count(bytes.len() as i64, 1)?;
        self.reader.read_exact(bytes).map_err(|error| error.to_string())?;
        self.left -= bytes.len() as u64;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Found<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn u8(&mut self) -> Found<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn i32(&mut self) -> Found<i32> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Found<i64> {
        self.array().map(i64::from_le_bytes)
    }

    fn floats(&mut self, count: i64) -> Found<Vec<f32>> {
        let count = self.count(count, 4)?;
        let (mut values, mut block) = (Vec::with_capacity(count), vec![0; 1 << 16]);
        while values.len() < count {
            let size = block.len().min(4 * (count - values.len()));
            self.fill(&mut block[..size])?;
            let floats = block[..size].chunks_exact(4);
            values.extend(floats.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        Ok(values)
    }

    /// Bytes up to a zero.
    fn word(&mut self) -> Found<Vec<u8>> {
        let mut word = Vec::new();
        loop {
            match self.u8()? {
                0 => return Ok(word),
                byte => word.push(byte),
            }
        }
    }
}
