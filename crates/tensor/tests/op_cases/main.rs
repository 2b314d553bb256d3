//! Every operation declared once as a case; `modes` holds the laws that all of them must keep.
//!
//! A new operation is one entry here and its naive formula in `reference`: that brings it a check
//! against f64 in both precisions, gradients against finite differences, every instruction level,
//! equality for any number of threads, and guards around its output.
#![allow(clippy::unwrap_used)]

mod inputs;
mod modes;
mod reference;

use std::sync::Arc;

use danlu_kernels::quant::BlockFormat;
use danlu_tensor::ops::{
    self, AttentionSpec, CachedSequence, Gelu, Head, KvRows, Layout, LinearWeight, RmsNormSpec,
};
use danlu_tensor::{DType, Param, Result, Tensor};

use inputs::{
    EPS, attention_spec, expert_values, experts, ids, layer, loss_reference, partial_rope,
    positions, rope, rope_reference, segments, targets,
};
use reference::Attention;

/// What a value of a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An f32 tensor in any precision: the residual stream.
    Residual,
    /// A tensor in the compute type.
    Compute,
    /// A parameter.
    Param,
}
use Kind::{Compute, Param as Weight, Residual};

/// The values of a case: kind and shape, tensors before parameters.
type Values = Vec<(Kind, Vec<usize>)>;

type Run = fn(&[usize], &[Tensor], &[Param]) -> Result<Vec<Tensor>>;
type Reference = fn(&[usize], &[Vec<f64>]) -> Vec<Vec<f64>>;

/// An operation, the values it is given and what it must give back.
struct Case {
    /// `file` or `file: variant`, where `file` is the file of the operation in `src/ops`.
    name: &'static str,
    /// Sizes small enough for finite differences; odd ones, so that no vector is full.
    small: &'static [&'static [usize]],
    /// Sizes large enough for several chunks and threads.
    large: &'static [usize],
    /// Values for sizes.
    values: fn(&[usize]) -> Values,
    /// The operation.
    run: Run,
    /// The same in f64, on all values in order.
    reference: Reference,
    /// Whether it has a gradient; if not, it must refuse to be recorded.
    differentiable: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "add",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Residual, s.to_vec()), (Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::add(&x[0], &x[1])?]),
        reference: |_, v| vec![reference::add(&v[0], &v[1])],
        differentiable: true,
    },
    Case {
        name: "convert",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::convert(&x[0], DType::F32)?]),
        reference: |_, v| vec![v[0].clone()],
        differentiable: true,
    },
    Case {
        name: "experts: by their probabilities",
        small: &[&[6, 3, 2, 5]],
        large: &[300, 3, 2, 129],
        values: expert_values,
        run: |s, x, _| experts(s, x, false),
        reference: |s, v| vec![reference::experts(s, v, false)],
        differentiable: true,
    },
    Case {
        name: "experts: by their shares",
        small: &[&[6, 3, 2, 5], &[7, 4, 3, 2]],
        large: &[300, 4, 2, 129],
        values: expert_values,
        run: |s, x, _| experts(s, x, true),
        reference: |s, v| vec![reference::experts(s, v, true)],
        differentiable: true,
    },
    Case {
        name: "scale",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::scale(x[0].clone(), 1.75)?]),
        reference: |_, v| vec![v[0].iter().map(|x| 1.75 * x).collect()],
        differentiable: true,
    },
    Case {
        name: "embedding",
        small: &[&[9, 5, 7]],
        large: &[700, 50, 129],
        values: |s| vec![(Weight, vec![s[1], s[2]])],
        run: |s, _, p| Ok(vec![ops::embedding(&p[0], &ids(s[0], s[1]))?]),
        reference: |s, v| vec![reference::embedding(&v[0], s[2], &ids(s[0], s[1]))],
        differentiable: true,
    },
    Case {
        name: "embedding: with positions",
        small: &[&[9, 5, 7]],
        large: &[700, 50, 129],
        values: |s| vec![(Weight, vec![s[1], s[2]]), (Weight, vec![13, s[2]])],
        run: |s, _, p| {
            let ids = ids(s[0], s[1]);
            Ok(vec![ops::embedding_with_positions(&p[0], &p[1], &ids, &positions(s[0]))?])
        },
        reference: |s, v| {
            let tokens = reference::embedding(&v[0], s[2], &ids(s[0], s[1]));
            let places = reference::embedding(&v[1], s[2], &positions(s[0]));
            vec![reference::add(&tokens, &places)]
        },
        differentiable: true,
    },
    Case {
        name: "gelu: tanh",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::gelu(&x[0], Gelu::Tanh)?]),
        reference: |_, v| vec![reference::gelu_tanh(&v[0])],
        differentiable: true,
    },
    Case {
        name: "gelu: erf",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::gelu(&x[0], Gelu::Erf)?]),
        reference: |_, v| vec![reference::gelu_erf(&v[0])],
        differentiable: true,
    },
    Case {
        name: "gated: swiglu",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec()), (Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::swiglu(&x[0], &x[1])?]),
        reference: |_, v| vec![reference::swiglu(&v[0], &v[1])],
        differentiable: true,
    },
    Case {
        name: "gated: geglu",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec()), (Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::geglu(&x[0], &x[1])?]),
        reference: |_, v| vec![reference::geglu(&v[0], &v[1])],
        differentiable: true,
    },
    Case {
        name: "softmax",
        small: &[&[1, 1], &[3, 7], &[2, 33]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec())],
        run: |_, x, _| Ok(vec![ops::softmax(&x[0])?]),
        reference: |s, v| vec![reference::softmax(&v[0], s[1])],
        differentiable: true,
    },
    Case {
        name: "rms_norm",
        small: &[&[3, 7], &[2, 33]],
        large: &[300, 129],
        values: |s| vec![(Residual, s.to_vec()), (Weight, vec![s[1]])],
        run: |_, x, p| Ok(vec![ops::rms_norm(&x[0], &p[0], EPS)?]),
        reference: |_, v| vec![reference::rms_norm(&v[0], &v[1], EPS.into())],
        differentiable: true,
    },
    Case {
        name: "rms_norm: of compute rows, with an offset",
        small: &[&[3, 7], &[2, 33]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec()), (Weight, vec![s[1]])],
        run: |_, x, p| {
            let spec = RmsNormSpec { eps: EPS, offset: 1.0 };
            Ok(vec![ops::rms_norm(&x[0], &p[0], spec)?])
        },
        reference: |_, v| {
            let gain: Vec<_> = v[1].iter().map(|weight| weight + 1.0).collect();
            vec![reference::rms_norm(&v[0], &gain, EPS.into())]
        },
        differentiable: true,
    },
    Case {
        name: "rms_norm: with the addition before it",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Residual, s.to_vec()), (Compute, s.to_vec()), (Weight, vec![s[1]])],
        run: |_, x, p| ops::add_rms_norm(&x[0], &x[1], &p[0], EPS).map(|(sum, out)| vec![sum, out]),
        reference: |_, v| {
            let sum = reference::add(&v[0], &v[1]);
            let out = reference::rms_norm(&sum, &v[2], EPS.into());
            vec![sum, out]
        },
        differentiable: true,
    },
    Case {
        name: "layer_norm",
        small: &[&[3, 7], &[2, 33]],
        large: &[300, 129],
        values: |s| vec![(Residual, s.to_vec()), (Weight, vec![s[1]]), (Weight, vec![s[1]])],
        run: |_, x, p| Ok(vec![ops::layer_norm(&x[0], &p[0], &p[1], EPS)?]),
        reference: |_, v| vec![reference::layer_norm(&v[0], &v[1], &v[2], EPS.into())],
        differentiable: true,
    },
    Case {
        name: "layer_norm: with the addition before it",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| {
            let width = vec![s[1]];
            vec![
                (Residual, s.to_vec()),
                (Compute, s.to_vec()),
                (Weight, width.clone()),
                (Weight, width),
            ]
        },
        run: |_, x, p| {
            let (sum, out) = ops::add_layer_norm(&x[0], &x[1], &p[0], &p[1], EPS)?;
            Ok(vec![sum, out])
        },
        reference: |_, v| {
            let sum = reference::add(&v[0], &v[1]);
            let out = reference::layer_norm(&sum, &v[2], &v[3], EPS.into());
            vec![sum, out]
        },
        differentiable: true,
    },
    Case {
        name: "linear: [out, in]",
        small: &[&[1, 7, 5], &[17, 3, 9]],
        large: &[130, 70, 90],
        values: |s| vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[2], s[1]])],
        run: |_, x, p| Ok(vec![ops::linear(&x[0], &layer(&p[0], Layout::OutIn))?]),
        reference: |s, v| vec![reference::linear_out_in(&v[0], &v[1], s[1])],
        differentiable: true,
    },
    Case {
        name: "linear: [in, out] with a bias",
        small: &[&[1, 7, 5], &[17, 3, 9]],
        large: &[130, 70, 90],
        values: |s| {
            vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[1], s[2]]), (Weight, vec![s[2]])]
        },
        run: |_, x, p| {
            let layer = LinearWeight { weight: &p[0], bias: Some(&p[1]), layout: Layout::InOut };
            Ok(vec![ops::linear(&x[0], &layer)?])
        },
        reference: |s, v| {
            let out = reference::linear(&v[0], s[1], s[2], |i, o| v[1][i * s[2] + o]);
            vec![reference::add_bias(&out, &v[2])]
        },
        differentiable: true,
    },
    Case {
        name: "linear: three that share an input",
        small: &[&[5, 7, 3]],
        large: &[130, 70, 33],
        values: |s| {
            let weight = (Weight, vec![s[2], s[1]]);
            let transposed = (Weight, vec![s[1], s[2]]);
            vec![(Compute, vec![s[0], s[1]]), weight.clone(), weight, transposed]
        },
        run: |_, x, p| {
            let layouts = [Layout::OutIn, Layout::OutIn, Layout::InOut];
            let layers: Vec<_> = p.iter().zip(layouts).map(|(p, l)| layer(p, l)).collect();
            ops::linears(&x[0], &layers)
        },
        reference: |s, v| {
            let transposed = |i: usize, o: usize| v[3][i * s[2] + o];
            vec![
                reference::linear_out_in(&v[0], &v[1], s[1]),
                reference::linear_out_in(&v[0], &v[2], s[1]),
                reference::linear(&v[0], s[1], s[2], transposed),
            ]
        },
        differentiable: true,
    },
    Case {
        name: "linear: added to the residual stream",
        small: &[&[5, 7, 3]],
        large: &[130, 70, 90],
        values: |s| {
            vec![
                (Compute, vec![s[0], s[1]]),
                (Residual, vec![s[0], s[2]]),
                (Weight, vec![s[2], s[1]]),
            ]
        },
        run: |_, x, p| Ok(vec![ops::linear_add(&x[0], &layer(&p[0], Layout::OutIn), &x[1])?]),
        reference: |s, v| {
            vec![reference::add(&v[1], &reference::linear_out_in(&v[0], &v[2], s[1]))]
        },
        differentiable: true,
    },
    Case {
        name: "rope",
        small: &[&[5, 3, 6]],
        large: &[300, 3, 34],
        values: |s| vec![(Compute, vec![s[0], s[1] * s[2]])],
        run: |s, x, _| rope(s, x[0].clone()),
        reference: rope_reference,
        differentiable: true,
    },
    Case {
        name: "rope: in place",
        small: &[&[5, 3, 6]],
        large: &[300, 3, 34],
        values: |s| vec![(Compute, vec![s[0], s[1] * s[2]])],
        run: |s, x, _| rope(s, ops::convert(&x[0], x[0].dtype())?),
        reference: rope_reference,
        differentiable: true,
    },
    Case {
        name: "rope: some adjacent pairs, stretched",
        small: &[&[5, 3, 8]],
        large: &[300, 3, 34],
        values: |s| vec![(Compute, vec![s[0], s[1] * s[2]])],
        run: |s, x, _| {
            let tables = Arc::new(ops::RopeTables::from_spec(partial_rope(s[2])));
            Ok(vec![ops::rope(x[0].clone(), &positions(s[0]), &tables, s[1])?])
        },
        reference: |s, v| vec![reference::rope(&v[0], &positions(s[0]), s[1], &partial_rope(s[2]))],
        differentiable: true,
    },
    Case {
        name: "attention",
        small: &[&[2, 5, 2, 2, 3, 1], &[1, 6, 4, 2, 2, 3], &[2, 1, 2, 1, 4, 1]],
        large: &[2, 70, 6, 2, 16, 3],
        values: |s| {
            let kv = (Compute, vec![s[0] * s[1], s[3] * s[4]]);
            vec![(Compute, vec![s[0] * s[1], s[2] * s[4]]), kv.clone(), kv]
        },
        run: |s, x, _| Ok(vec![ops::attention(&x[0], &x[1], &x[2], &attention_spec(s))?]),
        reference: |s, v| {
            let sizes = Attention::of([s[0], s[1], s[1], s[2], s[3], s[4]], s[1]);
            vec![reference::attention(sizes, &v[0], &v[1], &v[2], &segments(s[0], s[1], s[5]))]
        },
        differentiable: true,
    },
    Case {
        name: "attention: in a window, with a scale and a cap",
        small: &[&[2, 5, 2, 2, 3, 1], &[1, 6, 4, 2, 2, 2]],
        large: &[2, 70, 6, 2, 16, 3],
        values: |s| {
            let kv = (Compute, vec![s[0] * s[1], s[3] * s[4]]);
            vec![(Compute, vec![s[0] * s[1], s[2] * s[4]]), kv.clone(), kv]
        },
        run: |s, x, _| {
            let (scale, cap, window) = (Some(0.3), Some(0.5), Some(3));
            let spec = AttentionSpec { scale, cap, window, ..attention_spec(s) };
            Ok(vec![ops::attention(&x[0], &x[1], &x[2], &spec)?])
        },
        reference: |s, v| {
            let sizes = Attention::of([s[0], s[1], s[1], s[2], s[3], s[4]], s[1]);
            let sizes = Attention { scale: 0.3, cap: 0.5, window: 3, ..sizes };
            vec![reference::attention(sizes, &v[0], &v[1], &v[2], &segments(s[0], s[1], s[5]))]
        },
        differentiable: true,
    },
    Case {
        name: "cached_attention",
        small: &[&[1, 6, 9, 4, 2, 3], &[3, 3, 3, 2, 2, 4]],
        large: &[40, 90, 100, 6, 2, 16],
        values: |s| {
            let cache = (Compute, vec![s[2], s[4] * s[5]]);
            vec![(Compute, vec![s[0], s[3] * s[5]]), cache.clone(), cache]
        },
        run: |s, x, _| {
            let cached = |x: &Tensor| -> Result<KvRows> {
                let format = match x.dtype() {
                    DType::F32 => BlockFormat::F32,
                    DType::Bf16 => BlockFormat::Bf16,
                };
                let mut rows = KvRows::reserve(x.device(), format, s[2] + 3, [s[4], s[5]])?;
                rows.write(x, 0..s[1], 3)?;
                Ok(rows)
            };
            let (k, v) = (cached(&x[1])?, cached(&x[2])?);
            let sequence = CachedSequence { queries: 0..s[0], keys: 3..3 + s[1] };
            let spec = attention_spec(&[1, s[0], s[3], s[4], s[5], 1]);
            Ok(vec![ops::attention_cached(&x[0], [&k, &v], &[sequence], &spec)?])
        },
        reference: |s, v| {
            let sizes = Attention::of([1, s[0], s[2], s[3], s[4], s[5]], s[1]);
            vec![reference::attention(sizes, &v[0], &v[1], &v[2], &segments(1, s[2], 1))]
        },
        differentiable: false,
    },
    Case {
        name: "linear_cross_entropy",
        small: &[&[6, 3, 5]],
        large: &[300, 16, 20_000],
        values: |s| vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[2], s[1]])],
        run: |s, x, p| {
            let loss = ops::linear_cross_entropy(&x[0], &p[0], &targets(s[0], s[2]), 0.25)?;
            Ok(vec![loss.loss])
        },
        reference: |s, v| loss_reference(s, v, f64::INFINITY),
        differentiable: true,
    },
    Case {
        name: "linear_cross_entropy: of logits under a bound",
        small: &[&[6, 3, 5]],
        large: &[300, 16, 20_000],
        values: |s| vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[2], s[1]])],
        run: |s, x, p| {
            let head = Head { weight: &p[0], cap: Some(1.5) };
            Ok(vec![ops::linear_cross_entropy(&x[0], head, &targets(s[0], s[2]), 0.25)?.loss])
        },
        reference: |s, v| loss_reference(s, v, 1.5),
        differentiable: true,
    },
    Case {
        name: "logits: under a bound",
        small: &[&[6, 3, 5]],
        large: &[20, 70, 900],
        values: |s| vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[2], s[1]])],
        run: |_, x, p| Ok(vec![ops::logits(&x[0], Head { weight: &p[0], cap: Some(1.5) })?]),
        reference: |s, v| {
            vec![reference::soft_cap(&reference::linear_out_in(&v[0], &v[1], s[1]), 1.5)]
        },
        differentiable: false,
    },
    Case {
        name: "logits",
        small: &[&[6, 3, 5]],
        large: &[20, 70, 900],
        values: |s| vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[2], s[1]])],
        run: |_, x, p| Ok(vec![ops::logits(&x[0], &p[0])?]),
        reference: |s, v| vec![reference::linear_out_in(&v[0], &v[1], s[1])],
        differentiable: false,
    },
    Case {
        name: "logits: log-probabilities of targets",
        small: &[&[6, 3, 5]],
        large: &[300, 16, 20_000],
        values: |s| vec![(Compute, vec![s[0], s[1]]), (Weight, vec![s[2], s[1]])],
        run: |s, x, p| {
            let scores = ops::linear_log_probs(&x[0], &p[0], &targets(s[0], s[2]))?;
            Ok(vec![x[0].device().tensor(DType::F32, [s[0]], &scores)])
        },
        reference: |s, v| {
            let logits = reference::linear_out_in(&v[0], &v[1], s[1]);
            vec![reference::log_probs(&logits, s[2], &targets(s[0], s[2]))]
        },
        differentiable: false,
    },
    Case {
        name: "select_rows",
        small: &[&[3, 7]],
        large: &[300, 129],
        values: |s| vec![(Compute, s.to_vec())],
        run: |s, x, _| Ok(vec![ops::select_rows(&x[0], &[s[0] - 1, 0, s[0] - 1])?]),
        reference: |s, v| {
            vec![reference::embedding(&v[0], s[1], &[s[0] as u32 - 1, 0, s[0] as u32 - 1])]
        },
        differentiable: true,
    },
    Case {
        name: "split_columns",
        small: &[&[3, 4, 1, 5]],
        large: &[300, 33, 40, 7],
        values: |s| vec![(Compute, vec![s[0], s[1] + s[2] + s[3]])],
        run: |s, x, _| ops::split_columns(&x[0], &s[1..]),
        reference: |s, v| {
            let part = |start: usize, width: usize| {
                let rows = v[0].chunks(s[1] + s[2] + s[3]);
                rows.flat_map(|row| row[start..start + width].to_vec()).collect()
            };
            vec![part(0, s[1]), part(s[1], s[2]), part(s[1] + s[2], s[3])]
        },
        differentiable: true,
    },
];
