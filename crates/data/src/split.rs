//! Which documents are held out.

use sha2::{Digest, Sha256};

/// Whether the document `id` is held out when `per_mille` of 1000 are: the first 8 bytes of
/// SHA-256 of the id, as a big-endian number, modulo 1000, are below `per_mille`.
///
/// The rule looks at the id only, so it stays when documents are added, and raising `per_mille`
/// only adds to the held-out part.
///
/// ```
/// use danlu_data::is_held_out;
///
/// assert!(!is_held_out("tang/1", 0) && is_held_out("tang/1", 1000));
/// ```
pub fn is_held_out(id: &str, per_mille: u64) -> bool {
    fingerprint(id) % 1000 < per_mille
}

/// Whether a dropped document is listed with its text when `per_mille` of 1000 are: by its id, as
/// in [`is_held_out`], and independent of that.
pub(crate) fn is_shown(id: &str, per_mille: u64) -> bool {
    per_mille > 0 && fingerprint(&format!("dropped {id}")) % 1000 < per_mille
}

/// A fingerprint of each line of `text` that is long enough to be recognised: 12 characters are a
/// Chinese couplet of five-character verses. Shorter lines recur in unrelated texts.
pub(crate) fn long_lines(text: &str) -> impl Iterator<Item = u64> {
    let long = |line: &&str| line.chars().count() >= 12;
    text.lines().map(str::trim).filter(long).map(fingerprint)
}

/// The first 8 bytes of SHA-256 of `text` as a big-endian number.
pub(crate) fn fingerprint(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    digest[..8].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_the_written_one() {
        // python: int.from_bytes(sha256(id.encode()).digest()[:8], "big") % 1000
        let remainders = [("", 652), ("tang/1", 581), ("hamlet.txt:1", 629), ("静夜思", 686)];
        for (id, remainder) in remainders {
            assert!(is_held_out(id, remainder + 1), "{id}");
            assert!(!is_held_out(id, remainder), "{id}");
        }
    }

    #[test]
    fn about_the_wished_share_is_held_out() {
        let count = (0..20_000).filter(|i| is_held_out(&format!("poem:{i}"), 40)).count();
        assert!((700..900).contains(&count), "{count} of 20000");
    }
}
