//! Mixture of experts (Shazeer et al. 2017, arXiv:1701.06538): [`route`] says which experts a
//! token is given to and how much each counts, [`mix`] adds up what they made of it. Between the
//! two, each expert gets its tokens' rows by [`super::select_rows`].
//!
//! `logits: [rows, E]` of either type, `p = softmax(logits)` in f32. A row's slots are its `k` most
//! probable experts, most probable first; `weights: [rows, k]` f32 are their `p`, or with
//! `renormalise` their share of the sum of these. `out[row] = Σ_s weights[row, s] * y[row, s]`,
//! `y[row, s]` being the row's row in the output of the expert of slot `s`.
//!
//! The choice has no gradient, its probabilities have one: with `w` the weights,
//! `d_p = d_w`, or `(d_w - Σ w d_w) / Σ p` if they were renormalised, zero for experts not chosen.
//! `d_y[row, s] = weights[row, s] * d_out[row]`, `d_weights[row, s] = d_out[row] · y[row, s]`.

use std::sync::Arc;

use danlu_kernels::Buffer;
use danlu_kernels::cpu::experts::{self as kernel, Place};
use danlu_kernels::cpu::softmax::{softmax, softmax_backward};

use crate::autograd::record;
use crate::{DType, Device, Error, Result, Storage, Tensor, bf16, with_elements};

/// Which experts each row is given to.
pub struct Routing {
    /// How much each of a row's experts counts, `[rows, k]` f32.
    pub weights: Tensor,
    /// The experts that have rows, in order.
    pub groups: Vec<Group>,
    /// Where each slot's row lies: its group, and its place there. `[rows * k]`
    places: Arc<[Place]>,
}

/// The rows of an expert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub expert: usize,
    /// The rows it is given, in order.
    pub rows: Vec<usize>,
    /// The slots that these rows have for it.
    slots: Vec<u32>,
}

/// Gives each row of `logits` `[rows, E]` to its `k` most probable experts.
///
/// # Errors
/// When there are fewer than `k` experts, or `k` is 0.
pub fn route(logits: &Tensor, k: usize, renormalise: bool) -> Result<Routing> {
    let (rows, experts) = (logits.shape().rows(), logits.shape().cols());
    if !(1..=experts).contains(&k) || rows == 0 {
        return Err(logits.shape_error("route", "the logits", format!("rows of {k} experts")));
    }
    let Device::Cpu(cpu) = logits.device();
    let mut p = cpu.arena.buffer::<f32>(rows * experts);
    with_elements!(logits.storage(), |logits| softmax(cpu, logits, experts, &mut p));
    let mut chosen = vec![0; rows * k];
    kernel::choose(cpu, &p, experts, k, &mut chosen);

    let mut weights = logits.device().empty(DType::F32, [rows, k]);
    let values = weights.as_f32_mut("route", "the weights")?;
    for (row, (values, chosen)) in values.chunks_mut(k).zip(chosen.chunks(k)).enumerate() {
        for (value, &expert) in values.iter_mut().zip(chosen) {
            *value = p[row * experts + expert as usize];
        }
        if renormalise {
            let sum: f32 = values.iter().sum();
            values.iter_mut().for_each(|value| *value /= sum);
        }
    }
    let (groups, places) = grouped(&chosen, k, experts);
    let saved =
        Saved { logits: logits.detach(), p, weights: weights.detach(), chosen, renormalise };
    let weights = record(&[logits], false, weights, move |d_weights| {
        Ok(vec![Some(saved.backward(&d_weights.into_dtype(DType::F32))?)])
    });
    Ok(Routing { weights, groups, places: places.into() })
}

/// The slots of each expert, and where each slot is then.
fn grouped(chosen: &[u32], k: usize, experts: usize) -> (Vec<Group>, Vec<Place>) {
    let mut slots = vec![Vec::new(); experts];
    for (slot, &expert) in chosen.iter().enumerate() {
        slots[expert as usize].push(slot as u32);
    }
    let (mut groups, mut places) = (Vec::new(), vec![Place::default(); chosen.len()]);
    for (expert, slots) in slots.into_iter().enumerate().filter(|(_, slots)| !slots.is_empty()) {
        for (row, &slot) in slots.iter().enumerate() {
            places[slot as usize] = Place { part: groups.len() as u32, row: row as u32 };
        }
        let rows = slots.iter().map(|&slot| slot as usize / k).collect();
        groups.push(Group { expert, rows, slots });
    }
    (groups, places)
}

/// What the backward of [`route`] needs.
struct Saved {
    logits: Tensor,
    p: Buffer<f32>,
    weights: Tensor,
    chosen: Vec<u32>,
    renormalise: bool,
}

impl Saved {
    fn backward(self, d_weights: &Tensor) -> Result<Tensor> {
        let Device::Cpu(cpu) = self.logits.device();
        let (experts, k) = (self.logits.shape().cols(), self.weights.shape().cols());
        let (weights, d_weights) =
            (self.weights.as_f32("route", "weights")?, d_weights.as_f32("route", "d_weights")?);
        let mut d_p = cpu.arena.zeros::<f32>(self.p.len());
        let slots = weights.chunks(k).zip(d_weights.chunks(k)).zip(self.chosen.chunks(k));
        let rows = self.p.chunks(experts).zip(d_p.chunks_mut(experts));
        for ((p, d_p), ((weights, d_weights), chosen)) in rows.zip(slots) {
            let (mut mean, mut sum) = (0.0, 1.0);
            if self.renormalise {
                mean = weights.iter().zip(d_weights).map(|(w, d)| w * d).sum();
                sum = chosen.iter().map(|&expert| p[expert as usize]).sum();
            }
            for (&expert, d) in chosen.iter().zip(d_weights) {
                d_p[expert as usize] = (d - mean) / sum;
            }
        }
        let mut d_logits = self.logits.device().empty(self.logits.dtype(), self.logits.shape());
        with_elements!(d_logits.storage_mut(), |d_logits| {
            softmax_backward(cpu, &self.p, &d_p, experts, d_logits);
        });
        Ok(d_logits)
    }
}

/// The sum of what the experts of each row made of it, weighted: `[rows, D]` in the type of
/// `outputs`, which has `[rows of the group, D]` for each of the routing's groups.
///
/// # Errors
/// When `outputs` are not one for each group, of as many rows, of one width and type.
pub fn mix(routing: &Routing, outputs: &[Tensor]) -> Result<Tensor> {
    const OP: &str = "mix";
    let Routing { weights, groups, places } = routing;
    let (rows, k) = (weights.shape().rows(), weights.shape().cols());
    let first = outputs.first().filter(|_| outputs.len() == groups.len()).ok_or_else(|| {
        let message = format!("{} outputs of {} experts", outputs.len(), groups.len());
        Error::Value { op: OP, message }
    })?;
    let (dtype, width) = (first.dtype(), first.shape().cols());
    for (output, group) in outputs.iter().zip(groups) {
        output.expect_shape(OP, "an expert's output", [group.rows.len(), width])?;
        output.expect_dtype(OP, "an expert's output", dtype)?;
    }
    let Device::Cpu(cpu) = weights.device();
    let mut out = weights.device().empty(dtype, [rows, width]);
    let values = weights.as_f32(OP, "the weights")?;
    match out.storage_mut() {
        Storage::F32(out) => kernel::mix(cpu, &f32_parts(outputs)?, places, values, k, out),
        Storage::Bf16(out) => kernel::mix(cpu, &bf16_parts(outputs), places, values, k, out),
    }
    let saved = Mixed {
        weights: weights.detach(),
        places: Arc::clone(places),
        outputs: outputs.iter().map(Tensor::detach).collect(),
        slots: groups.iter().map(|group| group.slots.clone()).collect(),
    };
    let inputs: Vec<&Tensor> = std::iter::once(weights).chain(outputs).collect();
    Ok(record(&inputs, false, out, move |d_out| saved.backward(&d_out)))
}

/// What the backward of [`mix`] needs.
struct Mixed {
    weights: Tensor,
    places: Arc<[Place]>,
    outputs: Vec<Tensor>,
    slots: Vec<Vec<u32>>,
}

impl Mixed {
    fn backward(self, d_out: &Tensor) -> Result<Vec<Option<Tensor>>> {
        const OP: &str = "mix";
        let Device::Cpu(cpu) = self.weights.device();
        let (shape, places) = (self.weights.shape(), &*self.places);
        let k = shape.cols();
        let weights = self.weights.as_f32(OP, "the weights")?;
        let mut d_weights = self.weights.device().empty(DType::F32, shape);
        let sums = d_weights.as_f32_mut(OP, "d_weights")?;
        with_elements!(d_out.storage(), |d_out| match self.outputs[0].dtype() {
            DType::F32 => {
                let parts = f32_parts(&self.outputs)?;
                kernel::mix_backward_weights(cpu, &parts, places, d_out, k, sums);
            }
            DType::Bf16 => {
                let parts = bf16_parts(&self.outputs);
                kernel::mix_backward_weights(cpu, &parts, places, d_out, k, sums);
            }
        });
        let mut gradients = vec![Some(d_weights)];
        for (output, slots) in self.outputs.iter().zip(&self.slots) {
            let mut d_part = output.device().empty(output.dtype(), output.shape());
            with_elements!(d_out.storage(), |d_out| {
                with_elements!(d_part.storage_mut(), |d_part| {
                    kernel::mix_backward_part(cpu, slots, weights, d_out, k, d_part);
                });
            });
            gradients.push(Some(d_part));
        }
        Ok(gradients)
    }
}

fn f32_parts(outputs: &[Tensor]) -> Result<Vec<&[f32]>> {
    outputs.iter().map(|output| output.as_f32("mix", "an expert's output")).collect()
}

fn bf16_parts(outputs: &[Tensor]) -> Vec<&[bf16]> {
    fn of_bf16(output: &Tensor) -> Option<&[bf16]> {
        match output.storage() {
            Storage::Bf16(part) => Some(part),
            Storage::F32(_) => None,
        }
    }
    outputs.iter().filter_map(of_bf16).collect()
}
