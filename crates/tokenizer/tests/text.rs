//! Text to ids and back, without loss, in one go or as a stream; and training.

#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use danlu_tokenizer::{
    Error, Reporter, SPECIAL_TOKENS, SplitName, TURN_END, Tokenizer, TokenizerConfig,
    TokenizerReport, Trainer, TrainingLimits, UNUSED_SHOWN, VocabularyKind, train,
};
use proptest::prelude::*;
use serde_json::json;

const TEXT: &str = include_str!("../../../golden/tokenizer/text.txt");

static TOKENIZER: LazyLock<Tokenizer> = LazyLock::new(|| {
    Tokenizer::from_json(include_bytes!("../../../golden/tokenizer/tokenizer.json")).unwrap()
});

/// Strings of all kinds: any characters, the training text's, and pieces of control tokens.
fn any_text() -> impl Strategy<Value = String> {
    let pieces = prop::collection::vec(
        prop_oneof![
            any::<String>(),
            "[ \\t\\r\\n\\u{3000}]{0,6}",
            "[a-zA-Z' ]{0,12}",
            "[一-龥，。\\n]{0,12}",
            "[0-9０-９]{0,6}",
            "(<\\||\\|>|im_|end|start|<\\|im_end\\|>|<\\|endoftext\\|>)",
        ],
        0..6,
    );
    pieces.prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn decoding_what_was_encoded_gives_the_text(text in any_text()) {
        let ids = TOKENIZER.encode(&text).unwrap();
        prop_assert_eq!(TOKENIZER.decode(&ids).unwrap(), text.clone());
        prop_assert!(!ids.iter().any(|&id| TOKENIZER.is_special(id)), "no control token");
        prop_assert_eq!(TOKENIZER.encode_batch(&[&text]).unwrap(), vec![ids]);
    }

    #[test]
    fn a_stream_gives_the_whole_text_in_whole_characters(text in any_text()) {
        let mut stream = TOKENIZER.stream();
        let mut told = String::new();
        for id in TOKENIZER.encode(&text).unwrap() {
            let piece = stream.push(id).unwrap();
            told.push_str(&piece);
            prop_assert!(text.starts_with(&told), "nothing is told that must be taken back");
        }
        told.push_str(&stream.finish());
        prop_assert_eq!(told, text);
    }

    #[test]
    fn a_stream_of_any_ids_equals_their_decoding(ids in prop::collection::vec(0_u32..640, 0..40)) {
        let mut stream = TOKENIZER.stream();
        let mut told: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        told.push_str(&stream.finish());
        prop_assert_eq!(told, TOKENIZER.decode(&ids).unwrap());
    }
}

#[test]
fn control_tokens_are_shown_only_on_request() {
    let ids = TOKENIZER.encode_with_specials("hi<|im_end|>").unwrap();
    assert_eq!(*ids.last().unwrap(), TOKENIZER.id_of(TURN_END).unwrap());
    assert_eq!(TOKENIZER.decode(&ids).unwrap(), "hi");
    assert_eq!(TOKENIZER.decode_with_specials(&ids).unwrap(), "hi<|im_end|>");
    assert_eq!(TOKENIZER.stop_ids(), [2, 0]);
    assert_eq!((TOKENIZER.bos(), TOKENIZER.eos()), (Some(0), Some(0)));
}

#[test]
fn unknown_ids_are_an_error_that_names_them() {
    assert!(TOKENIZER.decode(&[0, 640]).unwrap_err().to_string().contains("640"));
    assert!(TOKENIZER.stream().push(u32::MAX).is_err());
}

#[test]
fn saving_and_loading_changes_no_byte() {
    let again = Tokenizer::from_json(TOKENIZER.json()).unwrap();
    assert_eq!(again.json(), TOKENIZER.json());
    assert_eq!(again.hash(), TOKENIZER.hash());
    let compact: serde_json::Value = serde_json::from_slice(TOKENIZER.json()).unwrap();
    let compact = Tokenizer::from_json(compact.to_string().as_bytes()).unwrap();
    assert_eq!(compact.hash(), TOKENIZER.hash(), "white space in the file does not matter");
}

#[test]
fn training_gives_the_same_bytes_in_any_order_and_on_any_thread() {
    let config = TokenizerConfig::of_size(500);
    let lines: Vec<&str> = TEXT.split_inclusive("\n\n").collect();
    let forward = train(&config, lines.iter().copied()).unwrap();
    let backward = train(&config, lines.iter().rev().copied()).unwrap();
    assert_eq!(forward.json(), backward.json());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                train(&TokenizerConfig::of_size(500), TEXT.split_inclusive("\n\n"))
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap().hash(), forward.hash());
    }
}

#[test]
fn memory_that_is_given_changes_nothing_or_is_said_to_be_too_little() {
    let folder = tempfile::tempdir().unwrap();
    let config = TokenizerConfig::of_size(400);
    let trained = |memory| {
        let limits = TrainingLimits { memory: Some(memory), scratch: folder.path().to_owned() };
        let mut trainer = Trainer::new(&config, &limits)?;
        trainer.feed(TEXT);
        trainer.finish()
    };
    let free = train(&config, [TEXT]).unwrap();
    assert_eq!(trained(1 << 28).unwrap().hash(), free.hash());
    let refusal = trained(1 << 20).unwrap_err().to_string();
    assert!(refusal.contains("128 MiB") && refusal.contains("the 1 MiB"), "{refusal}");
}

#[test]
fn every_split_makes_a_vocabulary_for_our_own_encoder() {
    for (name, split) in SplitName::ALL {
        let config = TokenizerConfig { split: *split, ..TokenizerConfig::of_size(500) };
        let setting = format!(r#"{{"vocab_size": 500, "split": "{name}"}}"#);
        assert_eq!(serde_json::from_str::<TokenizerConfig>(&setting).unwrap(), config);
        let tokenizer = train(&config, [TEXT]).unwrap();
        assert_eq!(tokenizer.encoder(), "own byte-level encoder");
        assert_eq!(tokenizer.decode(&tokenizer.encode(TEXT).unwrap()).unwrap(), TEXT);
    }
}

#[test]
fn a_unigram_vocabulary_spells_any_text_and_is_the_same_in_any_order() {
    let kind = VocabularyKind::Unigram;
    let config = TokenizerConfig { kind, ..TokenizerConfig::of_size(600) };
    let tokenizer = train(&config, [TEXT]).unwrap();
    assert_eq!(tokenizer.vocab_size(), 600);
    for text in [TEXT, "\u{0}\u{10ffff} \u{e9}\u{1f44d} <|endoftext|>"] {
        let ids = tokenizer.encode(text).unwrap();
        assert!(ids.iter().all(|&id| !tokenizer.is_special(id)));
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
    }
    let again = Tokenizer::from_json(tokenizer.json()).unwrap();
    assert_eq!(again.encode(TEXT).unwrap(), tokenizer.encode(TEXT).unwrap());
    let parts: Vec<&str> = TEXT.split_inclusive("\n\n").collect();
    let backward = train(&config, parts.into_iter().rev()).unwrap();
    let same = (0..600).filter(|&id| backward.token(id) == tokenizer.token(id)).count();
    assert_eq!(same, 600);
    let merged = train(&TokenizerConfig::of_size(600), [TEXT]).unwrap();
    let tokens = |tokenizer: &Tokenizer| tokenizer.encode(TEXT).unwrap().len() as f64;
    assert!(tokens(&tokenizer) < 1.05 * tokens(&merged));
}

#[test]
fn absurd_settings_are_refused_by_name() {
    let refusal = |vocab_size, min_frequency| {
        let config = TokenizerConfig { min_frequency, ..TokenizerConfig::of_size(vocab_size) };
        train(&config, [TEXT]).unwrap_err().to_string()
    };
    for vocab_size in [0, 258, 1 << 21] {
        let message = refusal(vocab_size, 2);
        assert!(message.contains(&format!("vocab_size = {vocab_size}")), "{message}");
    }
    assert!(refusal(300, 0).contains("min_frequency = 0"));
    let message = refusal(100_000, 2);
    assert!(message.contains("100000") && message.contains("more text"), "{message}");
    let unknown = serde_json::from_str::<TokenizerConfig>(r#"{"vocab_size": 300, "size": 1}"#);
    assert!(unknown.unwrap_err().to_string().contains("size"));
}

#[test]
fn the_smallest_vocabulary_is_the_bytes() {
    let config = TokenizerConfig::of_size(256 + SPECIAL_TOKENS.len());
    let tokenizer = train(&config, []).unwrap();
    let ids = tokenizer.encode("月").unwrap();
    assert_eq!(ids.len(), 3);
    assert_eq!(tokenizer.decode(&ids[..2]).unwrap(), "\u{fffd}");
}

#[test]
fn broken_files_are_errors() {
    let whole = TOKENIZER.json();
    for length in (0..whole.len() - 1).step_by(97) {
        assert!(matches!(Tokenizer::from_json(&whole[..length]), Err(Error::NotATokenizer(_))));
    }
    let message = Tokenizer::load("/nonexistent/tokenizer.json".as_ref()).unwrap_err().to_string();
    assert!(message.contains("/nonexistent/tokenizer.json"), "{message}");
}

#[test]
fn files_whose_parts_do_not_fit_are_refused_by_part() {
    let whole: serde_json::Value = serde_json::from_slice(TOKENIZER.json()).unwrap();
    for (pointer, value, named) in [
        ("/decoder", json!({ "type": "BPEDecoder", "suffix": "</w>" }), "decoder"),
        (
            "/normalizer",
            json!({ "type": "Precompiled", "precompiled_charsmap": "x" }),
            "normalizer.precompiled_charsmap",
        ),
        (
            "/normalizer",
            json!({ "type": "Precompiled", "precompiled_charsmap": "BAAAAAAAAAA=" }),
            "leads outside",
        ),
        (
            "/normalizer",
            json!({ "type": "Replace", "pattern": { "String": "a" }, "content": "a".repeat(300) }),
            "as long",
        ),
        ("/pre_tokenizer", json!({ "type": "FixedLength", "length": 0 }), "pre_tokenizer"),
        ("/pre_tokenizer/pretokenizers/0/pattern/Regex", json!("("), "arsing"),
        ("/model/type", json!("Markov"), "model"),
        ("/model/dropout", json!(0.1), "dropout"),
        ("/model/end_of_word_suffix", json!("</w>"), "end_of_word_suffix"),
        ("/model/vocab/!", json!(5), "is taken"),
        ("/model/vocab/!", json!(-1), "-1"),
        ("/model/vocab/!", json!(4_000_000_000_u32), "4000000000"),
        ("/model/vocab", json!([]), "invalid type"),
        ("/model/merges/0", json!(["!", "never seen"]), "never seen"),
        ("/model/merges/0", json!("!!"), "erge"),
        ("/model/merges", json!(7), "7"),
        ("/added_tokens/0/id", json!(1_u64 << 40), "invalid value"),
        ("/added_tokens/0/id", json!(9), "cannot have id 9"),
        ("/added_tokens", json!({}), "invalid type"),
    ] {
        let mut changed = whole.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let error = Tokenizer::from_json(changed.to_string().as_bytes()).unwrap_err();
        assert!(error.to_string().contains(named), "{pointer}: {error}");
    }
}

#[test]
fn a_vocabulary_that_would_read_text_as_a_control_token_reads_it_in_pieces() {
    let text = String::from_utf8(TOKENIZER.json().to_vec()).unwrap();
    // Without the pre-split a whole text is one word, which `ignore_merges` looks up as it is.
    let forgeable = text.replace("\"ignore_merges\": false", "\"ignore_merges\": true");
    let mut forgeable: serde_json::Value = serde_json::from_str(&forgeable).unwrap();
    forgeable["pre_tokenizer"] = forgeable["pre_tokenizer"]["pretokenizers"][1].clone();
    let tokenizer = Tokenizer::from_json(forgeable.to_string().as_bytes()).unwrap();
    for token in SPECIAL_TOKENS {
        let ids = tokenizer.encode(token).unwrap();
        assert!(!ids.iter().any(|&id| tokenizer.is_special(id)), "{token}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), token);
        assert_eq!(tokenizer.encode_batch(&[token]).unwrap(), [ids]);
    }
}

#[test]
fn hard_texts_take_linear_time() {
    let started = std::time::Instant::now();
    for piece in ["a", "^", " ", "\n", "月", "1", " \n", "'", "\u{301}", "<|im_end|"] {
        let text = piece.repeat(200_000 / piece.len());
        let ids = TOKENIZER.encode(&text).unwrap();
        assert_eq!(TOKENIZER.decode(&ids).unwrap(), text);
    }
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}

#[test]
fn the_report_tells_chinese_from_the_rest() {
    let report: TokenizerReport = TOKENIZER.report(["春眠不覺曉\nabc 中\n", "to be\n"]).unwrap();
    assert_eq!((report.han.characters, report.latin.characters), (6, 12));
    assert_eq!(report.total.bytes, report.han.bytes + report.latin.bytes);
    assert_eq!(report.total.tokens, report.han.tokens + report.latin.tokens);
    let ratio = report.total.bytes as f64 / report.total.tokens as f64;
    assert_eq!(report.total.bytes_per_token, ratio);
    assert!(report.tokens_used > 5 && report.vocab_size == 640);
    assert_eq!((report.unused.len(), report.sources.len()), (UNUSED_SHOWN, 0));
    let mut reporter = Reporter::new(&TOKENIZER);
    for (source, text) in [("a", "to be\n"), ("b", "or"), ("a", "not\n")] {
        reporter.add(Some(source), text).unwrap();
    }
    let report = reporter.finish();
    let bytes: Vec<u64> = report.sources.values().map(|share| share.bytes).collect();
    assert_eq!(bytes, [10, 2]);
    let used: Vec<u32> = ["to be\n", "or", "not\n"]
        .iter()
        .flat_map(|text| TOKENIZER.encode(text).unwrap())
        .collect();
    for token in &report.unused {
        let id = used.iter().find(|&&id| TOKENIZER.token_bytes(id) == Some(token.as_bytes()));
        assert_eq!(id, None, "{token:?} was used");
    }
}
