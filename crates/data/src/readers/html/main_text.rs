//! Which paragraphs of a page are its main text.
//!
//! [`justext`](super::justext) judges paragraphs by their words and links; what the markup says of
//! itself ([`tags`](super::tags)) is heard where the text does not contradict it:
//! - a region that calls itself a sidebar, a footer, comments and the like holds no main text,
//!   unless it holds most of the page's;
//! - where one article holds most of what is good, nothing outside of it is;
//! - what says that it is the very body of the article, and the smallest element around half of
//!   what is good, hold only such text, short or not, but for paragraphs of links;
//! - preformatted blocks go with their neighbours: programs have no stop words.
//!
//! A page of hardly any good text is judged once more by its lengths and links alone.

use super::justext::{Class, OTHER, Settings, classify};
use super::paragraphs::{Page, Paragraph};
use super::tags::Region;

/// A region that holds so much of the page's text without links is what the page is about, whatever
/// it calls itself.
const MAX_ASIDE_SHARE: f64 = 0.5;
/// An article that holds so much of the good text holds all of it.
const MIN_ARTICLE_SHARE: f64 = 0.7;
/// In the smallest element with so much of the good text all is good.
const MIN_BODY_SHARE: f64 = 0.5;
/// A paragraph with a larger share of links is none of the text, wherever it stands.
const MAX_LINKS_IN_BODY: f64 = 0.5;
/// Fewer good characters than that are taken as a misjudgement.
const FEW_CHARS: usize = 200;

/// For pages of little text: short paragraphs count, whatever their words are.
const LENIENT: Settings = Settings { length_low: 35, length_high: 70, ..OTHER };

/// The paragraphs of the main text in reading order; none where there is no running text.
pub(super) fn main_paragraphs(page: &Page) -> Vec<&Paragraph> {
    let aside = aside(page);
    let is_aside = |at: usize| inside(page, at, &aside);
    let judge = |settings: &Settings| {
        classify(&page.paragraphs, settings, |at, class| match class {
            _ if is_aside(at) => Class::Bad,
            _ if page.paragraphs[at].verbatim => Class::NearGood,
            class => class,
        })
    };
    let good = |classes: &[Class], at: usize| {
        if classes[at] == Class::Good { page.paragraphs[at].chars } else { 0 }
    };
    let settings = Settings::of(&page.paragraphs);
    let mut classes = judge(settings);
    let mut total: usize = (0..classes.len()).map(|at| good(&classes, at)).sum();
    if total < FEW_CHARS {
        classes = judge(&LENIENT);
        total = (0..classes.len()).map(|at| good(&classes, at)).sum();
    }
    let held = held(page, |at| good(&classes, at));
    let fits = |area: usize, share: f64| {
        let region = page.areas[area].region != Region::Aside && !aside[area];
        region && held[area] as f64 >= share * total as f64
    };
    let article = (0..page.areas.len())
        .filter(|&area| fits(area, MIN_ARTICLE_SHARE) && page.areas[area].region != Region::Plain)
        .max_by_key(|&area| (page.areas[area].region, area));
    let body = article.filter(|&area| page.areas[area].region == Region::Body);
    // Those that hold more than half of it stand one in the other: the last is the smallest.
    let smallest = (0..page.areas.len()).rfind(|&area| total > 0 && fits(area, MIN_BODY_SHARE));
    let within = article.map(|article| down(page, |area| area == article));
    let bodies = down(page, |area| Some(area) == body || Some(area) == smallest);
    let chosen = |at: usize| {
        let Paragraph { chars, link_chars, .. } = page.paragraphs[at];
        let in_article = within.as_ref().is_none_or(|within| inside(page, at, within));
        let linked = link_chars as f64 > MAX_LINKS_IN_BODY * chars as f64;
        let text = inside(page, at, &bodies) && !is_aside(at) && !linked;
        in_article && (classes[at] == Class::Good || text)
    };
    (0..classes.len()).filter(|&at| chosen(at)).map(|at| &page.paragraphs[at]).collect()
}

/// Which regions surround the main text.
fn aside(page: &Page) -> Vec<bool> {
    let plain = |at: usize| {
        let Paragraph { chars, link_chars, .. } = page.paragraphs[at];
        chars.saturating_sub(link_chars)
    };
    let all: usize = (0..page.paragraphs.len()).map(plain).sum();
    let held = held(page, plain);
    let is_small = |area: usize| held[area] as f64 <= MAX_ASIDE_SHARE * all as f64;
    down(page, |area| page.areas[area].region == Region::Aside && is_small(area))
}

/// Whether a paragraph stands in one of the regions.
fn inside(page: &Page, at: usize, regions: &[bool]) -> bool {
    page.paragraphs[at].area.is_some_and(|area| regions[area])
}

/// What each region holds, those inside it included.
fn held(page: &Page, weight: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut held = vec![0; page.areas.len()];
    for (at, paragraph) in page.paragraphs.iter().enumerate() {
        if let Some(area) = paragraph.area {
            held[area] += weight(at);
        }
    }
    // A region is listed after the one around it.
    for area in (0..held.len()).rev() {
        if let Some(parent) = page.areas[area].parent {
            held[parent] += held[area];
        }
    }
    held
}

/// Which regions are, or stand in, one that is chosen.
fn down(page: &Page, chosen: impl Fn(usize) -> bool) -> Vec<bool> {
    let mut flags = Vec::with_capacity(page.areas.len());
    for (at, area) in page.areas.iter().enumerate() {
        let within = area.parent.is_some_and(|parent| flags[parent]);
        flags.push(within || chosen(at));
    }
    flags
}
