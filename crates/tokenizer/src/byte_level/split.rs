//! Cutting text as the published patterns do, without a regular expression.
//!
//! The patterns in use differ in a few points only; [`Rules`] names the points, [`PATTERNS`] says
//! what each pattern does. A test holds every entry to the regular expression itself.

use super::classes::{
    CLASSES, Classes, HAN, LETTER, LOWER, MARK, NUMBER, NUMERIC, SPACE, UPPER, ascii_letters_end,
};
use crate::sources::tiktoken::{CL100K, GPT2, O200K};
use crate::train::PRE_SPLIT;

/// English contractions that are pieces of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contractions {
    /// `'s|'t|'re|'ve|'m|'ll|'d`
    Lower,
    /// The same in capitals too, mixed or not.
    AnyCase,
    /// `(?i:..)`: also the long s, U+017F, which Unicode folds to `s`.
    Folded,
    /// Either all small or all capital letters.
    OneCase,
}

/// What may stand before the letters of a word, and how they run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// ` ?` and letters.
    AfterSpace,
    /// `[^\r\n\p{L}\p{N}]?` and letters.
    AfterAny,
    /// The same; capitals, then small letters, then a contraction.
    Cased,
}

/// What a split pattern does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    contractions: Contractions,
    word: Word,
    /// Marks run on with letters.
    marks: bool,
    /// Han characters are words of their own.
    han: bool,
    /// Most numerals in a piece.
    digits: usize,
    /// Numerals take the space before them.
    space_before_digits: bool,
    /// What signs take after them.
    after_signs: &'static [u8],
    /// White space up to its last line end is a piece: `\s*[\r\n]+`.
    lines: bool,
    /// The last space stays for the word after it: `\s+(?!\S)`.
    leaves_space: bool,
}

const GPT2_RULES: Rules = Rules {
    contractions: Contractions::Lower,
    word: Word::AfterSpace,
    marks: false,
    han: false,
    digits: usize::MAX,
    space_before_digits: true,
    after_signs: b"",
    lines: false,
    leaves_space: true,
};
const CL100K_RULES: Rules = Rules {
    contractions: Contractions::Folded,
    word: Word::AfterAny,
    digits: 3,
    space_before_digits: false,
    after_signs: b"\r\n",
    lines: true,
    ..GPT2_RULES
};
const LLAMA3_RULES: Rules = Rules { contractions: Contractions::AnyCase, ..CL100K_RULES };
const QWEN2_RULES: Rules = Rules { digits: 1, ..CL100K_RULES };
const O200K_RULES: Rules = Rules { word: Word::Cased, after_signs: b"\r\n/", ..CL100K_RULES };
const DANLU_RULES: Rules = Rules {
    contractions: Contractions::OneCase,
    word: Word::AfterSpace,
    marks: true,
    han: true,
    digits: 1,
    leaves_space: false,
    ..CL100K_RULES
};

/// The patterns that are known, as files spell them, and what each does.
pub(super) const PATTERNS: &[(&str, Rules)] = &[
    (GPT2, GPT2_RULES),
    // llama.cpp's spelling; the white space that it leaves unmatched is a piece all the same.
    (r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)", GPT2_RULES),
    (CL100K, CL100K_RULES),
    (
        concat!(
            r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?",
            r"\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        LLAMA3_RULES,
    ),
    (
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}",
            r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        QWEN2_RULES,
    ),
    (
        concat!(
            r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?",
            r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        Rules { digits: 1, ..LLAMA3_RULES },
    ),
    (
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}",
            r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        Rules { marks: true, ..QWEN2_RULES },
    ),
    (
        concat!(
            r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?",
            r"[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        Rules { marks: true, digits: 1, ..LLAMA3_RULES },
    ),
    (O200K, O200K_RULES),
    (PRE_SPLIT, DANLU_RULES),
];

/// Whether characters of a class are cut out one by one before the rules see the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolated {
    /// None are.
    Nothing,
    /// `\p{N}`
    Numbers,
    /// The library's `Digits` step.
    Digits,
}

impl Isolated {
    /// The class that is cut out.
    fn class(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Numbers => NUMBER,
            Self::Digits => NUMERIC,
        }
    }
}

/// A way to cut text.
#[derive(Clone, Copy)]
pub(crate) struct Splitter {
    rules: Rules,
    isolated: Isolated,
    classes: &'static Classes,
    /// Classes that run on in a word, one of them at least.
    letters: u8,
    /// Classes that end a run of signs.
    not_signs: u8,
}

impl Splitter {
    pub(super) fn new(rules: Rules, isolated: Isolated) -> Self {
        let letters = if rules.marks { LETTER | MARK } else { LETTER };
        Self { rules, isolated, classes: &CLASSES, letters, not_signs: letters | NUMBER | SPACE }
    }

    /// The splitter of a pattern; `None` when the pattern is not known.
    pub(crate) fn of_pattern(pattern: &str) -> Option<Self> {
        let (_, rules) = PATTERNS.iter().find(|(known, _)| *known == pattern)?;
        Some(Self::new(*rules, Isolated::Nothing))
    }

    /// Gives each piece of `text` as its start and end, in order and without gaps.
    #[inline]
    pub(crate) fn pieces(&self, text: &str, mut piece: impl FnMut(usize, usize)) {
        let text = text.as_bytes();
        let isolated = self.isolated.class();
        let mut start = 0;
        if isolated == 0 {
            while start < text.len() {
                let end = self.end(text, start);
                piece(start, end);
                start = end;
            }
            return;
        }
        let mut at = 0;
        while at < text.len() {
            let (class, length) = self.classes.at(text, at);
            if class & isolated != 0 {
                while start < at {
                    let end = self.end(&text[..at], start);
                    piece(start, end);
                    start = end;
                }
                piece(at, at + length);
                start = at + length;
            }
            at += length;
        }
        while start < text.len() {
            let end = self.end(text, start);
            piece(start, end);
            start = end;
        }
    }

    /// Where the piece that begins at `start` ends.
    #[inline]
    fn end(&self, text: &[u8], start: usize) -> usize {
        let first = text[start];
        let (class, length) = self.classes.at(text, start);
        if first == b'\'' && self.rules.word != Word::Cased {
            let taken = self.contraction(text, start);
            if taken > 0 {
                return start + taken;
            }
        }
        if self.rules.han && class & HAN != 0 {
            return self.run(text, start + length, |class| class & HAN != 0);
        }
        if self.rules.word == Word::Cased {
            if let Some(end) = self.cased_word(text, start, class, length) {
                return end;
            }
        } else if let Some(end) = self.word(text, start, class, length) {
            return end;
        }
        let spaced = start + usize::from(first == b' ');
        let digits = if self.rules.space_before_digits { spaced } else { start };
        if self.classes.at(text, digits).0 & NUMBER != 0 {
            return self.digits_end(text, digits);
        }
        let (after, length) = self.classes.at(text, spaced);
        if length > 0 && after & self.not_signs == 0 {
            let end = self.run(text, spaced + length, |class| class & self.not_signs == 0);
            let more = text[end..].iter().take_while(|byte| self.rules.after_signs.contains(byte));
            return end + more.count();
        }
        self.space_end(text, start)
    }

    /// Where the run of characters of a kind ends. Beyond the end of the text there are none.
    #[inline]
    fn run(&self, text: &[u8], mut at: usize, of_kind: impl Fn(u8) -> bool) -> usize {
        loop {
            let (class, length) = self.classes.at(text, at);
            if length == 0 || !of_kind(class) {
                return at;
            }
            at += length;
        }
    }

    /// Whether characters of these classes run on in a word.
    #[inline]
    fn is_letter(&self, class: u8) -> bool {
        class & self.letters != 0 && !(self.rules.han && class & HAN != 0)
    }

    #[inline]
    fn word(&self, text: &[u8], start: usize, class: u8, length: usize) -> Option<usize> {
        if self.is_letter(class) {
            return Some(self.letters_end(text, start));
        }
        let prefixed = match self.rules.word {
            Word::AfterSpace => text[start] == b' ',
            _ => class & NUMBER == 0 && !matches!(text[start], b'\r' | b'\n'),
        };
        let after = start + length;
        if prefixed && self.is_letter(self.classes.at(text, after).0) {
            return Some(self.letters_end(text, after));
        }
        None
    }

    #[inline]
    fn letters_end(&self, text: &[u8], mut at: usize) -> usize {
        loop {
            at = ascii_letters_end(text, at);
            let (class, length) = self.classes.at(text, at);
            if !self.is_letter(class) {
                return at;
            }
            at += length;
        }
    }

    /// Capitals and small letters: `U*l+` is tried before `U+l*`, with what may stand before them
    /// before without it.
    fn cased_word(&self, text: &[u8], start: usize, class: u8, length: usize) -> Option<usize> {
        let before = class & (LETTER | NUMBER) == 0 && !matches!(text[start], b'\r' | b'\n');
        let after = start + length;
        let end = before
            .then(|| self.small_letters(text, after))
            .flatten()
            .or_else(|| self.small_letters(text, start))
            .or_else(|| before.then(|| self.capitals(text, after)).flatten())
            .or_else(|| self.capitals(text, start))?;
        let contraction =
            if text.get(end) == Some(&b'\'') { self.contraction(text, end) } else { 0 };
        Some(end + contraction)
    }

    /// `U*l+`. Some letters are both; where no small one follows the capitals, the last of those
    /// that are both ends the word.
    fn small_letters(&self, text: &[u8], start: usize) -> Option<usize> {
        let (mut at, mut both) = (start, None);
        loop {
            let (class, length) = self.classes.at(text, at);
            if class & UPPER == 0 {
                break;
            }
            at += length;
            if class & LOWER != 0 {
                both = Some(at);
            }
        }
        if self.classes.at(text, at).0 & LOWER == 0 {
            return both;
        }
        Some(self.lower_end(text, at))
    }

    fn lower_end(&self, text: &[u8], mut at: usize) -> usize {
        while text.get(at).is_some_and(u8::is_ascii_lowercase) {
            at += 1;
        }
        self.run(text, at, |class| class & LOWER != 0)
    }

    /// `U+l*`
    fn capitals(&self, text: &[u8], start: usize) -> Option<usize> {
        let end = self.run(text, start, |class| class & UPPER != 0);
        (end > start).then(|| self.lower_end(text, end))
    }

    /// Length of the contraction whose apostrophe is at `at`; 0 when there is none.
    fn contraction(&self, text: &[u8], at: usize) -> usize {
        let byte = |offset: usize| text.get(at + offset).copied().unwrap_or_default();
        let (first, second) = (byte(1), byte(2));
        let cased = self.rules.contractions;
        if cased == Contractions::Folded && [first, second] == [0xC5, 0xBF] {
            return 3;
        }
        let fold = |letter: u8| {
            if cased == Contractions::Lower { letter } else { letter.to_ascii_lowercase() }
        };
        match (fold(first), fold(second)) {
            (b's' | b't' | b'm' | b'd', _) => 2,
            (b'r' | b'v', b'e') | (b'l', b'l')
                if cased != Contractions::OneCase
                    || first.is_ascii_lowercase() == second.is_ascii_lowercase() =>
            {
                3
            }
            _ => 0,
        }
    }

    fn digits_end(&self, text: &[u8], mut at: usize) -> usize {
        for _ in 0..self.rules.digits {
            let (class, length) = self.classes.at(text, at);
            if class & NUMBER == 0 {
                break;
            }
            at += length;
        }
        at
    }

    fn space_end(&self, text: &[u8], start: usize) -> usize {
        let (mut at, mut last, mut line) = (start, start, start);
        loop {
            let (class, length) = self.classes.at(text, at);
            if class & SPACE == 0 {
                break;
            }
            last = at;
            at += length;
            if matches!(text[last], b'\r' | b'\n') {
                line = at;
            }
        }
        if self.rules.lines && line > start {
            line
        } else if self.rules.leaves_space && at < text.len() && last > start {
            last
        } else {
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::utils::SysRegex;

    /// The pieces that the regular expression makes: its matches and what is between them.
    fn by_expression(expression: &SysRegex, text: &str) -> Vec<(usize, usize)> {
        let mut pieces = Vec::new();
        let mut from = 0;
        for (start, end) in expression.find_iter(text) {
            if from < start {
                pieces.push((from, start));
            }
            pieces.push((start, end));
            from = end;
        }
        if from < text.len() {
            pieces.push((from, text.len()));
        }
        pieces
    }

    fn by_rules(splitter: &Splitter, text: &str) -> Vec<(usize, usize)> {
        let mut pieces = Vec::new();
        splitter.pieces(text, |start, end| pieces.push((start, end)));
        pieces
    }

    /// Texts made of what patterns treat in special ways, and of any characters.
    fn texts() -> impl Strategy<Value = String> {
        let parts = prop_oneof![
            "[ \\t\\r\\n\\u{3000}\\u{a0}\\u{85}]{1,4}",
            "[a-zA-Z]{1,12}",
            "'(s|S|ſ|t|RE|re|rE|ll|LL|Ll|lL|ve|d|D|m|x|l|)",
            "[0-9０-９½Ⅷ٣]{1,5}",
            "[一-龥々〇⺀〆，。ーカ]{1,4}",
            "[éÅßſßǅʰ\\u{301}\\u{345}ªمनि한]{1,4}",
            "[-/.!?_=#$👍🏽\\u{200d}]{1,4}",
            ".",
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(parts, 0..12).prop_map(|parts| parts.concat())
    }

    #[test]
    fn every_known_pattern_cuts_as_its_expression() {
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1000));
        for (pattern, rules) in PATTERNS {
            let expression = SysRegex::new(pattern).unwrap();
            let splitter = Splitter::new(*rules, Isolated::Nothing);
            runner
                .run(&texts(), |text| {
                    let expected = by_expression(&expression, &text);
                    prop_assert_eq!(by_rules(&splitter, &text), expected, "{}", pattern);
                    Ok(())
                })
                .unwrap();
        }
    }

    #[test]
    fn every_character_is_in_the_classes_of_the_expressions() {
        // The planes where characters are; the others are all alike.
        let assigned = (0..=0x1_FFFF_u32).chain(0x2_A6D0..0x2_A6F0).chain(0xE_0000..0xE_0200);
        let text: String = assigned
            .filter_map(char::from_u32)
            .map(|character| format!("{character}a1{character}\n"))
            .collect();
        for pattern in [CL100K, O200K, PRE_SPLIT] {
            let expression = SysRegex::new(pattern).unwrap();
            let splitter = Splitter::of_pattern(pattern).unwrap();
            let (ours, theirs) = (by_rules(&splitter, &text), by_expression(&expression, &text));
            let differ = ours.iter().zip(&theirs).find(|(left, right)| left != right);
            assert!(ours == theirs, "{pattern}: {differ:?}");
        }
    }

    #[test]
    fn what_is_isolated_ends_the_text_before_it() {
        let splitter = Splitter::new(GPT2_RULES, Isolated::Numbers);
        let text = "a  12 b½";
        let pieces: Vec<&str> =
            by_rules(&splitter, text).into_iter().map(|(start, end)| &text[start..end]).collect();
        assert_eq!(pieces, ["a", "  ", "1", "2", " b", "½"]);
    }
}
