//! How a case is run: its values, its outputs and its gradients.

use danlu_kernels::rng::Philox;
use danlu_kernels::{Element, bf16};
use danlu_tensor::{
    DType, Device, Init, Param, ParamStore, Precision, Result, Shape, Tensor, autograd, backward,
    no_grad,
};

use crate::{Case, Kind};

/// What the gradients of outputs come as; an operation takes either.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Seeds {
    LikeOutputs,
    F32,
}

/// All numbers that come out of a case.
pub(crate) struct Outcome {
    pub(crate) outputs: Vec<Vec<f32>>,
    /// Of every value, tensors before parameters.
    pub(crate) gradients: Vec<Vec<f32>>,
}

/// A case with sizes, a precision and numbers.
pub(crate) struct Setup {
    case: &'static Case,
    sizes: &'static [usize],
    precision: Precision,
    values: Vec<(Kind, Vec<usize>, Vec<f32>)>,
}

/// The values of a case on a device.
pub(crate) struct Given<'a> {
    setup: &'a Setup,
    tensors: Vec<Tensor>,
    params: Vec<Param>,
}

/// Standard normal numbers that bf16 can hold, different for every stream.
pub(crate) fn numbers(count: usize, stream: u64) -> Vec<f32> {
    let philox = Philox::new(11, stream);
    let number = |i| <bf16 as Element>::from_f32(philox.normal(i) as f32).to_f32();
    (0..count as u64).map(number).collect()
}

/// The gradient that arrives at an output: 1 at a scalar, else some numbers.
fn seed(output: usize, len: usize) -> Vec<f32> {
    if len == 1 { vec![1.0] } else { numbers(len, 1000 + output as u64) }
}

impl Setup {
    pub(crate) fn new(case: &'static Case, sizes: &'static [usize], precision: Precision) -> Self {
        let values = (case.values)(sizes).into_iter().enumerate().map(|(stream, (kind, dims))| {
            let numbers = numbers(Shape::new(&dims).len(), stream as u64);
            (kind, dims, numbers)
        });
        Self { case, sizes, precision, values: values.collect() }
    }

    /// The values as the reference gets them.
    pub(crate) fn exact_values(&self) -> Vec<Vec<f64>> {
        let exact = |numbers: &Vec<f32>| numbers.iter().map(|&x| x.into()).collect();
        self.values.iter().map(|(.., numbers)| exact(numbers)).collect()
    }

    /// The values on a device.
    pub(crate) fn given(&self, device: &Device) -> Given<'_> {
        Given { setup: self, tensors: self.tensors(device), params: self.params(device) }
    }

    fn tensors(&self, device: &Device) -> Vec<Tensor> {
        let tensors = self.values.iter().filter_map(|(kind, dims, numbers)| {
            let dtype = match kind {
                Kind::Residual => DType::F32,
                Kind::Compute => self.precision.into(),
                Kind::Param => return None,
            };
            Some(device.tensor(dtype, &dims[..], numbers))
        });
        tensors.collect()
    }

    fn params(&self, device: &Device) -> Vec<Param> {
        let store = ParamStore::new(device.clone(), self.precision);
        let values = self.values.iter().filter(|(kind, ..)| *kind == Kind::Param);
        let params: Vec<_> = values
            .clone()
            .enumerate()
            .map(|(i, (_, dims, _))| store.add(&format!("p{i}"), &dims[..], Init::Zeros))
            .collect();
        store.allocate();
        let specs = store.specs();
        store.update(|flat| {
            for (spec, (.., numbers)) in specs.iter().zip(values) {
                flat[spec.range()].copy_from_slice(numbers);
            }
        });
        params
    }

    /// Outputs and, where there are any, gradients.
    pub(crate) fn outcome(&self, device: &Device) -> Outcome {
        if self.case.differentiable {
            return self.gradients(device, Seeds::LikeOutputs).unwrap();
        }
        let outputs = no_grad(|| self.given(device).outputs()).unwrap();
        Outcome { outputs: outputs.iter().map(Tensor::to_vec).collect(), gradients: Vec::new() }
    }

    /// Runs the case forward and back.
    pub(crate) fn gradients(&self, device: &Device, seeds: Seeds) -> Result<Outcome> {
        let mut given = self.given(device);
        given.tensors.iter_mut().for_each(|tensor| *tensor = tensor.leaf());
        given.enable_gradients();
        let outputs = given.outputs()?;
        let values = outputs.iter().map(Tensor::to_vec).collect();
        let mut found = go_back(device, &outputs, seeds)?;
        let of_tensors = given.tensors.iter().map(|leaf| found.take(leaf).unwrap().to_vec());
        let gradients = of_tensors.chain(given.params.iter().map(Param::gradient)).collect();
        Ok(Outcome { outputs: values, gradients })
    }

    /// The gradients of the parameters after some equal passes.
    pub(crate) fn parameter_gradients(&self, device: &Device, passes: usize) -> Vec<Vec<f32>> {
        let given = self.given(device);
        given.enable_gradients();
        for _ in 0..passes {
            go_back(device, &given.outputs().unwrap(), Seeds::LikeOutputs).unwrap();
        }
        given.params.iter().map(Param::gradient).collect()
    }

    /// `Σ seed · output` of the reference, with one number of one value moved.
    fn moved(&self, values: &mut [Vec<f64>], value: usize, at: usize, by: f64) -> f64 {
        values[value][at] += by;
        let outputs = (self.case.reference)(self.sizes, values);
        values[value][at] -= by;
        let terms = outputs.iter().enumerate().map(|(number, output)| {
            let pairs = output.iter().zip(seed(number, output.len()));
            pairs.map(|(x, seed)| x * f64::from(seed)).sum::<f64>()
        });
        terms.sum()
    }

    /// The gradient of every value by central differences.
    pub(crate) fn finite_differences(&self) -> Vec<Vec<f64>> {
        const STEP: f64 = 1e-4;
        let mut values = self.exact_values();
        let mut gradients = Vec::new();
        for value in 0..values.len() {
            let slope = |at| {
                let [up, down] = [STEP, -STEP].map(|by| self.moved(&mut values, value, at, by));
                (up - down) / (2.0 * STEP)
            };
            gradients.push((0..self.values[value].2.len()).map(slope).collect());
        }
        gradients
    }
}

impl Given<'_> {
    pub(crate) fn outputs(&self) -> Result<Vec<Tensor>> {
        (self.setup.case.run)(self.setup.sizes, &self.tensors, &self.params)
    }

    fn enable_gradients(&self) {
        if let Some(param) = self.params.first() {
            param.store().enable_gradients();
        }
    }
}

/// Walks back from all outputs at once: `Σ seed · output` is recorded as an operation of its own.
fn go_back(device: &Device, outputs: &[Tensor], seeds: Seeds) -> Result<danlu_tensor::Gradients> {
    let d_outputs: Vec<_> = outputs
        .iter()
        .enumerate()
        .map(|(number, output)| {
            let dtype = match seeds {
                Seeds::LikeOutputs => output.dtype(),
                Seeds::F32 => DType::F32,
            };
            Some(device.tensor(dtype, output.shape(), &seed(number, output.shape().len())))
        })
        .collect();
    let one = || device.tensor(DType::F32, [1], &[1.0]);
    let inputs: Vec<&Tensor> = outputs.iter().collect();
    let sum = autograd::record(&inputs, false, one(), move |_| Ok(d_outputs));
    backward(&sum, one())
}
