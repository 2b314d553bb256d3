//! Linear layers: `out = x W + bias (+ residual)`, alone or several on the same input.
//!
//! `x: [rows, in]`, `out: [rows, out]` in the compute type, weights and biases f32. A weight is
//! stored as `[out, in]` ([`Layout::OutIn`], most checkpoints) or `[in, out]` ([`Layout::InOut`],
//! GPT-2). Backward: `d_x = Σ d_out Wᵀ` over the layers, `d_W = xᵀ d_out` and `d_bias = Σ over rows
//! d_out`, the last two added to the parameters' gradients.
//!
//! A frozen weight passes the gradient of `x` on and has none itself.
//!
//! Layers that share an input (queries, keys and values; gate and up) are one operation so that
//! their products add to one f32 `d_x`.

use std::cell::OnceCell;

use danlu_kernels::cpu::elementwise::{Store, add_bias_backward};
use danlu_kernels::cpu::gemm::{Epilogue, MatrixMut, Packed, Right, gemm};
use danlu_kernels::cpu::quantised::Product;

use crate::autograd::{is_recording, place_for, record, record_many_into};
use crate::frozen::{multiply, multiply_back};
use crate::watch::show_input;
use crate::{DType, Device, Param, Result, Tensor, with_elements};

/// How a weight lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[out, in]`, as in most checkpoints.
    OutIn,
    /// `[in, out]`, as in GPT-2's.
    InOut,
}

/// The parameters of a linear layer.
#[derive(Clone, Copy)]
pub struct LinearWeight<'a> {
    /// `[out, in]` or `[in, out]`, as `layout` says.
    pub weight: &'a Param,
    /// `[out]`
    pub bias: Option<&'a Param>,
    /// How `weight` lies in memory.
    pub layout: Layout,
}

/// `x W + bias`: `[rows, in] -> [rows, out]` in the compute type.
///
/// # Errors
/// When shapes do not fit, or `x` does not have the compute type of the weight's store.
pub fn linear(x: &Tensor, layer: &LinearWeight<'_>) -> Result<Tensor> {
    let out = layer.forward("linear", x, None)?;
    show_input(layer.weight, x);
    Ok(record_layers(x, &[*layer], vec![out]).swap_remove(0))
}

/// [`linear`] for several layers on the same input; one output each.
///
/// # Errors
/// As [`linear`].
pub fn linears(x: &Tensor, layers: &[LinearWeight<'_>]) -> Result<Vec<Tensor>> {
    let outputs = if layers.iter().all(|layer| layer.weight.frozen().is_some()) {
        frozen_linears("linears", x, layers, None)?
    } else {
        layers.iter().map(|layer| layer.forward("linears", x, None)).collect::<Result<_>>()?
    };
    layers.iter().for_each(|layer| show_input(layer.weight, x));
    Ok(record_layers(x, layers, outputs))
}

/// Layers with frozen weights on the same input, in one product.
fn frozen_linears(
    op: &'static str,
    x: &Tensor,
    layers: &[LinearWeight<'_>],
    residual: Option<&Tensor>,
) -> Result<Vec<Tensor>> {
    let rows = x.shape().rows();
    let places = layers.iter().map(|layer| layer.place(op, x, residual));
    let mut outputs = places.collect::<Result<Vec<_>>>()?;
    let biases: Vec<_> = layers.iter().map(|layer| layer.bias.map(Param::values)).collect();
    let mut products = Vec::with_capacity(layers.len());
    for ((layer, out), bias) in layers.iter().zip(&mut outputs).zip(&biases) {
        let Some(weight) = layer.weight.frozen() else { continue };
        let outputs = out.shape().cols();
        let epilogue = layer.epilogue(bias.as_deref(), residual, (rows, outputs));
        products.push(Product { weight, out: out.as_matrix_mut(rows, outputs), epilogue });
    }
    if let [first, ..] = layers {
        multiply(first.weight.store(), &x.as_matrix(rows, x.shape().cols()), &mut products);
    }
    drop(products);
    Ok(outputs)
}

/// `residual + x W + bias` in f32, added before anything is rounded; `residual: [rows, out]` f32.
///
/// # Errors
/// As [`linear`], or when the residual does not have the shape of the output.
pub fn linear_add(x: &Tensor, layer: &LinearWeight<'_>, residual: &Tensor) -> Result<Tensor> {
    let out = layer.forward("linear_add", x, Some(residual))?;
    show_input(layer.weight, x);
    let saved = Saved::new(x, &[*layer]);
    Ok(record(&[x, residual], layer.wants_gradient(), out, move |d_out| {
        let d_x = saved.backward(&[Some(d_out.clone())], None)?;
        Ok(vec![d_x, Some(d_out)])
    }))
}

impl LinearWeight<'_> {
    fn wants_gradient(&self) -> bool {
        self.weight.wants_gradient() || self.bias.is_some_and(Param::wants_gradient)
    }

    /// `(in, out)`, after a check that `x` and the bias fit.
    fn check(&self, op: &'static str, x: &Tensor) -> Result<(usize, usize)> {
        let (inputs, outputs) = match (self.weight.shape().dims(), self.layout) {
            (&[outputs, inputs], Layout::OutIn) | (&[inputs, outputs], Layout::InOut) => {
                (inputs, outputs)
            }
            _ => return Err(self.weight.shape_error(op, "the weight", "a matrix")),
        };
        if self.weight.frozen().is_some() && self.layout == Layout::InOut {
            return Err(self.weight.shape_error(op, "the weight", "a frozen matrix [out, in]"));
        }
        if x.shape().cols() != inputs {
            let weight = self.weight.shape();
            let expected = format!("{inputs} columns for the {:?} weight {weight}", self.layout);
            return Err(x.shape_error(op, "x", expected));
        }
        x.expect_dtype(op, "x", self.weight.precision().into())?;
        if let Some(bias) = self.bias {
            bias.expect_shape(op, "the bias", [outputs])?;
        }
        Ok((inputs, outputs))
    }

    /// Memory for the output, after a check that everything fits.
    fn place(&self, op: &'static str, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        let (_, outputs) = self.check(op, x)?;
        let shape = x.shape().with_cols(outputs);
        let mut dtype = self.weight.precision().into();
        if let Some(residual) = residual {
            dtype = DType::F32;
            residual.expect_dtype(op, "the residual", dtype)?;
            residual.expect_shape(op, "the residual", shape)?;
        }
        Ok(x.device().empty(dtype, shape))
    }

    fn epilogue<'e>(
        &self,
        bias: Option<&'e [f32]>,
        residual: Option<&'e Tensor>,
        (rows, outputs): (usize, usize),
    ) -> Epilogue<'e> {
        let residual = residual.map(|residual| residual.as_matrix(rows, outputs));
        Epilogue { bias, residual, ..Epilogue::default() }
    }

    fn forward(&self, op: &'static str, x: &Tensor, residual: Option<&Tensor>) -> Result<Tensor> {
        if self.weight.frozen().is_some() {
            return Ok(frozen_linears(op, x, &[*self], residual)?.swap_remove(0));
        }
        let mut out = self.place(op, x, residual)?;
        let (rows, outputs) = (x.shape().rows(), out.shape().cols());
        let Device::Cpu(cpu) = x.device();
        let bias = self.bias.map(Param::values);
        let epilogue = self.epilogue(bias.as_deref(), residual, (rows, outputs));
        let packed = self.weight.packed(self.layout == Layout::OutIn);
        gemm(
            cpu,
            self.weight.precision(),
            &x.as_matrix(rows, x.shape().cols()),
            &Right::Packed(&packed),
            &mut out.as_matrix_mut(rows, outputs),
            &epilogue,
        );
        Ok(out)
    }
}

fn record_layers(x: &Tensor, layers: &[LinearWeight<'_>], outputs: Vec<Tensor>) -> Vec<Tensor> {
    let trains = layers.iter().any(LinearWeight::wants_gradient);
    if !is_recording(&[x], trains) {
        return outputs;
    }
    let saved = Saved::new(x, layers);
    record_many_into(x, trains, outputs, move |d_outputs, so_far| {
        saved.backward(&d_outputs, so_far)
    })
}

/// What the backward needs.
struct Saved {
    x: Tensor,
    /// Whether anything asks for the gradient of `x`.
    wants_d_x: bool,
    layers: Vec<Layer>,
}

type Layer = (Param, Option<Param>, Layout);

impl Saved {
    fn new(x: &Tensor, layers: &[LinearWeight<'_>]) -> Self {
        let owned =
            |layer: &LinearWeight<'_>| (layer.weight.clone(), layer.bias.cloned(), layer.layout);
        Self {
            x: x.detach(),
            wants_d_x: x.edge().is_some(),
            layers: layers.iter().map(owned).collect(),
        }
    }

    /// Adds the gradients of the parameters and returns that of `x`, `so_far` included.
    fn backward(
        self,
        d_outputs: &[Option<Tensor>],
        so_far: Option<Tensor>,
    ) -> Result<Option<Tensor>> {
        let arrived = || {
            let pairs = self.layers.iter().zip(d_outputs);
            pairs.filter_map(|(layer, d_out)| Some((layer, d_out.as_ref()?)))
        };
        self.add_weight_gradients(arrived());
        for ((_, bias, _), d_out) in arrived() {
            bias.iter().for_each(|bias| add_bias_gradient(bias, d_out));
        }
        if !self.wants_d_x {
            return Ok(so_far);
        }
        // A frozen weight is multiplied in panels, whose products add up.
        let sums = arrived().count() > 1 || arrived().any(|((w, ..), _)| w.frozen().is_some());
        let dtype = if sums { DType::F32 } else { self.x.dtype() };
        let (mut d_x, mut store) = place_for(so_far, &self.x, dtype);
        let Device::Cpu(cpu) = self.x.device();
        let (rows, inputs) = (self.x.shape().rows(), self.x.shape().cols());
        for ((weight, _, layout), d_out) in arrived() {
            let accumulate = store == Store::Accumulate;
            store = Store::Accumulate;
            let mut d_x = d_x.as_matrix_mut(rows, inputs);
            if let Some(weight) = weight.frozen() {
                multiply_back(
                    cpu,
                    &d_out.as_matrix(rows, weight.rows()),
                    weight,
                    &mut d_x,
                    accumulate,
                );
                continue;
            }
            let packed = weight.packed(*layout == Layout::InOut);
            gemm(
                cpu,
                weight.precision(),
                &d_out.as_matrix(rows, packed.shape().0),
                &Right::Packed(&packed),
                &mut d_x,
                &Epilogue { accumulate, ..Epilogue::default() },
            );
        }
        Ok(Some(d_x))
    }

    /// `d_W += xᵀ d_out`, laid out as the weight is.
    fn add_weight_gradients<'a>(&self, arrived: impl Iterator<Item = (&'a Layer, &'a Tensor)>) {
        let Device::Cpu(cpu) = self.x.device();
        let (rows, inputs) = (self.x.shape().rows(), self.x.shape().cols());
        let x = self.x.as_matrix(rows, inputs);
        // Several layers multiply by the same x: it is packed once for all of them.
        let packed_x = OnceCell::new();
        for ((weight, _, layout), d_out) in arrived {
            if !weight.wants_gradient() {
                continue;
            }
            let precision = weight.precision();
            let d_out = d_out.as_matrix(rows, d_out.shape().len() / rows.max(1));
            let (left, right) = match layout {
                Layout::InOut => (x.t(), Right::Matrix(d_out)),
                Layout::OutIn => {
                    let packed = packed_x.get_or_init(|| Packed::new(cpu, precision, &x));
                    (d_out.t(), Right::Packed(packed))
                }
            };
            let shape = weight.shape();
            weight.add_gradient(|d_weight, accumulate| {
                let mut out = MatrixMut::new(d_weight, shape.rows(), shape.cols());
                let epilogue = Epilogue { accumulate, ..Epilogue::default() };
                gemm(cpu, precision, &left, &right, &mut out, &epilogue);
            });
        }
    }
}

/// `d_bias += Σ over rows d_out`
fn add_bias_gradient(bias: &Param, d_out: &Tensor) {
    let Device::Cpu(cpu) = d_out.device();
    Param::add_gradients([bias], |[d_bias]| {
        with_elements!(d_out.storage(), |d_out| add_bias_backward(cpu, d_out, d_bias));
    });
}
