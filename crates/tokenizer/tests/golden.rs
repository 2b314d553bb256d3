//! The reference libraries and we make the same of the same texts, dialogues and templates.
//! The golden files, and the scripts that made them, lie in `golden/`.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use danlu_tokenizer::{
    ChatTemplate, Dialogue, Error, Message, SPECIAL_TOKENS, Span, Tokenizer, TokenizerConfig,
    encode_chat, train,
};
use serde_json::Value;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden").join(name)
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(golden(name)).unwrap()).unwrap()
}

fn messages(value: &Value) -> Vec<Message> {
    serde_json::from_value(value.clone()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&golden("tokenizer/tokenizer.json")).unwrap()
}

#[test]
fn training_gives_the_committed_bytes() {
    let text = fs::read_to_string(golden("tokenizer/text.txt")).unwrap();
    let config = TokenizerConfig::of_size(640);
    let trained = train(&config, [text.as_str()]).unwrap();
    for (name, bytes) in trained.files(&ChatTemplate::chatml()) {
        let committed = fs::read(golden("tokenizer").join(name)).unwrap();
        assert!(bytes == committed, "{name}: run golden/tokenizer/make.py if the change is meant");
    }
    assert_eq!(trained.hash(), tokenizer().hash());
    assert_eq!(trained.vocab_size(), 640);
    for (id, token) in (0..).zip(SPECIAL_TOKENS) {
        assert_eq!(trained.id_of(token), Some(id));
    }
}

#[test]
fn ids_equal_those_of_the_reference_library() {
    let (golden, tokenizer) = (json("tokenizer/golden.json"), tokenizer());
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() > 20);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids(&case["plain"]), "{text:?}");
        let control = tokenizer.encode_with_specials(text).unwrap();
        assert_eq!(control, ids(&case["control"]), "{text:?}");
        assert_eq!(tokenizer.decode(&ids(&case["plain"])).unwrap(), text);
    }
}

#[test]
fn dialogues_become_the_ids_and_masks_of_the_reference_library() {
    let (golden, tokenizer) = (json("tokenizer/golden.json"), tokenizer());
    for chat in golden["chats"].as_array().unwrap() {
        let made =
            encode_chat(&tokenizer, &ChatTemplate::chatml(), &messages(&chat["messages"]), false)
                .unwrap();
        assert_eq!(made.ids, ids(&chat["ids"]));
        let mask: Vec<u32> = made.generated.into_iter().map(u32::from).collect();
        assert_eq!(mask, ids(&chat["mask"]));
    }
}

/// Start and end, in characters, of what is generated.
fn generated(spans: &[Span]) -> Vec<[usize; 2]> {
    let mut ranges: Vec<[usize; 2]> = Vec::new();
    let mut end = 0;
    for span in spans {
        let start = end;
        end += span.text.chars().count();
        match ranges.last_mut() {
            Some(last) if span.generated && last[1] == start => last[1] = end,
            _ if span.generated => ranges.push([start, end]),
            _ => {}
        }
    }
    ranges
}

#[test]
fn templates_render_as_in_the_reference_library() {
    let golden = json("templates/golden.json");
    let unix_time = golden["unix_time"].as_i64().unwrap();
    let cases = golden["cases"].as_array().unwrap();
    assert!(cases.len() >= 70);
    for case in cases {
        let name = case["template"].as_str().unwrap();
        let source = golden["templates"][name].as_str().unwrap();
        let template = ChatTemplate::new(source).unwrap().at_time(unix_time);
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        let tools = case["tools"].as_array().map_or(&[][..], Vec::as_slice);
        let dialogue = Dialogue {
            messages: &messages(&case["messages"]),
            tools,
            add_generation_prompt: prompt,
            switches: &[],
        };
        let rendered = template.render_dialogue(&dialogue);
        match case["refused"].as_str() {
            Some(refusal) => {
                let error = rendered.unwrap_err();
                let told = matches!(&error, Error::TemplateRefused(told) if told == refusal);
                assert!(told, "{name}: {error}");
            }
            None => {
                let spans = rendered.unwrap();
                let text: String = spans.iter().map(|span| span.text.as_str()).collect();
                assert_eq!(text, case["text"].as_str().unwrap(), "{name}");
                let mut expected: Vec<[usize; 2]> =
                    serde_json::from_value(case["generated"].clone()).unwrap();
                expected.retain(|[start, end]| start < end);
                assert_eq!(generated(&spans), expected, "{name}");
            }
        }
    }
}
