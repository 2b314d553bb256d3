//! Stored values as JSON: what is no number, truth value or text there becomes a string as ISO 8601
//! or plain decimals write it. Bytes that are no text are named by their number only.

use serde_json::Value;

use super::schema::{Leaf, Logical, Physical};
use super::values::Raw;

const NANOSECONDS: i64 = 1_000_000_000;
const DAY_SECONDS: i64 = 86_400;
/// Days from the Julian epoch to 1970.
const JULIAN_1970: i64 = 2_440_588;

/// A value as JSON.
pub(super) fn json(raw: Raw, leaf: &Leaf) -> Value {
    match raw {
        Raw::Bool(value) => value.into(),
        Raw::Float(value) => value.into(),
        Raw::Double(value) => value.into(),
        Raw::Int(value) => integer(value, leaf),
        Raw::Bytes(bytes) => text(bytes, leaf),
    }
}

fn integer(value: i64, leaf: &Leaf) -> Value {
    match leaf.logical {
        Logical::Unsigned if leaf.physical == Physical::Int32 => {
            i64::from(u32::try_from(value & 0xffff_ffff).unwrap_or(0)).into()
        }
        Logical::Unsigned => value.cast_unsigned().into(),
        Logical::Date => date(value).into(),
        Logical::Time(unit) => time(value.div_euclid(unit), value.rem_euclid(unit), unit).into(),
        Logical::Timestamp(unit, utc) => moment(value, unit, utc).into(),
        Logical::Decimal(scale) => decimal(value.into(), scale).into(),
        _ => value.into(),
    }
}

fn text(bytes: Vec<u8>, leaf: &Leaf) -> Value {
    match (leaf.logical, leaf.physical) {
        (Logical::Decimal(scale), _) if bytes.len() <= 16 => {
            let negative = bytes.first().is_some_and(|&byte| byte >= 0x80);
            let mut whole = [if negative { 0xff } else { 0 }; 16];
            whole[16 - bytes.len()..].copy_from_slice(&bytes);
            decimal(i128::from_be_bytes(whole), scale).into()
        }
        (Logical::Half, _) if bytes.len() == 2 => half([bytes[0], bytes[1]]).into(),
        (Logical::Uuid, _) if bytes.len() == 16 => {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let parts = [0..4, 4..6, 6..8, 8..10, 10..16].map(|range| hex[range].concat());
            parts.join("-").into()
        }
        (_, Physical::Int96) => {
            let nanoseconds = bytes.first_chunk().map_or(0, |first| i64::from_le_bytes(*first));
            let day = bytes.last_chunk().map_or(0, |last| i64::from(i32::from_le_bytes(*last)));
            let (day, rest) = (day - JULIAN_1970, nanoseconds.rem_euclid(NANOSECONDS));
            let seconds = nanoseconds.div_euclid(NANOSECONDS);
            format!("{}T{}", date(day), time(seconds, rest, NANOSECONDS)).into()
        }
        _ => match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => format!("({} bytes)", error.as_bytes().len()).into(),
        },
    }
}

/// `2026-01-31` from days since 1970: the civil calendar, by its cycles of 400 years.
fn date(days: i64) -> String {
    let days = days.saturating_add(719_468);
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// `12:30:00`, with a fraction where there is one.
fn time(seconds: i64, rest: i64, unit: i64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let whole = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    if rest == 0 {
        return whole;
    }
    let digits = unit.ilog10() as usize;
    // As others write it: six digits, nine only where six do not do.
    let fraction = format!("{rest:0digits$}{}", "0".repeat(9 - digits));
    let fraction = fraction.strip_suffix("000").unwrap_or(&fraction);
    format!("{whole}.{fraction}")
}

fn moment(value: i64, unit: i64, utc: bool) -> String {
    let (seconds, rest) = (value.div_euclid(unit), value.rem_euclid(unit));
    let (day, seconds) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
    format!("{}T{}{}", date(day), time(seconds, rest, unit), if utc { "Z" } else { "" })
}

fn decimal(value: i128, scale: u32) -> String {
    let scale = scale.min(100) as usize;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

/// A number of 16 bits: sign, 5 bits of exponent, 10 of mantissa (IEEE 754).
fn half(bytes: [u8; 2]) -> f64 {
    let bits = u16::from_le_bytes(bytes);
    let mantissa = f64::from(bits & 0x3ff) / 1024.0;
    let exponent = i32::from(bits >> 10 & 0x1f);
    let size = match exponent {
        0 => mantissa * 2_f64.powi(-14),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + mantissa) * 2_f64.powi(exponent - 15),
    };
    if bits >= 0x8000 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_their_standards_say() {
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(-719_468), "0000-03-01");
        assert_eq!(moment(-1, 1000, true), "1969-12-31T23:59:59.999000Z");
        assert_eq!(moment(1_500, NANOSECONDS, false), "1970-01-01T00:00:00.000001500");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(12_345, 0), "12345");
        assert_eq!(half([0x00, 0xc0]), -2.0);
        assert_eq!(half([0x01, 0x00]), 2_f64.powi(-24));
        assert_eq!(half([0xff, 0x7b]), 65_504.0);
    }
}
