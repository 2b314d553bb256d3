//! A feed-forward part of many, of which each token is given to a few: a mixture of experts
//! (Shazeer et al. 2017, arXiv:1701.06538; Fedus et al. 2021, arXiv:2101.03961).

use danlu_tensor::ops::{self, Layout};
use danlu_tensor::{Result, Tensor};

use super::builder::normal;
use super::{Builder, FeedForward, GatedMlp, GatedMlpSpec, Linear, LinearSpec};
use crate::config::ConfigJson;
use crate::memory::BlockActivations;

/// How many experts there are, and how a token's are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertChoice {
    /// E.
    pub num_experts: usize,
    /// How many a token is given to.
    pub per_token: usize,
    /// Whether the weights of a token's experts add up to one, or are probabilities among all.
    pub renormalise: bool,
}

impl ExpertChoice {
    /// From the published keys `num_local_experts` or `num_experts`, and `num_experts_per_tok`.
    ///
    /// # Errors
    /// When one is missing or absurd.
    pub fn read(json: &ConfigJson, renormalise: bool) -> crate::Result<Self> {
        let num_experts: usize = match json.find("num_local_experts")? {
            Some(count) => count,
            None => json.get("num_experts")?,
        };
        let per_token: usize = json.get("num_experts_per_tok")?;
        if !(1..=1 << 12).contains(&num_experts) || !(1..=num_experts).contains(&per_token) {
            return Err(json.error(format!(
                "`num_experts_per_tok` is {per_token} of {num_experts} experts; a token is given \
                 to at least one and at most all, of at most 4096"
            )));
        }
        Ok(Self { num_experts, per_token, renormalise })
    }
}

/// A router and its experts.
pub struct Experts {
    router: Linear,
    experts: Vec<GatedMlp>,
    choice: ExpertChoice,
    hidden_size: usize,
}

impl Experts {
    /// Adds the router `gate` `[E, D]` and `experts.N`, each as `expert` says, at `at`.
    #[must_use]
    pub fn build(at: &Builder, choice: ExpertChoice, expert: GatedMlpSpec) -> Self {
        let (inputs, outputs) = (expert.hidden_size, choice.num_experts);
        let router =
            LinearSpec { inputs, outputs, layout: Layout::OutIn, bias: false, init: normal() };
        let number = |index| GatedMlp::build(&at.at(&format!("experts.{index}")), expert);
        Self {
            router: Linear::build(&at.at("gate"), router),
            experts: (0..outputs).map(number).collect(),
            choice,
            hidden_size: inputs,
        }
    }
}

impl FeedForward for Experts {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ExpertChoice { per_token, renormalise, .. } = self.choice;
        let routing = ops::route(&self.router.forward(x)?, per_token, renormalise)?;
        let groups = routing.groups.iter();
        let outputs = groups
            .map(|group| self.experts[group.expert].forward(&ops::select_rows(x, &group.rows)?));
        ops::mix(&routing, &outputs.collect::<Result<Vec<_>>>()?)
    }

    fn add_to(&self, residual: &Tensor, x: &Tensor) -> Result<Tensor> {
        ops::add(residual, &self.forward(x)?)
    }

    fn activations(&self) -> BlockActivations {
        let ExpertChoice { num_experts, per_token, .. } = self.choice;
        let expert = self.experts[0].activations();
        BlockActivations {
            // Probabilities, and the weights of the chosen.
            kept_f32: num_experts + per_token,
            // Its input, the router's logits; what each chosen expert keeps and gives.
            kept_compute: self.hidden_size
                + num_experts
                + per_token * (expert.kept_compute + self.hidden_size),
            backward_compute: per_token * self.hidden_size + expert.backward_compute,
        }
    }
}
