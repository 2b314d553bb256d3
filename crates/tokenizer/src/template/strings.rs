//! Python's methods of strings, on text in disguise as well as on plain text.
//!
//! Where a part of the text is wanted, it is found in the text as it reads and cut out of the text
//! in disguise; where a number or a truth is wanted, the text as it reads is asked.

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::taint::{Taint, VARIABLE};

/// The filters that look at letters, with the method of strings that does the same.
pub(super) const FILTERS: &[(&str, &str, &str)] = &[
    ("trim", "__trim", "strip"),
    ("upper", "__upper", "upper"),
    ("lower", "__lower", "lower"),
    ("title", "__title", "title"),
    ("capitalize", "__capitalize", "capitalize"),
    ("replace", "__replace", "replace"),
    ("split", "__split", "split"),
];

/// Calls `method` of `value`: of a string in disguise here, else as the library does.
pub(super) fn call(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, method, arguments);
    };
    let taint = state.lookup(VARIABLE);
    match taint.as_ref().and_then(|taint| taint.downcast_object_ref::<Taint>()) {
        Some(taint) => Text::new(text, Some(taint)).call(state, value, method, arguments),
        None => Text::new(text, None).call(state, value, method, arguments),
    }
}

/// A string as it stands and as it reads, character by character.
struct Text<'a> {
    taint: Option<&'a Taint>,
    stands: Vec<char>,
    reads: Vec<char>,
}

impl<'a> Text<'a> {
    fn new(text: &str, taint: Option<&'a Taint>) -> Self {
        let stands: Vec<char> = text.chars().collect();
        let read = |&found: &char| taint.and_then(|taint| taint.original(found)).unwrap_or(found);
        let reads = stands.iter().map(read).collect();
        Self { taint, stands, reads }
    }

    fn call(
        &self,
        state: &mut State<'_, '_>,
        value: &Value,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let (arguments, named) = split_named(arguments)?;
        let text = |index: usize| arguments.get(index).and_then(Value::as_str);
        let count = |index: usize, name: &str| -> Result<Option<usize>, Error> {
            let given = match arguments.get(index) {
                Some(given) => Some(given.clone()),
                None => named.get::<Option<Value>>(name)?,
            };
            // Negative is Python's "as often as it goes".
            Ok(given.and_then(|given| given.as_i64()).and_then(|given| usize::try_from(given).ok()))
        };
        let result = match method {
            "strip" => self.strip(text(0), true, true),
            "lstrip" => self.strip(text(0), true, false),
            "rstrip" => self.strip(text(0), false, true),
            "upper" => self.map_case(|_, found| found.to_uppercase().collect()),
            "lower" => self.map_case(|_, found| found.to_lowercase().collect()),
            "capitalize" => self.map_case(cased),
            "title" => {
                let mut inside = false;
                self.map_case(|_, found| {
                    let first = !inside;
                    inside = found.is_alphabetic();
                    cased(first, found)
                })
            }
            "replace" => match (text(0), text(1)) {
                (Some(old), Some(new)) => self.replace(old, new, count(2, "count")?)?,
                _ => return Err(misused(method)),
            },
            "split" | "rsplit" => self.split(method, text(0), count(1, "maxsplit")?),
            "splitlines" => self.split_lines(arguments.first().is_some_and(Value::is_true)),
            "partition" | "rpartition" => match text(0) {
                Some(separator) if !separator.is_empty() => self.partition(method, separator),
                _ => return Err(misused(method)),
            },
            "removeprefix" | "removesuffix" => match text(0) {
                Some(part) => self.remove(method, part),
                None => return Err(misused(method)),
            },
            "join" | "format" => {
                return pycompat::unknown_method_callback(state, value, method, arguments);
            }
            _ => return self.ask(state, method, arguments),
        };
        named.assert_all_used()?;
        Ok(result)
    }

    /// Asks the text as it reads; the answer is no part of it.
    fn ask(
        &self,
        state: &mut State<'_, '_>,
        method: &str,
        arguments: &[Value],
    ) -> Result<Value, Error> {
        let clean = |value: &Value| match self.taint {
            Some(taint) => taint.clean_value(value),
            None => value.clone(),
        };
        let arguments: Vec<Value> = arguments.iter().map(clean).collect();
        let text = Value::from(self.reads.iter().collect::<String>());
        pycompat::unknown_method_callback(state, &text, method, &arguments)
    }

    /// `text` of an argument as it reads.
    fn read(&self, text: &str) -> Vec<char> {
        Text::new(text, self.taint).reads
    }

    fn part(&self, start: usize, end: usize) -> Value {
        Value::from(self.stands[start..end].iter().collect::<String>())
    }

    fn strip(&self, of: Option<&str>, left: bool, right: bool) -> Value {
        let of = of.map(|of| self.read(of));
        let stripped = |found: &char| match &of {
            Some(of) => of.contains(found),
            None => found.is_whitespace(),
        };
        let mut end = self.reads.len();
        while right && end > 0 && stripped(&self.reads[end - 1]) {
            end -= 1;
        }
        let mut start = 0;
        while left && start < end && stripped(&self.reads[start]) {
            start += 1;
        }
        self.part(start, end)
    }

    /// Each character by `change`, which is told whether it is the first.
    fn map_case(&self, mut change: impl FnMut(bool, char) -> Vec<char>) -> Value {
        let mut changed = String::with_capacity(self.stands.len());
        for (index, (&stands, &reads)) in self.stands.iter().zip(&self.reads).enumerate() {
            let disguised = self.taint.filter(|_| stands != reads);
            for found in change(index == 0, reads) {
                changed.push(disguised.map_or(found, |taint| taint.disguised(found)));
            }
        }
        Value::from(changed)
    }

    /// Places where `pattern` stands, from the left, not overlapping, at most `limit`.
    fn find(&self, pattern: &[char], limit: usize) -> Vec<usize> {
        let mut found = Vec::new();
        let mut start = 0;
        while found.len() < limit && start + pattern.len() <= self.reads.len() {
            if self.reads[start..].starts_with(pattern) {
                found.push(start);
                start += pattern.len().max(1);
            } else {
                start += 1;
            }
        }
        found
    }

    fn replace(&self, old: &str, new: &str, count: Option<usize>) -> Result<Value, Error> {
        let old = self.read(old);
        let places = self.find(&old, count.unwrap_or(usize::MAX));
        // Twice the limit of a whole rendering is certainly too much for one string.
        if places.len().saturating_mul(new.len()) > 2 * super::MAX_OUTPUT_BYTES {
            return Err(Error::new(ErrorKind::OutOfFuel, "replace makes too long a text"));
        }
        let mut replaced = String::new();
        let mut from = 0;
        for place in places {
            replaced.extend(&self.stands[from..place]);
            replaced.push_str(new);
            from = place + old.len();
        }
        replaced.extend(&self.stands[from..]);
        Ok(Value::from(replaced))
    }

    fn split(&self, method: &str, separator: Option<&str>, limit: Option<usize>) -> Value {
        let separator = separator.map(|separator| self.read(separator));
        let mut borders: Vec<(usize, usize)> = match &separator {
            Some(separator) if !separator.is_empty() => self
                .find(separator, usize::MAX)
                .into_iter()
                .map(|start| (start, start + separator.len()))
                .collect(),
            _ => return self.split_words(),
        };
        let limit = limit.unwrap_or(usize::MAX).min(borders.len());
        match method {
            "rsplit" => drop(borders.drain(..borders.len() - limit)),
            _ => borders.truncate(limit),
        }
        let mut from = 0;
        let mut parts = Vec::with_capacity(borders.len() + 1);
        for (start, end) in borders {
            parts.push(self.part(from, start));
            from = end;
        }
        parts.push(self.part(from, self.reads.len()));
        Value::from(parts)
    }

    fn split_words(&self) -> Value {
        let mut words = Vec::new();
        let mut start = None;
        for (index, found) in self.reads.iter().chain([&' ']).enumerate() {
            match start {
                None if !found.is_whitespace() => start = Some(index),
                Some(from) if found.is_whitespace() => {
                    words.push(self.part(from, index));
                    start = None;
                }
                _ => {}
            }
        }
        Value::from(words)
    }

    fn split_lines(&self, keep_ends: bool) -> Value {
        let mut lines = Vec::new();
        let mut from = 0;
        while from < self.reads.len() {
            let rest = &self.reads[from..];
            let length = rest.iter().position(|found| matches!(found, '\n' | '\r'));
            let (end, next) = match length {
                None => (self.reads.len(), self.reads.len()),
                Some(length) => {
                    let end = from + length;
                    let pair = rest[length..].starts_with(&['\r', '\n']);
                    (end, end + 1 + usize::from(pair))
                }
            };
            lines.push(self.part(from, if keep_ends { next } else { end }));
            from = next;
        }
        Value::from(lines)
    }

    fn partition(&self, method: &str, separator: &str) -> Value {
        let separator = self.read(separator);
        let places = self.find(&separator, usize::MAX);
        let (last, place) = match method {
            "rpartition" => (true, places.last()),
            _ => (false, places.first()),
        };
        let length = self.reads.len();
        let (start, end) = match place {
            Some(&start) => (start, start + separator.len()),
            None if last => (0, 0),
            None => (length, length),
        };
        Value::from(vec![self.part(0, start), self.part(start, end), self.part(end, length)])
    }

    fn remove(&self, method: &str, part: &str) -> Value {
        let part = self.read(part);
        let length = self.reads.len();
        match method {
            "removeprefix" if self.reads.starts_with(&part) => self.part(part.len(), length),
            "removesuffix" if self.reads.ends_with(&part) => self.part(0, length - part.len()),
            _ => self.part(0, length),
        }
    }
}

fn cased(upper: bool, found: char) -> Vec<char> {
    if upper { found.to_uppercase().collect() } else { found.to_lowercase().collect() }
}

/// Arguments by place, and those by name.
fn split_named(arguments: &[Value]) -> Result<(&[Value], Kwargs), Error> {
    if let Some((last, rest)) = arguments.split_last()
        && last.is_kwargs()
    {
        return Ok((rest, Kwargs::try_from(last.clone())?));
    }
    Ok((arguments, std::iter::empty::<(String, Value)>().collect()))
}

fn misused(method: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{method} was given no text to look for"))
}
