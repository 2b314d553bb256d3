//! What holds for every run: the split of a batch, the number of threads, an interruption or
//! recomputing activations change nothing.
#![allow(clippy::unwrap_used)]

mod world;

use danlu_kernels::Precision;
use danlu_train::{Moments, OptimizerKind, Outcome, TrainConfig};
use world::{FAMILIES, PRECISIONS, Watcher, World, assert_same, checkpoints, files};

/// Largest difference as a share of the value; f32 holds about 6e-8.
const SPLIT_TOLERANCE: f64 = 1e-6;

/// Every optimiser with every kind of state.
const OPTIMIZERS: &[(OptimizerKind, Moments)] = &[
    (OptimizerKind::Adamw, Moments::F32),
    (OptimizerKind::Adamw, Moments::Bf16),
    (OptimizerKind::Muon, Moments::F32),
];

/// Every family, precision and optimiser.
fn all_worlds() -> impl Iterator<Item = (String, World)> {
    FAMILIES.iter().flat_map(|family| {
        PRECISIONS.iter().flat_map(move |&precision| {
            OPTIMIZERS.iter().map(move |&(optimizer, moments)| {
                let mut world = World::new(family, precision);
                world.config = TrainConfig { optimizer, moments, ..world.config };
                (format!("{family} {precision:?} {optimizer:?} {moments:?}"), world)
            })
        })
    })
}

/// Loss, gradient norm and gradient of the first step when micro-batches have so many rows.
fn first_step(family: &'static str, rows: usize) -> (f64, f64, Vec<f32>) {
    let mut world = World::new(family, Precision::F32);
    world.config =
        TrainConfig { steps: 1, warmup_steps: 1, micro_batch_size: rows, ..world.config };
    let folder = tempfile::tempdir().unwrap();
    let model = world.model();
    let mut watcher = Watcher::default();
    world.train_model(model.as_ref(), folder.path(), &mut watcher).unwrap();
    let gradient = model.params().with_gradients(|flat| flat.to_vec());
    (watcher.records[0].loss, watcher.records[0].gradient_norm, gradient)
}

#[test]
fn loss_and_gradient_do_not_depend_on_how_a_batch_is_split() {
    for family in FAMILIES {
        let (loss, norm, gradient) = first_step(family, 8);
        assert!(loss > 1.0 && norm > 0.01, "{family}: a loss of {loss}, a gradient of {norm}");
        for rows in [1, 2, 3, 5] {
            let (other_loss, other_norm, other) = first_step(family, rows);
            let off = [(other_loss / loss - 1.0).abs(), (other_norm / norm - 1.0).abs()];
            assert!(off.iter().all(|&off| off <= SPLIT_TOLERANCE), "{family} {rows} rows: {off:?}");
            let difference = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            let off = gradient.iter().zip(&other).map(difference).sum::<f64>().sqrt() / norm;
            assert!(off <= SPLIT_TOLERANCE, "{family} {rows} rows: gradients differ by {off}");
        }
    }
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    for (name, mut world) in all_worlds() {
        world.config.steps = 4;
        world.threads = 1;
        let expected = world.undisturbed();
        for threads in [2, 4] {
            world.threads = threads;
            assert_same(&world.undisturbed(), &expected, &format!("{name}, {threads} threads"));
        }
    }
}

#[test]
fn a_run_that_was_stopped_at_any_step_ends_with_the_same_bits() {
    // Either family with one precision and every optimiser: the two do not meet in a checkpoint.
    for (name, world) in all_worlds()
        .filter(|(_, world)| (world.family == "llama") == (world.precision == Precision::Bf16))
    {
        let expected = world.undisturbed();
        for step in 1..world.config.steps {
            let what = format!("{name}, stopped at step {step}");
            let folder = tempfile::tempdir().unwrap();
            let mut stopping = Watcher { stop_at: Some(step), ..Watcher::default() };
            let outcome = world.train(folder.path(), &mut stopping).unwrap();
            assert_eq!(outcome, Outcome::Stopped, "{what}");
            let mut watcher = Watcher::default();
            assert_eq!(world.train(folder.path(), &mut watcher).unwrap(), Outcome::Finished);
            assert_eq!(watcher.records[0].step, step + 1, "{what}: nothing is done twice");
            assert_same(&files(folder.path()), &expected, &what);
        }
    }
}

#[test]
fn a_run_that_was_broken_off_again_and_again_ends_with_the_same_bits() {
    let world = World::new("llama", Precision::Bf16);
    let expected = world.undisturbed();
    let folder = tempfile::tempdir().unwrap();
    // Looks at held-out text are counted anew in each attempt, and checkpoints lie 3 steps apart.
    for looks in [1, 2, 4, 2, 4, 1, 2] {
        let mut broken = Watcher { break_off_at: Some(looks), ..Watcher::default() };
        let message = world.train(folder.path(), &mut broken).unwrap_err().to_string();
        assert!(message.contains("broken off"), "{message}");
    }
    world.train(folder.path(), &mut Watcher::default()).unwrap();
    assert_same(&files(folder.path()), &expected, "broken off");
    assert_eq!(checkpoints(folder.path()), ["step-00000006", "step-00000008"]);
}

#[test]
fn a_finished_run_does_nothing_when_it_is_asked_again() {
    let world = World::new("gpt2", Precision::F32);
    let folder = tempfile::tempdir().unwrap();
    world.train(folder.path(), &mut Watcher::default()).unwrap();
    let before = files(folder.path());
    let mut watcher = Watcher::default();
    assert_eq!(world.train(folder.path(), &mut watcher).unwrap(), Outcome::Finished);
    assert!(watcher.records.is_empty());
    assert_same(&files(folder.path()), &before, "asked again");
}

#[test]
fn recomputing_activations_changes_no_bit() {
    for family in FAMILIES {
        for &precision in PRECISIONS {
            let mut world = World::new(family, precision);
            world.config.steps = 4;
            let expected = world.undisturbed();
            world.config.recompute = true;
            assert_same(&world.undisturbed(), &expected, &format!("{family} {precision:?}"));
        }
    }
}
