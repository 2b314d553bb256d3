//! Trains a vocabulary of a text file and writes what other programs need to open it:
//! `cargo run -p danlu-tokenizer --example train -- VOCAB_SIZE TEXT_FILE OUTPUT_FOLDER`.

use std::error::Error;
use std::fs;
use std::path::Path;

use danlu_tokenizer::{ChatTemplate, TokenizerConfig, train};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vocab_size, text, folder] = arguments.as_slice() else {
        return Err("expected VOCAB_SIZE TEXT_FILE OUTPUT_FOLDER".into());
    };
    let config = TokenizerConfig::of_size(vocab_size.parse()?);
    let text = fs::read_to_string(text)?;
    let tokenizer = train(&config, [text.as_str()])?;
    for (name, bytes) in tokenizer.files(&ChatTemplate::chatml()) {
        fs::write(Path::new(folder).join(name), bytes)?;
    }
    Ok(())
}
