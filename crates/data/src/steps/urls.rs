//! `urls`: drops documents by where they come from, as FineWeb does with datatrove's `URLFilter`.
//!
//! Lists are files of an entry a line; a line that begins with `#` is a remark. At least one of:
//! - `domains`: a host, or any domain above it, is listed (reason `domain`; datatrove looks at the
//!   registered domain and at the whole host only);
//! - `urls`: the address as it stands is listed (`url`);
//! - `words`: one of the words between what is no ASCII letter or digit is listed
//!   (`hard_blacklisted`);
//! - `soft_words`: at least `soft_words_limit` (2) different words are (`soft_blacklisted`);
//! - `substrings`: the letters and digits of the address, in lower case, hold an entry
//!   (`blacklisted_subword`).
//!
//! Entries of the last three are taken without what is no letter or digit, in lower case; words of
//! an address keep their case, as in datatrove. The address is the text of `meta.url`, or of
//! another `field`; documents without one are dropped (`no url`) unless `keep_without` is true.

use std::fs::File;
use std::io::{BufRead, BufReader};

use serde::Deserialize;
use serde_json::Value;
use twox_hash::XxHash64;

use super::bad_words::List;
use super::words::HashSet;
use super::{Action, Draft, Example, Reason, Setup, Step};
use crate::{Error, Result};

pub(super) const STEP: Step = Step {
    name: "urls",
    about: "not from addresses, domains or with words of lists that you give",
    build,
    examples: &[
        Example::drop("a document of nowhere", "no url").with(DOMAINS),
        Example::same("a document of nowhere")
            .with(r#"{"domains": ["tests/lists/domains.txt"], "keep_without": true}"#),
    ],
};

const DOMAINS: &str = r#"{"domains": ["tests/lists/domains.txt"]}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    urls: Vec<String>,
    #[serde(default)]
    words: Vec<String>,
    #[serde(default)]
    soft_words: Vec<String>,
    #[serde(default = "two")]
    soft_words_limit: usize,
    #[serde(default)]
    substrings: Vec<String>,
    #[serde(default = "url")]
    field: String,
    #[serde(default)]
    keep_without: bool,
}

fn two() -> usize {
    2
}

fn url() -> String {
    "url".to_owned()
}

/// Lists of millions are kept as hashes: one of 10^12 addresses is taken for a listed one.
#[derive(Default)]
struct Hashes(HashSet<u64>);

impl Hashes {
    fn has(&self, entry: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&XxHash64::oneshot(0, entry.as_bytes()))
    }
}

struct Lists {
    domains: Hashes,
    urls: Hashes,
    words: HashSet<String>,
    soft_words: HashSet<String>,
    soft_words_limit: usize,
    substrings: List,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let settings: Settings = setup.settings()?;
    let files = [&settings.domains, &settings.urls, &settings.words, &settings.soft_words];
    if files.iter().all(|files| files.is_empty()) && settings.substrings.is_empty() {
        let lists = "`domains`, `urls`, `words`, `soft_words` or `substrings`";
        return Err(setup.refuse(format!("it needs a list: {lists}")));
    }
    if settings.soft_words_limit == 0 {
        return Err(setup.refuse("soft_words_limit is at least 1"));
    }
    let lists = Lists {
        domains: hashes(setup, &settings.domains, str::to_lowercase)?,
        urls: hashes(setup, &settings.urls, str::to_owned)?,
        words: words(setup, &settings.words)?,
        soft_words: words(setup, &settings.soft_words)?,
        soft_words_limit: settings.soft_words_limit,
        substrings: List::new(words(setup, &settings.substrings)?.into_iter().collect(), false),
    };
    let Settings { field, keep_without, .. } = settings;
    Ok(Action::filter(move |draft| judge(draft, &lists, &field, keep_without)))
}

fn judge(draft: &mut Draft, lists: &Lists, field: &str, keep_without: bool) -> Option<Reason> {
    let url = draft.meta().get(field).and_then(Value::as_str);
    let Some(url) = url.filter(|url| !url.is_empty()) else {
        return (!keep_without).then(|| "no url".into());
    };
    let reason = lists.refuse(url)?;
    let detail = url.to_owned();
    draft.explain(detail);
    Some(reason.into())
}

impl Lists {
    fn refuse(&self, url: &str) -> Option<&'static str> {
        let host = host(url).to_lowercase();
        let parents = host.match_indices('.').map(|(dot, _)| &host[dot + 1..]);
        if std::iter::once(&host[..]).chain(parents).any(|domain| self.domains.has(domain)) {
            return Some("domain");
        }
        if self.urls.has(url) {
            return Some("url");
        }
        let words: HashSet<&str> = url.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        if words.iter().any(|&word| self.words.contains(word)) {
            return Some("hard_blacklisted");
        }
        let soft = words.iter().filter(|&&word| self.soft_words.contains(word)).count();
        if soft >= self.soft_words_limit {
            return Some("soft_blacklisted");
        }
        self.substrings.is_in(&plain(url)).then_some("blacklisted_subword")
    }
}

/// The host of an address, with or without a scheme.
fn host(url: &str) -> &str {
    let is_scheme = |text: &str| text.ends_with(':') && !text.contains(['/', '?', '#']);
    let rest = match url.split_once("//") {
        Some((scheme, rest)) if scheme.is_empty() || is_scheme(scheme) => rest,
        _ => url,
    };
    let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let rest = rest.rsplit('@').next().unwrap_or_default();
    rest.split(':').next().unwrap_or_default().trim_matches('.')
}

/// ASCII letters and digits in lower case.
fn plain(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Gives each entry of some files to `take`.
fn entries(setup: &Setup<'_>, files: &[String], take: &mut dyn FnMut(&str)) -> Result<()> {
    for file in files {
        let path = setup.path(file);
        let unreadable = |source| Error::Read { path: path.clone(), source };
        let mut found = false;
        for line in BufReader::new(File::open(&path).map_err(unreadable)?).lines() {
            let line = line.map_err(unreadable)?;
            let entry = line.trim();
            if !entry.is_empty() && !entry.starts_with('#') {
                take(entry);
                found = true;
            }
        }
        if !found {
            return Err(setup.refuse(format!("there is no entry in {file}")));
        }
    }
    Ok(())
}

fn hashes(setup: &Setup<'_>, files: &[String], form: fn(&str) -> String) -> Result<Hashes> {
    let mut hashes = Hashes::default();
    entries(setup, files, &mut |entry| {
        hashes.0.insert(XxHash64::oneshot(0, form(entry).as_bytes()));
    })?;
    Ok(hashes)
}

fn words(setup: &Setup<'_>, files: &[String]) -> Result<HashSet<String>> {
    let mut words = HashSet::default();
    entries(setup, files, &mut |entry| {
        words.insert(plain(entry));
    })?;
    // An entry of other letters alone would be in every address.
    words.remove("");
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        for (url, expected) in [
            ("https://user:pass@www.example.com:8080/a//b", "www.example.com"),
            ("http://example.com", "example.com"),
            ("example.com/path?x=//other.org", "example.com"),
            ("ftp://example.com./x", "example.com"),
            ("//cdn.example.com#top", "cdn.example.com"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }
}
