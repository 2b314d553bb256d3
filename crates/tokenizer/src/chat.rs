//! A dialogue to ids, and the mask of what the assistant said.

use crate::message::Dialogue;
use crate::pipeline::Place;
use crate::spellings::{Spelled, Spellings};
use crate::{ChatTemplate, Error, Message, Origin, Result, Span, Tokenizer};

/// A dialogue as ids; made by [`encode_chat`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChatIds {
    /// The dialogue in tokens.
    pub ids: Vec<u32>,
    /// For each id, whether the assistant says it (the token that ends its turn included).
    pub generated: Vec<bool>,
}

impl ChatIds {
    fn push(&mut self, ids: &[u32], generated: bool) {
        self.ids.extend_from_slice(ids);
        self.generated.resize(self.ids.len(), generated);
    }
}

/// Renders `messages` by `template` and encodes them; see [`encode_dialogue`].
///
/// # Errors
/// As [`encode_dialogue`].
pub fn encode_chat(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    add_generation_prompt: bool,
) -> Result<ChatIds> {
    let dialogue = Dialogue { messages, add_generation_prompt, ..Dialogue::default() };
    encode_dialogue(tokenizer, template, &dialogue)
}

/// Renders a dialogue by `template` and encodes it. Control tokens come from the template's own
/// text only; a message that spells one gets the characters it wrote. The same holds for tokens
/// that the vocabulary lets users write but this template uses as marks, such as `<think>`.
///
/// Text is cut where control tokens stand and where the assistant begins or ends, so what a model
/// sees in training is, token by token, what it sees when it answers.
///
/// # Errors
/// When the template fails or refuses the dialogue, when the template and a message together spell
/// a control token, or when the text cannot be encoded.
pub fn encode_dialogue(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    dialogue: &Dialogue<'_>,
) -> Result<ChatIds> {
    let spans = template.render_dialogue(dialogue)?;
    let marks = marks(tokenizer, template.source());
    let mut encoder =
        Encoder { tokenizer, marks, place: Place::Beginning, chat: ChatIds::default() };
    for turn in spans.chunk_by(|left, right| left.generated == right.generated) {
        encoder.turn(turn)?;
    }
    Ok(encoder.chat)
}

/// The control tokens, and the other added tokens that the template spells. White space is no mark.
fn marks(tokenizer: &Tokenizer, template: &str) -> Spellings {
    let ordinary = |token: &&crate::token_table::AddedToken| {
        !token.special && !token.content.trim().is_empty()
    };
    let candidates = Spellings::new(tokenizer.added().iter().filter(ordinary).cloned());
    let mut used = Vec::new();
    let mut from = 0;
    while let Some(found) = candidates.find(template, from) {
        used.push(found.token.clone());
        from = found.end();
    }
    Spellings::new(tokenizer.added().iter().filter(|token| token.special).cloned().chain(used))
}

struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    marks: Spellings,
    place: Place,
    chat: ChatIds,
}

impl Encoder<'_> {
    /// Encodes neighbouring spans that are all generated or all not.
    fn turn(&mut self, spans: &[Span]) -> Result<()> {
        let generated = spans.first().is_some_and(|span| span.generated);
        let text: String = spans.iter().map(|span| span.text.as_str()).collect();
        let marks = std::mem::take(&mut self.marks);
        let mut plain_from = 0;
        let mut searched_to = 0;
        while let Some(found) = marks.find(&text, searched_to) {
            match origin_of(spans, found.start, found.end()) {
                Some(Origin::Template) => {
                    let (start, end) = swallow(&found, &text, plain_from);
                    self.plain(&text[plain_from..start], generated)?;
                    self.chat.push(&[found.token.id], generated);
                    self.place = Place::AfterControl;
                    (plain_from, searched_to) = (end, end);
                }
                Some(Origin::Content) => {
                    searched_to = after_first(&text, found.start);
                    if !found.token.special {
                        // The vocabulary itself would find it: the text is torn inside it.
                        self.plain(&text[plain_from..searched_to], generated)?;
                        plain_from = searched_to;
                    }
                }
                None => {
                    let found = "a message and the template together spell a control token";
                    return Err(Error::OriginLost(found));
                }
            }
        }
        self.plain(&text[plain_from..], generated)?;
        self.marks = marks;
        Ok(())
    }

    fn plain(&mut self, text: &str, generated: bool) -> Result<()> {
        if !text.is_empty() {
            let ids = self.tokenizer.encode_at(text, self.place)?;
            self.chat.push(&ids, generated);
            self.place = Place::Inside;
        }
        Ok(())
    }
}

/// What a token takes of `text` with the white space that it swallows, from byte `from` on.
fn swallow(found: &Spelled<'_>, text: &str, from: usize) -> (usize, usize) {
    let (mut start, mut end) = (found.start, found.end());
    if found.token.lstrip {
        start = from + text[from..start].trim_end().len();
    }
    if found.token.rstrip {
        end = text.len() - text[end..].trim_start().len();
    }
    (start, end)
}

/// The byte after the character that starts at byte `start`.
fn after_first(text: &str, start: usize) -> usize {
    start + text[start..].chars().next().map_or(1, char::len_utf8)
}

/// Who wrote bytes `start..end` of the joined spans; `None` when both did.
fn origin_of(spans: &[Span], start: usize, end: usize) -> Option<Origin> {
    let mut origin = None;
    let mut span_start = 0;
    for span in spans {
        let span_end = span_start + span.text.len();
        if span_start < end && start < span_end {
            if origin.is_some_and(|origin| origin != span.origin) {
                return None;
            }
            origin = Some(span.origin);
        }
        span_start = span_end;
    }
    origin
}
