//! `tojson` as chat templates expect it: Python's `json.dumps(x, ensure_ascii=False)`, with `, `
//! and `: ` between values and no escaping of `<` or `&`.

use std::io;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::taint::{Taint, VARIABLE};

/// `json.dumps`: one line, or a line for each value where there is an indentation.
struct Style {
    indent: Option<String>,
    item_separator: String,
    key_separator: String,
    depth: usize,
    empty: bool,
}

impl Style {
    fn line<W: ?Sized + io::Write>(&self, out: &mut W) -> io::Result<()> {
        let Some(indent) = &self.indent else { return Ok(()) };
        out.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| out.write_all(indent.as_bytes()))
    }

    fn begin<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.empty = true;
        out.write_all(bracket)
    }

    fn item<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.empty = false;
        if !first {
            out.write_all(self.item_separator.as_bytes())?;
        }
        self.line(out)
    }

    fn end<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if !std::mem::take(&mut self.empty) {
            self.line(out)?;
        }
        out.write_all(bracket)
    }
}

impl Formatter for Style {
    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(out, first)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin(out, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(self.key_separator.as_bytes())
    }
}

/// The filter `value | tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)`.
#[expect(clippy::needless_pass_by_value, reason = "the interpreter hands over its arguments")]
pub(super) fn tojson(
    state: &mut State<'_, '_>,
    value: &Value,
    ensure_ascii: Option<bool>,
    indent: Option<Value>,
    options: Kwargs,
) -> Result<Value, Error> {
    let failed = |message: &str| Error::new(ErrorKind::InvalidOperation, message.to_owned());
    let named_ascii: Option<bool> = options.get("ensure_ascii")?;
    let named_indent: Option<Value> = options.get("indent")?;
    let separators: Option<Vec<String>> = options.get("separators")?;
    let sort_keys: Option<bool> = options.get("sort_keys")?;
    options.assert_all_used()?;
    if sort_keys == Some(true) {
        return Err(failed("tojson: sort_keys is not supported"));
    }
    let ascii = ensure_ascii.or(named_ascii) == Some(true);
    let indent = indent.or(named_indent).filter(|indent| !indent.is_none());
    let indent = match indent {
        None => None,
        Some(indent) => match (indent.as_usize(), indent.as_str()) {
            (Some(width), _) => Some(" ".repeat(width.min(32))),
            (None, Some(text)) if text.len() <= 32 => Some(text.to_owned()),
            _ => return Err(failed("tojson: indent is a number or a short text")),
        },
    };
    let (item_separator, key_separator) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(failed("tojson: separators are two texts")),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    if value.kind() == ValueKind::Undefined {
        return Err(failed("tojson: the value is undefined"));
    }
    let style = Style { indent, item_separator, key_separator, depth: 0, empty: false };
    let mut json = Vec::new();
    value
        .serialize(&mut Serializer::with_formatter(&mut json, style))
        .map_err(|error| failed(&format!("tojson: {error}")))?;
    let json = String::from_utf8(json).map_err(|error| failed(&error.to_string()))?;
    let taint = state.lookup(VARIABLE);
    let taint = taint.as_ref().and_then(|taint| taint.downcast_object_ref::<Taint>());
    Ok(Value::from(if ascii || taint.is_some() { escape(taint, ascii, &json) } else { json }))
}

/// Characters in disguise were not seen to need an escape; here they get it, in disguise. With
/// `ascii`, so does everything beyond ASCII.
fn escape(taint: Option<&Taint>, ascii: bool, json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        let original = taint.and_then(|taint| taint.original(character));
        let reads = original.unwrap_or(character);
        let written = if ascii && !reads.is_ascii() {
            let mut units = [0; 2];
            let units = reads.encode_utf16(&mut units);
            units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
        } else if original.is_some() && (reads < ' ' || matches!(reads, '"' | '\\')) {
            let written = serde_json::Value::from(reads.to_string()).to_string();
            written[1..written.len() - 1].to_owned()
        } else {
            escaped.push(character);
            continue;
        };
        match taint.filter(|_| original.is_some()) {
            Some(taint) => escaped.push_str(&taint.disguise(&written)),
            None => escaped.push_str(&written),
        }
    }
    escaped
}
