//! Chat templates: a dialogue to text, remembering who wrote each character.
//!
//! A template is Jinja, as models publish it, run by an interpreter that reaches nothing outside
//! and works within limits (steps, recursion, size). Its result is a list of [`Span`]s.
//!
//! How origin is known: the dialogue is rendered twice, as it is and with its messages in a
//! disguise that nobody can forge ([`taint`]); comparisons and methods look through it
//! ([`operations`], [`strings`]). Both results must agree: a template that looks at messages in a
//! way that the disguise changes is refused.

mod date;
mod generation;
mod json;
mod operations;
mod strings;
mod taint;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::{self, CompiledTemplate, TemplateConfig};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, State, Value};

use crate::message::Dialogue;
use crate::{END_OF_TEXT, Error, Message, Result};
use taint::Taint;

/// Steps of one rendering; each value printed or kept costs too. A turn takes about 100.
const MAX_STEPS: u64 = 5_000_000;
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
    /// The source with tags that the interpreter knows.
    rewritten: String,
    syntax: SyntaxConfig,
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
        let rewritten = generation::rewrite(&source)?;
        let layout = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        let layout = layout.map_err(|error| syntax(&error))?;
        let mut environment = Environment::new();
        environment.set_syntax(layout.clone());
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(MAX_STEPS));
        environment.set_recursion_limit(MAX_RECURSION);
        environment.set_unknown_method_callback(strings::call);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", json::tojson);
        environment.add_test("iterable", iterable);
        operations::register(&mut environment);
        environment.add_template_owned(NAME, rewritten.clone()).map_err(|error| syntax(&error))?;
        let ends = ["bos_token", "eos_token"].map(|name| (name, END_OF_TEXT.to_owned()));
        Ok(Self {
            source,
            rewritten,
            syntax: layout,
            environment: Arc::new(environment),
            unix_time: None,
            tokens: BTreeMap::from(ends),
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

    /// Renders messages; `add_generation_prompt` ends the text where the assistant is to speak.
    ///
    /// # Errors
    /// As [`ChatTemplate::render_dialogue`].
    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<Span>> {
        self.render_dialogue(&Dialogue { messages, add_generation_prompt, ..Dialogue::default() })
    }

    /// Renders a dialogue with all that belongs to it.
    ///
    /// # Errors
    /// When the template fails, refuses the dialogue, exceeds its limits, or loses track of who
    /// wrote what.
    pub fn render_dialogue(&self, dialogue: &Dialogue<'_>) -> Result<Vec<Span>> {
        let plain = self.render_plain(dialogue)?;
        let mut contents = Vec::new();
        values::for_each_text(dialogue, &mut |text| contents.push(text));
        let taint = Arc::new(Taint::choose(&self.source, contents)?);
        let tainted = self.render_tainted(dialogue, &taint)?;
        taint.split(&tainted, &plain)
    }

    fn render_plain(&self, dialogue: &Dialogue<'_>) -> Result<String> {
        let variables = self.variables(dialogue, None);
        let template = self.environment.get_template(NAME).map_err(|error| syntax(&error))?;
        let mut output = Bounded::default();
        template.render_captured_to(variables, &mut output).map_err(|error| failure(&error))?;
        String::from_utf8(output.bytes).map_err(|error| Error::TemplateRender(error.to_string()))
    }

    fn render_tainted(&self, dialogue: &Dialogue<'_>, taint: &Arc<Taint>) -> Result<String> {
        let config = TemplateConfig {
            syntax_config: self.syntax.clone(),
            default_auto_escape: Arc::new(|_| AutoEscape::None),
        };
        let mut compiled = CompiledTemplate::new(NAME, &self.rewritten, &config)
            .map_err(|error| syntax(&error))?;
        operations::redirect(&mut compiled.instructions);
        for block in compiled.blocks.values_mut() {
            operations::redirect(block);
        }
        let mut text = String::new();
        let rendered = machinery::eval(
            &self.environment,
            &compiled.instructions,
            self.variables(dialogue, Some(taint)),
            &compiled.blocks,
            &mut machinery::make_string_output(&mut text),
            AutoEscape::None,
        );
        match rendered {
            Ok(_) => {}
            Err(error) => return Err(failure(&error)),
        }
        Ok(text)
    }

    /// What the template can ask for by name.
    fn variables(&self, dialogue: &Dialogue<'_>, taint: Option<&Arc<Taint>>) -> Value {
        let mark = |mark: char| Value::from(mark.to_string());
        let mut variables = values::of(dialogue, taint);
        variables
            .extend(self.tokens.iter().map(|(&name, text)| (name, Value::from(text.as_str()))));
        variables.insert("__unix_time", Value::from(self.unix_time));
        if let Some(taint) = taint {
            variables.insert("__generation_open", mark(taint.generation_open));
            variables.insert("__generation_close", mark(taint.generation_close));
            variables.insert(taint::VARIABLE, Value::from_dyn_object(Arc::clone(taint)));
        }
        Value::from_pairs(variables)
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

/// The reference's notion: none is not iterable, what is undefined is empty.
fn iterable(value: &Value) -> bool {
    use ValueKind::{Iterable, Map, Seq, String, Undefined};
    matches!(value.kind(), Iterable | Map | Seq | String | Undefined)
}

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
