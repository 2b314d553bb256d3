//! Continues a text with a model by path or name:
//! `cargo run --release --example generate -- MODEL 'Once upon a time'`.

use std::io::Write;
use std::ops::ControlFlow;

use anyhow::{Result, bail};
use danlu::{AutoModelForCausalLM, AutoTokenizer, GenerateOptions};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, prompt] = arguments.as_slice() else {
        bail!("expected MODEL PROMPT");
    };
    let tokenizer = AutoTokenizer::from_pretrained(name)?;
    let model = AutoModelForCausalLM::from_pretrained(name)?;
    let ids = tokenizer.encode_with_specials(prompt)?;
    let options = GenerateOptions::new(100).temperature(0.7).top_p(0.9).seed(1);
    let (mut words, mut out) = (tokenizer.stream(), std::io::stdout().lock());
    out.write_all(prompt.as_bytes())?;
    model.generate_each(&ids, &options, |id| {
        out.write_all(words.push(id)?.as_bytes())?;
        out.flush()?;
        Ok(ControlFlow::Continue(()))
    })?;
    writeln!(out, "{}", words.finish())?;
    Ok(())
}
