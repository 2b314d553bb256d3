//! Comparisons and filters that look at letters, redirected to versions that read text in disguise.
//!
//! The compiled template is changed, not its text: `==` or `table[key]` becomes a call with the
//! same two operands, and a filter's name becomes another's. So precedence and everything else
//! stay as they are.

use minijinja::machinery::{Instruction, Instructions};
use minijinja::value::Rest;
use minijinja::{Environment, Error, ErrorKind, State, Value};

use super::strings::{self, FILTERS};
use super::taint::{Taint, VARIABLE};

/// The operators and tests that compare, with the library's test of the same meaning.
const COMPARISONS: &[(&str, &str)] = &[
    ("__eq", "eq"),
    ("__ne", "ne"),
    ("__lt", "lt"),
    ("__le", "le"),
    ("__gt", "gt"),
    ("__ge", "ge"),
    ("__in", "in"),
];
/// Tests that compare, by all their names, with the name of ours.
const TESTS: &[(&str, &str)] = &[
    ("eq", "__eq"),
    ("equalto", "__eq"),
    ("==", "__eq"),
    ("ne", "__ne"),
    ("!=", "__ne"),
    ("in", "__in"),
];

/// Makes the versions that read text in disguise known.
pub(super) fn register(environment: &mut Environment<'_>) {
    for &(name, test) in COMPARISONS {
        environment.add_function(name, move |state: &mut State<'_, '_>, operands: Rest<Value>| {
            compare(state, test, &operands).map(Value::from)
        });
        environment.add_test(name, move |state: &mut State<'_, '_>, operands: Rest<Value>| {
            compare(state, test, &operands)
        });
    }
    environment.add_function("__item", item);
    for &(filter, name, method) in FILTERS {
        environment.add_filter(name, move |state: &mut State<'_, '_>, arguments: Rest<Value>| {
            match arguments.split_first() {
                Some((value, rest)) if value.as_str().is_some() => {
                    strings::call(state, value, method, rest)
                }
                _ => state.apply_filter(filter, &arguments),
            }
        });
    }
}

/// `container[key]`, where the template's own tables are asked by keys as they read.
fn item(state: &State<'_, '_>, container: &Value, key: &Value) -> Result<Value, Error> {
    if container.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    let found = container.get_item(key)?;
    let taint = state.lookup(VARIABLE);
    match taint.as_ref().and_then(|taint| taint.downcast_object_ref::<Taint>()) {
        Some(taint) if found.is_undefined() => container.get_item(&taint.clean_value(key)),
        _ => Ok(found),
    }
}

fn compare(state: &mut State<'_, '_>, test: &str, operands: &[Value]) -> Result<bool, Error> {
    let taint = state.lookup(VARIABLE);
    let taint = taint.as_ref().and_then(|taint| taint.downcast_object_ref::<Taint>());
    let read =
        |value: &Value| taint.map_or_else(|| value.clone(), |taint| taint.clean_value(value));
    let operands: Vec<Value> = operands.iter().map(read).collect();
    state.perform_test(test, &operands)
}

/// Redirects the comparisons and filters of a compiled template.
pub(super) fn redirect(instructions: &mut Instructions<'_>) {
    let mut index = 0;
    while let Some(instruction) = instructions.get_mut(index) {
        index += 1;
        let call = |name| Instruction::CallFunction(name, Some(2));
        match instruction {
            Instruction::Eq => *instruction = call("__eq"),
            Instruction::Ne => *instruction = call("__ne"),
            Instruction::Lt => *instruction = call("__lt"),
            Instruction::Lte => *instruction = call("__le"),
            Instruction::Gt => *instruction = call("__gt"),
            Instruction::Gte => *instruction = call("__ge"),
            Instruction::In => *instruction = call("__in"),
            Instruction::GetItem => *instruction = call("__item"),
            Instruction::PerformTest(name, ..) => {
                if let Some((_, ours)) = TESTS.iter().find(|(test, _)| test == name) {
                    *name = ours;
                }
            }
            Instruction::ApplyFilter(name, ..) => {
                if let Some((_, ours, _)) = FILTERS.iter().find(|(filter, ..)| filter == name) {
                    *name = ours;
                }
            }
            _ => {}
        }
    }
}
