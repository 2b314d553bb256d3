//! Which file of a folder is opened, and what is said when files are missing or are no weights.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{HandMadeGguf, golden, seed};
use danlu_formats::{Error, FORMATS, Weights};
use tempfile::{TempDir, tempdir};

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn names(path: &Path) -> Vec<String> {
    let weights = Weights::open(path).unwrap();
    weights.tensors().iter().map(|tensor| tensor.name().to_owned()).collect()
}

/// The message of an error, which is one line and names the file or folder.
fn message(path: &Path) -> String {
    let message = Weights::open(path).unwrap_err().to_string();
    assert!(message.contains(path.to_str().unwrap()) && !message.contains('\n'), "{message}");
    message
}

#[test]
fn a_folder_is_its_weights_whatever_the_layout() {
    let safetensors = seed("dtypes.safetensors");
    let torch = seed("module.bin");
    let gguf = seed("model.gguf");
    let expected = names(&golden("dtypes.safetensors"));
    let both = folder(&[("model.safetensors", &safetensors), ("pytorch_model.bin", &torch)]);
    assert_eq!(names(both.path()), expected, "safetensors come first");
    let bin = folder(&[("pytorch_model.bin", &torch), ("config.json", b"{}")]);
    assert_eq!(names(bin.path()), names(&golden("module.bin")));
    let other = folder(&[("any-name.Q8_0.gguf", &gguf), ("README.md", b"text")]);
    assert_eq!(names(other.path()), names(&golden("model.gguf")));
    let two = folder(&[("a.gguf", &gguf), ("b.gguf", &gguf)]);
    assert!(message(two.path()).contains("several weight files"));
    let none = folder(&[("config.json", b"{}")]);
    assert!(message(none.path()).contains("the folder has no weight file; give a folder with"));
}

#[test]
fn the_format_is_told_by_the_bytes_not_by_the_name() {
    for (file, format) in [("model.gguf", "GGUF"), ("legacy.pth", "PyTorch")] {
        let renamed = folder(&[("weights.safetensors", &seed(file))]);
        assert_eq!(names(renamed.path()), names(&golden(file)));
        assert!(FORMATS.iter().any(|known| known.name == format));
    }
}

#[test]
fn what_are_no_weights_is_said_with_a_remedy() {
    for (bytes, expected) in [
        (&b"version https://git-lfs.github.com/spec/v1\noid"[..], "git lfs pull"),
        (b"<!DOCTYPE html>", "a web page"),
        (b"\x1f\x8b\x08\x00", "unpack it first"),
        (b"", "begins with []"),
        (b"0123456789", "give a GGUF, PyTorch, safetensors file"),
    ] {
        let folder = folder(&[("model.safetensors", bytes)]);
        let message = message(&folder.path().join("model.safetensors"));
        assert!(message.contains(expected), "{message}");
    }
    assert!(message(Path::new("/nowhere/at/all")).starts_with("cannot open"));
}

fn shard(part: usize) -> (String, Vec<u8>) {
    let name = format!("model-0000{part}-of-00002.safetensors");
    let bytes = seed(&format!("sharded-safetensors/{name}"));
    (name, bytes)
}

const INDEX: &str = "model.safetensors.index.json";

#[test]
fn a_missing_shard_is_named_with_the_index() {
    let (name, bytes) = shard(1);
    let index = seed(&format!("sharded-safetensors/{INDEX}"));
    let folder = folder(&[(&name, &bytes), (INDEX, &index)]);
    let message = message(folder.path());
    assert!(message.contains("00002-of-00002") && message.contains(INDEX), "{message}");
}

#[test]
fn an_index_that_lies_is_refused() {
    let (shards, json) = (
        [shard(1), shard(2)],
        String::from_utf8(seed(&format!("sharded-safetensors/{INDEX}"))).unwrap(),
    );
    let error = |json: String| {
        let folder = folder(&[
            (&shards[0].0, &shards[0].1),
            (&shards[1].0, &shards[1].1),
            (INDEX, json.as_bytes()),
        ]);
        Weights::open(folder.path()).map(|_| ()).unwrap_err()
    };
    let swapped = json.replacen("00001-of", "00002-of", 1);
    assert!(matches!(error(swapped), Error::NoSuchTensor { name, .. } if name == "layer.0.weight"));
    let unknown = json.replace("layer.3", "layer.9");
    assert!(matches!(error(unknown), Error::NoSuchTensor { name, .. } if name == "layer.9.weight"));
    for name in ["../model.safetensors", "/etc/passwd", "a/b", "..", "a\\\\b", ""] {
        let outside = json.replace("model-00001-of-00002.safetensors", name);
        let message = error(outside).to_string();
        assert!(message.contains("is no file name"), "{name}: {message}");
    }
    let message = error(json[..json.len() / 2].to_owned()).to_string();
    assert!(message.contains("damaged or no index file"), "{message}");
}

#[test]
fn a_gguf_in_parts_is_opened_as_one() {
    let part = |number: u16, name: &str| {
        let file = HandMadeGguf::new().key("split.count", 2, &2_u16.to_le_bytes()).key(
            "split.no",
            2,
            &number.to_le_bytes(),
        );
        file.tensor(name, &[8], 0, 0).data(32).bytes()
    };
    let (first, second) = (part(0, "a"), part(1, "b"));
    let files = [("m-00001-of-00002.gguf", &first[..]), ("m-00002-of-00002.gguf", &second)];
    let whole = folder(&files);
    assert_eq!(names(whole.path()), ["a", "b"]);
    assert_eq!(names(&whole.path().join(files[0].0)), ["a", "b"]);
    let later = message(&whole.path().join(files[1].0));
    assert!(later.contains("give the first part"), "{later}");
    let half = folder(&files[..1]);
    assert!(message(&half.path().join(files[0].0)).contains("m-00002-of-00002.gguf"));
    let twice = folder(&[files[0], ("m-00002-of-00002.gguf", &first)]);
    assert!(Weights::open(twice.path()).unwrap_err().to_string().contains("two tensors"));
}
