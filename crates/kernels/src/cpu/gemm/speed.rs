//! How fast products are: the shapes of two training steps, timed with operands in memory and with
//! operands in the shared cache. In a step some come from the one and some from the other.

use std::time::Instant;

use super::{Epilogue, Matrix, MatrixMut, Packed, Right, gemm};
use crate::arena::Buffer;
use crate::element::{Element, Precision};
use crate::{Cpu, bf16};

/// Where a product stands in a training step; decides layouts and types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `Y = X W^T`: the weight `[N, K]` is packed before, once a step.
    Forward,
    /// `dX = dY W`: the weight `[K, N]` is packed before, once a step.
    InputGradient,
    /// `dW += dY^T X` into f32: both come from memory, `[K, M]` and `[K, N]`.
    WeightGradient,
    /// `Y = X W^T` from memory, packing included.
    Plain,
}

/// One product of a training step.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it is, for the reader of a table.
    pub name: &'static str,
    /// Rows, columns, depth.
    pub mnk: (usize, usize, usize),
    /// Layouts and types.
    pub role: Role,
}

const fn shape(name: &'static str, mnk: (usize, usize, usize), role: Role) -> Shape {
    Shape { name, mnk, role }
}

/// The products of a small LLaMA (2048 tokens, width 384) and of GPT-2 (1024 tokens, width 768).
pub const SHAPES: &[Shape] = &[
    shape("square 1024", (1024, 1024, 1024), Role::Plain),
    shape("square 2048", (2048, 2048, 2048), Role::Plain),
    shape("llama projection", (2048, 384, 384), Role::Forward),
    shape("llama gate, up", (2048, 1024, 384), Role::Forward),
    shape("llama down", (2048, 384, 1024), Role::Forward),
    shape("llama head, chunk", (512, 8192, 384), Role::Forward),
    shape("llama projection dX", (2048, 384, 384), Role::InputGradient),
    shape("llama gate, up dX", (2048, 384, 1024), Role::InputGradient),
    shape("llama down dX", (2048, 1024, 384), Role::InputGradient),
    shape("llama head dX, chunk", (512, 384, 8192), Role::InputGradient),
    shape("llama projection dW", (384, 384, 2048), Role::WeightGradient),
    shape("llama gate, up dW", (1024, 384, 2048), Role::WeightGradient),
    shape("llama down dW", (384, 1024, 2048), Role::WeightGradient),
    shape("llama head dW, chunk", (8192, 384, 512), Role::WeightGradient),
    shape("gpt2 qkv", (1024, 2304, 768), Role::Forward),
    shape("gpt2 projection", (1024, 768, 768), Role::Forward),
    shape("gpt2 up", (1024, 3072, 768), Role::Forward),
    shape("gpt2 down", (1024, 768, 3072), Role::Forward),
    shape("gpt2 up dX", (1024, 768, 3072), Role::InputGradient),
    shape("gpt2 down dX", (1024, 3072, 768), Role::InputGradient),
    shape("gpt2 up dW", (3072, 768, 1024), Role::WeightGradient),
    shape("gpt2 down dW", (768, 3072, 1024), Role::WeightGradient),
    shape("gpt2 head, chunk", (256, 50257, 768), Role::Forward),
    shape("gpt2 head dX, chunk", (256, 768, 50257), Role::InputGradient),
    shape("gpt2 head dW, chunk", (50257, 768, 256), Role::WeightGradient),
];

/// Where the operands lie when a product starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operands {
    /// Used by the call before the last one.
    InCache,
    /// Not used for at least 64 MB, more than the caches hold.
    InMemory,
}

/// Bytes that are cycled through for operands in memory.
const CYCLE_BYTES: usize = 64 << 20;
/// Timed calls.
const CALLS: usize = 15;

/// GFLOP/s of a product as a training step of `precision` has it (bf16 operands for bf16
/// products), the median of some calls.
#[must_use]
pub fn gflops(cpu: &Cpu, precision: Precision, shape: &Shape, operands: Operands) -> f64 {
    match precision {
        Precision::F32 => gflops_of::<f32>(cpu, precision, shape, operands),
        Precision::Bf16 => gflops_of::<bf16>(cpu, precision, shape, operands),
    }
}

/// GFLOP/s of a product with its operands in memory, as [`gflops`].
#[must_use]
pub fn step_gflops(cpu: &Cpu, precision: Precision, shape: &Shape) -> f64 {
    gflops(cpu, precision, shape, Operands::InMemory)
}

fn gflops_of<T: Element>(cpu: &Cpu, precision: Precision, shape: &Shape, operands: Operands) -> f64
where
    for<'a> &'a [T]: Into<super::Elements<'a>>,
    for<'a> &'a mut [T]: Into<super::ElementsMut<'a>>,
{
    let (m, n, k) = shape.mnk;
    let count = match operands {
        Operands::InCache => 2,
        Operands::InMemory => {
            1 + CYCLE_BYTES.div_ceil((m * k + m * n) * size_of::<T>() + n * k * 2)
        }
    };
    let mut sets: Vec<Set<T>> = (0..count).map(|_| Set::new(cpu, precision, shape)).collect();
    let mut seconds = [0.0; CALLS];
    for call in 0..CALLS + count {
        let start = Instant::now();
        sets[call % count].multiply(cpu, precision, shape);
        if let Some(call) = call.checked_sub(count) {
            seconds[call] = start.elapsed().as_secs_f64();
        }
    }
    seconds.sort_by(f64::total_cmp);
    2.0 * (m * n * k) as f64 / seconds[CALLS / 2] / 1e9
}
struct Set<T: Element> {
    a: Buffer<T>,
    b: Buffer<T>,
    c: Buffer<T>,
    sums: Buffer<f32>,
    packed: Option<Packed>,
}

impl<T: Element> Set<T>
where
    for<'a> &'a [T]: Into<super::Elements<'a>>,
    for<'a> &'a mut [T]: Into<super::ElementsMut<'a>>,
{
    fn new(cpu: &Cpu, precision: Precision, shape: &Shape) -> Self {
        let ((m, n, k), gradient) = (shape.mnk, shape.role == Role::WeightGradient);
        let mut a = cpu.arena.buffer::<T>(m * k);
        let mut b = cpu.arena.buffer::<T>(n * k);
        for (index, value) in a.iter_mut().chain(b.iter_mut()).enumerate() {
            *value = T::from_f32((index % 17) as f32 * 0.25 - 2.0);
        }
        let packed = match shape.role {
            Role::Forward => Some(Matrix::new(&b[..], n, k).t()),
            Role::InputGradient => Some(Matrix::new(&b[..], k, n)),
            Role::WeightGradient | Role::Plain => None,
        };
        let packed = packed.map(|matrix| Packed::new(cpu, precision, &matrix));
        let c = cpu.arena.zeros(if gradient { 0 } else { m * n });
        let sums = cpu.arena.zeros(if gradient { m * n } else { 0 });
        Self { a, b, c, sums, packed }
    }

    fn multiply(&mut self, cpu: &Cpu, precision: Precision, shape: &Shape) {
        let (m, n, k) = shape.mnk;
        let right = match (&self.packed, shape.role) {
            (Some(packed), _) => Right::Packed(packed),
            (None, Role::WeightGradient) => Right::Matrix(Matrix::new(&self.b[..], k, n)),
            (None, _) => Right::Matrix(Matrix::new(&self.b[..], n, k).t()),
        };
        if shape.role == Role::WeightGradient {
            let left = Matrix::new(&self.a[..], k, m).t();
            let mut c = MatrixMut::new(&mut self.sums[..], m, n);
            let epilogue = Epilogue { accumulate: true, ..Epilogue::default() };
            gemm(cpu, precision, &left, &right, &mut c, &epilogue);
        } else {
            let left = Matrix::new(&self.a[..], m, k);
            let mut c = MatrixMut::new(&mut self.c[..], m, n);
            gemm(cpu, precision, &left, &right, &mut c, &Epilogue::default());
        }
    }
}
