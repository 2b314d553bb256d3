//! What kinds of characters there are, as Python and spaCy see them.

use std::sync::LazyLock;

/// Properties of a character; each is a bit in `classes.txt`, whose script states how it is found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Class(u16);

/// Python's `str.isspace`, hence what `strip` and `split` take.
pub(crate) const SPACE: Class = Class(1);
/// Python's `str.isalpha`.
pub(crate) const LETTER: Class = Class(1 << 1);
/// `\w` of Python's regular expressions.
pub(crate) const WORD: Class = Class(1 << 2);
/// `\d` of Python's regular expressions.
pub(crate) const DIGIT: Class = Class(1 << 3);
/// Unicode category P.
pub(crate) const PUNCTUATION: Class = Class(1 << 4);
/// datatrove's `PUNCTUATION_SET`: a word of nothing else is a symbol.
pub(crate) const SYMBOL: Class = Class(1 << 5);
/// spaCy cuts it off the front of a word.
pub(super) const PREFIX: Class = Class(1 << 6);
/// spaCy cuts it off the end of a word.
pub(super) const SUFFIX: Class = Class(1 << 7);
/// spaCy cuts a full stop off the end of a word behind it.
pub(super) const BEFORE_STOP: Class = Class(1 << 8);
/// spaCy's letters.
pub(super) const ALPHA: Class = Class(1 << 9);
/// spaCy's lower-case letters and quotes: a full stop between these ..
pub(super) const BEFORE_INNER_STOP: Class = Class(1 << 10);
/// .. and these, upper-case letters and quotes, stands alone.
pub(super) const AFTER_INNER_STOP: Class = Class(1 << 11);
/// spaCy's upper-case letters, those without case included.
pub(super) const UPPER: Class = Class(1 << 12);
/// spaCy's lower-case letters, those without case included.
pub(super) const LOWER: Class = Class(1 << 13);
/// Stands alone wherever it is inside a word.
pub(super) const ICON: Class = Class(1 << 14);
/// Ends a sentence.
pub(super) const SENTENCE_END: Class = Class(1 << 15);

impl Class {
    /// The class of `character`.
    pub(crate) fn of(character: char) -> Self {
        let code = character as usize;
        match TABLE.low.get(code) {
            Some(&flags) => Self(flags),
            None => {
                let run = TABLE.high.partition_point(|&(first, _)| first as usize <= code);
                Self(run.checked_sub(1).map_or(0, |run| TABLE.high[run].1))
            }
        }
    }

    /// Whether it has the property `of`.
    pub(crate) fn is(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

/// Whether `character` has the property `class`.
pub(crate) fn is(character: char, class: Class) -> bool {
    Class::of(character).is(class)
}

/// Python's `str.strip`.
pub(crate) fn strip(text: &str) -> &str {
    text.trim_matches(|c| is(c, SPACE))
}

/// Python's `str.lstrip`.
pub(crate) fn strip_start(text: &str) -> &str {
    text.trim_start_matches(|c| is(c, SPACE))
}

struct Table {
    /// Flags of the Basic Multilingual Plane.
    low: Vec<u16>,
    /// First code point and flags of each run.
    high: Vec<(u32, u16)>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let run = |line: &str| {
        let (first, flags) = line.split_once(' ')?;
        Some((u32::from_str_radix(first, 16).ok()?, u16::from_str_radix(flags, 16).ok()?))
    };
    let high: Vec<(u32, u16)> = include_str!("classes.txt").lines().filter_map(run).collect();
    let mut low = Vec::with_capacity(0x1_0000);
    for (index, &(_, flags)) in high.iter().enumerate() {
        let end = high.get(index + 1).map_or(0x1_0000, |next| next.0 as usize).min(0x1_0000);
        low.resize(end.max(low.len()), flags);
    }
    Table { low, high }
});
