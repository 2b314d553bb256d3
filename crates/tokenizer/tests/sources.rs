//! Vocabularies from every layout give the ids of the library that the layout comes from, and
//! hostile files are errors.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use danlu_tokenizer::{ChatTemplate, Error, GgufVocabulary, SPECIAL_TOKENS, Tokenizer};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../golden/tokenizer").join(name)
}

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    models: std::collections::BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Expected {
    ids: Vec<Vec<u32>>,
    decoded: Vec<Option<String>>,
    pieces: Vec<(String, f32, i32)>,
}

static GOLDEN: LazyLock<Golden> = LazyLock::new(|| {
    serde_json::from_slice(&std::fs::read(golden("sentencepiece/golden.json")).unwrap()).unwrap()
});
static OURS: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_slice(&std::fs::read(golden("tokenizer.json")).unwrap()).unwrap()
});

fn model(name: &str) -> Tokenizer {
    Tokenizer::open(&golden(&format!("sentencepiece/{name}.model"))).unwrap()
}

/// The vocabulary trained here, as GGUF has it.
fn byte_pairs(pre: &str) -> GgufVocabulary {
    let vocabulary = OURS["model"]["vocab"].as_object().unwrap();
    let tokens: Vec<String> = vocabulary.keys().cloned().collect();
    let merge =
        |merge: &Value| format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap());
    GgufVocabulary {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        token_types: (0..tokens.len()).map(|id| if id < 3 { 3 } else { 1 }).collect(),
        tokens,
        merges: OURS["model"]["merges"].as_array().unwrap().iter().map(merge).collect(),
        eos_token_id: Some(2),
        bos_token_id: Some(0),
        add_bos_token: Some(true),
        ..GgufVocabulary::default()
    }
}

/// The vocabulary trained here, cut as GPT-2 cuts.
fn like_gpt2() -> Tokenizer {
    let mut file = OURS.clone();
    file["pre_tokenizer"] = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    Tokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

#[test]
fn sentencepiece_models_give_sentencepiece_s_ids_and_texts() {
    for (name, expected) in &GOLDEN.models {
        let tokenizer = model(name);
        for ((text, ids), decoded) in GOLDEN.texts.iter().zip(&expected.ids).zip(&expected.decoded)
        {
            assert_eq!(&tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
            if let Some(decoded) = decoded {
                assert_eq!(&tokenizer.decode(ids).unwrap(), decoded, "{name}: {text:?}");
            }
        }
        assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), Some(2)), "{name}");
    }
}

#[test]
fn a_written_vocabulary_gives_the_same_ids() {
    for name in GOLDEN.models.keys() {
        let tokenizer = model(name);
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in tokenizer.files(&ChatTemplate::chatml()) {
            std::fs::write(folder.path().join(file), bytes).unwrap();
        }
        let again = Tokenizer::open(folder.path()).unwrap();
        assert_eq!(again.hash(), tokenizer.hash(), "{name}");
        assert_eq!((again.bos(), again.eos()), (tokenizer.bos(), tokenizer.eos()), "{name}");
        for text in &GOLDEN.texts {
            assert_eq!(again.encode(text).unwrap(), tokenizer.encode(text).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_stream_equals_the_whole_text_whatever_the_vocabulary() {
    for (name, expected) in &GOLDEN.models {
        let tokenizer = model(name);
        for ids in &expected.ids {
            let mut stream = tokenizer.stream();
            let mut told: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
            told.push_str(&stream.finish());
            assert_eq!(told, tokenizer.decode(ids).unwrap(), "{name}");
        }
    }
}

#[test]
fn pieces_inside_gguf_give_the_ids_of_the_model_they_come_from() {
    for (name, kind, squeeze) in [("bpe-bytes", "llama", None), ("unigram", "t5", Some(true))] {
        let expected = &GOLDEN.models[name];
        let vocabulary = GgufVocabulary {
            model: kind.to_owned(),
            tokens: expected.pieces.iter().map(|piece| piece.0.clone()).collect(),
            scores: expected.pieces.iter().map(|piece| piece.1).collect(),
            token_types: expected.pieces.iter().map(|piece| piece.2).collect(),
            bos_token_id: Some(1),
            eos_token_id: Some(2),
            remove_extra_whitespaces: squeeze,
            add_bos_token: Some(true),
            ..GgufVocabulary::default()
        };
        let tokenizer = Tokenizer::from_gguf(&vocabulary).unwrap();
        for (text, ids) in GOLDEN.texts.iter().zip(&expected.ids) {
            assert_eq!(&tokenizer.encode(text).unwrap(), ids, "{name}: {text:?}");
        }
        assert_eq!((tokenizer.text_start(), tokenizer.text_end()), (&[1][..], &[][..]));
    }
}

#[test]
fn byte_pairs_inside_gguf_and_tiktoken_files_give_the_library_s_ids() {
    let expected = like_gpt2();
    let gguf = Tokenizer::from_gguf(&byte_pairs("gpt-2")).unwrap();
    let bytes = |id: u32| expected.token_bytes(id).unwrap();
    let base64 = |bytes: &[u8]| {
        let alphabet: Vec<char> =
            ('A'..='Z').chain('a'..='z').chain('0'..='9').chain("+/".chars()).collect();
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let bits = group.iter().fold(0_usize, |bits, &byte| bits << 8 | usize::from(byte))
                << (8 * (3 - group.len()));
            for place in 0..4 {
                let digit = alphabet[bits >> (18 - 6 * place) & 63];
                text.push(if place <= group.len() { digit } else { '=' });
            }
        }
        text
    };
    let first = SPECIAL_TOKENS.len() as u32;
    let lines: Vec<String> =
        (first..640).map(|id| format!("{} {}", base64(bytes(id)), id - first)).collect();
    let tiktoken = Tokenizer::from_tiktoken("r50k_base", lines.join("\n").as_bytes()).unwrap();
    for text in &GOLDEN.texts {
        let ids = expected.encode(text).unwrap();
        assert_eq!(gguf.encode(text).unwrap(), ids, "{text:?}");
        let ranks: Vec<u32> = ids.iter().map(|id| id - first).collect();
        assert_eq!(tiktoken.encode(text).unwrap(), ranks, "{text:?}");
    }
    assert_eq!(tiktoken.id_of("<|endoftext|>"), Some(50256));
    assert_eq!(gguf.text_start(), [0]);
}

#[test]
fn ordinary_text_never_becomes_a_control_token_whatever_the_vocabulary() {
    for name in GOLDEN.models.keys() {
        let tokenizer = model(name);
        let unknown = tokenizer.id_of("<unk>").unwrap();
        for text in ["<s>", "a<s>b</s>", "</s></s> <s", "<<s>s>"] {
            let ids = tokenizer.encode(text).unwrap();
            let forged = |&&id: &&u32| tokenizer.is_special(id) && id != unknown;
            assert_eq!(ids.iter().find(forged), None, "{name}: {text}");
            assert!(tokenizer.encode_with_specials(text).unwrap().iter().any(|id| *id <= 2));
        }
    }
}

#[test]
fn a_folder_s_other_files_say_which_tokens_end_what() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
    for name in ["tokenizer.json", "tokenizer.model", "vocab.json + merges.txt", "vocab.txt"] {
        assert!(error.contains(name), "{error}");
    }
    write("tokenizer.json", OURS.to_string().as_bytes());
    write("generation_config.json", br#"{"eos_token_id": [7, 2], "bos_token_id": 0}"#);
    write(
        "tokenizer_config.json",
        br#"{"eos_token": {"content": "<|im_end|>"}, "pad_token": "<|endoftext|>",
            "chat_template": [
                {"name": "default", "template": "{{ eos_token }}{{ bos_token }}."}]}"#,
    );
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(0), Some(2)));
    assert_eq!(tokenizer.stop_ids(), [7, 2, 0]);
    let spans = tokenizer.chat_template().unwrap().unwrap().render(&[], false).unwrap();
    assert_eq!(spans[0].text, "<|im_end|><|endoftext|>.");
    write("chat_template.jinja", b"newer");
    let tokenizer = Tokenizer::open(&folder.path().join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.chat_template().unwrap().unwrap().source(), "newer");
    write("special_tokens_map.json", br#"{"bos_token": "<|nowhere|>"}"#);
    let error = Tokenizer::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("bos_token") && error.contains("<|nowhere|>"), "{error}");
}

#[test]
fn gpt2_s_pair_of_files_and_bert_s_vocabulary_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let merges = byte_pairs("gpt-2").merges.join("\n");
    std::fs::write(path("encoder.json"), OURS["model"]["vocab"].to_string()).unwrap();
    std::fs::write(path("vocab.bpe"), format!("#version: 0.2\n{merges}\n")).unwrap();
    let tokenizer = Tokenizer::open(folder.path()).unwrap();
    let text = "To be, or not to be  123\n";
    assert_eq!(tokenizer.encode(text).unwrap(), like_gpt2().encode(text).unwrap());

    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "to", "be", "##ing", "!", "中"];
    let bert = path("bert/vocab.txt");
    std::fs::create_dir(bert.parent().unwrap()).unwrap();
    std::fs::write(&bert, words.join("\n")).unwrap();
    let tokenizer = Tokenizer::open(bert.parent().unwrap()).unwrap();
    let ids = tokenizer.encode("To BEING 中中! zzz [CLS]").unwrap();
    assert_eq!(ids, [4, 5, 6, 8, 8, 7, 1, 1, 1, 1]);
    assert_eq!(tokenizer.decode(&ids[..6]).unwrap(), "to being 中 中!");
    assert_eq!((tokenizer.text_start(), tokenizer.text_end()), (&[2][..], &[3][..]));
}

fn refusal(change: impl FnOnce(&mut GgufVocabulary)) -> String {
    let mut vocabulary = byte_pairs("gpt-2");
    change(&mut vocabulary);
    Tokenizer::from_gguf(&vocabulary).unwrap_err().to_string()
}

#[test]
fn gguf_vocabularies_that_do_not_fit_are_refused_by_key() {
    let cases = [
        (refusal(|gguf| gguf.model = "rwkv".to_owned()), "rwkv"),
        (refusal(|gguf| gguf.pre = Some("kimi-k2".to_owned())), "kimi-k2"),
        (refusal(|gguf| gguf.tokens.clear()), "tokens"),
        (refusal(|gguf| gguf.token_types.truncate(4)), "token_type"),
        (refusal(|gguf| gguf.token_types[7] = 9), "token_type of token 7"),
        (refusal(|gguf| gguf.scores = vec![0.0]), "scores"),
        (refusal(|gguf| gguf.merges[0] = "nothing".to_owned()), "merge"),
        (refusal(|gguf| gguf.merges[0] = "a never-seen".to_owned()), "never-seen"),
        (refusal(|gguf| gguf.tokens[5] = gguf.tokens[6].clone()), "twice"),
        (refusal(|gguf| gguf.model = "llama".to_owned()), "scores"),
        (refusal(|gguf| gguf.model = "bert".to_owned()), "[UNK]"),
    ];
    for (message, named) in cases {
        assert!(message.contains(named), "{message}");
    }
}

#[test]
fn files_of_other_kinds_are_refused_with_what_is_missing() {
    let refused = |result: Result<Tokenizer, Error>| result.unwrap_err().to_string();
    assert!(refused(Tokenizer::from_tiktoken("p51k", b"")).contains("cl100k_base"));
    for (ranks, named) in [
        (&b"IQ== 0\nIg== x"[..], "line 2"),
        (b"IQ 0", "line 1"),
        (b"IQ== 99999999", "line 1"),
        (b"IQ== 0\nIQ== 1", "twice"),
        (b"\xFF", "text"),
    ] {
        let error = refused(Tokenizer::from_tiktoken("cl100k_base", ranks));
        assert!(error.contains(named), "{error}");
    }
    assert!(refused(Tokenizer::from_sentencepiece(b"")).contains("no pieces"));
    let missing = refused(Tokenizer::open(Path::new("/nonexistent/tokenizer.model")));
    assert!(missing.contains("/nonexistent/tokenizer.model"), "{missing}");
}

/// `bytes` with some of them changed, and cut off somewhere.
fn mutated(bytes: &[u8], changes: &[(usize, u8)], length: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for &(place, byte) in changes {
        let place = place % changed.len();
        changed[place] = byte;
    }
    changed.truncate(1 + length % (2 * bytes.len()));
    changed
}

#[test]
fn a_step_that_is_not_utf8_is_an_error() {
    let mut json = std::fs::read(golden("tokenizer.json")).unwrap();
    let place = json.windows(9).position(|part| part == b"\"decoder\"").unwrap();
    let value = place + json[place..].windows(6).position(|part| part == b"\"type\"").unwrap();
    json[value + 2] = 0x80;
    let error = Tokenizer::from_json(&json).unwrap_err().to_string();
    assert!(error.contains("line"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn mutated_files_are_errors_or_vocabularies_that_work(
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..12),
        length in any::<usize>(),
    ) {
        static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let files = ["sentencepiece/unigram.model", "sentencepiece/bpe-bytes.model",
                "sentencepiece/unigram-nfkc.model", "tokenizer.json"];
            files.iter().map(|name| std::fs::read(golden(name)).unwrap()).collect()
        });
        for (index, file) in FILES.iter().enumerate() {
            let file = mutated(file, &changes, length);
            let opened = match index {
                3 => Tokenizer::from_json(&file),
                _ => Tokenizer::from_sentencepiece(&file),
            };
            if let Ok(tokenizer) = opened {
                // An error is fine, a panic is not.
                let _ = tokenizer.encode("To be,  ﬁ 中e\u{301}\u{1F44D}\n<s>");
            }
        }
    }

    #[test]
    fn mutated_tiktoken_files_are_errors_or_work(
        changes in prop::collection::vec((any::<usize>(), 32_u8..127), 0..6),
        length in any::<usize>(),
    ) {
        let lines: Vec<String> =
            (0..26).map(|id| format!("Y{}== {id}", char::from(b'A' + id as u8))).collect();
        let file = mutated(lines.join("\n").as_bytes(), &changes, length);
        if let Ok(tokenizer) = Tokenizer::from_tiktoken("cl100k_base", &file) {
            let _ = tokenizer.encode("abc");
        }
    }
}
