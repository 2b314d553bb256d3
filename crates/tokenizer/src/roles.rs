//! Which token begins a text, ends it, pads it, ends an answer; and the chat template beside it.

use crate::END_OF_TEXT;
use crate::token_table::TokenTable;

/// What the files beside a vocabulary say about its control tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roles {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) padding: Option<u32>,
    pub(crate) stop: Vec<u32>,
    /// The source of the chat template.
    pub(crate) template: Option<String>,
}

/// Control tokens by which published models end a turn or a text, whatever their files say: base
/// models' files often name only the latter. Source: `llama-vocab.cpp`, `special_eog_ids`.
const ENDS: &[&str] = &[
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end_of_turn|>",
    "<｜end▁of▁sentence｜>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|eot|>",
    "<|END_OF_TURN_TOKEN|>",
];
/// Ends a turn too, but only where it is not the border between parts of one answer.
const END: &str = "<|end|>";
/// Where this control token exists, [`END`] is such a border.
const RETURN: &str = "<|return|>";

impl Roles {
    /// The roles of a vocabulary that comes without any other file: [`END_OF_TEXT`] is both ends.
    pub(crate) fn by_convention(table: &TokenTable) -> Self {
        let end = table.specials.get(END_OF_TEXT).copied();
        let mut roles = Self { bos: end, eos: end, ..Self::default() };
        roles.complete_stop(table);
        roles
    }

    /// Adds to the tokens that end an answer the end of the text and the known ends of turns.
    pub(crate) fn complete_stop(&mut self, table: &TokenTable) {
        let known = |token: &&&str| table.specials.contains_key(**token);
        let mut ends: Vec<&str> = ENDS.iter().filter(known).copied().collect();
        if table.specials.contains_key(END) && !table.specials.contains_key(RETURN) {
            ends.push(END);
        }
        let ends = ends.into_iter().filter_map(|token| table.specials.get(token).copied());
        for id in ends.chain(self.eos) {
            if !self.stop.contains(&id) {
                self.stop.push(id);
            }
        }
    }
}
