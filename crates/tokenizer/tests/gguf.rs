//! Vocabularies survive the way into a GGUF and back.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use danlu_tokenizer::Tokenizer;
use serde_json::{Value, json};

const TEXTS: &[&str] = &[
    "To be, or not to be: that's the question; 12345 times.\n\n  <|im_end|> ",
    "床前明月光，疑是地上霜。\r\n\tnaïve cafe\u{301} 🙂 ½",
    "",
];

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/tokenizer").join(name)
}

/// The golden vocabulary, cutting text by other steps.
fn cutting(pre_tokenizer: Value, ignore_merges: bool) -> Tokenizer {
    let text = std::fs::read(golden("tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_slice(&text).unwrap();
    json["pre_tokenizer"] = pre_tokenizer;
    json["model"]["ignore_merges"] = ignore_merges.into();
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

fn assert_survives(tokenizer: &Tokenizer, model: &str, pre: &str) {
    let vocabulary = tokenizer.to_gguf(tokenizer.vocab_size() + 3).unwrap();
    assert_eq!((vocabulary.model.as_str(), vocabulary.pre.as_deref()), (model, Some(pre)));
    assert_eq!(vocabulary.tokens.len(), tokenizer.vocab_size() + 3, "placeholders to the end");
    let described = vocabulary.huggingface_json.is_some();
    assert_eq!(described, pre == "danlu", "only what has no name is described");
    let read = Tokenizer::from_gguf(&vocabulary).unwrap();
    for text in TEXTS {
        let ids = tokenizer.encode_with_specials(text).unwrap();
        assert_eq!(read.encode_with_specials(text).unwrap(), ids, "{pre}: {text:?}");
        assert_eq!(read.decode(&ids).unwrap(), tokenizer.decode(&ids).unwrap());
    }
    assert_eq!((read.bos(), read.eos()), (tokenizer.bos(), tokenizer.eos()));
    assert_eq!(read.stop_ids(), tokenizer.stop_ids());
}

#[test]
fn ways_to_cut_text_that_have_a_name_get_it_and_others_are_described() {
    let bytes = |use_regex: bool| {
        json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
            "use_regex": use_regex,
        })
    };
    let split = |pattern: &str| {
        json!({
            "type": "Split", "pattern": { "Regex": pattern }, "behavior": "Isolated",
            "invert": false,
        })
    };
    let steps = |steps: &[Value]| json!({ "type": "Sequence", "pretokenizers": steps });
    let digits = json!({ "type": "Digits", "individual_digits": true });
    let llama3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\
                  \\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    let qwen2 = llama3.replace("{1,3}", "");
    assert_survives(&cutting(bytes(true), false), "gpt2", "gpt-2");
    assert_survives(&cutting(steps(&[digits, bytes(true)]), false), "gpt2", "smollm");
    assert_survives(&cutting(steps(&[split(llama3), bytes(false)]), true), "gpt2", "llama3");
    assert_survives(&cutting(steps(&[split(&qwen2), bytes(false)]), false), "gpt2", "qwen2");
    assert_survives(&Tokenizer::load(&golden("tokenizer.json")).unwrap(), "gpt2", "danlu");
}

#[test]
fn pieces_with_bytes_for_the_rest_are_written_with_scores() {
    let bytes = std::fs::read(golden("sentencepiece/bpe-bytes.model")).unwrap();
    assert_survives(&Tokenizer::from_sentencepiece(&bytes).unwrap(), "llama", "default");
}

#[test]
fn a_vocabulary_larger_than_the_weights_is_refused() {
    let tokenizer = Tokenizer::load(&golden("tokenizer.json")).unwrap();
    let error = tokenizer.to_gguf(tokenizer.vocab_size() - 1).unwrap_err().to_string();
    assert!(error.contains("rows of weights"), "{error}");
}
