//! Stage `tokenizer`: train the vocabulary, and turn all texts into token shards.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use danlu_data::atomic::write_file_atomically;
use danlu_data::{
    CLEAN_FILE, DIALOGUES_FILE, Dialogue, DocumentFile, Rehearsal, ShardBuilder, pack_pretrain,
    pack_sft, read_dialogues,
};
use danlu_tokenizer::{ChatTemplate, Reporter, Trainer, TrainingLimits};

use super::stage::Inputs;
use super::{Outcome, Run, Stage, Watch};

/// The shard of running text.
pub const PRETRAIN_SHARD: &str = "pretrain.tok";
/// The shard of dialogues.
pub const SFT_SHARD: &str = "sft.tok";
/// How well the vocabulary fits the texts.
pub const TOKENIZER_REPORT: &str = "report.json";

pub(super) const STAGE: Stage = Stage {
    name: "tokenizer",
    about: "learn the vocabulary, turn all texts into token ids",
    inputs,
    run,
};

fn inputs(run: &Run) -> Result<Inputs> {
    let data = run.paths.data();
    Inputs::default()
        .setting("tokenizer", run.recipe.tokenizer()?)?
        .setting("template", &ChatTemplate::chatml().source())?
        .setting("sft", &run.recipe.sft.as_ref().map(|sft| (sft.rehearsal, sft.context_len)))?
        .file(&data.join(CLEAN_FILE))?
        .file(&data.join(DIALOGUES_FILE))
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let (data, out) = (run.paths.data(), run.paths.tokens());
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let clean = data.join(CLEAN_FILE);
    let dialogues = match run.recipe.sft {
        Some(_) => read_dialogues(&data.join(DIALOGUES_FILE))?,
        None => Vec::new(),
    };
    let limits =
        TrainingLimits { memory: Some(run.recipe.data.memory.bytes()), scratch: out.clone() };
    let mut trainer = Trainer::new(run.recipe.tokenizer()?, &limits)?;
    each_text(&clean, &dialogues, |_, text| {
        trainer.feed(text);
        Ok(())
    })?;
    let tokenizer = trainer.finish()?;
    let template = ChatTemplate::chatml();
    for (name, bytes) in tokenizer.files(&template) {
        write_file_atomically(&out.join(name), &bytes)?;
    }
    let mut reporter = Reporter::new(&tokenizer);
    each_text(&clean, &dialogues, |origin, text| Ok(reporter.add(origin, text)?))?;
    let report = reporter.finish();
    write_file_atomically(&out.join(TOKENIZER_REPORT), &serde_json::to_vec_pretty(&report)?)?;
    watch.note(&format!(
        "tokenizer: {} tokens; {:.2} bytes a token in Chinese lines, {:.2} in others",
        report.vocab_size, report.han.bytes_per_token, report.latin.bytes_per_token
    ));
    let shard = || ShardBuilder::spooling(tokenizer.hash(), tokenizer.vocab_size(), &out);
    let mut texts = shard();
    pack_pretrain(&tokenizer, DocumentFile::open(&clean)?, &mut texts)?;
    texts.write(&out.join(PRETRAIN_SHARD))?;
    if let Some(sft) = &run.recipe.sft {
        let rehearsal =
            Rehearsal { documents: &clean, share: sft.rehearsal, piece_len: sft.context_len };
        let mut talks = shard();
        pack_sft(&tokenizer, &template, &dialogues, &rehearsal, &mut talks)?;
        talks.write(&out.join(SFT_SHARD))?;
    }
    Ok(Outcome::Done(vec![out]))
}

/// Every text that is learned from, with where it is from, one at a time.
fn each_text(
    clean: &Path,
    dialogues: &[Dialogue],
    mut take: impl FnMut(Option<&str>, &str) -> Result<()>,
) -> Result<()> {
    for document in DocumentFile::open(clean)? {
        let document = document?;
        let origin = document.meta.get("origin").and_then(serde_json::Value::as_str);
        take(origin, &document.text)?;
    }
    let turns = dialogues.iter().flat_map(|dialogue| &dialogue.messages);
    turns.into_iter().try_for_each(|turn| take(Some("dialogues"), &turn.content))
}
