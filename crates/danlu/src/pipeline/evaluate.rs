//! Stage `eval`: measures the finished model, lets it talk, writes the report, and puts the model
//! where it is used from.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use danlu_data::atomic::write_file_atomically;
use danlu_data::{CLEAN_FILE, HELDOUT_FILE, read_documents};
use danlu_eval::report::{Sample, Score};
use danlu_eval::{Surprise, Yardsticks};
use danlu_infer::{Engine, EngineOptions, Limits, Request};
use danlu_models::{BuildOptions, CausalLm};
use danlu_tensor::Device;
use danlu_tokenizer::{Message, Role, encode_chat};
use serde_json::json;

use super::stage::Inputs;
use super::train_stage::{METRICS_FILE, MODEL_FOLDER};
use super::{Outcome, Run, Stage, Watch, pretrain, sft};
use crate::heldout::{Heldout, is_chinese};
use crate::model_writer::write_model;
use crate::opened::Opened;
use crate::run_report;

pub(super) const STAGE: Stage = Stage {
    name: "eval",
    about: "measure the model on held-out text, let it talk, write the report",
    inputs,
    run,
};

/// Scores and samples, for programs.
const RESULTS_FILE: &str = "results.json";

fn trained(run: &Run) -> PathBuf {
    let stage = if run.recipe.sft.is_some() { sft::NAME } else { pretrain::NAME };
    run.paths.training(stage).join(MODEL_FOLDER)
}

fn inputs(run: &Run) -> Result<Inputs> {
    let metrics = run.paths.training(pretrain::NAME).join(METRICS_FILE);
    Inputs::default()
        .setting("recipe", &run.recipe)?
        .file(&trained(run))?
        .file(&run.paths.training(pretrain::NAME).join(MODEL_FOLDER))?
        .file(&metrics)?
        .file(&run.paths.data())
}

fn run(run: &Run, watch: &mut dyn Watch) -> Result<Outcome> {
    let Device::Cpu(cpu) = &run.device;
    let last = run.recipe.sft.as_ref().unwrap_or(&run.recipe.pretrain);
    let precision = last.precision.resolve(cpu.simd);
    let options = BuildOptions::trainable(run.device.clone(), precision);
    let opened = Opened::open_path(&trained(run), &options)?;
    let path = run.paths.data().join(HELDOUT_FILE);
    let heldout = Heldout::read(&path, &opened.tokenizer)?;
    let mut scores = Vec::new();
    if run.recipe.sft.is_some() {
        let folder = run.paths.training(pretrain::NAME).join(MODEL_FOLDER);
        let before = Opened::open_path(&folder, &options)?;
        scores.extend(score(&heldout, before.model.as_ref(), AFTER_PRETRAINING)?);
    }
    scores.extend(score(&heldout, opened.model.as_ref(), FINISHED)?);
    if watch.stopped() {
        return Ok(Outcome::Stopped);
    }
    if run.recipe.eval.yardsticks && !heldout.documents.is_empty() {
        watch.note("eval: measuring the yardsticks on the same text");
        scores.extend(yardsticks(run, &heldout)?);
    }
    for score in &scores {
        watch.note(&format!("eval: {:.3} bits per byte: {}", score.bits_per_byte, score.name));
    }
    let samples = talk(run, &opened)?;
    fs::create_dir_all(run.paths.eval()).with_context(|| run.paths.eval().display().to_string())?;
    let results = json!({ "scores": scores, "samples": samples });
    write_file_atomically(
        &run.paths.eval().join(RESULTS_FILE),
        &serde_json::to_vec_pretty(&results)?,
    )?;
    install(run, &opened)?;
    let report = run_report::assemble(run, opened.model.as_ref(), scores, samples)?;
    write_file_atomically(&run.paths.report(), report.to_html().as_bytes())?;
    Ok(Outcome::Done(vec![run.paths.eval(), run.paths.model(), run.paths.report()]))
}

/// Names of a score's row, in both languages.
type Names = (&'static str, &'static str);
const AFTER_PRETRAINING: Names = ("this model, before it learned to answer", "本模型（微调之前）");
const FINISHED: Names = ("this model, finished", "本模型（最终）");
const ORDER5: Names = ("order-5 character model", "五阶字符模型");
const XZ: Names = ("xz -9, after the training text", "xz -9（接在训练文本之后）");

/// A model's bits per byte on all held-out text and by language; `None` when there is no text.
fn score(heldout: &Heldout, model: &dyn CausalLm, names: Names) -> Result<Option<Score>> {
    let surprises = heldout.surprises(model)?;
    let sum = |wanted: &dyn Fn(bool) -> bool| {
        let pairs = heldout.documents.iter().zip(&surprises);
        let chosen = pairs.filter(|(document, _)| wanted(is_chinese(&document.text)));
        let sum = chosen.fold(Surprise::default(), |sum, (_, s)| sum.plus(*s));
        (sum.bytes > 0).then(|| sum.bits_per_byte())
    };
    Ok(sum(&|_| true).map(|all| named(names, all, sum(&|zh| !zh), sum(&|zh| zh))))
}

fn named(names: Names, all: f64, english: Option<f64>, chinese: Option<f64>) -> Score {
    Score {
        name: names.0.to_owned(),
        name_zh: names.1.to_owned(),
        bits_per_byte: all,
        english,
        chinese,
    }
}

/// What the same text costs by classical means that were given the same training text.
fn yardsticks(run: &Run, heldout: &Heldout) -> Result<Vec<Score>> {
    let training = read_documents(&run.paths.data().join(CLEAN_FILE))?;
    let training: Vec<&str> = training.iter().map(|document| document.text.as_str()).collect();
    let yardsticks = Yardsticks::new(&training)?;
    let texts = || heldout.documents.iter().map(|document| document.text.as_str());
    let (chinese, english): (Vec<&str>, Vec<&str>) = texts().partition(|text| is_chinese(text));
    let all: Vec<&str> = texts().collect();
    type Measure = fn(&Yardsticks, &[&str]) -> danlu_eval::Result<f64>;
    let measures: [(Names, Measure); 2] = [(ORDER5, Yardsticks::order5), (XZ, Yardsticks::xz)];
    let part = |measure: Measure, texts: &[&str]| -> Result<Option<f64>> {
        Ok(if texts.is_empty() { None } else { Some(measure(&yardsticks, texts)?) })
    };
    measures
        .into_iter()
        .map(|(names, measure)| {
            let whole = measure(&yardsticks, &all)?;
            Ok(named(names, whole, part(measure, &english)?, part(measure, &chinese)?))
        })
        .collect()
}

/// The answers to the recipe's prompts.
fn talk(run: &Run, opened: &Opened) -> Result<Vec<Sample>> {
    let (config, Some(template)) = (&run.recipe.eval, &opened.template) else {
        return Ok(Vec::new());
    };
    let options = EngineOptions::for_model(opened.model.as_ref());
    let mut engine = Engine::new(Arc::clone(&opened.model), options)?;
    let cancel = std::sync::atomic::AtomicBool::new(false);
    let mut samples = Vec::new();
    for prompt in &config.prompts {
        let messages = [Message::new(Role::User, prompt.as_str())];
        let request = Request {
            ids: encode_chat(&opened.tokenizer, template, &messages, true)?.ids,
            sampling: config.sampling(),
            limits: Limits { max_new_tokens: config.max_new_tokens },
            stop_ids: opened.tokenizer.stop_ids(),
            log_probs: None,
        };
        let tokens = engine.start(&request, &cancel)?.collect::<danlu_infer::Result<Vec<_>>>()?;
        let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
        let answer = opened.tokenizer.decode(&ids)?;
        let turns = vec![("user".to_owned(), prompt.clone()), ("assistant".to_owned(), answer)];
        samples.push(Sample { turns });
    }
    Ok(samples)
}

/// Puts the finished model in the run's `model` folder.
fn install(run: &Run, opened: &Opened) -> Result<()> {
    let source = trained(run);
    let mut companions = Vec::new();
    for entry in fs::read_dir(&source).with_context(|| source.display().to_string())? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if let Some(name) = name.filter(|name| name != danlu_models::folder::WEIGHTS_FILE) {
            companions.push((name, fs::read(&path).with_context(|| path.display().to_string())?));
        }
    }
    companions.sort();
    write_model(opened.model.as_ref(), &companions, &run.paths.model())
}
