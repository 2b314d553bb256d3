//! Optimisers: which rule moves which parameter, and the state they keep in flat buffers.

mod adamw;
mod muon;

use std::sync::Arc;

use danlu_kernels::{Buffer, Cpu, Precision, bf16};
use danlu_tensor::{Device, ParamSpec, ParamStore};

use crate::config::{Moments, OptimizerKind, TrainConfig};

/// Every optimiser with what a recipe calls it.
pub const OPTIMIZERS: &[(OptimizerKind, &str)] =
    &[(OptimizerKind::Adamw, "adamw"), (OptimizerKind::Muon, "muon")];

/// The rule that moves a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// AdamW, with weight decay or without.
    AdamW {
        /// Matrices decay; norms and biases, which have one dimension, do not.
        decay: bool,
    },
    /// Muon, for the matrices inside the blocks.
    Muon,
}

/// Flat optimiser state in one of two types.
#[derive(Debug)]
pub enum FlatState {
    /// 4 bytes a weight.
    F32(Buffer<f32>),
    /// 2 bytes a weight.
    Bf16(Buffer<bf16>),
}

/// The numbers of one step.
#[derive(Clone, Copy, Debug)]
pub struct StepSettings<'a> {
    /// The recipe.
    pub config: &'a TrainConfig,
    /// The step, counted from 1.
    pub step: u64,
    /// Factor on every gradient, from clipping.
    pub gradient_scale: f64,
    /// Rate of AdamW's parameters.
    pub learning_rate: f64,
    /// Rate of Muon's parameters.
    pub muon_learning_rate: f64,
    /// Precision of Muon's products.
    pub precision: Precision,
}

/// The optimiser of a run: a rule for every parameter and the state of all.
pub struct Optimizer {
    store: Arc<ParamStore>,
    rules: Vec<Rule>,
    /// AdamW's mean of gradients, or Muon's momentum.
    pub first: FlatState,
    /// AdamW's mean of squared gradients.
    pub second: FlatState,
}

impl Optimizer {
    /// The optimiser that `config` asks for, with zero state.
    #[must_use]
    pub fn new(config: &TrainConfig, store: &Arc<ParamStore>) -> Self {
        let Device::Cpu(cpu) = store.device();
        let zeros = || match config.moments {
            Moments::F32 => FlatState::F32(cpu.arena.zeros(store.flat_len())),
            Moments::Bf16 => FlatState::Bf16(cpu.arena.zeros(store.flat_len())),
        };
        let rules = store.specs().iter().map(|spec| rule(config.optimizer, spec)).collect();
        Self { store: Arc::clone(store), rules, first: zeros(), second: zeros() }
    }

    /// Moves every parameter once.
    pub fn step(&mut self, settings: &StepSettings<'_>) {
        let store = Arc::clone(&self.store);
        let Device::Cpu(cpu) = store.device();
        let specs = store.specs();
        store.step(|values, gradients| {
            for (spec, rule) in specs.iter().zip(self.rules.clone()) {
                let range = spec.range();
                let (value, gradient) = (&mut values[range.clone()], &gradients[range]);
                self.step_one(cpu, settings, (spec, rule), value, gradient);
            }
        });
    }

    fn step_one(
        &mut self,
        cpu: &Cpu,
        settings: &StepSettings<'_>,
        (spec, rule): (&ParamSpec, Rule),
        value: &mut [f32],
        gradient: &[f32],
    ) {
        match (rule, &mut self.first) {
            (Rule::Muon, FlatState::F32(average)) => {
                let shape = (spec.shape.rows(), spec.shape.cols());
                let average = &mut average[spec.range()];
                muon::step(cpu, settings, shape, value, gradient, average);
            }
            (Rule::Muon, FlatState::Bf16(_)) => {
                unreachable!("the recipe's check refuses Muon with bf16 moments")
            }
            (Rule::AdamW { decay }, first) => {
                let state = (first, &mut self.second);
                adamw::step(cpu, settings, decay, spec.range(), (value, gradient), state);
            }
        }
    }
}

/// Which rule a parameter follows: matrices inside blocks may be Muon's; embeddings, the head and
/// everything with one dimension are AdamW's.
#[must_use]
pub fn rule(kind: OptimizerKind, spec: &ParamSpec) -> Rule {
    let matrix = spec.shape.dims().len() == 2;
    // Published checkpoints number their blocks `layers.N.` (LLaMA) or `h.N.` (GPT-2).
    let in_block = spec.name.split('.').any(|part| part.parse::<usize>().is_ok());
    match kind {
        OptimizerKind::Muon if matrix && in_block => Rule::Muon,
        _ => Rule::AdamW { decay: matrix },
    }
}

/// Bytes of optimiser state per weight.
#[must_use]
pub fn state_bytes_per_weight(moments: Moments) -> usize {
    match moments {
        Moments::F32 => 8,
        Moments::Bf16 => 4,
    }
}
