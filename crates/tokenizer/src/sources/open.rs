//! Finding a vocabulary: in a folder as models are published, or in a file of any known kind.

use std::path::Path;

use super::settings::Settings;
use super::{pairs, read, tiktoken, words};
use crate::{Error, Result, Tokenizer};

/// SentencePiece models by the names under which they are published.
const MODELS: &[&str] = &[
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
];

impl Tokenizer {
    /// Opens the vocabulary at `path`: a folder as models are published, or one of its files
    /// (`tokenizer.json`, a SentencePiece `.model`, a `.tiktoken`, `vocab.json` or `encoder.json`
    /// with its merges beside it, `vocab.txt`). What the files beside it say about control tokens
    /// and the chat template is taken over.
    ///
    /// # Errors
    /// When nothing known is there, with what was looked for, or when a file cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let tokenizer = if path.is_dir() { in_folder(path)? } else { in_file(path)? };
        let tokenizer = tokenizer.ok_or_else(|| nothing(path))?;
        let settings = Settings::read(folder)?;
        settings.apply(tokenizer)
    }
}

fn in_folder(folder: &Path) -> Result<Option<Tokenizer>> {
    let names = ["tokenizer.json"].iter().chain(MODELS);
    let pairs = pairs::FILES.iter().map(|(vocabulary, _)| vocabulary);
    for name in names.chain(pairs).chain(&["vocab.txt"]) {
        let path = folder.join(name);
        if path.is_file()
            && let Some(tokenizer) = in_file(&path)?
        {
            return Ok(Some(tokenizer));
        }
    }
    for encoding in tiktoken::ENCODINGS {
        let path = folder.join(format!("{}.tiktoken", encoding.name));
        if path.is_file() {
            return in_file(&path);
        }
    }
    Ok(None)
}

/// Opens a file by its name; `None` when the name is of no known kind.
fn in_file(path: &Path) -> Result<Option<Tokenizer>> {
    let name = text(path.file_name());
    let partner = |(vocabulary, merges): &(&str, &str)| {
        let merges = path.with_file_name(merges);
        (*vocabulary == name && merges.is_file()).then_some(merges)
    };
    let in_context = |error| match error {
        Error::NotATokenizer(found) => Error::NotATokenizer(format!("{}: {found}", path.display())),
        error => error,
    };
    let opened = if let Some(merges) = pairs::FILES.iter().find_map(partner) {
        pairs::load(path, &merges)
    } else if name == "vocab.txt" {
        read(path).and_then(|bytes| words::from_vocab_txt(&String::from_utf8_lossy(&bytes)))
    } else {
        match text(path.extension()) {
            "json" => Tokenizer::load(path),
            "model" => read(path).and_then(|bytes| Tokenizer::from_sentencepiece(&bytes)),
            "tiktoken" => read(path)
                .and_then(|ranks| Tokenizer::from_tiktoken(text(path.file_stem()), &ranks)),
            _ => return Ok(None),
        }
    };
    opened.map(Some).map_err(in_context)
}

/// A part of a path as text; empty where it is none.
fn text(part: Option<&std::ffi::OsStr>) -> &str {
    part.and_then(std::ffi::OsStr::to_str).unwrap_or_default()
}

fn nothing(path: &Path) -> Error {
    let pairs = pairs::FILES.iter().map(|(vocabulary, merges)| format!("{vocabulary} + {merges}"));
    let looked_for: Vec<String> = ["tokenizer.json"]
        .iter()
        .chain(MODELS)
        .map(|&name| name.to_owned())
        .chain(pairs)
        .chain(["vocab.txt".to_owned(), "*.tiktoken of a known encoding".to_owned()])
        .collect();
    Error::NothingFound { path: path.to_owned(), looked_for: looked_for.join(", ") }
}
