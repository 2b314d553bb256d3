//! The laws of the loss: it does not depend on how a batch is split, it says what is wrong with its
//! arguments, and its gradient has the factor that was asked for.
#![allow(clippy::unwrap_used)]

use danlu_kernels::rng::Philox;
use danlu_tensor::ops::linear_cross_entropy;
use danlu_tensor::{DType, Device, Error, Init, Param, ParamStore, Precision, Tensor, backward};

const WIDTH: usize = 16;
const VOCAB: usize = 20_000;
/// More than one chunk of logits.
const ROWS: usize = 300;

fn head(device: &Device, precision: Precision) -> Param {
    let store = ParamStore::new(device.clone(), precision);
    let weight = store.add("lm_head.weight", [VOCAB, WIDTH], Init::Normal(0.3));
    store.initialise(4);
    store.enable_gradients();
    weight
}

fn hidden_values() -> Vec<f32> {
    let philox = Philox::new(3, 0);
    (0..(ROWS * WIDTH) as u64).map(|i| philox.normal(i) as f32).collect()
}

fn targets() -> Vec<i32> {
    (0..ROWS).map(|i| if i % 7 == 3 { -100 } else { (i * 37 % VOCAB) as i32 }).collect()
}

struct Sum {
    loss: f64,
    row_losses: Vec<f32>,
    d_hidden: Vec<f32>,
    d_weight: Vec<f32>,
}

/// Loss and gradients of the batch in parts of `rows` rows, added up.
fn in_parts(precision: Precision, rows: usize) -> Sum {
    let device = Device::cpu(2).unwrap();
    let weight = head(&device, precision);
    let (values, targets) = (hidden_values(), targets());
    let scale = 1.0 / targets.iter().filter(|&&target| target >= 0).count() as f32;
    let mut sum = Sum { loss: 0.0, row_losses: vec![], d_hidden: vec![], d_weight: vec![] };
    for (values, targets) in values.chunks(rows * WIDTH).zip(targets.chunks(rows)) {
        let hidden = device.tensor(precision.into(), [targets.len(), WIDTH], values).leaf();
        let out = linear_cross_entropy(&hidden, &weight, targets, scale).unwrap();
        sum.loss += f64::from(out.loss.scalar());
        sum.row_losses.extend(out.row_losses);
        let one = device.tensor(DType::F32, [], &[1.0]);
        let d_hidden = backward(&out.loss, one).unwrap().take(&hidden).unwrap();
        sum.d_hidden.extend(d_hidden.to_vec());
    }
    sum.d_weight = weight.gradient();
    sum
}

fn assert_close(a: &[f32], b: &[f32], context: &str) {
    let largest = a.iter().fold(0.0, |largest: f32, x| largest.max(x.abs()));
    let error = a.iter().zip(b).fold(0.0, |error: f32, (a, b)| error.max((a - b).abs()));
    assert!(a.len() == b.len() && error <= 1e-6 * largest, "{context}: {error} of {largest}");
}

#[test]
fn loss_and_gradients_are_the_same_for_any_split_of_the_rows() {
    for precision in [Precision::F32, Precision::Bf16] {
        let whole = in_parts(precision, ROWS);
        for rows in [37, 128, 150] {
            let parts = in_parts(precision, rows);
            let context = format!("{precision:?} in parts of {rows} rows");
            assert!((whole.loss / parts.loss - 1.0).abs() < 1e-6, "{context}: loss");
            assert_close(&whole.row_losses, &parts.row_losses, &context);
            assert_close(&whole.d_hidden, &parts.d_hidden, &context);
            assert_close(&whole.d_weight, &parts.d_weight, &context);
        }
    }
}

#[test]
fn the_loss_is_the_scaled_sum_of_the_row_losses_and_ignored_rows_have_none() {
    let sum = in_parts(Precision::F32, ROWS);
    let targets = targets();
    let count = targets.iter().filter(|&&target| target >= 0).count();
    let mean = sum.row_losses.iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64;
    assert!((sum.loss / mean - 1.0).abs() < 1e-6, "{} {mean}", sum.loss);
    for (row, target) in targets.iter().enumerate() {
        let gradient = &sum.d_hidden[row * WIDTH..(row + 1) * WIDTH];
        assert_eq!(sum.row_losses[row] == 0.0, *target == -100, "row {row}");
        assert_eq!(gradient.iter().all(|&g| g == 0.0), *target == -100, "row {row}");
    }
}

fn small_loss(device: &Device, targets: &[i32]) -> danlu_tensor::Result<Tensor> {
    let hidden = device.tensor(DType::F32, [2, WIDTH], &hidden_values()[..2 * WIDTH]).leaf();
    Ok(linear_cross_entropy(&hidden, &head(device, Precision::F32), targets, 1.0)?.loss)
}

#[test]
fn a_factor_that_comes_too_late_is_an_error() {
    let device = Device::cpu(1).unwrap();
    let loss = small_loss(&device, &[1, 2]).unwrap();
    let half = device.tensor(DType::F32, [], &[0.5]);
    assert!(matches!(backward(&loss, half), Err(Error::Value { .. })));
}

#[test]
fn a_wrong_target_is_named() {
    let device = Device::cpu(1).unwrap();
    for target in [-1, VOCAB as i32] {
        let error = small_loss(&device, &[1, target]).unwrap_err().to_string();
        assert!(error.contains(&target.to_string()) && error.contains("0..20000"), "{error}");
    }
    let error = small_loss(&device, &[1]).unwrap_err().to_string();
    assert!(error.contains("1 targets for 2 rows"), "{error}");
}
