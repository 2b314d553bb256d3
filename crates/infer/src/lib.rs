//! Ids in, ids out: a model, a cache and a sampler, for many requests at once.
//!
//! Read in this order: [`request`] (what is asked for), [`engine`] (how it is answered),
//! [`samplers`] (how a token is chosen, one file each).
//!
//! **Invariants.** Nothing here sees a string. The cache is reserved when the engine is made and
//! never grows; a prompt that does not fit is an error, it is never cut. The answer to a request is
//! a function of the model and the request alone, whatever was asked before and however many
//! threads compute it.
//!
//! ```
//! use std::sync::{Arc, atomic::AtomicBool};
//!
//! use danlu_infer::{Engine, EngineOptions, FinishReason, Limits, Request, Sampling};
//! # use danlu_models::{BuildOptions, CausalLm, config::ConfigJson, families::find_family};
//! # use danlu_tensor::{Device, Precision};
//! # let json = ConfigJson::new("config.json", serde_json::json!({
//! #     "model_type": "llama", "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32,
//! #     "num_hidden_layers": 2, "num_attention_heads": 2
//! # }));
//! # let options = BuildOptions::trainable(Device::cpu(2)?, Precision::F32);
//! # let model: Arc<dyn CausalLm> = Arc::from((find_family(&json)?.build)(&json, &options)?);
//! # model.params().initialise(42);
//! let mut engine = Engine::new(Arc::clone(&model), EngineOptions::for_model(model.as_ref()))?;
//! let request = Request {
//!     ids: vec![1, 17, 4],
//!     sampling: Sampling { temperature: 0.8, top_p: Some(0.95), seed: 7, ..Sampling::greedy() },
//!     limits: Limits { max_new_tokens: 5 },
//!     stop_ids: vec![],
//!     log_probs: None,
//! };
//! let cancel = AtomicBool::new(false);
//! let mut answer = engine.start(&request, &cancel)?;
//! for token in answer.by_ref() {
//!     assert!(token?.id < 50);
//! }
//! assert_eq!(answer.finish_reason(), Some(FinishReason::MaxNewTokens));
//! # Ok::<(), danlu_infer::Error>(())
//! ```

pub mod batch_speed;
pub mod engine;
pub mod error;
pub mod request;
pub mod samplers;
pub mod speed;

pub use engine::{
    Engine, EngineOptions, Event, Generation, Guessed, Output, RequestId, Speculation,
};
pub use error::{Error, Result};
pub use request::{Dry, FinishReason, Limits, LogProbs, Mirostat, Request, Sampling, Token};
pub use samplers::SAMPLERS;
