//! Names and paths to files, in a cache as the hub's own tools lay it out.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use danlu_hub::{Cache, Name};
use proptest::prelude::*;

const COMMIT: &str = "0f8b3c1a9d7e65544332211000ffeeddccbbaa99";

fn cache() -> (tempfile::TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("models--lab--small-lm");
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::create_dir_all(model.join("snapshots").join(COMMIT)).unwrap();
    fs::write(model.join("refs/main"), COMMIT).unwrap();
    fs::write(model.join("refs/broken"), "../../../../etc").unwrap();
    fs::create_dir_all(folder.path().join("models--gpt2/snapshots").join(COMMIT)).unwrap();
    let cache = Cache::at(folder.path());
    (folder, cache)
}

fn error(cache: &Cache, name: &str) -> String {
    cache.locate(name).unwrap_err().to_string()
}

#[test]
fn a_name_leads_to_the_files_of_its_revision() {
    let (folder, cache) = cache();
    let snapshot = |model: &str| folder.path().join(model).join("snapshots").join(COMMIT);
    assert_eq!(cache.locate("lab/small-lm").unwrap(), snapshot("models--lab--small-lm"));
    assert_eq!(cache.locate("lab/small-lm@main").unwrap(), snapshot("models--lab--small-lm"));
    let by_commit = cache.locate(&format!("gpt2@{COMMIT}")).unwrap();
    assert_eq!(by_commit, snapshot("models--gpt2"), "old names have no organisation");
}

#[test]
fn what_exists_is_itself() {
    let (folder, cache) = cache();
    let path = folder.path().join("models--gpt2");
    assert_eq!(cache.locate(path.to_str().unwrap()).unwrap(), path);
}

#[test]
fn what_is_not_there_is_named() {
    let (_folder, cache) = cache();
    assert!(error(&cache, "lab/other").contains("models--lab--other"));
    assert!(error(&cache, "lab/small-lm@v2").contains("refs/v2"));
    assert!(error(&cache, "gpt2").contains("refs/main"));
    assert!(error(&cache, "lab/small-lm@broken").contains("delete the former"));
    assert!(error(&cache, "./models/absent.gguf").contains("is no file or folder here"));
    let nowhere = Cache::from_variables(|_| None);
    assert!(error(&nowhere, "lab/other").contains("HF_HOME"));
}

#[test]
fn the_cache_is_where_the_hubs_own_tools_have_it() {
    let root = |variables: &[(&str, &str)]| {
        let variables: Vec<(String, PathBuf)> =
            variables.iter().map(|(name, path)| ((*name).to_owned(), path.into())).collect();
        Cache::from_variables(|name| {
            variables.iter().find(|(other, _)| other == name).map(|(_, path)| path.clone())
        })
    };
    for (variables, expected) in [
        (&[("HF_HUB_CACHE", "/a"), ("HF_HOME", "/b")][..], "/a"),
        (&[("HF_HOME", "/b"), ("HOME", "/h")], "/b/hub"),
        (&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], "/x/huggingface/hub"),
        (&[("HF_HOME", ""), ("HOME", "/h")], "/h/.cache/huggingface/hub"),
    ] {
        assert_eq!(root(variables), Cache::at(Path::new(expected)), "{variables:?}");
    }
}

proptest! {
    #[test]
    fn no_name_leads_out_of_the_cache(text in "[a-z./@~\\\\-]{0,24}|\\PC{0,24}") {
        if let Ok(name) = Name::parse(&text) {
            let parts = name.repository.split('/').chain(name.revision.split('/'));
            for part in parts {
                prop_assert!(!part.is_empty() && !part.starts_with('.') && !part.contains('\\'));
            }
        }
    }
}
