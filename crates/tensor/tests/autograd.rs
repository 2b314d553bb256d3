//! The laws of differentiation itself: sums over users, recomputation, what is recorded and what
//! not.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use danlu_kernels::rng::Philox;
use danlu_tensor::ops::{self, Layout, LinearWeight};
use danlu_tensor::{
    DType, Device, Error, Init, Param, ParamStore, Precision, Result, Tensor, backward, no_grad,
    recompute,
};

fn device() -> Device {
    Device::cpu(2).unwrap()
}

fn tensor(device: &Device, dtype: DType, rows: usize, cols: usize, stream: u64) -> Tensor {
    let philox = Philox::new(3, stream);
    let values: Vec<f32> = (0..(rows * cols) as u64).map(|i| philox.normal(i) as f32).collect();
    device.tensor(dtype, [rows, cols], &values)
}

fn ones(like: &Tensor) -> Tensor {
    like.device().tensor(DType::F32, like.shape(), &vec![1.0; like.shape().len()])
}

/// A block in the form that models have: `x + down(swiglu(gate(norm(x)), up(norm(x))))`.
struct Block {
    norm: Param,
    gate: Param,
    up: Param,
    down: Param,
}

const WIDTH: usize = 24;
const FFN: usize = 40;

impl Block {
    fn new(store: &Arc<ParamStore>, name: &str) -> Self {
        let add =
            |part: &str, shape: &[usize], init| store.add(&format!("{name}.{part}"), shape, init);
        Self {
            norm: add("norm", &[WIDTH], Init::Ones),
            gate: add("gate", &[FFN, WIDTH], Init::Normal(0.2)),
            up: add("up", &[FFN, WIDTH], Init::Normal(0.2)),
            down: add("down", &[WIDTH, FFN], Init::Normal(0.2)),
        }
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let layer = |weight| LinearWeight { weight, bias: None, layout: Layout::OutIn };
        let normed = ops::rms_norm(x, &self.norm, 1e-5)?;
        let gate_up = ops::linears(&normed, &[layer(&self.gate), layer(&self.up)])?;
        let hidden = ops::swiglu(&gate_up[0], &gate_up[1])?;
        ops::linear_add(&hidden, &layer(&self.down), x)
    }
}

/// Two blocks in a store with gradients.
fn blocks(device: &Device, precision: Precision) -> (Arc<ParamStore>, Arc<[Block; 2]>) {
    let store = ParamStore::new(device.clone(), precision);
    let blocks = Arc::new(["first", "second"].map(|name| Block::new(&store, name)));
    store.initialise(5);
    store.enable_gradients();
    (store, blocks)
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn a_tensor_used_twice_gets_the_sum_of_both_gradients() {
    let device = device();
    for dtype in [DType::F32, DType::Bf16] {
        let x = tensor(&device, dtype, 5, 7, 1).leaf();
        let other = tensor(&device, dtype, 5, 7, 2);
        let out = ops::swiglu(&ops::swiglu(&x, &other).unwrap(), &x).unwrap();
        let both = backward(&out, ones(&out)).unwrap().take(&x).unwrap().to_vec();

        let (first, second) = (x.detach().leaf(), x.detach().leaf());
        let out = ops::swiglu(&ops::swiglu(&first, &other).unwrap(), &second).unwrap();
        let mut apart = backward(&out, ones(&out)).unwrap();
        let [first, second] = [first, second].map(|leaf| apart.take(&leaf).unwrap().to_vec());
        let sum: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
        assert_eq!(bits(&both), bits(&sum), "{dtype:?}");
    }
}

#[test]
fn the_same_tensor_as_two_inputs_of_one_operation_gets_both_gradients() {
    let device = device();
    let x = tensor(&device, DType::F32, 3, 4, 1).leaf();
    let out = ops::add(&x, &x).unwrap();
    let gradient = backward(&out, ones(&out)).unwrap().take(&x).unwrap().to_vec();
    assert_eq!(gradient, vec![2.0; 12]);
}

#[test]
fn recomputed_gradients_have_the_bits_of_kept_ones() {
    let device = device();
    for precision in [Precision::F32, Precision::Bf16] {
        let run = |again: bool| {
            let (store, blocks) = blocks(&device, precision);
            let leaf = tensor(&device, DType::F32, 33, WIDTH, 1).leaf();
            let mut x = leaf.clone();
            for index in 0..2 {
                let blocks = Arc::clone(&blocks);
                let forward = move |x: &Tensor| blocks[index].forward(x);
                x = if again { recompute(&x, true, forward) } else { forward(&x) }.unwrap();
            }
            let of_leaf = backward(&x, ones(&x)).unwrap().take(&leaf).unwrap();
            (x.to_vec(), of_leaf.to_vec(), store.with_gradients(|flat| flat.to_vec()))
        };
        let (kept, recomputed) = (run(false), run(true));
        assert_eq!(bits(&kept.0), bits(&recomputed.0), "{precision:?}: outputs");
        assert_eq!(bits(&kept.1), bits(&recomputed.1), "{precision:?}: gradients of x");
        assert_eq!(bits(&kept.2), bits(&recomputed.2), "{precision:?}: gradients of parameters");
    }
}

#[test]
fn recomputation_holds_less_memory_until_the_backward() {
    let held = |again: bool| {
        let device = device();
        let (_store, blocks) = blocks(&device, Precision::F32);
        let Device::Cpu(cpu) = &device;
        let x = tensor(&device, DType::F32, 512, WIDTH, 1);
        let before = cpu.arena.in_use();
        let forward = move |x: &Tensor| blocks[1].forward(&blocks[0].forward(x)?);
        let out = if again { recompute(&x, true, forward) } else { forward(&x) }.unwrap();
        cpu.arena.in_use() - before - out.shape().len() * 4
    };
    assert_eq!(held(true), 0);
    assert!(held(false) > 512 * FFN * 4, "{}", held(false));
}

#[test]
fn the_backward_frees_what_the_forward_saved() {
    let device = device();
    let (_store, blocks) = blocks(&device, Precision::F32);
    let Device::Cpu(cpu) = &device;
    let x = tensor(&device, DType::F32, 64, WIDTH, 1);
    let before = cpu.arena.in_use();
    let out = blocks[1].forward(&blocks[0].forward(&x).unwrap()).unwrap();
    let seed = ones(&out);
    backward(&out, seed).unwrap();
    assert_eq!(cpu.arena.in_use() - before, out.shape().len() * 4);
}

#[test]
fn no_grad_records_nothing() {
    let device = device();
    let (store, blocks) = blocks(&device, Precision::F32);
    let leaf = tensor(&device, DType::F32, 5, WIDTH, 1).leaf();
    let out = no_grad(|| blocks[0].forward(&leaf)).unwrap();
    assert!(backward(&out, ones(&out)).unwrap().take(&leaf).is_none());
    assert!(store.with_gradients(|flat| flat.iter().all(|&gradient| gradient == 0.0)));
    let out = blocks[0].forward(&leaf).unwrap();
    assert!(backward(&out, ones(&out)).unwrap().take(&leaf).is_some(), "recording goes on after");
}

#[test]
fn a_store_without_gradients_passes_them_on_to_its_inputs_only() {
    let device = device();
    let run = |wants: bool| {
        let store = ParamStore::new(device.clone(), Precision::F32);
        let block = Block::new(&store, "block");
        store.initialise(5);
        if wants {
            store.enable_gradients();
        }
        let leaf = tensor(&device, DType::F32, 5, WIDTH, 1).leaf();
        let out = block.forward(&leaf).unwrap();
        backward(&out, ones(&out)).unwrap().take(&leaf).unwrap().to_vec()
    };
    assert_eq!(bits(&run(true)), bits(&run(false)));
}

#[test]
fn a_reshaped_tensor_passes_its_gradient_on() {
    let device = device();
    let x = tensor(&device, DType::F32, 6, 4, 1).leaf();
    let out = ops::softmax(&x.clone().reshape([3, 8]).unwrap()).unwrap();
    let seed = tensor(&device, DType::F32, 3, 8, 2);
    let through = backward(&out, seed.clone()).unwrap().take(&x).unwrap().to_vec();
    let y = device.tensor(DType::F32, [3, 8], &x.to_vec()).leaf();
    let out = ops::softmax(&y).unwrap();
    assert_eq!(through, backward(&out, seed).unwrap().take(&y).unwrap().to_vec());
    assert!(matches!(x.reshape([5, 5]), Err(Error::Shape { op: "reshape", .. })));
}

#[test]
fn an_operation_in_place_leaves_shared_values_alone() {
    let device = device();
    let x = tensor(&device, DType::F32, 5, 8, 1);
    let before = x.to_vec();
    let tables = Arc::new(ops::RopeTables::new(9, 8, 10_000.0));
    let positions: Arc<[u32]> = vec![1, 2, 3, 4, 5].into();
    let out = ops::rope(x.clone(), &positions, &tables, 1).unwrap();
    assert_eq!(x.to_vec(), before);
    assert_ne!(out.to_vec(), before);
}

#[test]
fn kept_packed_weights_follow_their_values() {
    let device = device();
    let store = ParamStore::new(device.clone(), Precision::F32);
    let weight = store.add("weight", [3, 4], Init::Normal(1.0));
    store.initialise(1);
    let x = tensor(&device, DType::F32, 2, 4, 1);
    let layer = LinearWeight { weight: &weight, bias: None, layout: Layout::OutIn };
    let first = ops::linear(&x, &layer).unwrap().to_vec();
    assert_eq!(first, ops::linear(&x, &layer).unwrap().to_vec());
    store.update(|flat| flat.iter_mut().for_each(|value| *value *= 2.0));
    let doubled: Vec<f32> = first.iter().map(|value| 2.0 * value).collect();
    assert_eq!(doubled, ops::linear(&x, &layer).unwrap().to_vec());
}
