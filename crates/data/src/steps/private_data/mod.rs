//! `private_data`: finds what belongs to a person or opens a door, and masks, replaces or drops it.
//!
//! `kinds` is a list of what is looked for, by default all of [`KINDS`]: `email`, `phone`,
//! `id_card`, `bank_card`, `ip`, `url_credentials`, `api_key`; each has a file here that says which
//! forms count. English and Chinese forms are found alike, full-width digits and signs too.
//!
//! `action` says what becomes of it:
//! - `"replace"`, the default: a label takes its place, such as `[EMAIL]`;
//! - `"mask"`: each of its letters and digits becomes `*`;
//! - `"drop"`: the document is dropped; the reason is the kind that comes first in it.

mod api_key;
mod bank_card;
mod email;
mod id_card;
mod ip;
mod phone;
mod scan;
mod url_credentials;

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;

use super::{Action, Example, Setup, Step};
use crate::Result;
use scan::Scan;

pub(super) const STEP: Step = Step {
    name: "private_data",
    about: "no e-mail addresses, phone, identity and card numbers, addresses and keys of machines",
    build,
    examples: &[
        Example::keep("Mail a.b@mail.example.org now.", "Mail [EMAIL] now."),
        Example::keep("手机：138 1234 5678。", "手机：*** **** ****。").with(MASK),
        Example::keep("call (212) 555-0147 x12", "call [PHONE]"),
        Example::keep("身份证11010519491231002X", "身份证[ID_CARD]"),
        Example::same("订单110105194912310021"),
        Example::keep("卡号4111 1111 1111 1111", "卡号[BANK_CARD]"),
        Example::same("no card: 4111 1111 1111 1112"),
        Example::keep("from 8.8.8.8, not 127.0.0.1", "from [IP], not 127.0.0.1"),
        Example::keep("ftp://me:secret@host/a", "ftp://[CREDENTIALS]@host/a"),
        Example::drop("key AKIAIOSFODNN7EXAMPLE", "api_key").with(DROP),
        Example::same("a@example.com").with(r#"{"kinds": ["phone"]}"#),
    ],
};

const MASK: &str = r#"{"action": "mask"}"#;
const DROP: &str = r#"{"action": "drop"}"#;

/// A kind of private data.
pub struct Kind {
    /// Its name in `kinds` and as a reason.
    pub name: &'static str,
    /// One sentence for help texts.
    pub about: &'static str,
    /// What takes its place.
    pub label: &'static str,
    /// Adds where it stands in a text, in bytes.
    find: fn(&Scan<'_>, &mut Vec<Range<usize>>),
}

/// All kinds; where two claim the same text, the first has it.
pub const KINDS: &[Kind] = &[
    url_credentials::KIND,
    api_key::KIND,
    email::KIND,
    ip::KIND,
    id_card::KIND,
    bank_card::KIND,
    phone::KIND,
];

/// A piece of private data in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// [`Kind::name`].
    pub kind: &'static str,
    /// What takes its place; see [`Kind::label`].
    pub label: &'static str,
    /// Where it stands, in bytes.
    pub range: Range<usize>,
}

/// All pieces of `kinds` in `text`, in their order, none over another.
pub fn find(text: &str, kinds: &[&Kind]) -> Vec<Found> {
    let scan = Scan::new(text);
    let mut found: Vec<Found> = Vec::new();
    let mut ranges = Vec::new();
    for kind in kinds {
        (kind.find)(&scan, &mut ranges);
        for range in ranges.drain(..) {
            let at = found.partition_point(|other| other.range.end <= range.start);
            if found.get(at).is_none_or(|next| range.end <= next.range.start) {
                found.insert(at, Found { kind: kind.name, label: kind.label, range });
            }
        }
    }
    found
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    #[default]
    Replace,
    Mask,
    Drop,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    kinds: Option<Vec<String>>,
    #[serde(default)]
    action: What,
}

fn build(setup: &Setup<'_>) -> Result<Action> {
    let Settings { kinds, action } = setup.settings()?;
    let names = || KINDS.iter().map(|kind| kind.name);
    for kind in kinds.iter().flatten() {
        if !names().any(|name| name == kind) {
            let names: Vec<&str> = names().collect();
            return Err(setup.refuse(format!("{kind:?} is none of {}", names.join(", "))));
        }
    }
    let chosen: Vec<&'static Kind> = KINDS
        .iter()
        .filter(|kind| kinds.as_ref().is_none_or(|kinds| kinds.iter().any(|k| k == kind.name)))
        .collect();
    if chosen.is_empty() {
        return Err(setup.refuse("there is nothing to look for: `kinds` is empty"));
    }
    Ok(match action {
        What::Replace => Action::map(move |text| {
            rewrite(text, &find(text, &chosen), |_, label, out| out.push_str(label))
        }),
        What::Mask => Action::map(move |text| {
            let mask = |c: char| if c.is_alphanumeric() { '*' } else { c };
            rewrite(text, &find(text, &chosen), |piece, _, out| out.extend(piece.chars().map(mask)))
        }),
        What::Drop => Action::filter(move |draft| {
            find(draft.text(), &chosen).first().map(|found| found.kind.into())
        }),
    })
}

/// `text` with what `write` makes of each piece and its label.
fn rewrite<'a>(
    text: &'a str,
    found: &[Found],
    write: impl Fn(&str, &str, &mut String),
) -> Cow<'a, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for Found { label, range, .. } in found {
        out.push_str(&text[at..range.start]);
        write(&text[range.clone()], label, &mut out);
        at = range.end;
    }
    out.push_str(&text[at..]);
    Cow::Owned(out)
}
