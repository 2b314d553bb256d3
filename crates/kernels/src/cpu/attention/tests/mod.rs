//! Laws of attention: against f64, on every instruction level, for 1, 2 and 4 threads, with
//! canaries around and between what is written.

mod cached;
mod reference;

use self::reference::{Expected, Numbers, Sums};
use super::level::{Work, run_tasks};
use super::vector::{Unit, Vector, exp2};
use super::*;
use crate::rng::Philox;
use crate::{Simd, bf16};

/// Elements behind each row and each output that no kernel may touch.
const CANARIES: usize = 3;
const CANARY: f32 = -77.0;

#[derive(Clone, Copy, Debug)]
struct Dims {
    b: usize,
    tq: usize,
    tk: usize,
    h: usize,
    k: usize,
    dh: usize,
}

#[derive(Clone, Debug)]
struct Case {
    dims: Dims,
    cap: Option<f32>,
    window: Option<usize>,
    segments: Option<Vec<u32>>,
    key_lens: Option<Vec<usize>>,
}

/// `[B, Tq, Tk, H, K, Dh]`.
const SIZES: &[[usize; 6]] = &[
    [1, 1, 1, 1, 1, 2],
    [2, 2, 2, 2, 2, 16],
    [1, 15, 15, 3, 1, 64],
    [1, 1, 40, 6, 2, 64],
    [1, 17, 17, 2, 2, 80],
    [2, 64, 64, 2, 1, 32],
    [1, 100, 100, 4, 2, 96],
    [1, 257, 257, 2, 1, 64],
    [2, 33, 70, 2, 1, 33],
    [1, 70, 71, 1, 1, 7],
    [1, 40, 1100, 2, 1, 16],
    [1, 600, 600, 2, 1, 16],
    [2, 1, 300, 4, 2, 64],
    [3, 3, 1030, 2, 1, 20],
    [1, 4, 9, 3, 3, 128],
    [2, 0, 5, 1, 1, 8],
];

/// Windows, segments and key lengths to combine with the sizes.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (index, &[b, tq, tk, h, k, dh]) in SIZES.iter().enumerate() {
        let dims = Dims { b, tq, tk, h, k, dh };
        let plain = Case { dims, cap: None, window: None, segments: None, key_lens: None };
        // Documents of changing lengths, and now and then a number that comes back.
        let segments = (0..b * tk).map(|i| (((i % tk) / (5 + 37 * (index % 3))) % 7) as u32);
        let segments = Some(segments.collect());
        let window = Some(1 + (index * 29) % tk.max(2));
        let key_lens = Some((0..b).map(|b| tk - (b * 7 + index) % (tk - tq + 1)).collect());
        cases.push(Case { window, ..plain.clone() });
        cases.push(Case { window, cap: Some(0.7), ..plain.clone() });
        cases.push(Case { segments: segments.clone(), ..plain.clone() });
        cases.push(Case { window, segments, key_lens, ..plain.clone() });
        cases.push(plain);
    }
    cases
}

impl Case {
    fn scale(&self) -> f32 {
        1.0 / (self.dims.dh as f32).sqrt()
    }

    fn shape(&self) -> AttentionShape {
        let Dims { b, tq, tk, h, k, dh } = self.dims;
        AttentionShape {
            batch: b,
            query_len: tq,
            key_len: tk,
            num_heads: h,
            num_kv_heads: k,
            head_dim: dh,
            scale: self.scale(),
            cap: self.cap,
            window: self.window,
        }
    }

    /// Rows and width of q and of k.
    fn extents(&self) -> [(usize, usize); 2] {
        let Dims { tq, tk, h, k, dh, .. } = self.dims;
        [(tq, h * dh), (tk, k * dh)]
    }

    /// Numbers like activations that bf16 holds exactly.
    fn numbers(&self) -> Numbers {
        let [(tq, wide), (tk, narrow)] = self.extents();
        let make = |len: usize, stream: u64| -> Vec<f64> {
            let philox = Philox::new(2026, stream);
            let number = |i| f64::from(bf16::from_f32(philox.normal(i) as f32).to_f32());
            (0..(self.dims.b * len) as u64).map(number).collect()
        };
        Numbers {
            q: make(tq * wide, 1),
            k: make(tk * narrow, 2),
            v: make(tk * narrow, 3),
            d_out: make(tq * wide, 4),
        }
    }
}

/// `[B, rows, width]` with canaries behind every row.
struct Padded<E> {
    memory: Vec<E>,
    rows: usize,
    width: usize,
}

impl<E: Element> Padded<E> {
    fn new((rows, width): (usize, usize), values: &[f64]) -> Self {
        let mut memory = Vec::new();
        for row in values.chunks(width) {
            memory.extend(row.iter().map(|&x| E::from_f32(x as f32)));
            memory.extend([E::from_f32(CANARY); CANARIES]);
        }
        Self { memory, rows, width }
    }

    fn strides(&self) -> (usize, usize) {
        (self.width + CANARIES, self.rows * (self.width + CANARIES))
    }

    fn view(&self) -> Rows<'_, E> {
        Rows::new(&self.memory, self.strides().0, self.strides().1)
    }

    fn view_mut(&mut self) -> RowsMut<'_, E> {
        let (row, batch) = self.strides();
        RowsMut::new(&mut self.memory, row, batch)
    }

    /// What was written, after a look at the canaries.
    fn values(&self) -> Vec<f32> {
        let rows = self.memory.chunks(self.width + CANARIES);
        rows.flat_map(|row| {
            let (values, canaries) = row.split_at(self.width);
            assert!(canaries.iter().all(|c| c.to_f32() == CANARY), "wrote past a row's end");
            values.iter().map(|x| x.to_f32())
        })
        .collect()
    }
}

/// What the kernels gave, as f32.
#[derive(Debug)]
struct Got {
    out: Vec<f32>,
    lse: Vec<f32>,
    d_q: Vec<f32>,
    d_k: Vec<f32>,
    d_v: Vec<f32>,
}

impl Got {
    fn parts(&self) -> [(&'static str, &Vec<f32>); 5] {
        let Self { out, lse, d_q, d_k, d_v } = self;
        [("out", out), ("lse", lse), ("d_q", d_q), ("d_k", d_k), ("d_v", d_v)]
    }

    fn bits(&self) -> Vec<u32> {
        self.parts().iter().flat_map(|(_, part)| part.iter().map(|x| x.to_bits())).collect()
    }
}

/// Forward and backward through views with gaps.
fn run<E: Element>(cpu: &Cpu, precision: Precision, case: &Case, x: &Numbers) -> Got {
    let [queries, keys] = case.extents();
    let shape = case.shape();
    let (q, d_out) = (Padded::<E>::new(queries, &x.q), Padded::<E>::new(queries, &x.d_out));
    let (k, v) = (Padded::<E>::new(keys, &x.k), Padded::<E>::new(keys, &x.v));
    let inputs = AttentionInputs {
        q: q.view(),
        k: k.view(),
        v: v.view(),
        segments: case.segments.as_deref(),
        key_lens: case.key_lens.as_deref(),
    };
    let mut out = Padded::<E>::new(queries, &x.q);
    let mut lse = vec![9.0; case.dims.b * case.dims.h * case.dims.tq];
    attention(cpu, precision, &shape, &inputs, &mut out.view_mut(), &mut lse);
    let mut d_q = Padded::<E>::new(queries, &x.q);
    let (mut d_k, mut d_v) = (Padded::<E>::new(keys, &x.k), Padded::<E>::new(keys, &x.v));
    let outputs = AttentionOutputs { out: out.view(), lse: &lse, d_out: d_out.view() };
    let mut gradients =
        AttentionGradients { d_q: d_q.view_mut(), d_k: d_k.view_mut(), d_v: d_v.view_mut() };
    attention_backward(cpu, precision, &shape, &inputs, &outputs, &mut gradients);
    let [d_q, d_k, d_v] = [d_q, d_k, d_v].map(|x| x.values());
    Got { out: out.values(), lse, d_q, d_k, d_v }
}

/// Every number within `share` of the sizes it was added up from.
fn assert_close(what: &str, got: &Got, want: &Expected, share: f64) {
    let Expected { out, lse, d_q, d_k, d_v } = want;
    for ((name, got), want) in got.parts().into_iter().zip([out, lse, d_q, d_k, d_v]) {
        let Sums { values, sizes } = want;
        assert_eq!(got.len(), values.len(), "{what}: {name}");
        for (i, got) in got.iter().enumerate() {
            let error = (f64::from(*got) - values[i]).abs();
            assert!(
                error <= share * sizes[i] + 1e-30,
                "{what}: {name}[{i}] is {got}, should be {} within {:.3e}",
                values[i],
                share * sizes[i]
            );
        }
    }
}

fn equals_the_reference<E: Element>(precision: Precision, share: f64) {
    let cases: Vec<_> = cases()
        .into_iter()
        .map(|case| {
            let x = case.numbers();
            let want = reference::attention(&case, &x);
            (case, x, want)
        })
        .collect();
    for simd in Simd::available() {
        let [one, two, four] = [1, 2, 4].map(|threads| Cpu::with_simd(threads, simd));
        for (case, x, want) in &cases {
            let got = run::<E>(&one, precision, case, x);
            let what =
                format!("{} {precision:?} {simd:?} {:?} {:?}", E::NAME, case.dims, case.window);
            assert_close(&what, &got, want, share);
            // Threads that share two cores are slow; the small cases would add nothing.
            if case.dims.tq >= 100 || case.dims.tk >= 300 {
                let many = [&two, &four].map(|cpu| run::<E>(cpu, precision, case, x).bits());
                assert!(many.iter().all(|many| *many == got.bits()), "{what}: threads change bits");
            }
        }
    }
}

#[test]
fn f32_equals_the_reference() {
    equals_the_reference::<f32>(Precision::F32, 1e-5);
}

/// Probabilities and their gradients are rounded to bf16, which changes each by up to 2^-8 of its
/// size, and that much of the sum of sizes is the most that a sum can change. Results are rounded
/// once more, and gradients see the rounded output through delta.
#[test]
fn bf16_equals_the_reference_within_its_rounding() {
    equals_the_reference::<bf16>(Precision::Bf16, 3.0 / 256.0);
}

#[test]
fn bf16_products_of_f32_memory_equal_the_reference_within_their_rounding() {
    equals_the_reference::<f32>(Precision::Bf16, 2.0 / 256.0);
}

#[test]
fn f32_products_of_bf16_memory_equal_the_reference_within_the_rounding_of_results() {
    equals_the_reference::<bf16>(Precision::F32, 2.0 / 256.0);
}

#[test]
fn the_reference_gradient_is_the_slope_of_the_reference() {
    let dims = Dims { b: 1, tq: 5, tk: 7, h: 2, k: 1, dh: 3 };
    let segments = Some(vec![0, 0, 1, 1, 1, 1, 0]);
    let case = Case { dims, cap: Some(0.9), window: Some(4), segments, key_lens: None };
    let mut x = case.numbers();
    let want = reference::attention(&case, &x);
    let loss = |x: &Numbers| -> f64 {
        let out = reference::attention(&case, x).out.values;
        out.iter().zip(&x.d_out).map(|(out, d_out)| out * d_out).sum()
    };
    type Input = fn(&mut Numbers) -> &mut Vec<f64>;
    let inputs: [Input; 3] = [|x| &mut x.q, |x| &mut x.k, |x| &mut x.v];
    for (input, gradient) in inputs.into_iter().zip([want.d_q, want.d_k, want.d_v]) {
        for (i, want) in gradient.values.iter().enumerate() {
            let here = input(&mut x)[i];
            input(&mut x)[i] = here + 1e-5;
            let above = loss(&x);
            input(&mut x)[i] = here - 1e-5;
            let slope = (above - loss(&x)) / 2e-5;
            input(&mut x)[i] = here;
            assert!((slope - want).abs() < 1e-8, "[{i}]: {want}, the slope is {slope}");
        }
    }
}

#[test]
fn a_batch_element_alone_has_the_same_bits() {
    let dims = Dims { b: 3, tq: 90, tk: 100, h: 4, k: 2, dh: 24 };
    let segments = Some((0..300).map(|i| i / 40).collect::<Vec<u32>>());
    let case =
        Case { dims, cap: None, window: Some(33), segments, key_lens: Some(vec![100, 90, 93]) };
    let x = case.numbers();
    for (simd, precision) in
        Simd::available().flat_map(|simd| [(simd, Precision::F32), (simd, Precision::Bf16)])
    {
        let cpu = Cpu::with_simd(2, simd);
        let together = run::<bf16>(&cpu, precision, &case, &x);
        for b in 0..dims.b {
            let part = |all: &[f64]| all.chunks(all.len() / dims.b).nth(b).unwrap().to_vec();
            let single = Case {
                dims: Dims { b: 1, ..dims },
                cap: case.cap,
                window: case.window,
                segments: case.segments.as_ref().map(|all| all[b * 100..][..100].to_vec()),
                key_lens: case.key_lens.as_ref().map(|lens| vec![lens[b]]),
            };
            let own =
                Numbers { q: part(&x.q), k: part(&x.k), v: part(&x.v), d_out: part(&x.d_out) };
            let alone = run::<bf16>(&cpu, precision, &single, &own);
            for ((name, all), (_, alone)) in together.parts().into_iter().zip(alone.parts()) {
                let own = all.chunks(all.len() / dims.b).nth(b).unwrap();
                assert!(own == alone, "{simd:?} {precision:?} {name} of element {b}");
            }
        }
    }
}

/// Output and log-sum-exp of all queries, `count` in a call.
fn by_pieces<E: Element>(
    cpu: &Cpu,
    precision: Precision,
    (case, x): (&Case, &Numbers),
    count: usize,
) -> (Vec<u32>, Vec<u32>) {
    let ([queries, keys], Dims { b, tq, tk, h, .. }) = (case.extents(), case.dims);
    let (q, mut out) = (Padded::<E>::new(queries, &x.q), Padded::<E>::new(queries, &x.q));
    let (k, v) = (Padded::<E>::new(keys, &x.k), Padded::<E>::new(keys, &x.v));
    let (row, batch) = q.strides();
    let mut lse = vec![9.0_f32; b * h * tq];
    for start in (0..tq).step_by(count) {
        let piece = count.min(tq - start);
        let lens = case.key_lens.clone().unwrap_or(vec![tk; b]);
        let lens: Vec<usize> = lens.iter().map(|len| len - tq + start + piece).collect();
        let key_len = lens.iter().copied().max().unwrap_or(0);
        let shape = AttentionShape { query_len: piece, key_len, ..case.shape() };
        let inputs = AttentionInputs {
            q: Rows::new(&q.memory[start * row..], row, batch),
            k: k.view(),
            v: v.view(),
            segments: None,
            key_lens: Some(&lens),
        };
        let mut part = vec![9.0; b * h * piece];
        let mut rows = RowsMut::new(&mut out.memory[start * row..], row, batch);
        attention(cpu, precision, &shape, &inputs, &mut rows, &mut part);
        for (lse, part) in lse.chunks_mut(tq).zip(part.chunks(piece)) {
            lse[start..start + piece].copy_from_slice(part);
        }
    }
    let bits = |values: Vec<f32>| values.iter().map(|x| x.to_bits()).collect();
    (bits(out.values()), bits(lse))
}

fn pieces_equal_the_whole<E: Element>(dims: [usize; 6], window: Option<usize>, ragged: bool) {
    let [b, tq, tk, h, k, dh] = dims;
    let key_lens = ragged.then(|| (0..b).map(|b| tk - 3 * b).collect());
    let dims = Dims { b, tq, tk, h, k, dh };
    let case = Case { dims, cap: Some(3.0), window, segments: None, key_lens };
    let x = case.numbers();
    for simd in Simd::available() {
        for precision in [Precision::F32, Precision::Bf16] {
            let cpu = Cpu::with_simd(2, simd);
            let whole = by_pieces::<E>(&cpu, precision, (&case, &x), tq);
            for count in [1, 2, 3, 5, 17] {
                let pieces = by_pieces::<E>(&cpu, precision, (&case, &x), count);
                assert!(pieces == whole, "{simd:?} {precision:?} {case:?} by {count}");
            }
        }
    }
}

#[test]
fn queries_in_pieces_have_the_bits_of_all_at_once() {
    for window in [None, Some(1), Some(40), Some(300)] {
        for ragged in [false, true] {
            pieces_equal_the_whole::<bf16>([1, 20, 610, 4, 1, 64], window, ragged);
            pieces_equal_the_whole::<f32>([2, 35, 300, 3, 3, 40], window, ragged);
            pieces_equal_the_whole::<bf16>([2, 40, 60, 6, 2, 24], window, ragged);
            pieces_equal_the_whole::<f32>([1, 33, 33, 2, 1, 16], window, ragged);
        }
    }
}

#[test]
fn columns_of_a_fused_buffer_give_the_same_bits_as_buffers_of_their_own() {
    let dims = Dims { b: 2, tq: 37, tk: 37, h: 4, k: 2, dh: 16 };
    let case = Case { dims, cap: None, window: None, segments: None, key_lens: None };
    let (x, shape) = (case.numbers(), case.shape());
    let [(rows, wide), (_, narrow)] = case.extents();
    let cpu = Cpu::with_simd(2, crate::simd::detect());
    let want = run::<f32>(&cpu, Precision::F32, &case, &x);
    let mut fused = Vec::new();
    for row in 0..dims.b * rows {
        for (values, width) in [(&x.q, wide), (&x.k, narrow), (&x.v, narrow)] {
            fused.extend(values[row * width..][..width].iter().map(|&x| x as f32));
        }
    }
    let width = wide + 2 * narrow;
    let view = |column: usize| Rows::new(&fused[column..], width, rows * width);
    let (q, k, v) = (view(0), view(wide), view(wide + narrow));
    let inputs = AttentionInputs { q, k, v, segments: None, key_lens: None };
    let d_out: Vec<f32> = x.d_out.iter().map(|&x| x as f32).collect();
    let outputs = AttentionOutputs {
        out: Rows::contiguous(&want.out, rows, wide),
        lse: &want.lse,
        d_out: Rows::contiguous(&d_out, rows, wide),
    };
    let mut d_fused = vec![0.0_f32; fused.len()];
    let [d_q, d_k, d_v] = RowsMut::split_columns(&mut d_fused, rows, [wide, narrow, narrow]);
    let mut gradients = AttentionGradients { d_q, d_k, d_v };
    attention_backward(&cpu, Precision::F32, &shape, &inputs, &outputs, &mut gradients);
    for (row, got) in d_fused.chunks(width).enumerate() {
        assert!(got[..wide] == want.d_q[row * wide..][..wide], "d_q of row {row}");
        assert!(got[wide..wide + narrow] == want.d_k[row * narrow..][..narrow], "d_k of {row}");
        assert!(got[wide + narrow..] == want.d_v[row * narrow..][..narrow], "d_v of row {row}");
    }
}

#[test]
fn a_nan_reaches_every_output_that_depends_on_it() {
    let dims = Dims { b: 1, tq: 40, tk: 40, h: 1, k: 1, dh: 16 };
    let case = Case { dims, cap: None, window: None, segments: None, key_lens: None };
    let mut x = case.numbers();
    x.k[7 * 16 + 3] = f64::NAN;
    for simd in Simd::available() {
        for precision in [Precision::F32, Precision::Bf16] {
            let got = run::<f32>(&Cpu::with_simd(1, simd), precision, &case, &x);
            for (i, row) in got.out.chunks(16).enumerate() {
                let poisoned = row.iter().all(|x| x.is_nan());
                assert_eq!(poisoned, i >= 7, "{simd:?} {precision:?} row {i}");
            }
            assert!(got.d_q[7 * 16..].iter().all(|x| x.is_nan()), "{simd:?} {precision:?}");
        }
    }
}

/// Raises 2 to the power of each number.
struct Powers<'a>(SharedMut<'a, f32>);

impl Work for Powers<'_> {
    #[inline(always)]
    unsafe fn run<U: Unit, const ROWS: usize, const VECTORS: usize>(&self, task: usize) {
        // SAFETY: a task is sixteen numbers of its own, and a multiple of every level's lanes.
        unsafe {
            for x in self.0.slice(16 * task, 16).chunks_exact_mut(U::V::LANES) {
                U::V::store(exp2::<U>(U::V::load(x.as_ptr())), x.as_mut_ptr());
            }
        }
    }
}

#[test]
fn powers_of_two_are_as_close_as_stated_and_zero_for_what_is_not_seen() {
    let mut x: Vec<f32> = (0..1600).map(|i| -126.0 + i as f32 * 0.0787).collect();
    x[0] = f32::NEG_INFINITY;
    x[1] = f32::NAN;
    x[2] = -1e30;
    for simd in Simd::available() {
        for (precision, error) in [(Precision::F32, 2e-7), (Precision::Bf16, 3e-6)] {
            let mut powers = x.clone();
            let work = Powers(SharedMut::new(&mut powers));
            run_tasks(&Cpu::with_simd(2, simd), precision, &work, 100);
            assert_eq!((powers[0], powers[2]), (0.0, 0.0), "{simd:?}");
            assert!(powers[1].is_nan(), "{simd:?}");
            for (x, power) in x.iter().zip(powers).skip(3) {
                let want = f64::from(*x).exp2();
                let off = (f64::from(power) / want - 1.0).abs();
                assert!(off < error, "{simd:?} {precision:?}: 2^{x} is {power}, off by {off:e}");
            }
        }
    }
}
