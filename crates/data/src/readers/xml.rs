//! XML as events, for the parts of archives: names without their prefix and in lower case.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use super::Reason;

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

/// Gives each event of a document to `take`.
///
/// # Errors
/// The reason for a document with CDATA sections, which are not read here.
pub(super) fn each(markup: &str, mut take: impl FnMut(Event<'_>)) -> Result<(), Reason> {
    if markup.contains("<![CDATA[") {
        return Err(Reason::new("unsupported XML", "a CDATA section"));
    }
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
    Ok(())
}

fn local(name: &[u8]) -> String {
    let start = memchr::memrchr(b':', name).map_or(0, |at| at + 1);
    String::from_utf8_lossy(&name[start..]).to_ascii_lowercase()
}
