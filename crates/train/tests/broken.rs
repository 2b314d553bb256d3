//! What goes wrong: numbers that are not finite, spikes, checkpoints of other runs, damaged files,
//! a disk without room. It is caught in time, said clearly, and never saved.
#![allow(clippy::unwrap_used)]

mod world;

use std::cell::RefCell;
use std::fs;
use std::path::Path;

use danlu_formats::SafeTensors;
use danlu_kernels::Precision;
use danlu_train::checkpoint::Checkpoints;
use danlu_train::{Error, OnIncident, Outcome, TrainConfig, read_metrics};
use world::{FAMILIES, PRECISIONS, Watcher, World, assert_same, checkpoints, files};

/// Where weights are damaged, what they become, and what the report says.
type Damage = (&'static str, fn(f32) -> f32, &'static str);

/// What is done to the weights.
const DAMAGES: &[Damage] = &[
    ("embedding", |_| f32::NAN, "NaN"),
    ("embedding", |_| f32::INFINITY, "NaN"),
    ("block", |_| f32::NAN, "NaN"),
    ("block", |_| f32::NEG_INFINITY, "NaN"),
];

/// Which weights a damage hits: a whole table, or one weight of a block's first matrix.
fn range(family: &str, place: &str, store: &danlu_tensor::ParamStore) -> std::ops::Range<usize> {
    let name = match (family, place) {
        ("llama", "embedding") => "model.embed_tokens.weight",
        ("llama", _) => "model.layers.1.mlp.up_proj.weight",
        (_, "embedding") => "transformer.wte.weight",
        _ => "transformer.h.1.mlp.c_fc.weight",
    };
    let whole = store.find(name).unwrap().range();
    if place == "embedding" { whole } else { whole.start + 7..whole.start + 8 }
}

/// Every number of every checkpoint.
fn assert_finite(folder: &Path) {
    for checkpoint in checkpoints(folder) {
        for name in ["model.safetensors", "optimizer.safetensors"] {
            let path = folder.join("checkpoints").join(&checkpoint).join(name);
            for tensor in SafeTensors::open(&path).unwrap().tensors() {
                let finite = tensor.to_f32().unwrap().iter().all(|value| value.is_finite());
                assert!(finite, "{}: {}", path.display(), tensor.name);
            }
        }
    }
}

#[test]
fn numbers_that_are_not_finite_are_caught_before_the_update_and_reported_with_the_documents() {
    for family in FAMILIES {
        for &precision in PRECISIONS {
            for (place, damage, reason) in DAMAGES {
                let what = format!("{family} {precision:?} {place} {}", damage(1.0));
                leave_out_one_step(World::new(family, precision), place, *damage, reason, &what);
            }
        }
    }
}

/// Damages the weights after step 4 and repairs them after step 5, which must have changed nothing.
fn leave_out_one_step(
    mut world: World,
    place: &str,
    damage: fn(f32) -> f32,
    reason: &str,
    what: &str,
) {
    world.config = TrainConfig { steps: 7, eval_every: 0, ..world.config };
    let folder = tempfile::tempdir().unwrap();
    let (good, damaged) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
    let family = world.family;
    let mut watcher = Watcher {
        meddle: Some(Box::new(|step, store| {
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<u32>>();
            if step == 4 {
                *good.borrow_mut() = store.values().to_vec();
                let range = range(family, place, store);
                store.update(|values| {
                    values[range].iter_mut().for_each(|value| *value = damage(*value));
                });
                *damaged.borrow_mut() = bits(&store.values());
            } else if step == 5 {
                assert!(bits(&store.values()) == *damaged.borrow(), "{what}: weights moved");
                store.update(|values| values.copy_from_slice(&good.borrow()));
            }
        })),
        ..Watcher::default()
    };
    assert_eq!(world.train(folder.path(), &mut watcher).unwrap(), Outcome::Finished, "{what}");
    let note = watcher.notes.iter().find(|note| note.contains("step 5 was left out")).unwrap();
    let documents = world.documents(5);
    assert!(note.contains(reason) && note.contains(&documents.join(", ")), "{what}: {note}");

    let records = read_metrics(&folder.path().join("metrics.jsonl")).unwrap();
    assert_eq!(records.len(), 7, "{what}");
    let incidents: Vec<_> = records.iter().filter_map(|r| r.incident.as_ref()).collect();
    assert_eq!(incidents.len(), 1, "{what}");
    assert_eq!(incidents[0].documents, documents, "{what}");
    let state = &files(folder.path())["step-00000007/train_state.json"];
    let state: serde_json::Value = serde_json::from_slice(state).unwrap();
    assert_eq!((&state["state"]["step"], &state["state"]["updates"]), (&7.into(), &6.into()));
    assert_finite(folder.path());
}

#[test]
fn a_loss_spike_is_caught_before_the_update() {
    let mut world = World::new("llama", Precision::F32);
    world.config = TrainConfig { steps: 60, checkpoint_every: 20, eval_every: 0, ..world.config };
    let folder = tempfile::tempdir().unwrap();
    let good = RefCell::new(Vec::new());
    let mut watcher = Watcher {
        meddle: Some(Box::new(|step, store| {
            let range = store.find("lm_head.weight").unwrap().range();
            if step == 55 {
                *good.borrow_mut() = store.values().to_vec();
                store.update(|values| values[range].iter_mut().for_each(|value| *value *= -30.0));
            } else if step == 56 {
                store.update(|values| values.copy_from_slice(&good.borrow()));
            }
        })),
        ..Watcher::default()
    };
    world.train(folder.path(), &mut watcher).unwrap();
    let notes: Vec<_> = watcher.notes.iter().filter(|n| n.contains("was left out")).collect();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("step 56") && notes[0].contains("the loss jumped to"), "{notes:?}");
    assert!(notes[0].contains(&world.documents(56).join(", ")), "{notes:?}");
}

/// A run whose weights are damaged for good after step 4.
fn damaged_for_good(config: TrainConfig, folder: &Path) -> Error {
    let mut world = World::new("gpt2", Precision::F32);
    world.config = config;
    let mut watcher = Watcher {
        meddle: Some(Box::new(|step, store| {
            if step == 4 {
                let range = range("gpt2", "embedding", store);
                store.update(|values| values[range].fill(f32::NAN));
            }
        })),
        ..Watcher::default()
    };
    world.train(folder, &mut watcher).unwrap_err()
}

#[test]
fn several_broken_steps_in_a_row_end_the_run_and_the_last_good_checkpoint_stays() {
    let world = World::new("gpt2", Precision::F32);
    let endless = TrainConfig { steps: 40, checkpoint_every: 3, eval_every: 0, ..world.config };
    for (on_incident, checkpoint_every, expected) in [
        (OnIncident::Skip, 30, "training stopped at step 9: the loss is NaN"),
        (OnIncident::Stop, 3, "training stopped at step 5: the loss is NaN"),
        (
            OnIncident::Skip,
            3,
            "training stopped at step 6: the update left NaN or infinity in the weights",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = TrainConfig { on_incident, checkpoint_every, ..endless.clone() };
        let error = damaged_for_good(config, folder.path()).to_string();
        assert!(error.starts_with(expected) && error.contains("lower learning rate"), "{error}");
        if error.contains("the loss") {
            let step = if on_incident == OnIncident::Stop { 5 } else { 9 };
            assert!(error.contains(&world.documents(step).join(", ")), "{error}");
        }
        let kept: &[&str] = if checkpoint_every == 3 { &["step-00000003"] } else { &[] };
        assert_eq!(checkpoints(folder.path()), kept, "{error}");
        assert_finite(folder.path());
    }
}

#[test]
fn an_update_that_overflows_is_never_saved() {
    let mut world = World::new("llama", Precision::F32);
    world.config =
        TrainConfig { learning_rate: 1e39, warmup_steps: 0, checkpoint_every: 1, ..world.config };
    let folder = tempfile::tempdir().unwrap();
    let error = world.train(folder.path(), &mut Watcher::default()).unwrap_err();
    assert!(matches!(error, Error::NotFinite { step: 1, .. }), "{error}");
    assert!(checkpoints(folder.path()).is_empty());
}

#[test]
fn a_checkpoint_of_another_run_is_refused_with_both_values() {
    let world = World::new("llama", Precision::F32);
    let folder = tempfile::tempdir().unwrap();
    world.train(folder.path(), &mut Watcher::default()).unwrap();
    let before = files(folder.path());
    type Part = (&'static str, &'static str, fn(&mut World) -> &mut String);
    let parts: [Part; 4] = [
        ("settings", "these settings", |w| &mut w.identity.settings),
        ("training data", "this data", |w| &mut w.identity.data),
        ("tokenizer", "this tokenizer", |w| &mut w.identity.tokenizer),
        ("starting weights", "seed 5", |w| &mut w.identity.start),
    ];
    for (what, had, part) in parts {
        let mut other = world.clone();
        *part(&mut other) = "something else".to_owned();
        let error = other.train(folder.path(), &mut Watcher::default()).unwrap_err().to_string();
        for word in [what, had, "something else", "--out"] {
            assert!(error.contains(word), "{what}: {error}");
        }
        assert_same(&files(folder.path()), &before, what);
    }
}

#[test]
fn a_damaged_checkpoint_is_passed_over_loudly_and_the_run_ends_with_the_same_bits() {
    let world = World::new("llama", Precision::Bf16);
    let expected = world.undisturbed();
    for name in ["model.safetensors", "optimizer.safetensors", "train_state.json", "manifest.json"]
    {
        let folder = tempfile::tempdir().unwrap();
        world.train(folder.path(), &mut Watcher::default()).unwrap();
        let path = folder.path().join("checkpoints/step-00000008").join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let mut watcher = Watcher::default();
        world.train(folder.path(), &mut watcher).unwrap();
        let note = &watcher.notes[0];
        assert!(note.contains("damaged") && note.contains("step-00000008"), "{name}: {note}");
        assert_eq!(watcher.notes[1], "going on from step 6", "{name}");
        assert_same(&files(folder.path()), &expected, name);
    }
}

#[test]
fn a_checkpoint_larger_than_the_disk_is_refused_with_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::new(folder.path(), 1).unwrap();
    checkpoints.save(1, 4, |draft| draft.bytes("model.safetensors", b"good")).unwrap();
    let error = checkpoints.save(2, 1 << 60, |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("make room for") && error.contains("MiB more"), "{error}");
    assert_eq!(checkpoints.latest().unwrap().newest.unwrap().0, 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
}
