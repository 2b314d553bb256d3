//! What is said in a dialogue, in the layout that chat templates and request bodies share.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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

/// A call of a tool by the assistant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// What the tool's result refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Always `function`.
    #[serde(default, rename = "type")]
    pub kind: ToolKind,
    /// The function and its arguments.
    pub function: FunctionCall,
}

/// What kind of tool is called; there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolKind {
    /// A function with named arguments.
    #[default]
    Function,
}

/// A function and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// The arguments: a table, or a text that the template prints as it is.
    pub arguments: Value,
}

/// One turn of a dialogue. Unknown fields are refused rather than dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said; empty when the assistant only calls tools.
    pub content: String,
    /// What the assistant thought before it spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The tools that the assistant calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a tool's result answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Who exactly speaks: a user's name, or the tool's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A turn of `role` that says `content`.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self {
            role,
            content: content.into(),
            reasoning_content: None,
            tool_calls: Vec::new(),
            tool_call_id: None,
            name: None,
        }
    }
}

/// A message as files have it, where a turn that only calls tools may leave `content` out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    role: Role,
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    reasoning_content: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolCall>>,
    #[serde(default)]
    tool_call_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

impl TryFrom<Written> for Message {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let tool_calls = written.tool_calls.unwrap_or_default();
        let content = match written.content {
            Some(content) => content,
            None if !tool_calls.is_empty() => String::new(),
            None => return Err("missing field `content`"),
        };
        Ok(Self {
            role: written.role,
            content,
            reasoning_content: written.reasoning_content,
            tool_calls,
            tool_call_id: written.tool_call_id,
            name: written.name,
        })
    }
}

/// A dialogue to be rendered, with what templates may want to know beside the messages.
#[derive(Clone, Debug, Default)]
pub struct Dialogue<'a> {
    /// The turns.
    pub messages: &'a [Message],
    /// The tools that may be called, as JSON schemas in the layout of OpenAI's `tools`.
    pub tools: &'a [Value],
    /// Ends the text where the assistant is to speak.
    pub add_generation_prompt: bool,
    /// Switches of the template, such as `enable_thinking`. They are the program's own words, and
    /// may spell control tokens.
    pub switches: &'a [(&'a str, Value)],
}
