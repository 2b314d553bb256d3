//! Where a piece of Chinese and the like can be cut in two without changing its ids.
//!
//! Chinese has no spaces, so its pieces are long and seldom met again. But a merge never joins what
//! no token of the vocabulary holds side by side: between two such characters a piece falls into
//! parts that merge by themselves, and those are short and met often. Tokens that begin or end
//! inside a character count for all characters with such bytes.

/// Bits of the table of characters that tokens hold side by side; a bit may stand for several
/// pairs, which only makes parts longer.
const BITS: u32 = 20;

/// What the tokens of a vocabulary hold side by side.
pub(super) struct Bonds {
    whole: Vec<u64>,
    /// By the last byte of one and the first byte of the other.
    broken: Vec<u64>,
}

/// Length of the character that `lead` begins; only those of 3 and 4 bytes matter here.
#[inline]
fn length(lead: u8) -> usize {
    match lead {
        0xE0..=0xEF => 3,
        0xF0..=0xF7 => 4,
        _ => 1,
    }
}

fn set(bits: &mut [u64], bit: usize) {
    bits[bit / 64] |= 1 << (bit % 64);
}

#[inline]
fn get(bits: &[u64], bit: usize) -> bool {
    bits[bit / 64] >> (bit % 64) & 1 != 0
}

/// Bytes as one number.
#[inline]
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[inline]
fn place(left: u64, right: u64) -> usize {
    ((left << 32 | right).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - BITS)) as usize
}

fn both(last: u8, first: u8) -> usize {
    usize::from(last) << 8 | usize::from(first)
}

impl Bonds {
    pub(super) fn new() -> Self {
        Self { whole: vec![0; 1 << (BITS - 6)], broken: vec![0; 1 << 10] }
    }

    /// Notes what stands side by side in a token.
    pub(super) fn add(&mut self, token: &[u8]) {
        let begins = |at: &usize| token.get(*at).is_none_or(|byte| byte & 0xC0 != 0x80);
        let mut start = 0;
        while let Some(cut) = (start + 1..token.len()).find(begins) {
            let end = (cut + 1..=token.len()).find(begins).unwrap_or(token.len());
            let (left, right) = (&token[start..cut], &token[cut..end]);
            let is_whole = |part: &[u8]| part.len() == length(part[0]) && part.len() > 1;
            if is_whole(left) && is_whole(right) {
                set(&mut self.whole, place(number(left), number(right)));
            } else {
                set(&mut self.broken, both(token[cut - 1], token[cut]));
            }
            start = cut;
        }
    }

    /// Where the part that begins at `start` ends, in a piece that ends at `end`.
    #[inline]
    pub(super) fn part_end(&self, text: &[u8], start: usize, end: usize) -> usize {
        let character = |at: usize| match text[at..end] {
            [a, b, c, ..] if a & 0xF0 == 0xE0 => {
                (u64::from(a) << 16 | u64::from(b) << 8 | u64::from(c), 3)
            }
            [a, b, c, d, ..] if a & 0xF8 == 0xF0 => (number(&[a, b, c, d]), 4),
            _ => (0, 1),
        };
        let (mut left, length) = character(start);
        let mut at = start + length;
        while at < end {
            let (right, length) = character(at);
            if left != 0
                && right != 0
                && !get(&self.whole, place(left, right))
                && !get(&self.broken, both(text[at - 1], text[at]))
            {
                return at;
            }
            left = right;
            at += length;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bonds: &Bonds, text: &str) -> Vec<String> {
        let (mut start, mut parts) = (0, Vec::new());
        while start < text.len() {
            let end = bonds.part_end(text.as_bytes(), start, text.len());
            parts.push(text[start..end].to_owned());
            start = end;
        }
        parts
    }

    #[test]
    fn parts_end_where_no_token_holds_both_characters() {
        let mut bonds = Bonds::new();
        ["中国", "国人民", "，我", "e的"].iter().for_each(|token| bonds.add(token.as_bytes()));
        assert_eq!(
            parts(&bonds, "在中国人民的，我😀国"),
            ["在", "中国人民", "的", "，我", "😀", "国"]
        );
        assert_eq!(parts(&bonds, "在ab的中é国"), ["在ab的", "中é国"]);
    }

    #[test]
    fn a_token_that_ends_inside_a_character_holds_it_to_all_like_it() {
        let mut bonds = Bonds::new();
        let middle = "中".as_bytes();
        bonds.add(&[middle, &"国".as_bytes()[..1]].concat());
        // 国 begins with E5, as does 在; 的 with E7.
        assert_eq!(parts(&bonds, "中国中在中的"), ["中国", "中在", "中", "的"]);
        bonds.add(&["的".as_bytes()[2..].to_vec(), middle.to_vec()].concat());
        assert_eq!(parts(&bonds, "的中在"), ["的中在"]);
    }
}
