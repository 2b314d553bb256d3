//! How fast training is: whole steps on a random batch, with the numbers a comparison needs.
//!
//! The batch is the same every step, so the loss starts near `ln V` and falls. A step is what the
//! trainer does: forward, backward, gradient norm, optimiser.

use std::time::Instant;

use danlu_kernels::cpu::reduce::sum_of_squares;
use danlu_kernels::rng::Philox;
use danlu_models::{CausalLm, ModelInput, ModelShape};
use danlu_tensor::Device;
use danlu_tensor::autograd::backward;

use crate::config::TrainConfig;
use crate::optimizers::{Optimizer, StepSettings};
use crate::{Error, Result};

/// Steps before the clock starts: memory is taken and caches fill.
const WARM_UP_STEPS: u64 = 2;

/// A size that is timed: the model is made elsewhere, this is the batch.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Sequences.
    pub batch: usize,
    /// Tokens a sequence.
    pub tokens: usize,
    /// Timed steps.
    pub steps: u64,
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Speed {
    /// Seconds of every timed step.
    pub seconds: Vec<f64>,
    /// Loss of the first step of all, and of the last.
    pub losses: (f64, f64),
}

impl Speed {
    /// Seconds of the median step.
    #[must_use]
    pub fn median_seconds(&self) -> f64 {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Floating-point operations of a training step: six for each weight that multiplies a token, and
/// the causal half of attention, forward and twice backward.
#[must_use]
pub fn step_flops(shape: &ModelShape, matrix_weights: usize, batch: usize, tokens: usize) -> f64 {
    let width = (shape.num_heads * shape.head_dim) as f64;
    let (batch, tokens) = (batch as f64, tokens as f64);
    let products = 6.0 * matrix_weights as f64 * batch * tokens;
    let attention = 3.0 * 2.0 * batch * shape.num_layers as f64 * tokens * tokens * width;
    products + attention
}

/// Trains `model` on a random batch and times the steps.
///
/// # Errors
/// When there is not at least one step and one token, or an operation fails.
pub fn measure(model: &dyn CausalLm, config: &TrainConfig, work: &Workload) -> Result<Speed> {
    if work.steps == 0 || work.batch == 0 || work.tokens == 0 {
        let message = "a measurement needs at least one step, one sequence and one token";
        return Err(Error::Data { message: message.to_owned() });
    }
    let store = model.params();
    store.initialise(1);
    store.enable_gradients();
    let mut optimizer = Optimizer::new(config, store);
    let (ids, targets) = random_batch(model.shape().vocab_size, work);
    let input = ModelInput::new(&ids, work.batch);
    let mut speed = Speed { seconds: Vec::new(), losses: (f64::NAN, f64::NAN) };
    for step in 1..=WARM_UP_STEPS + work.steps {
        let start = Instant::now();
        let loss = one_step(model, config, &mut optimizer, (&input, &targets), step)?;
        if step == 1 {
            speed.losses.0 = loss;
        }
        speed.losses.1 = loss;
        if step > WARM_UP_STEPS {
            speed.seconds.push(start.elapsed().as_secs_f64());
        }
    }
    Ok(speed)
}

fn one_step(
    model: &dyn CausalLm,
    config: &TrainConfig,
    optimizer: &mut Optimizer,
    (input, targets): (&ModelInput<'_>, &[i32]),
    step: u64,
) -> Result<f64> {
    let store = model.params();
    let Device::Cpu(cpu) = store.device();
    store.clear_gradients();
    let out = model.loss(input, targets, 1.0 / targets.len() as f32)?;
    let one = out.loss.device().tensor(out.loss.dtype(), [], &[1.0]);
    backward(&out.loss, one)?;
    let norm = store.with_gradients(|gradients| sum_of_squares(cpu, gradients)).sqrt();
    optimizer.step(&StepSettings {
        config,
        step,
        gradient_scale: crate::trainer::clip_factor(norm, config.clip_norm),
        learning_rate: config.learning_rate,
        muon_learning_rate: config.muon_learning_rate,
        precision: store.precision(),
    });
    Ok(f64::from(out.loss.scalar()))
}

/// Random ids, and as targets the ids that follow.
fn random_batch(vocab_size: usize, work: &Workload) -> (Vec<u32>, Vec<i32>) {
    let random = Philox::new(7, 7);
    let draw = |i: usize| random.block(i as u64)[0] % vocab_size as u32;
    let row = work.tokens + 1;
    let at =
        |index: usize, shift: usize| draw(index / work.tokens * row + index % work.tokens + shift);
    let count = work.batch * work.tokens;
    ((0..count).map(|i| at(i, 0)).collect(), (0..count).map(|i| at(i, 1) as i32).collect())
}
