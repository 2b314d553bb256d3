//! Which columns of a model's matrices matter: the mean square of what enters them on a text.
//!
//! An error `e` in column `j` of a weight changes the output by `e x_j`, so on average by its
//! square times the mean of `x_j^2`. Quantisers that know these means put their errors where little
//! comes in (the *importance matrix* of llama.cpp,
//! <https://github.com/ggml-org/llama.cpp/pull/4861>).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use danlu_models::{CausalLm, ModelInput};
use danlu_tensor::{Param, Tensor, no_grad, watch_inputs};

use crate::{Error, Result};

/// Tokens of a stretch that is read with what stands before it; the next begins anew.
const WINDOW: usize = 512;
/// A column matters at least so much, as a part of the mean of all: no text shows everything.
const LEAST: f64 = 1e-6;

/// Mean squares of what enters the columns of matrices.
#[derive(Clone, Debug)]
pub struct Importance {
    columns: BTreeMap<String, Vec<f32>>,
    tokens: usize,
}

/// What entered one matrix.
struct Sums {
    squares: Vec<f64>,
    rows: usize,
}

impl Importance {
    /// Runs a model over the ids of some texts and takes note of what enters each linear layer.
    ///
    /// # Errors
    /// When there are no ids, the model fails, or an activation is not finite.
    pub fn collect(model: &dyn CausalLm, documents: &[&[u32]]) -> Result<Self> {
        let seen: Rc<RefCell<BTreeMap<String, Sums>>> = Rc::default();
        let notes = Rc::clone(&seen);
        let watch = Rc::new(move |weight: &Param, x: &Tensor| {
            let cols = x.shape().cols();
            let new = || Sums { squares: vec![0.0; cols], rows: 0 };
            notes.borrow_mut().entry(weight.name()).or_insert_with(new).add(&x.to_vec());
        });
        let window = WINDOW.min(model.shape().context_len);
        let mut tokens = 0;
        for ids in documents.iter().flat_map(|ids| ids.chunks(window)) {
            let input = ModelInput::new(ids, 1);
            watch_inputs(watch.clone(), || no_grad(|| model.hidden(&input, None)))?;
            tokens += ids.len();
        }
        if tokens == 0 {
            return Err(Error::Empty("the text to calibrate on has no token".to_owned()));
        }
        let seen = std::mem::take(&mut *seen.borrow_mut());
        let means = seen.into_iter().filter(|(_, sums)| sums.rows > 0);
        let columns = means.map(|(name, sums)| Ok((name.clone(), sums.means(&name)?)));
        Ok(Self { columns: columns.collect::<Result<_>>()?, tokens })
    }

    /// How much an error matters in each column of the matrix with this published name; `None` when
    /// nothing entered it, as in an expert that was never chosen.
    #[must_use]
    pub fn of(&self, weight: &str) -> Option<&[f32]> {
        self.columns.get(weight).map(Vec::as_slice)
    }

    /// Tokens read.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

impl Sums {
    /// Adds rows of as many columns as there are sums.
    fn add(&mut self, x: &[f32]) {
        for row in x.chunks_exact(self.squares.len()) {
            for (sum, &x) in self.squares.iter_mut().zip(row) {
                *sum += f64::from(x) * f64::from(x);
            }
            self.rows += 1;
        }
    }

    fn means(&self, name: &str) -> Result<Vec<f32>> {
        let mean = |sum: &f64| sum / self.rows as f64;
        let all = self.squares.iter().map(mean).sum::<f64>() / self.squares.len() as f64;
        if !(all.is_finite() && all > 0.0) {
            let message = format!(
                "what enters `{name}` has the mean square {all}: the model computes nothing there"
            );
            return Err(Error::Empty(message));
        }
        Ok(self.squares.iter().map(|sum| mean(sum).max(LEAST * all) as f32).collect())
    }
}

#[cfg(test)]
mod tests {
    use danlu_models::BuildOptions;
    use danlu_models::config::ConfigJson;
    use danlu_models::families::find_family;
    use danlu_tensor::{Device, Precision};

    use super::*;

    fn model() -> Box<dyn CausalLm> {
        let text = r#"{"model_type": "llama", "vocab_size": 50, "hidden_size": 16,
            "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}"#;
        let json = ConfigJson::parse("config.json", text).unwrap();
        let options = BuildOptions::trainable(Device::cpu(1).unwrap(), Precision::F32);
        let model = (find_family(&json).unwrap().build)(&json, &options).unwrap();
        model.params().initialise(42);
        model
    }

    #[test]
    fn the_first_layer_is_entered_by_the_normed_embedding() {
        let (model, ids) = (model(), [3_u32, 1, 4, 1, 5, 9, 2, 6]);
        let found = Importance::collect(model.as_ref(), &[&ids[..5], &ids[5..]]).unwrap();
        assert_eq!(found.tokens(), 8);
        let table = model.params().find("model.embed_tokens.weight").unwrap();
        let table = model.params().values()[table.range()].to_vec();
        let mut expected = [0.0_f64; 16];
        for &id in &ids {
            let row = &table[id as usize * 16..][..16];
            let mean = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 16.0;
            for (sum, &x) in expected.iter_mut().zip(row) {
                // Fresh gains are one; the constant is LLaMA's.
                *sum += f64::from(x).powi(2) / (mean + 1e-6) / ids.len() as f64;
            }
        }
        for part in ["q", "k", "v"] {
            let name = format!("model.layers.0.self_attn.{part}_proj.weight");
            for (found, expected) in found.of(&name).unwrap().iter().zip(expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{found}, not {expected}");
            }
        }
        let widths = ["self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
            .map(|name| found.of(&format!("model.layers.1.{name}.weight")).map(<[f32]>::len));
        assert_eq!(widths, [Some(16), Some(16), Some(16), Some(32)]);
        assert!(found.of("model.embed_tokens.weight").is_none(), "no linear layer");
    }

    #[test]
    fn a_text_of_nothing_is_an_error() {
        assert!(Importance::collect(model().as_ref(), &[]).is_err());
    }
}
