//! jieba's model of words that no dictionary has: a hidden Markov model whose states are the places
//! of characters in words, and Viterbi's way to the most probable states.

use std::sync::LazyLock;

use super::{CODES, code_of};

/// Where in a word a character stands. Of equally probable states jieba takes the one whose letter
/// is the later one; these are in that order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Begin,
    End,
    Middle,
    Single,
}

use State::{Begin, End, Middle, Single};

const STATES: [State; 4] = [Begin, End, Middle, Single];

/// What can stand before a character in each state.
const BEFORE: [[State; 2]; 4] = [[End, Single], [Begin, Middle], [Begin, Middle], [End, Single]];

/// jieba's logarithm of nothing.
const NEVER: f64 = -3.14e100;

/// Logarithms of probabilities, by state.
pub(super) struct Model {
    start: [f64; 4],
    /// Of a state, behind the first and the second that can stand before it.
    behind: [[f64; 2]; 4],
    /// Of each character.
    characters: Vec<[f64; 4]>,
}

impl Model {
    /// From the table that `golden/data/filters_tables.py` describes.
    fn read(table: &str) -> Self {
        let mut lines = table.lines();
        let mut numbers = || {
            let line = lines.next().unwrap_or_default();
            line.split(' ').map(|one| one.parse().unwrap_or(f64::NAN)).collect::<Vec<f64>>()
        };
        let (totals, shares) = (numbers(), numbers());
        let [begin, single, b_e, b_m, e_b, e_s, m_e, m_m, s_b, s_s] = shares[..] else {
            unreachable!("the second line of the table has ten numbers: {shares:?}")
        };
        let mut characters = vec![[NEVER; 4]; CODES];
        for line in lines {
            let mut fields = line.split(' ');
            let code = fields.next().and_then(|first| first.chars().next()).and_then(code_of);
            let Some(code) = code else { continue };
            for ((log, field), total) in
                characters[code as usize].iter_mut().zip(fields).zip(&totals)
            {
                let count = field.parse().unwrap_or(f64::NAN);
                *log = if count == 0.0 { NEVER } else { (count / total).ln() };
            }
        }
        Self {
            start: [begin, NEVER, NEVER, single],
            behind: [[e_b, s_b], [b_e, m_e], [b_m, m_m], [e_s, s_s]],
            characters,
        }
    }

    /// Finds the most probable states of characters.
    pub(super) fn find_states(&self, codes: &[u16], states: &mut Vec<State>) {
        states.clear();
        let Some((&first, rest)) = codes.split_first() else { return };
        let emit = &self.characters[first as usize];
        let mut logs: [f64; 4] = std::array::from_fn(|state| self.start[state] + emit[state]);
        // For each character but the first, what stands before it in each state.
        let mut before: Vec<[State; 4]> = Vec::with_capacity(rest.len());
        for &code in rest {
            let emit = &self.characters[code as usize];
            let ways = STATES.map(|state| {
                let at = state as usize;
                let way = |which: usize| {
                    logs[BEFORE[at][which] as usize] + self.behind[at][which] + emit[at]
                };
                let (first, second) = (way(0), way(1));
                if first > second { (first, BEFORE[at][0]) } else { (second, BEFORE[at][1]) }
            });
            logs = ways.map(|(log, _)| log);
            before.push(ways.map(|(_, state)| state));
        }
        let mut state = if logs[End as usize] > logs[Single as usize] { End } else { Single };
        states.push(state);
        for ways in before.iter().rev() {
            state = ways[state as usize];
            states.push(state);
        }
        states.reverse();
    }
}

pub(super) static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::read(&super::unpack(include_bytes!("characters.txt.zst"))));
