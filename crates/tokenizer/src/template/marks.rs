//! Marks that tell a message's characters from the template's in a rendered dialogue.

use std::collections::BTreeSet;

use super::{Origin, Span};
use crate::{Error, Message, Result};

/// Marks are taken from here: the last private-use plane of Unicode.
const PRIVATE_USE: std::ops::RangeInclusive<char> = '\u{100000}'..='\u{10FFFD}';

/// Three characters that occur in no input of one rendering.
pub(super) struct Marks {
    /// Follows each visible character of a message.
    content: char,
    /// Stands where what the assistant says begins.
    pub(super) generation_open: char,
    /// Stands where what the assistant says ends.
    pub(super) generation_close: char,
}

impl Marks {
    /// Chooses characters that occur neither in the template nor in any message.
    pub(super) fn choose(template: &str, messages: &[Message]) -> Result<Self> {
        let texts = messages.iter().map(|message| message.content.as_str());
        let used: BTreeSet<char> = std::iter::once(template)
            .chain(texts)
            .flat_map(str::chars)
            .filter(|character| PRIVATE_USE.contains(character))
            .collect();
        let mut free = PRIVATE_USE.filter(|character| !used.contains(character));
        let mut next =
            || free.next().ok_or(Error::OriginLost("all private-use characters are taken"));
        Ok(Self { content: next()?, generation_open: next()?, generation_close: next()? })
    }

    /// `text` with a mark after each character but white space. White space spells no control
    /// token, and left as it is, templates may trim, split and join at it.
    pub(super) fn mark(&self, text: &str) -> String {
        let mut marked = String::with_capacity(text.len() * 3);
        for character in text.chars() {
            marked.push(character);
            if !character.is_whitespace() {
                marked.push(self.content);
            }
        }
        marked
    }

    /// The spans of `marked`, which without its marks must be `plain`.
    pub(super) fn split(&self, marked: &str, plain: &str) -> Result<Vec<Span>> {
        let mut spans: Vec<Span> = Vec::new();
        let mut generated = false;
        let mut characters = marked.chars().peekable();
        let mut unchecked = plain.chars();
        while let Some(character) = characters.next() {
            if character == self.generation_open || character == self.generation_close {
                if generated == (character == self.generation_open) {
                    return Err(Error::OriginLost("generation blocks are nested or torn apart"));
                }
                generated = !generated;
                continue;
            }
            if character == self.content {
                return Err(Error::OriginLost("a character was taken out of a message"));
            }
            if unchecked.next() != Some(character) {
                return Err(Error::OriginLost("it decides by what a message contains"));
            }
            let content = characters.next_if_eq(&self.content).is_some();
            push(&mut spans, character, content, generated);
        }
        if generated || unchecked.next().is_some() {
            return Err(Error::OriginLost("part of the dialogue is missing"));
        }
        Ok(spans)
    }
}

fn push(spans: &mut Vec<Span>, character: char, content: bool, generated: bool) {
    let origin = if content { Origin::Content } else { Origin::Template };
    match spans.last_mut() {
        Some(last) if last.origin == origin && last.generated == generated => {
            last.text.push(character);
        }
        _ => {
            spans.push(Span { text: character.into(), origin, generated });
            rejoin_white_space(spans);
        }
    }
}

/// White space inside a message carries no mark; once the message goes on after it, it is known to
/// be the message's: `[content][white space][content]` becomes one span.
fn rejoin_white_space(spans: &mut Vec<Span>) {
    let [.., before, between, after] = spans.as_slice() else { return };
    let same = before.generated == between.generated && between.generated == after.generated;
    let around = before.origin == Origin::Content && after.origin == Origin::Content;
    if !same || !around || !between.text.chars().all(char::is_whitespace) {
        return;
    }
    let (after, between) = (spans.pop(), spans.pop());
    if let (Some(last), Some(between), Some(after)) = (spans.last_mut(), between, after) {
        last.text.push_str(&between.text);
        last.text.push_str(&after.text);
    }
}
