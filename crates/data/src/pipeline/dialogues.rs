//! Dialogues: which of them may be trained on. Only what dialogues name and quote stays in memory,
//! never what the texts do.

use std::collections::{BTreeSet, HashMap, HashSet};

use danlu_tokenizer::Role;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Facts};
use super::{Output, line_of};
use crate::document::Dialogue;
use crate::readers::{Item, Place, SourceFile, read_file};
use crate::split::long_lines;
use crate::steps::Cleaner;
use crate::{DataConfig, Result};

/// Where a document's text went.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Train,
    Heldout,
}

/// What dialogues name and quote, and on which side of the split it was found.
pub(super) struct Quotes {
    /// Documents by id; `None` while not found.
    sources: HashMap<String, Option<Side>>,
    /// Long lines: whether they stand in texts for training, and in held-out ones.
    lines: HashMap<u64, (bool, bool)>,
    ids: BTreeSet<String>,
    hashes: BTreeSet<[u8; 32]>,
}

impl Quotes {
    /// Of all dialogues in `files`.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn read(
        files: &[SourceFile],
        cleaner: &Cleaner,
        config: &DataConfig,
    ) -> Result<Self> {
        let (mut sources, mut lines) = (HashMap::new(), HashMap::new());
        for file in files {
            read_file(file, config, &mut |item| {
                if let Item::Dialogue(_, dialogue) = item {
                    let named = dialogue.source_ids().into_iter().map(|id| (id.to_owned(), None));
                    sources.extend(named);
                    for message in &dialogue.messages {
                        let text = cleaner.clean_text(&message.content);
                        lines.extend(long_lines(&text).map(|line| (line, (false, false))));
                    }
                }
                Ok(())
            })?;
        }
        Ok(Self { sources, lines, ids: BTreeSet::new(), hashes: BTreeSet::new() })
    }

    /// The long lines.
    pub(super) fn lines(&self) -> HashSet<u64> {
        self.lines.keys().copied().collect()
    }

    /// The long lines of `text` that a dialogue has too.
    pub(super) fn quoted_in(&self, text: &str) -> Vec<u64> {
        if self.lines.is_empty() {
            return Vec::new();
        }
        long_lines(text).filter(|line| self.lines.contains_key(line)).collect()
    }

    /// Notes on which side a document, or its twin, is.
    pub(super) fn found(&mut self, entry: &Entry, side: Side) {
        if let Some(found) = entry.id.as_ref().and_then(|id| self.sources.get_mut(id)) {
            *found = Some(side);
        }
    }

    /// Notes on which side the quoted lines of a document are.
    pub(super) fn quoted(&mut self, facts: &Facts, side: Side) {
        for line in &facts.quoted {
            let sides = self.lines.entry(*line).or_default();
            sides.0 |= side == Side::Train;
            sides.1 |= side == Side::Heldout;
        }
    }

    /// Writes a dialogue, or why it is dropped.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn take(
        &mut self,
        place: &Place,
        mut dialogue: Dialogue,
        cleaner: &Cleaner,
        output: &mut Output<'_>,
    ) -> Result<()> {
        for message in &mut dialogue.messages {
            message.content = cleaner.clean_text(&message.content);
        }
        let hash: [u8; 32] = Sha256::digest(line_of(&dialogue.messages)?).into();
        if let Some(reason) = self.fault_of(&dialogue, &hash, output.config) {
            return output.drop_dialogue(place, &dialogue, reason);
        }
        output.keep_dialogue(&dialogue)?;
        self.hashes.insert(hash);
        self.ids.insert(dialogue.id);
        Ok(())
    }

    /// Why a dialogue may not be trained on.
    fn fault_of(
        &self,
        dialogue: &Dialogue,
        hash: &[u8; 32],
        config: &DataConfig,
    ) -> Option<&'static str> {
        let answers = dialogue.messages.iter().any(|message| message.role == Role::Assistant);
        if !answers {
            return Some("the assistant says nothing");
        }
        if dialogue.messages.iter().any(|message| message.content.is_empty()) {
            return Some("an empty turn");
        }
        let sources = dialogue.source_ids();
        if sources.is_empty() && config.dialogues_need_source {
            return Some("it names no source document (meta.source_id)");
        }
        for source in sources {
            match self.sources.get(source).copied().flatten() {
                Some(Side::Heldout) => return Some("a source document is held out"),
                None => return Some("a source document is not among the texts"),
                Some(Side::Train) => {}
            }
        }
        if dialogue.messages.iter().any(|message| self.quotes_held_out(&message.content)) {
            return Some("it quotes a held-out document");
        }
        if self.ids.contains(&dialogue.id) {
            return Some("id is taken");
        }
        self.hashes.contains(hash).then_some("the same turns as an earlier dialogue")
    }

    /// Whether a long line of `text` stands in held-out documents only, whatever the dialogue says
    /// of its sources.
    fn quotes_held_out(&self, text: &str) -> bool {
        long_lines(text).any(|line| self.lines.get(&line) == Some(&(false, true)))
    }
}
