//! What a recipe lists to files: a file, all files of a folder, or those that a pattern fits.

use std::collections::BTreeMap;
use std::path::Path;

use glob::{MatchOptions, Pattern};

use super::SourceFile;
use crate::{Error, Result, Source};

/// `*` stays within a folder; `**` goes through folders.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// The files that a list of the `[data]` section stands for: folders opened, patterns such as
/// `crawl/**/*.warc.gz` resolved, in sorted order. `base` is the folder that relative paths start
/// from. A file that has the very name of a pattern is that file.
///
/// # Errors
/// When a path does not exist, cannot be read, or stands for no files.
pub fn source_files(sources: &[Source], base: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for source in sources {
        let root = base.join(&source.path);
        let pattern = if is_pattern(&source.path) && !root.exists() {
            Some(split(&source.path))
        } else {
            None
        };
        let Some((folder, pattern)) = pattern else {
            files.append(&mut listed(&root, source)?);
            continue;
        };
        let wanted = Pattern::new(pattern).map_err(|error| Error::Read {
            path: root.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, error.to_string()),
        })?;
        let mut found = listed(&base.join(folder), source)?;
        found.retain(|file| wanted.matches_with(&file.name, MATCHING));
        if found.is_empty() {
            let root = root.display();
            let hint = format!("no file fits {root}; `*` stays within a folder, `**` does not");
            return Err(Error::NothingLeft { after: "after looking for files", hint });
        }
        files.append(&mut found);
    }
    tell_apart(&mut files, base);
    Ok(files)
}

/// Files of different folders that have the same name there are called by their paths instead:
/// names become ids, and one document of each id is kept.
fn tell_apart(files: &mut [SourceFile], base: &Path) {
    let mut times = BTreeMap::<String, u64>::new();
    for file in files.iter() {
        *times.entry(file.name.clone()).or_default() += 1;
    }
    for file in files.iter_mut().filter(|file| times[&file.name] > 1) {
        file.name = file.path.strip_prefix(base).unwrap_or(&file.path).display().to_string();
    }
}

fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '['])
}

/// The folder that a pattern begins with, and the rest.
fn split(path: &str) -> (&str, &str) {
    let first = path.find(['*', '?', '[']).unwrap_or(path.len());
    path[..first].rfind('/').map_or(("", path), |at| (&path[..=at], &path[at + 1..]))
}

/// A file, or all files of a folder in the order of their names.
fn listed(root: &Path, source: &Source) -> Result<Vec<SourceFile>> {
    let unreadable = |error| Error::Read { path: root.to_owned(), source: error };
    if !std::fs::metadata(root).map_err(unreadable)?.is_dir() {
        let name = root.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok(vec![SourceFile { path: root.to_owned(), name, source: source.clone() }]);
    }
    let mut inside = Vec::new();
    walk(root, "", source, &mut inside)?;
    if inside.is_empty() {
        let hint = format!("the folder {} holds no files; is the path right?", root.display());
        return Err(Error::NothingLeft { after: "after looking for files", hint });
    }
    inside.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(inside)
}

/// Collects the files under `folder`; `prefix` is its name relative to where the walk began. Links
/// to folders count as files, so a circle of links ends and is reported.
fn walk(folder: &Path, prefix: &str, source: &Source, files: &mut Vec<SourceFile>) -> Result<()> {
    let unreadable = |error| Error::Read { path: folder.to_owned(), source: error };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&entry.path(), &format!("{name}/"), source, files)?;
        } else {
            files.push(SourceFile { path: entry.path(), name, source: source.clone() });
        }
    }
    Ok(())
}
