//! `tojson` as chat templates expect it: Python's `json.dumps(x, ensure_ascii=False)`, with `, `
//! and `: ` between values and no escaping of `<` or `&`.

use std::io;

use minijinja::value::Kwargs;
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// The separators of `json.dumps` on one line.
struct OneLine;

impl Formatter for OneLine {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// The filter `value|tojson(indent=None)`.
#[expect(clippy::needless_pass_by_value, reason = "the interpreter hands over its arguments")]
pub(super) fn tojson(
    value: &Value,
    indent: Option<usize>,
    options: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    options.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = vec![b' '; width.min(32)];
            let style = PrettyFormatter::with_indent(&spaces);
            value.serialize(&mut Serializer::with_formatter(&mut json, style))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut json, OneLine)),
    };
    let failed = |message: String| Error::new(ErrorKind::InvalidOperation, message);
    written.map_err(|error| failed(format!("tojson: {error}")))?;
    String::from_utf8(json).map(Value::from).map_err(|error| failed(error.to_string()))
}
