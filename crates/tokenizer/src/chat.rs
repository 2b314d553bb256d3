//! A dialogue to ids, and the mask of what the assistant said.

use serde::{Deserialize, Serialize};

use crate::{ChatTemplate, Error, Origin, Result, Span, Tokenizer};

/// Who speaks. Roles are a closed set because templates spell them as control text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the scene.
    System,
    /// Asks.
    User,
    /// Answers; what is learned.
    Assistant,
    /// The result of a tool that the assistant called.
    Tool,
}

impl Role {
    /// The role as templates and files spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// One turn of a dialogue. Unknown fields are refused rather than dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of `role` that says `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into() }
    }
}

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

/// Renders `messages` by `template` and encodes them. Control tokens come from the template's own
/// text only; a message that spells one gets the characters it wrote.
///
/// Text is cut where control tokens stand and where the assistant begins or ends, so what a model
/// sees in training is, token by token, what it sees when it answers.
///
/// # Errors
/// When the template fails or refuses the dialogue, when the template and a message together spell
/// a control token, or when the text cannot be encoded.
pub fn encode_chat(
    tokenizer: &Tokenizer,
    template: &ChatTemplate,
    messages: &[Message],
    add_generation_prompt: bool,
) -> Result<ChatIds> {
    let spans = template.render(messages, add_generation_prompt)?;
    let mut chat = ChatIds::default();
    for turn in spans.chunk_by(|left, right| left.generated == right.generated) {
        encode_turn(tokenizer, turn, &mut chat)?;
    }
    Ok(chat)
}

/// Encodes neighbouring spans that are all generated or all not.
fn encode_turn(tokenizer: &Tokenizer, spans: &[Span], chat: &mut ChatIds) -> Result<()> {
    let generated = spans.first().is_some_and(|span| span.generated);
    let text: String = spans.iter().map(|span| span.text.as_str()).collect();
    let mut plain_from = 0;
    let mut searched_to = 0;
    while let Some((start, token, id)) = next_control_token(tokenizer, &text, searched_to) {
        let end = start + token.len();
        match origin_of(spans, start, end) {
            Some(Origin::Template) => {
                chat.push(&tokenizer.encode(&text[plain_from..start])?, generated);
                chat.push(&[id], generated);
                (plain_from, searched_to) = (end, end);
            }
            Some(Origin::Content) => searched_to = start + 1,
            None => {
                let found = "a message and the template together spell a control token";
                return Err(Error::OriginLost(found));
            }
        }
    }
    chat.push(&tokenizer.encode(&text[plain_from..])?, generated);
    Ok(())
}

/// The first spelling of a control token at or after byte `from`, the longest where several start.
fn next_control_token<'a>(
    tokenizer: &'a Tokenizer,
    text: &str,
    mut from: usize,
) -> Option<(usize, &'a str, u32)> {
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let found = tokenizer.specials().iter().filter_map(|(token, &id)| {
        text[from..].find(token.as_str()).map(|start| (from + start, token.as_str(), id))
    });
    found.min_by_key(|&(start, token, _)| (start, std::cmp::Reverse(token.len())))
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
