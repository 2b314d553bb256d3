//! Chat templates: a dialogue to text, remembering who wrote each character.
//!
//! A template is Jinja, as models publish it, run by an interpreter that reaches nothing outside
//! and works within limits (steps, recursion, size). Its result is a list of [`Span`]s.
//!
//! How origin is known: each visible character of a message is followed by a mark, a character that
//! occurs neither in any message nor in the template, chosen anew for each dialogue; so nobody can
//! forge one. The dialogue is also rendered without marks, and both results must agree: a template
//! that looks so deep into messages that the marks change its mind is refused.

mod date;
mod generation;
mod json;
mod marks;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, State, Value, context};

use crate::{END_OF_TEXT, Error, Message, Result};
use marks::Marks;

/// Steps of one rendering; each value printed or kept costs too. A turn takes about 100.
const MAX_STEPS: u64 = 20_000_000;
/// Nesting of blocks, macros and calls.
const MAX_RECURSION: usize = 100;
/// A longer template is refused before it is parsed.
const MAX_TEMPLATE_BYTES: usize = 256 << 10;
/// A longer result is refused.
const MAX_OUTPUT_BYTES: usize = 64 << 20;
/// The template's name inside the interpreter.
const NAME: &str = "chat_template";

/// Who wrote a piece of a rendered dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The template; may spell control tokens.
    Template,
    /// A message; always plain text.
    Content,
}

/// A piece of a rendered dialogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The characters.
    pub text: String,
    /// Who wrote them.
    pub origin: Origin,
    /// Whether they lie inside `{% generation %}`: what the assistant says.
    pub generated: bool,
}

/// A chat template, parsed once.
///
/// ```
/// use danlu_tokenizer::{ChatTemplate, Message, Role};
///
/// let spans = ChatTemplate::chatml().render(&[Message::new(Role::User, "春")], true)?;
/// let text: String = spans.iter().map(|span| span.text.as_str()).collect();
/// assert_eq!(text, "<|im_start|>user\n春<|im_end|>\n<|im_start|>assistant\n");
/// # Ok::<(), danlu_tokenizer::Error>(())
/// ```
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    environment: Arc<Environment<'static>>,
    unix_time: Option<i64>,
    /// `bos_token` and the like, by the names under which templates know them.
    tokens: BTreeMap<&'static str, String>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ChatTemplate({:?})", self.source)
    }
}

/// The default template: ChatML, with the assistant's words and its turn's end marked as generated.
const CHATML: &str = "\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}
{%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}
{%- else %}
{{- message.content + '<|im_end|>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
";

impl ChatTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// [`Error::TemplateSyntax`] when it is not valid Jinja or is too long.
    pub fn new(source: impl Into<String>) -> Result<Self> {
        let source = source.into();
        if source.len() > MAX_TEMPLATE_BYTES {
            let found = format!("{} bytes, more than {MAX_TEMPLATE_BYTES}", source.len());
            return Err(Error::TemplateSyntax(found));
        }
        let mut environment = Environment::new();
        let layout = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(layout.map_err(|error| syntax(&error))?);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_recursion_limit(MAX_RECURSION);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", json::tojson);
        let rewritten = generation::rewrite(&source)?;
        environment.add_template_owned(NAME, rewritten).map_err(|error| syntax(&error))?;
        Ok(Self {
            source,
            environment: Arc::new(environment),
            unix_time: None,
            tokens: BTreeMap::new(),
        })
    }

    /// The default template, ChatML:
    /// `<|im_start|>role\ncontent<|im_end|>\n` for each turn.
    pub fn chatml() -> Self {
        match Self::new(CHATML) {
            Ok(template) => template,
            Err(error) => unreachable!("the built-in template is parsed by every test: {error}"),
        }
    }

    /// The same template, told what `strftime_now` shall say: seconds since 1970, UTC. Without it a
    /// template that asks for the date is an error, so no training set depends on the day.
    #[must_use]
    pub fn at_time(mut self, unix_time: i64) -> Self {
        self.unix_time = Some(unix_time);
        self
    }

    /// The same template, told the text of the token that it knows as `name`.
    #[must_use]
    pub(crate) fn with_token(mut self, name: &'static str, text: Option<String>) -> Self {
        match text {
            Some(text) => drop(self.tokens.insert(name, text)),
            None => drop(self.tokens.remove(name)),
        }
        self
    }

    /// The template as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Renders a dialogue; `add_generation_prompt` ends it where the assistant is to speak.
    ///
    /// # Errors
    /// When the template fails, refuses the dialogue, exceeds its limits, or loses track of who
    /// wrote what.
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<Span>> {
        let marks = Marks::choose(&self.source, messages)?;
        let plain = self.run(messages, add_generation_prompt, None)?;
        let marked = self.run(messages, add_generation_prompt, Some(&marks))?;
        marks.split(&marked, &plain)
    }

    fn run(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        marks: Option<&Marks>,
    ) -> Result<String> {
        let content =
            |turn: &Message| marks.map_or(turn.content.clone(), |m| m.mark(&turn.content));
        let turns: Vec<Value> = messages
            .iter()
            .map(|turn| context! { role => turn.role.as_str(), content => content(turn) })
            .collect();
        let values = context! {
            messages => turns,
            add_generation_prompt,
            bos_token => END_OF_TEXT,
            eos_token => END_OF_TEXT,
            __generation_open => marks.map(|m| m.generation_open.to_string()),
            __generation_close => marks.map(|m| m.generation_close.to_string()),
            __unix_time => self.unix_time,
        };
        let template = self.environment.get_template(NAME).map_err(|error| syntax(&error))?;
        let mut output = Bounded::default();
        template.render_captured_to(values, &mut output).map_err(|error| failure(&error))?;
        String::from_utf8(output.bytes).map_err(|error| Error::TemplateRender(error.to_string()))
    }
}

/// The result of a rendering, up to [`MAX_OUTPUT_BYTES`].
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT_BYTES {
            let message = format!("the result is longer than {MAX_OUTPUT_BYTES} bytes");
            return Err(std::io::Error::other(message));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What a template says when it refuses a dialogue; travels inside the interpreter's error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

fn raise_exception(message: String) -> std::result::Result<Value, minijinja::Error> {
    let refused = minijinja::Error::new(ErrorKind::InvalidOperation, "the template refused");
    Err(refused.with_source(Refusal(message)))
}

fn strftime_now(
    state: &State<'_, '_>,
    format: &str,
) -> std::result::Result<String, minijinja::Error> {
    let failed = |message: String| minijinja::Error::new(ErrorKind::InvalidOperation, message);
    let given = state.lookup("__unix_time").and_then(|value| value.as_i64());
    let unix_time = given
        .ok_or_else(|| failed("the template asks for the date, and none was given".to_owned()))?;
    date::format_utc(unix_time, format).map_err(failed)
}

fn syntax(error: &minijinja::Error) -> Error {
    Error::TemplateSyntax(error.to_string())
}

fn failure(error: &minijinja::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        if let Some(refusal) = found.downcast_ref::<Refusal>() {
            return Error::TemplateRefused(refusal.0.clone());
        }
        cause = found.source();
    }
    Error::TemplateRender(error.to_string())
}
