//! A dialogue as the values that templates see, as it is or in disguise.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value;
use serde_json::Value as Json;

use super::taint::Taint;
use crate::message::{Dialogue, Message, ToolCall};

/// Calls `see` with every text of the dialogue that a message or a tool brought.
pub(super) fn for_each_text<'a>(dialogue: &Dialogue<'a>, see: &mut impl FnMut(&'a str)) {
    for message in dialogue.messages {
        see(&message.content);
        let others = [&message.reasoning_content, &message.tool_call_id, &message.name];
        others.into_iter().flatten().for_each(|text| see(text));
        for call in &message.tool_calls {
            call.id.iter().for_each(|id| see(id));
            see(&call.function.name);
            for_each_json(&call.function.arguments, see);
        }
    }
    dialogue.tools.iter().for_each(|tool| for_each_json(tool, see));
}

fn for_each_json<'a>(json: &'a Json, see: &mut impl FnMut(&'a str)) {
    match json {
        Json::String(text) => see(text),
        Json::Array(items) => items.iter().for_each(|item| for_each_json(item, see)),
        Json::Object(entries) => {
            for (key, value) in entries {
                see(key);
                for_each_json(value, see);
            }
        }
        _ => {}
    }
}

/// The variables of a dialogue. Without tools, `tools` is none, as the reference library has it.
pub(super) fn of<'a>(
    dialogue: &Dialogue<'a>,
    taint: Option<&Arc<Taint>>,
) -> BTreeMap<&'a str, Value> {
    let view = View { taint };
    let mut variables: BTreeMap<&str, Value> =
        dialogue.switches.iter().map(|(name, value)| (*name, plain(value))).collect();
    let messages = dialogue.messages.iter().map(|message| view.message(message)).collect();
    variables.insert("messages", messages);
    variables.insert("add_generation_prompt", dialogue.add_generation_prompt.into());
    let tools = match dialogue.tools {
        [] => Value::from(()),
        tools => tools.iter().map(|tool| view.json(tool)).collect(),
    };
    variables.insert("tools", tools);
    variables.insert("documents", Value::from(()));
    variables
}

/// JSON as it is.
pub(super) fn plain(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), ..) => Value::from(number),
            (None, Some(number), _) => Value::from(number),
            (None, None, number) => Value::from(number.unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::Object(entries) => {
            Value::from_pairs(entries.iter().map(|(key, value)| (key.as_str(), plain(value))))
        }
    }
}

/// How texts are shown.
struct View<'t> {
    taint: Option<&'t Arc<Taint>>,
}

impl View<'_> {
    fn text(&self, text: &str) -> Value {
        self.taint.map_or_else(|| Value::from(text), |taint| Value::from(taint.disguise(text)))
    }

    fn json(&self, json: &Json) -> Value {
        self.taint.map_or_else(|| plain(json), |taint| taint.disguise_json(json))
    }

    fn message(&self, message: &Message) -> Value {
        let mut fields = Vec::new();
        // Some templates know thoughts by this name; the reference library gives them both.
        let thoughts = message.reasoning_content.as_deref();
        fields.extend(thoughts.map(|text| ("thinking", self.text(text))));
        fields.push(("role", Value::from(message.role.as_str())));
        fields.push(("content", self.text(&message.content)));
        for (name, text) in [
            ("reasoning_content", &message.reasoning_content),
            ("tool_call_id", &message.tool_call_id),
            ("name", &message.name),
        ] {
            fields.extend(text.as_deref().map(|text| (name, self.text(text))));
        }
        if !message.tool_calls.is_empty() {
            let calls = message.tool_calls.iter().map(|call| self.tool_call(call)).collect();
            fields.push(("tool_calls", calls));
        }
        Value::from_pairs(fields)
    }

    fn tool_call(&self, call: &ToolCall) -> Value {
        let function = Value::from_pairs([
            ("name", self.text(&call.function.name)),
            ("arguments", self.json(&call.function.arguments)),
        ]);
        let id = call.id.as_deref().map(|id| ("id", self.text(id)));
        let rest = [("type", Value::from("function")), ("function", function)];
        Value::from_pairs(id.into_iter().chain(rest))
    }
}
