//! `nfc`: brings text to Unicode's composed form (NFC, UAX #15).
//!
//! The same letter may be stored as one code point or as a base and an accent; a model would learn
//! both apart. Compatibility forms (full-width letters, ligatures) differ in meaning and stay.

use std::borrow::Cow;

use unicode_normalization::{UnicodeNormalization, is_nfc};

use super::{Action, Example, Step};

pub(super) const STEP: Step = Step {
    name: "nfc",
    about: "Unicode composed form, so that equal letters are equal",
    build: |setup| setup.no_settings().map(|()| Action::map(compose)),
    examples: &[Example::keep("cafe\u{301}", "caf\u{e9}"), Example::same("春眠，ＡＢＣ")],
};

fn compose(text: &str) -> Cow<'_, str> {
    if is_nfc(text) { Cow::Borrowed(text) } else { Cow::Owned(text.nfc().collect()) }
}
