//! jusText: which paragraphs of a page are its main text.
//!
//! Jan Pomikalek, "Removing Boilerplate and Duplicate Content from Web Corpora", PhD thesis,
//! Masaryk University, 2011, chapter 3; the reference implementation is the Python package
//! `jusText`. A paragraph is judged by itself first: text in links, length, and the share of stop
//! words, which sentences have and menus do not. Those too short to tell then go with their
//! neighbours.
//!
//! Chinese is not in the thesis. Its words are not separated, so stop words are single characters
//! and their share is that of all letters; lengths are a third of the English ones, since that is
//! how much longer the same text is in English letters.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::paragraphs::Paragraph;

/// What a paragraph is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Good,
    NearGood,
    Short,
    Bad,
}

/// Thresholds; lengths in characters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) stop_words: StopWords,
    /// Shorter paragraphs go with their neighbours.
    pub(super) length_low: usize,
    /// Longer ones with enough stop words are good by themselves.
    pub(super) length_high: usize,
    /// Shares of stop words: fewer is bad, more is good or nearly so.
    pub(super) stop_words_low: f64,
    pub(super) stop_words_high: f64,
    pub(super) max_link_density: f64,
    /// A heading so many characters before a good paragraph is good.
    pub(super) max_heading_distance: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopWords {
    English,
    Chinese,
    /// Of no language: only lengths and links count.
    None,
}

/// The thesis' settings for English, which are the package's defaults.
pub(super) const ENGLISH: Settings = Settings {
    stop_words: StopWords::English,
    length_low: 70,
    length_high: 200,
    stop_words_low: 0.30,
    stop_words_high: 0.32,
    max_link_density: 0.2,
    max_heading_distance: 200,
};

/// For Chinese.
pub(super) const CHINESE: Settings = Settings {
    stop_words: StopWords::Chinese,
    length_low: 25,
    length_high: 70,
    stop_words_low: 0.04,
    stop_words_high: 0.06,
    max_link_density: 0.2,
    max_heading_distance: 70,
};

/// For other languages: the package's language-independent mode.
pub(super) const OTHER: Settings =
    Settings { stop_words: StopWords::None, stop_words_low: 0.0, stop_words_high: 0.0, ..ENGLISH };

/// The most frequent function characters of modern written Chinese, both scripts.
const CHINESE_STOP: &str = include_str!("chinese.txt");

static ENGLISH_STOP: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    include_str!("english.txt").lines().filter(|line| !line.starts_with('#')).collect()
});

/// Share of Chinese among the letters of a page that is taken for Chinese.
const CHINESE_SHARE: f64 = 0.3;
/// Share of English stop words among the words of a page that is taken for English; running text
/// has about 0.45, menus 0.1, text of other languages below that.
const ENGLISH_SHARE: f64 = 0.2;

impl Settings {
    /// Those for the language that most of a page is in.
    pub(super) fn of(paragraphs: &[Paragraph]) -> &'static Self {
        let (mut letters, mut chinese) = (0_usize, 0_usize);
        let (mut words, mut english) = (0_usize, 0_usize);
        for paragraph in paragraphs {
            letters += paragraph.text.chars().filter(|found| found.is_alphabetic()).count();
            chinese += paragraph.text.chars().filter(|found| is_chinese(*found)).count();
            let (all, stop) = count_words(&paragraph.text);
            (words, english) = (words + all, english + stop);
        }
        if chinese as f64 > CHINESE_SHARE * letters as f64 {
            &CHINESE
        } else if english as f64 >= ENGLISH_SHARE * words as f64 {
            &ENGLISH
        } else {
            &OTHER
        }
    }

    /// Share of stop words in a text.
    fn density(&self, text: &str) -> f64 {
        let (all, stop) = match self.stop_words {
            StopWords::English => count_words(text),
            StopWords::Chinese => {
                let letters = || text.chars().filter(|found| found.is_alphabetic());
                (letters().count(), letters().filter(|found| CHINESE_STOP.contains(*found)).count())
            }
            StopWords::None => return 0.0,
        };
        stop as f64 / all.max(1) as f64
    }

    /// Whether too much of a paragraph are links.
    fn is_linked(&self, paragraph: &Paragraph) -> bool {
        paragraph.link_chars as f64 > self.max_link_density * paragraph.chars as f64
    }

    /// The context-free class.
    fn alone(&self, paragraph: &Paragraph) -> Class {
        let Paragraph { text, chars, link_chars, .. } = paragraph;
        if self.is_linked(paragraph) {
            return Class::Bad;
        }
        if text.contains('\u{a9}') || text.contains("&copy") {
            return Class::Bad;
        }
        if *chars < self.length_low {
            return if *link_chars > 0 { Class::Bad } else { Class::Short };
        }
        let density = self.density(text);
        match () {
            () if density >= self.stop_words_high && *chars > self.length_high => Class::Good,
            () if density >= self.stop_words_low => Class::NearGood,
            () => Class::Bad,
        }
    }
}

/// Words, and stop words of English among them.
fn count_words(text: &str) -> (usize, usize) {
    let (mut words, mut stop) = (0, 0);
    for word in text.split_whitespace() {
        words += 1;
        // The longest stop word has 13 letters.
        stop += usize::from(word.len() < 24 && ENGLISH_STOP.contains(&word.to_lowercase()[..]));
    }
    (words, stop)
}

fn is_chinese(found: char) -> bool {
    matches!(found, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// The class of each paragraph. `given` says of some that they are bad, or not too short to tell,
/// whatever their text is.
pub(super) fn classify(
    paragraphs: &[Paragraph],
    settings: &Settings,
    given: impl Fn(usize, Class) -> Class,
) -> Vec<Class> {
    let judged = paragraphs.iter().enumerate();
    let alone: Vec<Class> = judged.map(|(at, one)| given(at, settings.alone(one))).collect();
    let mut classes = alone.clone();
    let is_good_ahead = |classes: &[Class], from: usize| {
        let mut distance = 0;
        for at in from + 1..paragraphs.len() {
            if distance > settings.max_heading_distance {
                return false;
            }
            if classes[at] == Class::Good {
                return true;
            }
            distance += paragraphs[at].chars;
        }
        false
    };
    for at in 0..paragraphs.len() {
        let may_be = paragraphs[at].heading && classes[at] == Class::Short;
        if may_be && is_good_ahead(&classes, at) {
            classes[at] = Class::NearGood;
        }
    }
    let sides = Sides::of(&classes);
    for (at, class) in classes.iter_mut().enumerate().filter(|(_, class)| **class == Class::Short) {
        *class = sides.short(at);
    }
    let sides = Sides::of(&classes);
    for at in 0..classes.len() {
        if classes[at] == Class::NearGood {
            // Neighbours in front are already decided, as in the reference.
            let before = classes[..at].iter().rev().find(|class| **class != Class::NearGood);
            let before = before.copied().unwrap_or(Class::Bad);
            let both_bad = before == Class::Bad && sides.after[at].0 == Class::Bad;
            classes[at] = if both_bad { Class::Bad } else { Class::Good };
        }
    }
    for at in 0..paragraphs.len() {
        let again = paragraphs[at].heading && classes[at] == Class::Bad && alone[at] != Class::Bad;
        if again && is_good_ahead(&classes, at) {
            classes[at] = Class::Good;
        }
    }
    classes
}

/// For each paragraph the nearest ones that are decided, on both sides: good or bad, and the same
/// with nearly good counting as decided. Beyond the ends of the page all is bad.
struct Sides {
    before: Vec<(Class, Class)>,
    after: Vec<(Class, Class)>,
}

impl Sides {
    fn of(classes: &[Class]) -> Self {
        let scan = |order: &mut dyn Iterator<Item = usize>| {
            let mut found = vec![(Class::Bad, Class::Bad); classes.len()];
            let mut nearest = (Class::Bad, Class::Bad);
            for at in order {
                found[at] = nearest;
                match classes[at] {
                    Class::Short => {}
                    Class::NearGood => nearest.1 = Class::NearGood,
                    decided => nearest = (decided, decided),
                }
            }
            found
        };
        Self { before: scan(&mut (0..classes.len())), after: scan(&mut (0..classes.len()).rev()) }
    }

    /// What a short paragraph is between its neighbours.
    fn short(&self, at: usize) -> Class {
        let ((before, near_before), (after, near_after)) = (self.before[at], self.after[at]);
        let near = |side: Class, near: Class| side == Class::Bad && near == Class::NearGood;
        match (before, after) {
            (Class::Good, Class::Good) => Class::Good,
            (Class::Bad, Class::Bad) => Class::Bad,
            _ if near(before, near_before) || near(after, near_after) => Class::Good,
            _ => Class::Bad,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::paragraphs::Page;
    use super::*;

    /// Against the Python package on pages of other people: `golden/data/justext/make.py`.
    #[test]
    fn paragraphs_and_classes_are_those_of_the_reference() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../golden/data/justext");
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let expected: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&expected).unwrap();
        assert!(expected.len() >= 3);
        for (name, paragraphs) in &expected {
            let page = Page::read(&std::fs::read_to_string(folder.join(name)).unwrap(), false);
            let classes = classify(&page.paragraphs, &ENGLISH, |_, class| class);
            let ours = page.paragraphs.iter().zip(&classes).map(|(paragraph, class)| {
                // The package joins words across tags, so white space is left out.
                let text: String = paragraph.text.split_whitespace().collect();
                format!("{} {text}", if *class == Class::Good { "good" } else { "bad" })
            });
            let theirs = paragraphs.as_array().unwrap().iter().map(|line| line.as_str().unwrap());
            let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
            assert!(theirs.iter().any(|line| line.starts_with("good")), "{name}");
            let differing = ours.iter().zip(&theirs).filter(|(ours, theirs)| *ours != *theirs);
            assert_eq!(differing.collect::<Vec<_>>(), [], "{name}");
            assert_eq!(ours.len(), theirs.len(), "{name}");
        }
    }
}
