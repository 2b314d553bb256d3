//! Merges for vocabularies that come with ranks only, as SentencePiece and tiktoken publish them.
//!
//! There, two neighbours merge when together they are a token, the best ranked first. The pipeline
//! wants pairs: so every way to cut a token into two tokens becomes a merge, in the token's rank.

use std::collections::HashMap;

use crate::{Error, Result};

/// A longer token is refused: it may be cut in as many ways. The longest in use has 256 bytes.
pub(crate) const MAX_TOKEN_BYTES: usize = 1024;

/// The merges that make the tokens of `ranked`, best rank first. `ids` holds the tokens that may
/// be parts. Two cuts of one token are ordered by the ids of their parts.
pub(super) fn merges(
    ids: &HashMap<&str, u32>,
    ranked: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<Vec<(String, String)>> {
    let mut merges = Vec::new();
    let mut cuts: Vec<(u32, u32, usize)> = Vec::new();
    for token in ranked {
        let token = token.as_ref();
        if token.len() > MAX_TOKEN_BYTES {
            let found = format!("a token has {} bytes, more than {MAX_TOKEN_BYTES}", token.len());
            return Err(Error::NotATokenizer(found));
        }
        cuts.clear();
        for (cut, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(cut);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                cuts.push((left, right, cut));
            }
        }
        cuts.sort_unstable();
        merges.extend(cuts.iter().map(|&(_, _, cut)| {
            let (left, right) = token.split_at(cut);
            (left.to_owned(), right.to_owned())
        }));
    }
    Ok(merges)
}
