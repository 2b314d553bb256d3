//! `simplified`: Chinese text in simplified characters, as OpenCC 1.4.2 converts it with `t2s`.
//!
//! Japanese text has characters that are traditional ones in Chinese: keep it away from this step,
//! for example by `language` before it.

use std::sync::LazyLock;

use super::opencc::Converter;
use super::{Action, Example, Step};

pub(super) const STEP: Step = Step {
    name: "simplified",
    about: "traditional Chinese characters become simplified ones",
    build: |setup| setup.no_settings().map(|()| Action::map(|text| CONVERTER.convert(text))),
    examples: &[
        Example::keep("漢字簡化，頭髮與發現。", "汉字简化，头发与发现。"),
        Example::keep("乾坤與乾燥", "乾坤与干燥"),
        Example::same("汉字, kanji ⿰木目"),
    ],
};

static CONVERTER: LazyLock<Converter> =
    LazyLock::new(|| Converter::new(include_bytes!("opencc/simplified.txt.xz")));
