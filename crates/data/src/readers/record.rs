//! What a reader hands on: a record whose parsing is left to whoever has a core to spare.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Item, Place, Reason};
use crate::document::{Dialogue, Document};

/// What the bytes of a record turn out to be.
pub(super) enum Parsed {
    Document(Document),
    Dialogue(Dialogue),
}

/// What parsing gives: something usable, or why it is not.
pub(super) type Outcome = std::result::Result<Parsed, Reason>;

/// The bytes of one record with the way to parse them. Reading is cheap and in order; parsing
/// (JSON, charsets) is the expensive part, a pure function, and may happen on any thread.
pub struct Record {
    place: Place,
    bytes: usize,
    parse: Box<dyn FnOnce(&Place) -> Outcome + Send>,
}

impl Record {
    /// A record of `bytes` bytes.
    pub(super) fn new(
        place: Place,
        bytes: usize,
        parse: impl FnOnce(&Place) -> Outcome + Send + 'static,
    ) -> Self {
        Self { place, bytes, parse: Box::new(parse) }
    }

    /// Something that cannot be used.
    pub(super) fn rejected(place: Place, reason: Reason) -> Self {
        Self::new(place, 0, move |_| Err(reason))
    }

    /// Where it stands.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Bytes that it keeps in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The one item that it is. A parser that panics costs its record, counted like any other
    /// fault, and nothing else.
    pub fn parse(self) -> Item {
        let Self { place, parse, .. } = self;
        match guarded(|| parse(&place)) {
            Ok(Parsed::Document(document)) => Item::Document(place, document),
            Ok(Parsed::Dialogue(dialogue)) => Item::Dialogue(place, dialogue),
            Err(reason) => Item::Rejected(place, reason),
        }
    }
}

/// What parsers give, most of them other people's; one that panics gives a reason instead.
pub(super) fn guarded<T>(
    parse: impl FnOnce() -> std::result::Result<T, Reason>,
) -> std::result::Result<T, Reason> {
    let failed = |_| Err(Reason::new("parser failed", "please report the file"));
    catch_unwind(AssertUnwindSafe(parse)).unwrap_or_else(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_one_record() {
        let place = Place { file: "a".to_owned(), line: 7 };
        let record = Record::new(place.clone(), 1, |_| panic!("broken parser"));
        let reason = Reason::new("parser failed", "please report the file");
        assert_eq!(record.parse(), Item::Rejected(place, reason));
    }
}
