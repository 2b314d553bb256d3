//! Telling a message's characters from the template's in a rendered dialogue.
//!
//! For one rendering, each character of the messages is written as another one, from the
//! private-use planes of Unicode, that occurs in no input: one for one and in the same order, so
//! texts keep their length, their parts and their place in sorted lists. What looks at letters
//! (comparisons, `replace`, `split`) reads them through [`Taint::clean`]. White space stays as it
//! is: it spells no control token, and templates trim it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};

use super::{Origin, Span};
use crate::{Error, Result};

const PRIVATE_USE: [std::ops::RangeInclusive<char>; 2] =
    ['\u{F0000}'..='\u{FFFFD}', '\u{100000}'..='\u{10FFFD}'];
/// The name under which a rendering carries its taint.
pub(super) const VARIABLE: &str = "__taint";

/// The characters of one rendering.
#[derive(Debug)]
pub(super) struct Taint {
    disguises: BTreeMap<char, char>,
    originals: BTreeMap<char, char>,
    /// Stands where what the assistant says begins.
    pub(super) generation_open: char,
    /// Stands where what the assistant says ends.
    pub(super) generation_close: char,
}

impl Object for Taint {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

impl Taint {
    /// Chooses a disguise for each character of `contents`, and for those that upper and lower
    /// case and JSON make of them.
    pub(super) fn choose<'a>(
        template: &str,
        contents: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut wanted: BTreeSet<char> = (' '..='\x7F').collect();
        for character in contents.into_iter().flat_map(str::chars) {
            wanted.insert(character);
            wanted.extend(character.to_uppercase().chain(character.to_lowercase()));
        }
        let private = |character: &char| PRIVATE_USE.iter().any(|range| range.contains(character));
        let used: BTreeSet<char> =
            template.chars().chain(wanted.iter().copied()).filter(private).collect();
        let mut free =
            PRIVATE_USE.into_iter().flatten().filter(|character| !used.contains(character));
        let mut next =
            || free.next().ok_or(Error::OriginLost("all private-use characters are taken"));
        let (generation_open, generation_close) = (next()?, next()?);
        let mut taint = Self {
            disguises: BTreeMap::new(),
            originals: BTreeMap::new(),
            generation_open,
            generation_close,
        };
        for character in wanted.into_iter().filter(|character| !character.is_whitespace()) {
            let disguise = next()?;
            taint.disguises.insert(character, disguise);
            taint.originals.insert(disguise, character);
        }
        Ok(taint)
    }

    /// `text` of a message in disguise.
    pub(super) fn disguise(&self, text: &str) -> String {
        text.chars().map(|character| self.disguised(character)).collect()
    }

    pub(super) fn disguised(&self, character: char) -> char {
        self.disguises.get(&character).copied().unwrap_or(character)
    }

    /// The character behind a disguise; `None` for a character of the template.
    pub(super) fn original(&self, character: char) -> Option<char> {
        self.originals.get(&character).copied()
    }

    /// `text` as it reads, character for character.
    pub(super) fn clean(&self, text: &str) -> String {
        text.chars().map(|character| self.original(character).unwrap_or(character)).collect()
    }

    /// `value` as it reads; containers too.
    pub(super) fn clean_value(&self, value: &Value) -> Value {
        match value.kind() {
            ValueKind::String => match value.as_str() {
                Some(text) if text.chars().any(|found| self.originals.contains_key(&found)) => {
                    Value::from(self.clean(text))
                }
                _ => value.clone(),
            },
            ValueKind::Seq | ValueKind::Iterable => match value.try_iter() {
                Ok(items) => items.map(|item| self.clean_value(&item)).collect(),
                Err(_) => value.clone(),
            },
            ValueKind::Map => match value.downcast_object_ref::<Table>() {
                Some(table) => {
                    let clean = |(key, (_, value)): (&String, &(String, Value))| {
                        (key.clone(), self.clean_value(value))
                    };
                    Value::from_pairs(table.entries.iter().map(clean))
                }
                None => value.clone(),
            },
            _ => value.clone(),
        }
    }

    /// JSON in disguise: keys and texts come from messages.
    pub(super) fn disguise_json(self: &Arc<Self>, json: &serde_json::Value) -> Value {
        match json {
            serde_json::Value::String(text) => Value::from(self.disguise(text)),
            serde_json::Value::Array(items) => {
                items.iter().map(|item| self.disguise_json(item)).collect()
            }
            serde_json::Value::Object(entries) => {
                let order = entries.keys().map(|key| self.disguise(key)).collect();
                let entry = |(key, value)| {
                    let key: &String = key;
                    (key.clone(), (self.disguise(key), self.disguise_json(value)))
                };
                let entries = entries.iter().map(entry).collect();
                Value::from_object(Table { taint: Arc::clone(self), order, entries })
            }
            other => super::values::plain(other),
        }
    }

    /// The spans of `tainted`, which without its disguise must be `plain`.
    pub(super) fn split(&self, tainted: &str, plain: &str) -> Result<Vec<Span>> {
        let mut spans: Vec<Span> = Vec::new();
        let mut generated = false;
        let mut unchecked = plain.chars();
        for character in tainted.chars() {
            if character == self.generation_open || character == self.generation_close {
                if generated == (character == self.generation_open) {
                    return Err(Error::OriginLost("generation blocks are nested or torn apart"));
                }
                generated = !generated;
                continue;
            }
            let original = self.original(character);
            if unchecked.next() != Some(original.unwrap_or(character)) {
                return Err(Error::OriginLost("it decides by what a message contains"));
            }
            push(&mut spans, original.unwrap_or(character), original.is_some(), generated);
        }
        if generated || unchecked.next().is_some() {
            return Err(Error::OriginLost("part of the dialogue is missing"));
        }
        Ok(spans)
    }
}

/// A table whose keys come from messages: found as they read, printed in disguise.
#[derive(Debug)]
struct Table {
    taint: Arc<Taint>,
    order: Vec<String>,
    /// By the key as it reads: the key in disguise, and the value.
    entries: BTreeMap<String, (String, Value)>,
}

impl Object for Table {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.entries.get(&self.taint.clean(key)).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.order.iter().map(|key| Value::from(key.as_str())).collect())
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

/// White space inside a message has no disguise; once the message goes on after it, it is known to
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
