//! Compares rendered dialogues with the reference renderer's, and prints a table:
//! `cargo run -p danlu-tokenizer --example templates -- CASES.json`, where the file was made by
//! `golden/templates/published.py`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;

use danlu_tokenizer::{ChatTemplate, Dialogue, Message};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Cases {
    unix_time: i64,
    templates: BTreeMap<String, String>,
    dialogues: Vec<Given>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Given {
    name: String,
    messages: Vec<Message>,
    tools: Vec<Value>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    dialogue: usize,
    add_generation_prompt: bool,
    text: Option<String>,
    error: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file] = arguments.as_slice() else { return Err("expected CASES.json".into()) };
    let cases: Cases = serde_json::from_slice(&fs::read(file)?)?;
    let mut wrong = 0;
    for (name, source) in &cases.templates {
        let of_template = || cases.cases.iter().filter(|case| case.template == *name);
        let verdicts: Vec<String> = match ChatTemplate::new(source.as_str()) {
            Err(error) => vec![error.to_string(); of_template().count()],
            Ok(template) => {
                let template = template.at_time(cases.unix_time);
                of_template().map(|case| compare(&template, &cases, case)).collect()
            }
        };
        let refused = of_template().filter(|case| case.error.is_some()).count();
        let crashed = verdicts.iter().filter(|verdict| *verdict == CRASHED).count();
        let equal = verdicts.iter().filter(|verdict| verdict.is_empty()).count();
        let differ: Vec<&String> =
            verdicts.iter().filter(|verdict| !verdict.is_empty() && *verdict != CRASHED).collect();
        wrong += usize::from(!differ.is_empty());
        let refused = refused - crashed;
        let counts = format!(
            "{equal:3} of {} equal ({refused} refused by both), {crashed} only rendered here",
            verdicts.len()
        );
        show(&format!("{name:52} {counts} {}", differ.first().map_or("", |first| first.as_str())));
    }
    if wrong > 0 { Err(format!("{wrong} templates differ").into()) } else { Ok(()) }
}

/// The reference renderer fails with an error of Python's, such as iterating over `None`.
const CRASHED: &str = "crashed";

/// What differs; empty when nothing does.
fn compare(template: &ChatTemplate, cases: &Cases, case: &Case) -> String {
    let given = &cases.dialogues[case.dialogue];
    let dialogue = Dialogue {
        messages: &given.messages,
        tools: &given.tools,
        add_generation_prompt: case.add_generation_prompt,
        switches: &[],
    };
    let rendered = template
        .render_dialogue(&dialogue)
        .map(|spans| spans.into_iter().map(|span| span.text).collect::<String>());
    match (rendered, &case.text) {
        (Ok(ours), Some(theirs)) if ours == *theirs => String::new(),
        (Err(_), None) => String::new(),
        (Ok(ours), Some(theirs)) => {
            let same = ours.chars().zip(theirs.chars()).take_while(|(a, b)| a == b).count();
            let around = |text: &str| text.chars().skip(same.saturating_sub(20)).take(50).collect();
            let (ours, theirs): (String, String) = (around(&ours), around(theirs));
            format!("{}: {ours:?}, not {theirs:?}", given.name)
        }
        (Ok(_), None) => {
            let refusal = case.error.as_deref().unwrap_or_default();
            if !refusal.starts_with("TemplateError") {
                return CRASHED.to_owned();
            }
            format!("{}: rendered, though the reference says {refusal}", given.name)
        }
        (Err(error), Some(_)) => format!("{}: {error}", given.name),
    }
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn show(line: &str) {
    println!("{line}");
}
