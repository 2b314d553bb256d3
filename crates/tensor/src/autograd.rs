//! Reverse-mode differentiation: operations record how to go back, [`backward`] walks the record.
//!
//! A forward operation computes its outputs and calls [`record`] with a closure that turns the
//! gradients of the outputs into gradients of the inputs. The closure owns what it needs (detached
//! tensors) and is consumed by the one backward pass, which frees memory as it goes. Gradients of
//! parameters are not tensors: closures add them to their [`crate::ParamStore`] directly.
//!
//! A gradient has the number of elements of its tensor, in f32 or bf16, whichever is convenient for
//! the operation that makes it; its shape may differ, since [`Tensor::reshape`] keeps the edge.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use danlu_kernels::cpu::add::add_assign;

use crate::{DType, Device, Result, Tensor, with_elements};

/// From the gradients of an operation's outputs (`None` = nothing depends on that output) to the
/// gradients of its inputs, in the order they were recorded (`None` = no gradient wanted).
pub type Backward = Box<dyn FnOnce(Vec<Option<Tensor>>) -> Result<Vec<Option<Tensor>>> + Send>;

/// An operation that was performed and can be walked back.
pub(crate) struct Node {
    /// Creation order: an operation's inputs always have smaller numbers.
    id: u64,
    inputs: Vec<Option<Edge>>,
    output_count: usize,
    /// Taken by the backward pass; `None` also marks a leaf, whose gradient is the result.
    backward: Mutex<Option<Backward>>,
    is_leaf: bool,
}

/// "Output number `output` of `node`".
#[derive(Clone)]
pub(crate) struct Edge {
    node: Arc<Node>,
    output: usize,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static PAUSED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` without recording, as for inference.
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            PAUSED.set(self.0);
        }
    }
    let _restore = Restore(PAUSED.replace(true));
    f()
}

/// Whether an operation on these inputs has to be recorded. `trains` says that it reads a parameter
/// that wants a gradient.
#[must_use]
pub fn is_recording(inputs: &[&Tensor], trains: bool) -> bool {
    !PAUSED.get() && (trains || inputs.iter().any(|input| input.edge().is_some()))
}

/// Records an operation with several outputs and returns them with their edges. Does nothing but
/// return the outputs when no gradient can be asked for.
pub fn record_many<F>(
    inputs: &[&Tensor],
    trains: bool,
    outputs: Vec<Tensor>,
    backward: F,
) -> Vec<Tensor>
where
    F: FnOnce(Vec<Option<Tensor>>) -> Result<Vec<Option<Tensor>>> + Send + 'static,
{
    if !is_recording(inputs, trains) {
        return outputs;
    }
    let node = Arc::new(Node {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        inputs: inputs.iter().map(|input| input.edge().cloned()).collect(),
        output_count: outputs.len(),
        backward: Mutex::new(Some(Box::new(backward))),
        is_leaf: false,
    });
    let edge = |output| Edge { node: Arc::clone(&node), output };
    outputs.into_iter().enumerate().map(|(i, out)| out.with_edge(edge(i))).collect()
}

/// Records an operation with one output: `backward` maps its gradient to those of the inputs.
pub fn record<F>(inputs: &[&Tensor], trains: bool, output: Tensor, backward: F) -> Tensor
where
    F: FnOnce(Tensor) -> Result<Vec<Option<Tensor>>> + Send + 'static,
{
    if !is_recording(inputs, trains) {
        return output;
    }
    let one = move |mut gradients: Vec<Option<Tensor>>| match gradients.pop().flatten() {
        Some(gradient) => backward(gradient),
        None => Ok(Vec::new()),
    };
    let mut outputs = record_many(inputs, trains, vec![output], one);
    outputs.remove(0)
}

impl Tensor {
    /// The same values as an input whose gradient [`backward`] reports.
    #[must_use]
    pub fn leaf(&self) -> Self {
        let node = Node {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            inputs: Vec::new(),
            output_count: 1,
            backward: Mutex::new(None),
            is_leaf: true,
        };
        self.detach().with_edge(Edge { node: Arc::new(node), output: 0 })
    }
}

/// Gradients of the leaves that a backward pass reached.
#[derive(Default)]
pub struct Gradients(HashMap<u64, Tensor>);

impl Gradients {
    /// Takes the gradient of a leaf; `None` when the result does not depend on it.
    pub fn take(&mut self, leaf: &Tensor) -> Option<Tensor> {
        self.0.remove(&leaf.edge()?.node.id)
    }
}

/// Walks back from `root` with the gradient `seed` (of as many elements), adds to the gradients of
/// every parameter on the way and returns those of the leaves.
///
/// # Errors
/// When an operation's backward fails.
pub fn backward(root: &Tensor, seed: Tensor) -> Result<Gradients> {
    let mut found = Gradients::default();
    let Some(edge) = root.edge() else { return Ok(found) };
    // Nodes by creation order: the largest pending one has no pending user left.
    let mut pending: BTreeMap<u64, (Arc<Node>, Vec<Option<Tensor>>)> = BTreeMap::new();
    add_pending(&mut pending, edge, seed);
    while let Some((id, (node, gradients))) = pending.pop_last() {
        if node.is_leaf {
            found.0.extend(gradients.into_iter().flatten().map(|gradient| (id, gradient)));
            continue;
        }
        let backward = node.backward.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A second walk over the same record finds nothing to do, as its memory is gone.
        let Some(backward) = backward else { continue };
        for (edge, gradient) in node.inputs.iter().zip(backward(gradients)?) {
            if let (Some(edge), Some(gradient)) = (edge, gradient) {
                add_pending(&mut pending, edge, gradient);
            }
        }
    }
    Ok(found)
}

fn add_pending(
    pending: &mut BTreeMap<u64, (Arc<Node>, Vec<Option<Tensor>>)>,
    edge: &Edge,
    gradient: Tensor,
) {
    let (_, slots) = pending
        .entry(edge.node.id)
        .or_insert_with(|| (Arc::clone(&edge.node), vec![None; edge.node.output_count]));
    let slot = &mut slots[edge.output];
    *slot = Some(match slot.take() {
        None => gradient,
        Some(sum) => sum_of(sum, gradient),
    });
}

/// `a + b`, in place in an f32 operand that nobody else holds if there is one.
fn sum_of(mut a: Tensor, mut b: Tensor) -> Tensor {
    let in_place = |t: &mut Tensor| t.dtype() == DType::F32 && t.is_unique();
    if !in_place(&mut a) && in_place(&mut b) {
        std::mem::swap(&mut a, &mut b);
    }
    if !in_place(&mut a) {
        a = copy_f32(&a);
    }
    let Device::Cpu(cpu) = a.device().clone();
    with_elements!(a.storage_mut(), |sum| with_elements!(b.storage(), |x| add_assign(
        &cpu, sum, x
    )));
    a
}

fn copy_f32(x: &Tensor) -> Tensor {
    let Device::Cpu(cpu) = x.device();
    let mut copy = x.device().empty(DType::F32, x.shape());
    if let crate::Storage::F32(out) = copy.storage_mut() {
        with_elements!(x.storage(), |from| danlu_kernels::cpu::add::convert(cpu, from, out));
    }
    copy
}

/// `f(x)` without keeping what `f` would save for its backward: the backward computes `f` again.
/// Costs one more forward, saves all activations inside `f` ("gradient checkpointing", Chen et al.
/// 2016, arXiv:1604.06174). `f` must compute the same value each time.
///
/// # Errors
/// When `f` fails.
pub fn recompute<F>(x: &Tensor, trains: bool, f: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + 'static,
{
    let out = no_grad(|| f(&x.detach()))?;
    let saved = x.detach();
    Ok(record(&[x], trains, out, move |d_out| {
        let leaf = saved.leaf();
        let again = f(&leaf)?;
        let mut gradients = backward(&again, d_out)?;
        Ok(vec![gradients.take(&leaf)])
    }))
}
