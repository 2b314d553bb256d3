//! What a checkpoint holds beside the model: everything the next step depends on.

use std::path::Path;

use danlu_data::Cursor;
use danlu_formats::{NewTensor, SafeTensors, Values, safetensors};
use danlu_kernels::cpu::reduce::sum_of_squares;
use danlu_kernels::{Cpu, Element, bf16};
use danlu_models::{load_weights, save_weights};
use serde::{Deserialize, Serialize};

use crate::checkpoint::Draft;
use crate::guard::Guard;
use crate::optimizers::{FlatState, Optimizer};
use crate::trainer::Setup;
use crate::{Error, Result};

const WEIGHTS: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const STATE: &str = "train_state.json";
const FIRST: &str = "first_moment";
const SECOND: &str = "second_moment";
/// Room for the small files of a checkpoint.
const SMALL_FILES_BYTES: u64 = 1 << 20;

/// Small files of a model folder, `(name, bytes)`: configuration, tokenizer, chat template.
pub type Companions = Vec<(String, Vec<u8>)>;

/// Hashes of what a run is made from. A checkpoint of another run is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunIdentity {
    /// The settings: model and training sections of the recipe.
    pub settings: String,
    /// The token shard.
    pub data: String,
    /// The tokenizer.
    pub tokenizer: String,
    /// The weights the run began with: their file's hash, or the seed.
    pub start: String,
}

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Steps done, incidents included.
    pub step: u64,
    /// Updates applied: the optimiser's own count.
    pub updates: u64,
    /// Target tokens trained on.
    pub tokens: u64,
    /// The next batch.
    pub cursor: Cursor,
    /// What the guard remembers.
    pub guard: Guard,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateFile {
    version: u32,
    identity: RunIdentity,
    state: TrainState,
}

/// Version of `train_state.json`.
const VERSION: u32 = 1;

/// About how many bytes a checkpoint takes.
pub(crate) fn size_bytes(setup: &Setup<'_>, optimizer: &Optimizer) -> u64 {
    let weights = setup.model.params().weight_count() * size_of::<f32>();
    let moments = [&optimizer.first, &optimizer.second].map(|state| state.len() * size_of::<f32>());
    let companions: usize = setup.companions.iter().map(|(_, bytes)| bytes.len()).sum();
    (weights + moments[0] + moments[1] + companions) as u64 + SMALL_FILES_BYTES
}

/// Writes all files of a checkpoint.
pub(crate) fn save(
    draft: &mut Draft,
    setup: &Setup<'_>,
    state: &TrainState,
    optimizer: &Optimizer,
) -> Result<()> {
    for (name, bytes) in &setup.companions {
        draft.bytes(name, bytes)?;
    }
    draft.file(WEIGHTS, |mut out| Ok(save_weights(setup.model, &mut out)?))?;
    let (first, second) = (optimizer.first.to_f32(), optimizer.second.to_f32());
    let flat = |name: &str, values| NewTensor {
        name: name.to_owned(),
        shape: vec![optimizer.first.len()],
        values: Values::F32(values),
    };
    let tensors = [flat(FIRST, &first), flat(SECOND, &second)];
    draft.file(OPTIMIZER, |mut out| {
        Ok(safetensors::write(&mut out, &safetensors::Metadata::new(), &tensors)?)
    })?;
    let file =
        StateFile { version: VERSION, identity: setup.identity.clone(), state: state.clone() };
    let json = serde_json::to_vec_pretty(&file)
        .map_err(|error| Error::Io { path: STATE.into(), source: error.into() })?;
    draft.bytes(STATE, &json)
}

/// Reads a verified checkpoint into the model and the optimiser.
pub(crate) fn load(
    folder: &Path,
    setup: &Setup<'_>,
    optimizer: &mut Optimizer,
) -> Result<TrainState> {
    let path = folder.join(STATE);
    let text = std::fs::read(&path).map_err(Error::io(&path))?;
    let file: StateFile = serde_json::from_slice(&text)
        .map_err(|error| Error::Corrupt { path: path.clone(), message: error.to_string() })?;
    check_identity(folder, &file.identity, &setup.identity)?;
    if file.version != VERSION {
        let message = format!("has version {}, this danlu reads {VERSION}", file.version);
        return Err(Error::Corrupt { path, message });
    }
    load_weights(setup.model, &folder.join(WEIGHTS))?;
    let saved = SafeTensors::open(&folder.join(OPTIMIZER))?;
    for (name, state) in [(FIRST, &mut optimizer.first), (SECOND, &mut optimizer.second)] {
        let values = saved.tensor(name)?.to_f32()?;
        if values.len() != state.len() {
            let message = format!("`{name}` has {} values, expected {}", values.len(), state.len());
            return Err(Error::Corrupt { path: folder.join(OPTIMIZER), message });
        }
        state.copy_from(&values);
    }
    Ok(file.state)
}

fn check_identity(folder: &Path, found: &RunIdentity, expected: &RunIdentity) -> Result<()> {
    let parts = [
        ("settings", &found.settings, &expected.settings),
        ("training data", &found.data, &expected.data),
        ("tokenizer", &found.tokenizer, &expected.tokenizer),
        ("starting weights", &found.start, &expected.start),
    ];
    match parts.into_iter().find(|(_, found, expected)| found != expected) {
        None => Ok(()),
        Some((what, found, expected)) => Err(Error::Mismatch {
            path: folder.to_owned(),
            what,
            found: found.clone(),
            expected: expected.clone(),
        }),
    }
}

impl FlatState {
    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(buffer) => buffer.len(),
            Self::Bf16(buffer) => buffer.len(),
        }
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no NaN and no infinity.
    pub(crate) fn is_finite(&self, cpu: &Cpu) -> bool {
        match self {
            Self::F32(buffer) => sum_of_squares(cpu, buffer).is_finite(),
            Self::Bf16(buffer) => buffer.iter().all(|value| Element::to_f32(*value).is_finite()),
        }
    }

    /// All values as f32, exactly.
    fn to_f32(&self) -> std::borrow::Cow<'_, [f32]> {
        match self {
            Self::F32(buffer) => (&buffer[..]).into(),
            Self::Bf16(buffer) => buffer.iter().map(|value| Element::to_f32(*value)).collect(),
        }
    }

    fn copy_from(&mut self, values: &[f32]) {
        match self {
            Self::F32(buffer) => buffer.copy_from_slice(values),
            Self::Bf16(buffer) => {
                for (to, from) in buffer.iter_mut().zip(values) {
                    *to = <bf16 as Element>::from_f32(*from);
                }
            }
        }
    }
}
