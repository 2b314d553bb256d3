//! A small run for the tests of this crate: a model of either family, some documents, a watcher
//! that can meddle, and the files a run leaves as bytes to compare.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use danlu_data::{Loader, Mode, ShardBuilder, TokenShard};
use danlu_kernels::Precision;
use danlu_kernels::rng::Philox;
use danlu_models::config::{ConfigJson, SpecialIds};
use danlu_models::families::find_family;
use danlu_models::{BuildOptions, CausalLm, Gpt2Config, LlamaConfig, ModelShape};
use danlu_tensor::{Device, ParamStore};
use danlu_train::{
    Error, Observer, Outcome, Result, RunIdentity, Setup, StepRecord, TrainConfig, Trainer,
};

/// Both families.
pub const FAMILIES: &[&str] = &["llama", "gpt2"];
pub const PRECISIONS: &[Precision] = &[Precision::F32, Precision::Bf16];
const VOCAB_SIZE: usize = 96;
const CONTEXT: usize = 32;
const DOCUMENTS: u64 = 40;

/// One run.
#[derive(Clone)]
pub struct World {
    pub family: &'static str,
    pub precision: Precision,
    pub threads: usize,
    pub config: TrainConfig,
    pub identity: RunIdentity,
}

impl World {
    pub fn new(family: &'static str, precision: Precision) -> Self {
        let config = TrainConfig {
            steps: 8,
            batch_size: 8,
            micro_batch_size: 4,
            context_len: CONTEXT,
            warmup_steps: 2,
            checkpoint_every: 3,
            eval_every: 1,
            learning_rate: 3e-3,
            ..TrainConfig::default()
        };
        let identity =
            ["these settings", "this data", "this tokenizer", "seed 5"].map(str::to_owned);
        let [settings, data, tokenizer, start] = identity;
        let identity = RunIdentity { settings, data, tokenizer, start };
        Self { family, precision, threads: 1, config, identity }
    }

    pub fn model(&self) -> Box<dyn CausalLm> {
        let shape = ModelShape {
            num_layers: 2,
            num_heads: 4,
            num_kv_heads: if self.family == "llama" { 2 } else { 4 },
            head_dim: 16,
            hidden_size: 64,
            ffn_size: 96,
            vocab_size: VOCAB_SIZE,
            context_len: CONTEXT,
        };
        let special_ids = SpecialIds { bos: Some(0), eos: vec![1], pad: None };
        let json = match self.family {
            "llama" => LlamaConfig {
                shape,
                norm_eps: 1e-5,
                rope_theta: 10_000.0,
                tie_embeddings: false,
                special_ids,
            }
            .write(),
            "gpt2" => Gpt2Config { shape, norm_eps: 1e-5, special_ids }.write(),
            other => panic!("there is no family {other}"),
        };
        let json = ConfigJson::new("a test", json);
        let options = BuildOptions {
            recompute: self.config.recompute,
            ..BuildOptions::trainable(Device::cpu(self.threads).unwrap(), self.precision)
        };
        let model = (find_family(&json).unwrap().build)(&json, &options).unwrap();
        model.params().initialise(5);
        model
    }

    pub fn loader(&self) -> Loader {
        let config = &self.config;
        let (rows, context) = (config.batch_size, config.context_len);
        Loader::new(shard(), rows, context, config.seed, Mode::Pretrain).unwrap()
    }

    /// Runs, or goes on, in `folder`.
    pub fn train(&self, folder: &Path, observer: &mut Watcher<'_>) -> Result<Outcome> {
        self.train_model(self.model().as_ref(), folder, observer)
    }

    pub fn train_model(
        &self,
        model: &dyn CausalLm,
        folder: &Path,
        observer: &mut Watcher<'_>,
    ) -> Result<Outcome> {
        observer.store = Some(Arc::clone(model.params()));
        let loader = self.loader();
        let setup = Setup {
            model,
            config: &self.config,
            loader: &loader,
            folder: folder.to_owned(),
            companions: vec![("config.json".to_owned(), b"{}".to_vec())],
            identity: self.identity.clone(),
        };
        Trainer::new(setup, observer)?.run(observer)
    }

    /// The files of an undisturbed run.
    pub fn undisturbed(&self) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let outcome = self.train(folder.path(), &mut Watcher::default()).unwrap();
        assert_eq!(outcome, Outcome::Finished);
        files(folder.path())
    }

    /// Names of the documents in the batch of a step, counted from 1.
    pub fn documents(&self, step: u64) -> Vec<String> {
        let loader = self.loader();
        let mut cursor = danlu_data::Cursor::default();
        let batches = (0..step).map(|_| loader.next_batch(&mut cursor).unwrap());
        loader.document_names(&batches.last().unwrap()).unwrap()
    }
}

/// Documents of 3 to 40 tokens; in every third only half of the tokens are learned.
fn shard() -> TokenShard {
    let mut builder = ShardBuilder::new(&"ab".repeat(32), VOCAB_SIZE);
    for number in 0..DOCUMENTS {
        let random = Philox::new(9, number);
        let length = 3 + random.block(0)[0] as usize % 38;
        // A few tokens follow each other often, so that there is something to learn.
        let id =
            |i: usize| random.block(i as u64 + 1)[0] % if i.is_multiple_of(3) { 5 } else { 96 };
        let ids: Vec<u32> = (0..length).map(id).collect();
        let learned: Vec<bool> =
            (0..length).map(|i: usize| !number.is_multiple_of(3) || i.is_multiple_of(2)).collect();
        builder.push(&format!("document {number}"), &ids, Some(&learned)).unwrap();
    }
    builder.finish().unwrap()
}

/// Something done after a step, with the weights at hand.
type Meddle<'a> = Box<dyn FnMut(u64, &ParamStore) + 'a>;

/// Watches a run; may stop it, break it off as a kill would, or meddle with the weights.
#[derive(Default)]
pub struct Watcher<'a> {
    pub notes: Vec<String>,
    pub records: Vec<StepRecord>,
    pub stop_at: Option<u64>,
    pub break_off_at: Option<u64>,
    pub meddle: Option<Meddle<'a>>,
    pub store: Option<Arc<ParamStore>>,
    pub looks: u64,
}

impl Observer for Watcher<'_> {
    fn step(&mut self, record: &StepRecord, _seconds: f64) {
        self.records.push(record.clone());
        if let (Some(meddle), Some(store)) = (&mut self.meddle, &self.store) {
            meddle(record.step, store);
        }
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn stopped(&self) -> bool {
        self.records.last().map(|record| record.step) == self.stop_at && self.stop_at.is_some()
    }

    /// A number that depends on every weight.
    fn heldout(&mut self, model: &dyn CausalLm) -> Result<Option<f64>> {
        self.looks += 1;
        if Some(self.looks) == self.break_off_at {
            return Err(Error::Data { message: "broken off".to_owned() });
        }
        Ok(Some(model.params().values().iter().map(|&weight| f64::from(weight)).sum()))
    }
}

/// Bytes by path.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The newest checkpoint and the log.
pub fn files(folder: &Path) -> Files {
    let mut found = Files::new();
    found.insert("metrics.jsonl".to_owned(), fs::read(folder.join("metrics.jsonl")).unwrap());
    let newest = checkpoints(folder).pop().unwrap();
    for entry in fs::read_dir(folder.join("checkpoints").join(&newest)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        found.insert(format!("{newest}/{name}"), fs::read(path).unwrap());
    }
    found
}

/// Names of the checkpoints and of whatever else lies beside them, sorted.
pub fn checkpoints(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder.join("checkpoints")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Names the files that differ, instead of printing their bytes.
pub fn assert_same(found: &Files, expected: &Files, what: &str) {
    let names: Vec<_> = found.keys().collect();
    assert_eq!(names, expected.keys().collect::<Vec<_>>(), "{what}: other files");
    for (name, bytes) in expected {
        assert!(found[name] == *bytes, "{what}: {name} differs");
    }
}
