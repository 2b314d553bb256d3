//! `traditional`: Chinese text in traditional characters, as OpenCC 1.4.2 converts it with `s2t`:
//! of several characters the one that the phrase asks for.

use std::sync::LazyLock;

use super::opencc::Converter;
use super::{Action, Example, Step};

pub(super) const STEP: Step = Step {
    name: "traditional",
    about: "simplified Chinese characters become traditional ones",
    build: |setup| setup.no_settings().map(|()| Action::map(|text| CONVERTER.convert(text))),
    examples: &[
        Example::keep("汉字简化，头发与发现。", "漢字簡化，頭髮與發現。"),
        Example::keep("皇后以后", "皇后以後"),
        Example::same("漢字, kanji"),
    ],
};

static CONVERTER: LazyLock<Converter> =
    LazyLock::new(|| Converter::new(include_bytes!("opencc/traditional.txt.xz")));
