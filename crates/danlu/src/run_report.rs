//! Gathers what the report shows from the files that the stages left.

use std::path::Path;

use anyhow::{Context, Result};
use danlu_data::{DataReport, REPORT_FILE};
use danlu_eval::Report;
use danlu_eval::report::{CleaningStep, Curve, Sample, Score, Source};
use danlu_models::CausalLm;
use danlu_tensor::Device;
use danlu_tokenizer::TokenizerReport;
use danlu_train::{StepRecord, read_metrics};
use serde::de::DeserializeOwned;

use crate::machine;
use crate::pipeline::plan::{Plan, describe};
use crate::pipeline::stage::hash_file;
use crate::pipeline::tokens::{PRETRAIN_SHARD, TOKENIZER_REPORT};
use crate::pipeline::train_stage::METRICS_FILE;
use crate::pipeline::{Run, pretrain, sft};

/// The report of a run whose model is `model`.
///
/// # Errors
/// When a file that a stage left is missing or damaged.
pub fn assemble(
    run: &Run,
    model: &dyn CausalLm,
    scores: Vec<Score>,
    samples: Vec<Sample>,
) -> Result<Report> {
    let paths = &run.paths;
    let data: DataReport = read_json(&paths.data().join(REPORT_FILE))?;
    let words: TokenizerReport = read_json(&paths.tokens().join(TOKENIZER_REPORT))?;
    let plan: Plan = read_json(&paths.plan())?;
    let pretrain = read_metrics(&paths.training(pretrain::NAME).join(METRICS_FILE))?;
    let sft = match run.recipe.sft {
        Some(_) => Some(read_metrics(&paths.training(sft::NAME).join(METRICS_FILE))?),
        None => None,
    };
    let incidents = pretrain.iter().chain(sft.iter().flatten()).filter_map(incident).collect();
    Ok(Report {
        name: run.recipe.name.clone(),
        model: describe(model),
        weights: plan.weights,
        machine: describe_machine(run),
        command: format!("danlu chat {}", paths.model().display()),
        scores,
        samples,
        pretrain: curve(&plan, pretrain::NAME, &pretrain),
        sft: sft.map(|records| curve(&plan, sft::NAME, &records)),
        cleaning: cleaning(&data),
        sources: sources(&data),
        vocabulary: vocabulary(&words),
        incidents,
        hashes: hashes(run)?,
        recipe: run.recipe.to_toml()?,
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
}

fn describe_machine(run: &Run) -> String {
    let Device::Cpu(cpu) = &run.device;
    let processor = machine::processor().unwrap_or_else(|| "unknown processor".to_owned());
    let (threads, simd) = (cpu.pool.threads(), cpu.simd.name());
    format!("danlu {}, {processor}, {threads} threads, {simd}", env!("CARGO_PKG_VERSION"))
}

fn incident(record: &StepRecord) -> Option<String> {
    let incident = record.incident.as_ref()?;
    let documents = incident.documents.join(", ");
    Some(format!("step {}: {}; documents: {documents}", record.step, incident.reason))
}

fn curve(plan: &Plan, stage: &str, records: &[StepRecord]) -> Curve {
    let at = |record: &StepRecord, y| (record.step as f64, y);
    Curve {
        loss: records.iter().map(|record| at(record, record.loss)).collect(),
        heldout: records
            .iter()
            .filter_map(|record| Some(at(record, record.heldout_bits_per_byte?)))
            .collect(),
        tokens: records.last().map_or(0, |record| record.tokens),
        epochs: plan.stages.iter().find(|s| s.stage == stage).map_or(0.0, |s| s.epochs),
    }
}

fn cleaning(data: &DataReport) -> Vec<CleaningStep> {
    let groups = [
        ("read", &data.rejected),
        ("clean", &data.dropped),
        ("dialogues", &data.dialogues_dropped),
    ];
    let mut steps: Vec<CleaningStep> = groups
        .into_iter()
        .flat_map(|(name, counts)| {
            counts.iter().map(move |(reason, &dropped)| CleaningStep {
                name: name.to_owned(),
                reason: reason.clone(),
                dropped,
            })
        })
        .collect();
    let same = [
        ("exactly the text of an earlier document", data.duplicates),
        ("nearly the text of another document", data.near_duplicates),
    ];
    steps.extend(same.into_iter().map(|(reason, dropped)| CleaningStep {
        name: "deduplicate".to_owned(),
        reason: reason.to_owned(),
        dropped,
    }));
    steps
}

fn sources(data: &DataReport) -> Vec<Source> {
    let part = |name: &str, part: &danlu_data::Part| {
        let rows: Vec<Source> = part
            .by_origin
            .iter()
            .map(|(origin, size)| Source {
                name: format!("{name}: {origin}"),
                documents: size.documents,
                bytes: size.bytes,
            })
            .collect();
        rows
    };
    [part("train", &data.train), part("held out", &data.heldout)].concat()
}

fn vocabulary(words: &TokenizerReport) -> Vec<[String; 3]> {
    let row = |en: &str, zh: &str, value: String| [en.to_owned(), zh.to_owned(), value];
    vec![
        row("tokens in the vocabulary", "词元总数", words.vocab_size.to_string()),
        row("of these used in the texts", "其中文本中用到的", words.tokens_used.to_string()),
        row(
            "bytes a token in Chinese lines",
            "中文行每词元字节数",
            format!("{:.2}", words.han.bytes_per_token),
        ),
        row(
            "bytes a token in other lines",
            "其他行每词元字节数",
            format!("{:.2}", words.latin.bytes_per_token),
        ),
    ]
}

/// The files that make the run what it is.
fn hashes(run: &Run) -> Result<Vec<(String, String)>> {
    let paths = &run.paths;
    let files = [
        paths.data().join(danlu_data::CLEAN_FILE),
        paths.data().join(danlu_data::HELDOUT_FILE),
        paths.data().join(danlu_data::DIALOGUES_FILE),
        paths.tokens().join(crate::pipeline::model_folder::TOKENIZER_FILE),
        paths.tokens().join(PRETRAIN_SHARD),
        paths.model().join(danlu_models::folder::WEIGHTS_FILE),
    ];
    files
        .into_iter()
        .map(|file| {
            let name = file.strip_prefix(paths.root()).unwrap_or(&file).display().to_string();
            Ok((name, hash_file(&file)?))
        })
        .collect()
}
