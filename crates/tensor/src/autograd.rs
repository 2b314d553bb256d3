//! Reverse-mode differentiation: operations record how to go back, [`backward`] walks the record.
//!
//! A forward operation computes its outputs and calls [`record`] with a closure that turns the
//! gradients of the outputs into gradients of the inputs. The closure owns what it needs (detached
//! tensors) and is consumed by the one backward pass, which frees memory as it goes. Gradients of
//! parameters are not tensors: closures add them to their [`crate::ParamStore`] directly.
//!
//! A gradient has the number of elements of its tensor, in f32 or bf16, whichever is convenient for
//! the operation that makes it; its shape may differ, since [`Tensor::reshape`] keeps the edge.
//! Where several operations used a tensor, its gradients are summed in the order of the walk, which
//! is the reverse of the order of creation; [`record_into`] lets an operation add in place.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use danlu_kernels::cpu::elementwise::{Store, add_assign};

use crate::{DType, Device, Result, Tensor, with_elements};

/// A gradient for each output or input of an operation; `None` where there is none.
pub type GradientList = Vec<Option<Tensor>>;

/// From the gradients of an operation's outputs (`None` = nothing depends on that output) and those
/// that its inputs already have from other users, to the gradients of its inputs, these included.
type Backward = Box<dyn FnOnce(GradientList, GradientList) -> Result<GradientList> + Send>;

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
    with_recording(false, f)
}

fn with_recording<T>(recording: bool, f: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            PAUSED.set(self.0);
        }
    }
    let _restore = Restore(PAUSED.replace(!recording));
    f()
}

/// Refuses to run an operation without a gradient where one would be recorded.
///
/// # Errors
/// When recording would take place: see [`is_recording`].
pub(crate) fn refuse_recording(op: &'static str, inputs: &[&Tensor], trains: bool) -> Result<()> {
    if is_recording(inputs, trains) {
        return Err(crate::Error::NotDifferentiable { op });
    }
    Ok(())
}

/// Whether an operation on these inputs has to be recorded. `trains` says that it reads a parameter
/// that wants a gradient.
#[must_use]
pub fn is_recording(inputs: &[&Tensor], trains: bool) -> bool {
    !PAUSED.get() && (trains || inputs.iter().any(|input| input.edge().is_some()))
}

/// Records an operation, or returns `outputs` as they are when no gradient can be asked for.
fn record_node(
    inputs: Vec<Option<Edge>>,
    trains: bool,
    outputs: Vec<Tensor>,
    backward: impl FnOnce(GradientList, GradientList) -> Result<GradientList> + Send + 'static,
) -> Vec<Tensor> {
    if PAUSED.get() || !(trains || inputs.iter().any(Option::is_some)) {
        return outputs;
    }
    let node = Arc::new(Node {
        id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
        inputs,
        output_count: outputs.len(),
        backward: Mutex::new(Some(Box::new(backward))),
        is_leaf: false,
    });
    let edge = |output| Edge { node: Arc::clone(&node), output };
    outputs.into_iter().enumerate().map(|(i, out)| out.with_edge(edge(i))).collect()
}

/// Records an operation with several outputs: `backward` maps their gradients to those of the
/// inputs, in the order of `inputs`.
pub fn record_many<F>(
    inputs: &[&Tensor],
    trains: bool,
    outputs: Vec<Tensor>,
    backward: F,
) -> Vec<Tensor>
where
    F: FnOnce(GradientList) -> Result<GradientList> + Send + 'static,
{
    record_node(edges(inputs), trains, outputs, move |d_outputs, so_far| {
        Ok(backward(d_outputs)?.into_iter().zip(so_far).map(|(a, b)| sum_of(a, b)).collect())
    })
}

/// Records an operation with one output: `backward` maps its gradient to those of the inputs.
pub fn record<F>(inputs: &[&Tensor], trains: bool, output: Tensor, backward: F) -> Tensor
where
    F: FnOnce(Tensor) -> Result<GradientList> + Send + 'static,
{
    let count = inputs.len();
    let one = move |mut d_outputs: GradientList| match d_outputs.pop().flatten() {
        Some(d_out) => backward(d_out),
        None => Ok(vec![None; count]),
    };
    let mut outputs = record_many(inputs, trains, vec![output], one);
    outputs.swap_remove(0)
}

fn edges(inputs: &[&Tensor]) -> Vec<Option<Edge>> {
    inputs.iter().map(|input| input.edge().cloned()).collect()
}

/// Records an operation that wrote its output into the memory of its input, of which only the edge
/// is left.
pub(crate) fn record_in_place<F>(input: Option<Edge>, output: Tensor, backward: F) -> Tensor
where
    F: FnOnce(Tensor) -> Result<Tensor> + Send + 'static,
{
    let one = move |mut d_outputs: GradientList, mut so_far: GradientList| {
        let d_input = d_outputs.pop().flatten().map(backward).transpose()?;
        Ok(vec![sum_of(so_far.pop().flatten(), d_input)])
    };
    record_node(vec![input], false, vec![output], one).swap_remove(0)
}

/// Records an operation with one input that adds in place: `backward` gets the gradients of the
/// outputs and what the input has so far, and returns the sum.
pub fn record_many_into<F>(
    input: &Tensor,
    trains: bool,
    outputs: Vec<Tensor>,
    backward: F,
) -> Vec<Tensor>
where
    F: FnOnce(GradientList, Option<Tensor>) -> Result<Option<Tensor>> + Send + 'static,
{
    record_node(edges(&[input]), trains, outputs, move |d_outputs, mut so_far| {
        Ok(vec![backward(d_outputs, so_far.pop().flatten())?])
    })
}

/// [`record_many_into`] for one output.
pub fn record_into<F>(input: &Tensor, trains: bool, output: Tensor, backward: F) -> Tensor
where
    F: FnOnce(Tensor, Option<Tensor>) -> Result<Tensor> + Send + 'static,
{
    let one = move |mut d_outputs: GradientList, so_far| match d_outputs.pop().flatten() {
        Some(d_out) => backward(d_out, so_far).map(Some),
        None => Ok(so_far),
    };
    record_many_into(input, trains, vec![output], one).swap_remove(0)
}

/// Records `sum = x + delta, out = f(sum)`: `backward` adds the gradient of `sum` that comes from
/// `out` to what `sum` has from elsewhere. The result is the gradient of both `x` and `delta`.
pub fn record_residual<F>(
    inputs: [&Tensor; 2],
    trains: bool,
    (sum, out): (Tensor, Tensor),
    backward: F,
) -> (Tensor, Tensor)
where
    F: FnOnce(Option<Tensor>, Tensor) -> Result<Tensor> + Send + 'static,
{
    let both = move |mut d_outputs: GradientList| {
        let (d_out, d_sum) = (d_outputs.pop().flatten(), d_outputs.pop().flatten());
        let d_sum = match d_out {
            Some(d_out) => Some(backward(d_sum, d_out)?),
            None => d_sum,
        };
        Ok(vec![d_sum.clone(), d_sum])
    };
    let mut outputs = record_many(&inputs, trains, vec![sum, out], both);
    let out = outputs.swap_remove(1);
    (outputs.swap_remove(0), out)
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

/// Operations that still wait for the gradients of their outputs, by creation order: the youngest
/// has no user left that could add to them.
type Pending = BTreeMap<u64, (Arc<Node>, GradientList)>;

/// Walks back from `root` with the gradient `seed` (of as many elements), adds to the gradients of
/// every parameter on the way and returns those of the leaves.
///
/// # Errors
/// When an operation's backward fails.
pub fn backward(root: &Tensor, seed: Tensor) -> Result<Gradients> {
    assert_eq!(seed.shape().len(), root.shape().len(), "elements of a gradient and of its tensor");
    let mut found = Gradients::default();
    let Some(edge) = root.edge() else { return Ok(found) };
    let mut pending = Pending::new();
    add_pending(&mut pending, edge, seed);
    while let Some((id, (node, gradients))) = pending.pop_last() {
        if node.is_leaf {
            found.0.extend(gradients.into_iter().flatten().map(|gradient| (id, gradient)));
            continue;
        }
        let backward = node.backward.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A second walk over the same record finds nothing to do, as its memory is gone.
        let Some(backward) = backward else { continue };
        let so_far = node.inputs.iter().map(|edge| take_pending(&mut pending, edge)).collect();
        for (edge, gradient) in node.inputs.iter().zip(backward(gradients, so_far)?) {
            if let (Some(edge), Some(gradient)) = (edge, gradient) {
                add_pending(&mut pending, edge, gradient);
            }
        }
    }
    Ok(found)
}

fn take_pending(pending: &mut Pending, edge: &Option<Edge>) -> Option<Tensor> {
    let edge = edge.as_ref()?;
    pending.get_mut(&edge.node.id)?.1[edge.output].take()
}

fn add_pending(pending: &mut Pending, edge: &Edge, gradient: Tensor) {
    let (_, slots) = pending
        .entry(edge.node.id)
        .or_insert_with(|| (Arc::clone(&edge.node), vec![None; edge.node.output_count]));
    let slot = &mut slots[edge.output];
    *slot = sum_of(slot.take(), Some(gradient));
}

/// Where an operation writes the gradient of an input: what the input has so far, to add to, or new
/// memory to overwrite. Sums are f32; `dtype` is for a gradient that is the first.
pub(crate) fn place_for(so_far: Option<Tensor>, x: &Tensor, dtype: DType) -> (Tensor, Store) {
    let Some(mut sum) = so_far else {
        return (x.device().empty(dtype, x.shape()), Store::Overwrite);
    };
    if sum.dtype() != DType::F32 || !sum.is_unique() {
        sum = sum.copy_as(DType::F32);
    }
    (sum, Store::Accumulate)
}

/// `a + b`, in place in an f32 operand that nobody else holds if there is one.
fn sum_of(a: Option<Tensor>, b: Option<Tensor>) -> Option<Tensor> {
    let (mut a, mut b) = match (a, b) {
        (Some(a), Some(b)) => (a, b),
        (one, none) => return one.or(none),
    };
    let in_place = |t: &mut Tensor| t.dtype() == DType::F32 && t.is_unique();
    if !in_place(&mut a) && in_place(&mut b) {
        std::mem::swap(&mut a, &mut b);
    }
    if !in_place(&mut a) {
        a = a.copy_as(DType::F32);
    }
    let Device::Cpu(cpu) = a.device().clone();
    with_elements!(a.storage_mut(), |sum| with_elements!(b.storage(), |x| add_assign(
        &cpu, sum, x
    )));
    Some(a)
}

/// `f(x)` without keeping what `f` would save for its backward: the backward computes `f` again.
/// Costs one more forward, saves all activations inside `f` ("gradient checkpointing", Chen et al.
/// 2016, arXiv:1604.06174). `f` must compute the same value each time; `trains` says that it reads
/// parameters that want gradients.
///
/// # Errors
/// When `f` fails.
pub fn recompute<F>(x: &Tensor, trains: bool, f: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + 'static,
{
    let saved = x.detach();
    let out = no_grad(|| f(&saved))?;
    Ok(record(&[x], trains, out, move |d_out| {
        let leaf = saved.leaf();
        let again = with_recording(true, || f(&leaf))?;
        Ok(vec![backward(&again, d_out)?.take(&leaf)])
    }))
}
