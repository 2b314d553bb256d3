//! Weights: named parts of flat buffers, master values in f32, gradients beside them.
//!
//! Flat buffers let the optimiser work in one pass, let a checkpoint be one write, and give
//! distributed training one place to reduce. Operations add gradients here directly.
//!
//! In a store for inference matrices are *frozen*: bound to the bytes of a file, of whatever
//! format, and read there by every operation. They have no gradient; vectors stay in the flat
//! buffer.

use std::ops::{Deref, Range};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use danlu_kernels::cpu::gemm::Packed;
use danlu_kernels::quant::QuantMatrix;
use danlu_kernels::rng::Philox;
use danlu_kernels::{Buffer, Precision};

use crate::packed::PackedWeights;
use crate::{Device, Error, Frozen, Result, Shape};

/// Parameters start at multiples of so many elements in the flat buffers: whole cache lines in any
/// type, and whole blocks of the optimiser's random numbers.
const ALIGN: usize = 128;

/// How a parameter gets its first values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Normal with mean zero and this standard deviation.
    Normal(f32),
}

/// A parameter's place and name.
#[derive(Clone, Debug)]
pub struct ParamSpec {
    /// The name it has in published checkpoints.
    pub name: String,
    /// Its shape; a linear weight is `[out, in]`.
    pub shape: Shape,
    /// First element in the flat buffers.
    pub offset: usize,
    /// First values.
    pub init: Init,
    /// The place of its matrix, if it is frozen.
    pub frozen: Option<Frozen>,
}

impl ParamSpec {
    /// Its elements in the flat buffers; none if it is frozen.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        let len = if self.frozen.is_some() { 0 } else { self.shape.len() };
        self.offset..self.offset + len
    }

    /// Binds a frozen parameter to its matrix.
    ///
    /// # Errors
    /// When it is not frozen, bound already, or the matrix has another shape.
    pub fn bind(&self, matrix: QuantMatrix) -> Result<()> {
        let message = match &self.frozen {
            _ if self.shape.dims() != [matrix.rows(), matrix.cols()] => {
                format!("`{}` is {}, the matrix is {matrix:?}", self.name, self.shape)
            }
            Some(frozen) if frozen.set(matrix) => return Ok(()),
            Some(_) => format!("`{}` has a matrix already", self.name),
            None => format!("`{}` is not frozen", self.name),
        };
        Err(Error::Value { op: "bind", message })
    }
}

/// All parameters of a model. Built by adding every parameter, then allocating once.
pub struct ParamStore {
    device: Device,
    precision: Precision,
    freezes_matrices: bool,
    is_exact: bool,
    specs: RwLock<Arc<Vec<ParamSpec>>>,
    values: RwLock<Option<Buffer<f32>>>,
    gradients: RwLock<Option<Buffer<f32>>>,
    /// Per parameter: whether its gradient has been written since the last
    /// [`Self::clear_gradients`].
    written: RwLock<Vec<AtomicBool>>,
    version: AtomicU64,
    packed: PackedWeights,
}

/// One parameter of a store. Cheap to clone.
#[derive(Clone)]
pub struct Param {
    store: Arc<ParamStore>,
    index: usize,
    shape: Shape,
    range: Range<usize>,
    frozen: Option<Frozen>,
}

/// A parameter's values, to read.
pub struct Values<'a> {
    guard: RwLockReadGuard<'a, Option<Buffer<f32>>>,
    range: Range<usize>,
}

impl Deref for Values<'_> {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        self.guard.as_ref().map_or(&[], |buffer| &buffer[self.range.clone()])
    }
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

impl ParamStore {
    /// An empty store. `precision` is what operations on its parameters compute in.
    #[must_use]
    pub fn new(device: Device, precision: Precision) -> Arc<Self> {
        Self::of(device, precision, (false, false))
    }

    /// An empty store whose matrices are frozen: bind each with [`ParamSpec::bind`].
    #[must_use]
    pub fn frozen(device: Device, precision: Precision) -> Arc<Self> {
        Self::of(device, precision, (true, false))
    }

    /// As [`ParamStore::frozen`], but products with quantised matrices round nothing: slow, for
    /// comparisons in which only weights may differ.
    #[must_use]
    pub fn frozen_exact(device: Device, precision: Precision) -> Arc<Self> {
        Self::of(device, precision, (true, true))
    }

    fn of(
        device: Device,
        precision: Precision,
        (freezes_matrices, is_exact): (bool, bool),
    ) -> Arc<Self> {
        Arc::new(Self {
            device,
            precision,
            freezes_matrices,
            is_exact,
            specs: RwLock::default(),
            values: RwLock::default(),
            gradients: RwLock::default(),
            written: RwLock::default(),
            version: AtomicU64::new(0),
            packed: PackedWeights::default(),
        })
    }

    /// Where the parameters live.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What operations on the parameters compute in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Whether products with quantised matrices round nothing.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.is_exact
    }

    /// Whether matrices are bound to the bytes of a file.
    #[must_use]
    pub fn freezes_matrices(&self) -> bool {
        self.freezes_matrices
    }

    /// Names a new parameter.
    ///
    /// # Panics
    /// When the store is already allocated or the name is taken.
    pub fn add(self: &Arc<Self>, name: &str, shape: impl Into<Shape>, init: Init) -> Param {
        assert!(read(&self.values).is_none(), "`{name}` was added to an allocated store");
        let shape = shape.into();
        let mut specs = write(&self.specs);
        assert!(specs.iter().all(|spec| spec.name != name), "two parameters are named `{name}`");
        let offset = specs.last().map_or(0, |last| last.range().end.next_multiple_of(ALIGN));
        let is_matrix = shape.dims().len() == 2;
        let frozen = (self.freezes_matrices && is_matrix).then(Frozen::default);
        let spec = ParamSpec { name: name.to_owned(), shape, offset, init, frozen: frozen.clone() };
        let range = spec.range();
        Arc::make_mut(&mut specs).push(spec);
        Param { store: Arc::clone(self), index: specs.len() - 1, shape, range, frozen }
    }

    /// Every parameter in the order of the flat buffers.
    #[must_use]
    pub fn specs(&self) -> Arc<Vec<ParamSpec>> {
        Arc::clone(&read(&self.specs))
    }

    /// The spec of a name.
    ///
    /// # Errors
    /// When there is none; the error names the nearest.
    pub fn find(&self, name: &str) -> Result<ParamSpec> {
        let specs = self.specs();
        if let Some(spec) = specs.iter().find(|spec| spec.name == name) {
            return Ok(spec.clone());
        }
        let common = |other: &str| name.bytes().zip(other.bytes()).filter(|(a, b)| a == b).count();
        let nearest = specs.iter().map(|spec| spec.name.as_str()).max_by_key(|n| common(n));
        let nearest = nearest.unwrap_or("(the model has no parameters)").to_owned();
        Err(Error::UnknownParameter { name: name.to_owned(), nearest })
    }

    /// Elements of a flat buffer, padding included.
    #[must_use]
    pub fn flat_len(&self) -> usize {
        self.specs().last().map_or(0, |last| last.range().end.next_multiple_of(ALIGN))
    }

    /// Number of weights, padding excluded.
    #[must_use]
    pub fn weight_count(&self) -> usize {
        self.specs().iter().map(|spec| spec.shape.len()).sum()
    }

    /// Reserves the values, all zero.
    pub fn allocate(&self) {
        let Device::Cpu(cpu) = &self.device;
        *write(&self.values) = Some(cpu.arena.zeros(self.flat_len()));
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    /// Reserves the values and draws them: each parameter from its own stream of `seed`.
    pub fn initialise(&self, seed: u64) {
        self.allocate();
        let specs = self.specs();
        self.update(|values| {
            for (stream, spec) in specs.iter().enumerate() {
                let part = &mut values[spec.range()];
                match spec.init {
                    Init::Zeros => part.fill(0.0),
                    Init::Ones => part.fill(1.0),
                    Init::Normal(std) => {
                        self.fill_normal(part, std, Philox::new(seed, stream as u64));
                    }
                }
            }
        });
    }

    fn fill_normal(&self, part: &mut [f32], std: f32, philox: Philox) {
        const CHUNK: usize = 4096;
        let Device::Cpu(cpu) = &self.device;
        cpu.pool.for_each_chunk(part, CHUNK, |chunk, out| {
            for (i, value) in out.iter_mut().enumerate() {
                *value = (philox.normal((chunk * CHUNK + i) as u64) * f64::from(std)) as f32;
            }
        });
    }

    /// All values, to read: the flat buffer.
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        let guard = read(&self.values);
        let range = 0..guard.as_ref().map_or(0, |buffer| buffer.len());
        Values { guard, range }
    }

    /// Changes values, as loading and the optimiser do; anything derived from them is made anew.
    ///
    /// # Panics
    /// When the store is not allocated.
    pub fn update<T>(&self, change: impl FnOnce(&mut [f32]) -> T) -> T {
        let mut guard = write(&self.values);
        let result = change(guard.as_mut().expect("values are allocated before they change"));
        self.version.fetch_add(1, Ordering::Relaxed);
        result
    }

    /// Changes with every [`Self::update`]; keys what is derived from values.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Reserves gradients: from here on operations on the parameters are recorded.
    pub fn enable_gradients(&self) {
        let Device::Cpu(cpu) = &self.device;
        *write(&self.gradients) = Some(cpu.arena.zeros(self.flat_len()));
        *write(&self.written) = self.specs().iter().map(|_| AtomicBool::new(false)).collect();
    }

    /// Whether operations on the parameters want gradients.
    #[must_use]
    pub fn wants_gradients(&self) -> bool {
        read(&self.gradients).is_some()
    }

    /// Forgets all gradients. The memory is overwritten by the next backward pass.
    pub fn clear_gradients(&self) {
        for written in read(&self.written).iter() {
            written.store(false, Ordering::Relaxed);
        }
    }

    /// All gradients as one flat slice, those that nothing was added to being zero. The one place
    /// where gradients of several machines are to be reduced.
    ///
    /// # Panics
    /// When gradients are not enabled.
    pub fn with_gradients<T>(&self, f: impl FnOnce(&mut [f32]) -> T) -> T {
        let mut guard = write(&self.gradients);
        let flat = guard.as_mut().expect("gradients are enabled before they are used");
        for (spec, written) in self.specs().iter().zip(read(&self.written).iter()) {
            if !written.swap(true, Ordering::Relaxed) {
                flat[spec.range()].fill(0.0);
            }
        }
        f(flat)
    }

    /// Values to change and gradients to read at once, for the optimiser.
    ///
    /// # Panics
    /// When values or gradients are not there.
    pub fn step<T>(&self, f: impl FnOnce(&mut [f32], &mut [f32]) -> T) -> T {
        self.with_gradients(|gradients| self.update(|values| f(values, gradients)))
    }
}

impl Param {
    /// Its shape.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The store it belongs to.
    #[must_use]
    pub fn store(&self) -> &Arc<ParamStore> {
        &self.store
    }

    /// Its name in checkpoints.
    #[must_use]
    pub fn name(&self) -> String {
        self.store.specs()[self.index].name.clone()
    }

    /// Where it lives.
    #[must_use]
    pub fn device(&self) -> &Device {
        self.store.device()
    }

    /// What operations on it compute in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.store.precision
    }

    /// Whether a gradient is wanted; never of a frozen parameter.
    #[must_use]
    pub fn wants_gradient(&self) -> bool {
        self.frozen.is_none() && self.store.wants_gradients()
    }

    /// Its matrix, if it is frozen.
    ///
    /// # Panics
    /// When it is frozen and was never bound.
    #[must_use]
    pub fn frozen(&self) -> Option<&QuantMatrix> {
        let frozen = self.frozen.as_ref()?;
        Some(frozen.get().unwrap_or_else(|| panic!("`{}` is used before it is bound", self.name())))
    }

    /// Its values, to read.
    ///
    /// # Panics
    /// When it is frozen: its values lie in [`Self::frozen`].
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        assert!(self.frozen.is_none(), "`{}` is frozen", self.name());
        Values { guard: read(&self.store.values), range: self.range.clone() }
    }

    /// The values in the layout that matrix products read: a matrix `[rows, cols]` as the
    /// right-hand side, or its transpose. Kept until values change where no gradients are wanted.
    pub(crate) fn packed(&self, transposed: bool) -> Arc<Packed> {
        self.store.packed.get(self, self.index, transposed)
    }

    /// Lets `f` add to the gradient. The second argument says whether there is something to add to:
    /// if false, the slice holds old numbers and must be overwritten.
    ///
    /// # Panics
    /// When gradients are not enabled, or the parameter is frozen.
    pub fn add_gradient<T>(&self, f: impl FnOnce(&mut [f32], bool) -> T) -> T {
        assert!(self.frozen.is_none(), "`{}` is frozen and has no gradient", self.name());
        let mut guard = write(&self.store.gradients);
        let flat = guard.as_mut().expect("gradients are enabled before a backward pass");
        let accumulate = read(&self.store.written)[self.index].swap(true, Ordering::Relaxed);
        f(&mut flat[self.range.clone()], accumulate)
    }

    /// Lets `f` add to the gradients of several parameters of one store at once. What nothing was
    /// added to yet is zero. Where no gradients are wanted, `f` adds to zeros that are thrown away.
    ///
    /// # Panics
    /// When a parameter is named twice or the stores differ.
    pub(crate) fn add_gradients<const N: usize>(
        params: [&Self; N],
        f: impl FnOnce([&mut [f32]; N]),
    ) {
        let store = &params[0].store;
        assert!(params.iter().all(|param| Arc::ptr_eq(&param.store, store)), "one store");
        let mut guard = write(&store.gradients);
        let Some(flat) = guard.as_mut() else {
            let Device::Cpu(cpu) = &store.device;
            let mut scratch = params.map(|param| cpu.arena.zeros::<f32>(param.shape.len()));
            return f(scratch.each_mut().map(|buffer| &mut **buffer));
        };
        let written = read(&store.written);
        for param in params {
            if !written[param.index].swap(true, Ordering::Relaxed) {
                flat[param.range.clone()].fill(0.0);
            }
        }
        let parts = flat.get_disjoint_mut(params.map(|param| param.range.clone()));
        f(parts.expect("each parameter is named once"));
    }

    /// Checks the shape of the parameter `what` of `op`.
    ///
    /// # Errors
    /// When it differs from `expected`.
    pub(crate) fn expect_shape(
        &self,
        op: &'static str,
        what: &'static str,
        expected: impl Into<Shape>,
    ) -> Result<()> {
        let expected = expected.into();
        if self.shape == expected {
            return Ok(());
        }
        Err(self.shape_error(op, what, expected.to_string()))
    }

    /// An error about this parameter's shape.
    pub(crate) fn shape_error(
        &self,
        op: &'static str,
        what: &'static str,
        expected: impl Into<String>,
    ) -> Error {
        Error::Shape { op, what, found: self.shape, expected: expected.into() }
    }

    /// The gradient, copied; zeros when nothing was added.
    ///
    /// # Panics
    /// When gradients are not enabled, or the parameter is frozen.
    #[must_use]
    pub fn gradient(&self) -> Vec<f32> {
        assert!(self.frozen.is_none(), "`{}` is frozen and has no gradient", self.name());
        self.store.with_gradients(|flat| flat[self.range.clone()].to_vec())
    }
}
