//! Weights in several files: which file of a folder to open, and which files belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::bytes::Source;
use crate::weights::{FORMATS, Weights};
use crate::{Error, Gguf, Result};

/// What a model folder's weights are called, the preferred first.
const FOLDER_FILES: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The number of parts of a GGUF, in the metadata of each.
const SPLIT_COUNT_KEY: &str = "split.count";
/// Most parts that are believed.
const SPLIT_COUNT_MAX: u64 = 10_000;

/// The list of a model's files: which tensor lies in which.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    weight_map: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct IndexJson {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Reads and checks the list; the files it names are not opened.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Self::parse(path, &Source::open(path)?)
    }

    fn parse(path: &Path, source: &Source) -> Result<Self> {
        let damaged = |message| source.damaged("index", message);
        let json: IndexJson = serde_json::from_slice(source.as_slice())
            .map_err(|error| damaged(error.to_string()))?;
        for (tensor, file) in &json.weight_map {
            let mut components = Path::new(file).components();
            let plain = matches!(components.next(), Some(Component::Normal(_)))
                && components.next().is_none()
                && !file.contains('\\');
            if !plain {
                let message = format!("tensor `{tensor}` lies in `{file}`, which is no file name");
                return Err(damaged(message));
            }
        }
        Ok(Self { path: path.to_owned(), weight_map: json.weight_map })
    }

    /// The files, beside the list.
    pub(crate) fn shards(&self) -> Vec<PathBuf> {
        let names: BTreeSet<&String> = self.weight_map.values().collect();
        names.into_iter().map(|name| self.path.with_file_name(name)).collect()
    }

    /// Checks that every tensor lies in the file that the list says.
    pub(crate) fn check(&self, weights: &Weights) -> Result<()> {
        for (name, file) in &self.weight_map {
            let shard = self.path.with_file_name(file).display().to_string();
            match weights.get(name) {
                Some(tensor) if tensor.file() == shard => {}
                _ => return Err(Error::NoSuchTensor { file: shard, name: name.clone() }),
            }
        }
        Ok(())
    }
}

/// The file to open in a model folder.
pub(crate) fn weights_in_folder(folder: &Path) -> Result<PathBuf> {
    let known = FOLDER_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    if let Some(path) = known {
        return Ok(path);
    }
    let open_error = |source| Error::Open { path: folder.to_owned(), source };
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).map_err(open_error)? {
        let path = entry.map_err(open_error)?.path();
        if has_weight_extension(&path) && path.is_file() && !is_later_part(&path) {
            found.insert(path);
        }
    }
    let mut found_files = found.into_iter();
    let no_weights = |found| {
        let expected = format!("a folder with {}, or a weight file", FOLDER_FILES.join(", "));
        Error::NoWeights { path: folder.to_owned(), found, expected }
    };
    match (found_files.next(), found_files.next()) {
        (Some(path), None) => Ok(path),
        (Some(one), Some(other)) => Err(no_weights(format!(
            "the folder has several weight files, {} and {} among them; name one",
            one.display(),
            other.display()
        ))),
        (None, _) => Err(no_weights("the folder has no weight file".to_owned())),
    }
}

fn has_weight_extension(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    FORMATS.iter().any(|format| format.extensions.contains(&extension))
}

/// Whether a name ends like `-00002-of-00003`: a part that the first one brings along.
fn is_later_part(path: &Path) -> bool {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    split_stem(stem).is_some_and(|(_, number, _)| number > 1)
}

/// `("model", 2, 3)` from `model-00002-of-00003`.
fn split_stem(stem: &str) -> Option<(&str, u64, u64)> {
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (name, number) = rest.rsplit_once('-')?;
    Some((name, number.parse().ok()?, count.parse().ok()?))
}

/// The other parts of a GGUF that is one of several.
pub(crate) fn parts(file: &Path, gguf: &Gguf) -> Result<Vec<PathBuf>> {
    if gguf.metadata().get(SPLIT_COUNT_KEY).is_none() {
        return Ok(Vec::new());
    }
    let count = gguf.integer(SPLIT_COUNT_KEY)?;
    if count <= 1 {
        return Ok(Vec::new());
    }
    let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("");
    let unsupported = |found| Error::Unsupported {
        file: file.display().to_string(),
        found,
        remedy: "give the first part, `NAME-00001-of-0000N.gguf`, with the others beside it",
    };
    let Some((name, 1, _)) = split_stem(stem).filter(|split| split.2 == count) else {
        return Err(unsupported(format!("it is a part of {count}, but not named like the first")));
    };
    if count > SPLIT_COUNT_MAX {
        return Err(unsupported(format!("it claims {count} parts")));
    }
    let part = |number| file.with_file_name(format!("{name}-{number:05}-of-{count:05}.gguf"));
    let parts: Vec<PathBuf> = (2..=count).map(part).collect();
    match parts.iter().find(|part| !part.is_file()) {
        None => Ok(parts),
        Some(shard) => {
            Err(Error::MissingShard { index: file.display().to_string(), shard: shard.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INDEX: &str = r#"{"metadata": {"total_size": 64}, "weight_map": {
        "layer.0.weight": "model-00001-of-00002.safetensors",
        "layer.1.weight": "model-00002-of-00002.safetensors"}}"#;

    #[test]
    fn parts_are_told_by_their_names() {
        assert_eq!(split_stem("a-b-00002-of-00003"), Some(("a-b", 2, 3)));
        assert_eq!(split_stem("model"), None);
        assert_eq!(split_stem("of-1"), None);
        assert!(is_later_part(Path::new("x/m-00002-of-00002.gguf")));
        assert!(!is_later_part(Path::new("x/m-00001-of-00002.gguf")));
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 50_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// A mutated list is refused or names files beside it.
        #[test]
        fn mutants_of_an_index_never_panic_or_leave_their_folder(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            kept in any::<prop::sample::Index>(),
            cut in any::<bool>(),
        ) {
            let mut bytes = INDEX.as_bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                // Among ASCII, so that most stay UTF-8.
                bytes[at] = byte & 0x7f;
            }
            if cut {
                bytes.truncate(kept.index(bytes.len()));
            }
            let path = Path::new("/models/x/model.safetensors.index.json");
            if let Ok(index) = Index::parse(path, &Source::owned("index", bytes)) {
                for shard in index.shards() {
                    prop_assert_eq!(shard.parent(), path.parent());
                }
            }
        }
    }
}
