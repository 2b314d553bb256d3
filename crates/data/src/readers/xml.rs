//! XML as events, for the parts of archives: names without their prefix and in lower case.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

/// What stands in a document, in its order.
pub(super) enum Event<'a> {
    Start(&'a Start),
    /// The end of an element, also of one that is closed where it begins.
    End(&'a str),
    Text(&'a str),
}

/// A start tag.
#[derive(Default)]
pub(super) struct Start {
    pub(super) name: String,
    attributes: Vec<(String, String)>,
}

impl Start {
    /// The value of an attribute; empty where it is not given.
    pub(super) fn get(&self, wanted: &str) -> &str {
        let found = self.attributes.iter().find(|(name, _)| name == wanted);
        found.map_or("", |(_, value)| value)
    }
}

/// A document whose CDATA sections are written as other text is: readers of HTML do not know them.
pub(super) fn unwrapped(markup: String) -> String {
    let Some(mut at) = markup.find(CDATA) else { return markup };
    let (mut found, mut rest) = (String::with_capacity(markup.len()), markup.as_str());
    loop {
        found.push_str(&rest[..at]);
        rest = &rest[at + CDATA.len()..];
        let end = rest.find(CDATA_END).unwrap_or(rest.len());
        for character in rest[..end].chars() {
            match character {
                '<' => found.push_str("&lt;"),
                '&' => found.push_str("&amp;"),
                other => found.push(other),
            }
        }
        rest = rest.get(end + CDATA_END.len()..).unwrap_or_default();
        match rest.find(CDATA) {
            Some(next) => at = next,
            None => break,
        }
    }
    found.push_str(rest);
    found
}

const CDATA: &str = "<![CDATA[";
const CDATA_END: &str = "]]>";

/// Gives each event of a document without CDATA sections to `take`.
pub(super) fn each(markup: &str, mut take: impl FnMut(Event<'_>)) {
    let mut start = Start::default();
    let emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _span: Span<()>| {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                start = Start { name: local(name), attributes: Vec::new() };
            }
            CallbackEvent::AttributeName { name } => {
                start.attributes.push((local(name), String::new()));
            }
            CallbackEvent::AttributeValue { value } => {
                if let Some((_, last)) = start.attributes.last_mut() {
                    *last = String::from_utf8_lossy(value).into_owned();
                }
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                take(Event::Start(&start));
                if self_closing {
                    take(Event::End(&start.name));
                }
            }
            CallbackEvent::EndTag { name } => take(Event::End(&local(name))),
            CallbackEvent::String { value } => take(Event::Text(&String::from_utf8_lossy(value))),
            _ => {}
        }
        None::<std::convert::Infallible>
    });
    let Ok(()) = Tokenizer::new_with_emitter(markup, emitter).finish();
}

fn local(name: &[u8]) -> String {
    let start = memchr::memrchr(b':', name).map_or(0, |at| at + 1);
    String::from_utf8_lossy(&name[start..]).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cdata_is_text() {
        for (markup, expected) in [
            ("<a>x<![CDATA[1 < 2 && <b>]]>y<![CDATA[]]></a>", "x1 < 2 && <b>y"),
            ("<a>plain</a>", "plain"),
            ("<a><![CDATA[never closed", "never closed"),
            ("<![CDATA[a]]><![CDATA[b]]>", "ab"),
        ] {
            let mut text = String::new();
            each(&unwrapped(markup.to_owned()), |event| {
                if let Event::Text(part) = event {
                    text.push_str(part);
                }
            });
            assert_eq!(text, expected, "{markup}");
        }
    }
}
