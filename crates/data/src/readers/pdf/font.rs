//! Fonts, as far as text needs them: which characters a string stands for and how far each moves
//! the pen (ISO 32000-1, 9.6 to 9.10). What a font's `ToUnicode` says comes first, then the names
//! of its glyphs, then the character collections of Adobe's East Asian fonts.

use std::collections::{BTreeMap, HashMap};

use encoding_rs::{MACINTOSH, WINDOWS_1252};
use hayro_cmap::{BfString, CMap, CMapName, CharacterCollection, CidFamily, load_embedded};

use super::file::Pdf;
use super::syntax::{Dict, Object, Spent};

/// Names of glyphs and the characters they stand for; made by `golden/data/glyph_tables.py`.
const GLYPHS: &str = include_str!("glyphs.txt");
const STANDARD: &str = include_str!("standard.txt");

/// A character as a font shows it.
pub(super) struct Shown {
    /// None when nothing says which it is.
    pub(super) text: Option<String>,
    /// How far the pen moves, in parts of the font's size.
    pub(super) width: f64,
    /// Whether it is the byte 32, which the spacing of words is added to.
    pub(super) is_space: bool,
}

pub(super) struct Font {
    to_unicode: Option<CMap>,
    kind: Kind,
    /// Parts of the font's size that the widths are in.
    unit: f64,
}

enum Kind {
    /// A byte a character.
    Simple { characters: Vec<Option<String>>, widths: BTreeMap<u32, f64>, default: f64 },
    /// Bytes to numbers of glyphs, those to characters.
    Composite { codes: Box<CMap>, characters: Option<Box<CMap>>, widths: Widths, vertical: bool },
}

struct Widths {
    /// First glyph of a run: last glyph, widths of each or one for all.
    runs: BTreeMap<u32, (u32, Vec<f64>)>,
    default: f64,
}

impl Widths {
    fn get(&self, glyph: u32) -> f64 {
        let Some((first, (last, widths))) = self.runs.range(..=glyph).next_back() else {
            return self.default;
        };
        let at = if widths.len() == 1 { 0 } else { (glyph - first) as usize };
        widths.get(at).copied().filter(|_| glyph <= *last).unwrap_or(self.default)
    }
}

/// All glyph names, for the fonts of one file.
pub(super) struct Names(HashMap<&'static str, char>);

impl Names {
    pub(super) fn new() -> Self {
        let pair = |line: &'static str| {
            let (name, code) = line.split_once(' ')?;
            Some((name, char::from_u32(u32::from_str_radix(code, 16).ok()?)?))
        };
        Self(GLYPHS.lines().filter_map(pair).collect())
    }

    /// What a glyph of a name stands for, by the rules of the Adobe Glyph List.
    fn get(&self, name: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(name).ok()?;
        let base = name.split('.').next().filter(|base| !base.is_empty())?;
        let part = |part: &str| {
            if let Some(found) = self.0.get(part) {
                return Some(*found);
            }
            let digits = part.strip_prefix("uni").filter(|digits| digits.len() == 4);
            let digits = digits.or_else(|| {
                part.strip_prefix('u').filter(|digits| (4..=6).contains(&digits.len()))
            })?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        };
        base.split('_').map(part).collect()
    }
}

impl Font {
    pub(super) fn read(pdf: &Pdf<'_>, font: &Dict, names: &Names) -> Result<Self, Spent> {
        let to_unicode = match font.get(&b"ToUnicode"[..]) {
            Some(reference) => pdf.stream(reference)?.and_then(|(_, bytes)| parse(&bytes)),
            None => None,
        };
        let subtype = pdf.get(font, b"Subtype")?;
        let kind = match subtype.name() {
            Some(b"Type0") => composite(pdf, font)?,
            _ => simple(pdf, font, names)?,
        };
        let matrix = pdf.get(font, b"FontMatrix")?;
        let scale = matrix.array().and_then(|matrix| matrix.first()?.number());
        let unit = scale.filter(|_| subtype.name() == Some(b"Type3")).unwrap_or(0.001);
        Ok(Self { to_unicode, kind, unit })
    }

    pub(super) fn is_vertical(&self) -> bool {
        matches!(self.kind, Kind::Composite { vertical: true, .. })
    }

    /// The characters of a string.
    pub(super) fn show(&self, bytes: &[u8], mut take: impl FnMut(Shown)) {
        match &self.kind {
            Kind::Simple { characters, widths, default } => {
                for &byte in bytes {
                    let code = u32::from(byte);
                    let text = self.mapped(code);
                    let text = text.or_else(|| characters[usize::from(byte)].clone());
                    let width = widths.get(&code).copied().unwrap_or(*default) * self.unit;
                    take(Shown { text, width, is_space: byte == b' ' });
                }
            }
            Kind::Composite { codes, characters, widths, .. } => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (code, length, glyph) = next_code(codes, rest);
                    rest = &rest[length..];
                    let text = self.mapped(code);
                    let text =
                        text.or_else(|| string(characters.as_ref()?.lookup_bf_string(glyph)?));
                    let width = widths.get(glyph) * self.unit;
                    take(Shown { text, width, is_space: length == 1 && code == 32 });
                }
            }
        }
    }

    fn mapped(&self, code: u32) -> Option<String> {
        string(self.to_unicode.as_ref()?.lookup_bf_string(code)?)
    }
}

/// A code's characters; fonts map what they do not know to nothing or to U+FFFD.
fn string(found: BfString) -> Option<String> {
    let text = match found {
        BfString::Char(one) => one.to_string(),
        BfString::String(text) => text,
    };
    let known = |text: &String| !text.is_empty() && !text.contains(['\0', '\u{fffd}']);
    Some(text).filter(known)
}

fn embedded(name: CMapName<'_>) -> Option<&'static [u8]> {
    load_embedded(name)
}

fn parse(bytes: &[u8]) -> Option<CMap> {
    CMap::parse(bytes, embedded)
}

/// The shortest code that the map has, its length and glyph; two bytes when it has none.
fn next_code(codes: &CMap, bytes: &[u8]) -> (u32, usize, u32) {
    let mut code = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        code = code << 8 | u32::from(byte);
        let length = u8::try_from(index + 1).unwrap_or(4);
        if let Some(glyph) = codes.lookup_cid_code(code, length) {
            return (code, index + 1, glyph);
        }
    }
    let length = bytes.len().min(2);
    let code = bytes[..length].iter().fold(0, |code, &byte| code << 8 | u32::from(byte));
    (code, length, 0)
}

fn composite(pdf: &Pdf<'_>, font: &Dict) -> Result<Kind, Spent> {
    let encoding = font.get(&b"Encoding"[..]).unwrap_or(&Object::Null);
    let codes = match pdf.resolved(encoding)? {
        Object::Name(name) => match &name[..] {
            b"Identity-H" => None,
            b"Identity-V" => Some(CMap::identity_v()),
            name => load_embedded(CMapName::from_bytes(name)).and_then(parse),
        },
        _ => pdf.stream(encoding)?.and_then(|(_, bytes)| parse(&bytes)),
    };
    let codes = Box::new(codes.unwrap_or_else(CMap::identity_h));
    let vertical = codes.metadata().writing_mode == Some(hayro_cmap::WritingMode::Vertical);
    let below = pdf.get(font, b"DescendantFonts")?;
    let below = below.array().and_then(<[Object]>::first).cloned().unwrap_or(Object::Null);
    let below = match pdf.resolved(&below)? {
        Object::Dict(dict) => dict,
        _ => Dict::new(),
    };
    let system = pdf.dict(&below, b"CIDSystemInfo")?;
    let text = |key: &[u8]| match system.get(key) {
        Some(Object::Text(text)) => text.clone(),
        _ => Vec::new(),
    };
    let family = CidFamily::from_registry_ordering(&text(b"Registry"), &text(b"Ordering"));
    let stated = codes.metadata().character_collection.clone();
    let characters = family.ucs2_cmap().or_else(|| match stated {
        Some(CharacterCollection { family, .. }) => family.ucs2_cmap(),
        None => None,
    });
    let characters = characters.and_then(load_embedded).and_then(parse).map(Box::new);
    let default = pdf.get(&below, b"DW")?.number().unwrap_or(1000.0);
    let runs = runs(pdf, &pdf.get(&below, b"W")?)?;
    Ok(Kind::Composite { codes, characters, widths: Widths { runs, default }, vertical })
}

/// `first [width width ...]` or `first last width`, one after the other.
fn runs(pdf: &Pdf<'_>, list: &Object) -> Result<BTreeMap<u32, (u32, Vec<f64>)>, Spent> {
    let mut runs = BTreeMap::new();
    let glyph = |object: &Object| object.count().and_then(|glyph| u32::try_from(glyph).ok());
    let mut items = list.array().unwrap_or_default().iter();
    while let (Some(first), Some(second)) = (items.next(), items.next()) {
        let Some(first) = glyph(first) else { break };
        let second = pdf.resolved(second)?;
        if let Some(widths) = second.array() {
            let widths: Vec<f64> = widths.iter().map(|w| w.number().unwrap_or(0.0)).collect();
            let count = u32::try_from(widths.len()).unwrap_or(0);
            // A list of one is a run of one.
            runs.insert(first, (first.saturating_add(count.saturating_sub(1)), widths));
        } else {
            let (last, width) = (glyph(&second), items.next().and_then(Object::number));
            let (Some(last), Some(width)) = (last, width) else { break };
            runs.insert(first, (last, vec![width]));
        }
    }
    Ok(runs)
}

fn simple(pdf: &Pdf<'_>, font: &Dict, names: &Names) -> Result<Kind, Spent> {
    let encoding = pdf.get(font, b"Encoding")?;
    let descriptor = pdf.dict(font, b"FontDescriptor")?;
    let dict = encoding.dict().cloned().unwrap_or_default();
    let base = match encoding.name() {
        Some(name) => Some(name.to_vec()),
        None => pdf.get(&dict, b"BaseEncoding")?.name().map(<[u8]>::to_vec),
    };
    let subtype = pdf.get(font, b"Subtype")?;
    let is_true_type = subtype.name() == Some(b"TrueType");
    let mut characters = match base.as_deref() {
        Some(b"WinAnsiEncoding") => single_bytes(WINDOWS_1252),
        Some(b"MacRomanEncoding") => single_bytes(MACINTOSH),
        None if is_true_type => single_bytes(WINDOWS_1252),
        _ => match pdf.stream(descriptor.get(&b"FontFile"[..]).unwrap_or(&Object::Null))? {
            Some((_, program)) => built_in(&program, names).unwrap_or_else(standard),
            None => standard(),
        },
    };
    let mut code = 0;
    for item in pdf.get(&dict, b"Differences")?.array().unwrap_or_default() {
        match pdf.resolved(item)? {
            Object::Name(name) => {
                if let Some(place) = characters.get_mut(code) {
                    *place = names.get(&name);
                }
                code = code.saturating_add(1);
            }
            other => code = other.count().unwrap_or(code),
        }
    }
    let first = pdf.get(font, b"FirstChar")?.count().unwrap_or(0);
    let mut widths = BTreeMap::new();
    for (index, width) in pdf.get(font, b"Widths")?.array().unwrap_or_default().iter().enumerate() {
        let code = u32::try_from(first.saturating_add(index)).unwrap_or(u32::MAX);
        widths.extend(pdf.resolved(width)?.number().map(|width| (code, width)));
    }
    let missing = pdf.get(&descriptor, b"MissingWidth")?.number().filter(|width| *width > 0.0);
    // Of the fonts that every reader has, Courier's width is that of all of its characters.
    let default = missing.unwrap_or(if is_monospaced(font) { 600.0 } else { 500.0 });
    Ok(Kind::Simple { characters, widths, default })
}

fn is_monospaced(font: &Dict) -> bool {
    let name = font.get(&b"BaseFont"[..]).and_then(Object::name).unwrap_or_default();
    memchr::memmem::find(name, b"Courier").is_some()
}

fn single_bytes(encoding: &'static encoding_rs::Encoding) -> Vec<Option<String>> {
    let character = |byte: u8| match byte {
        0..=31 => None,
        _ => Some(encoding.decode_without_bom_handling(&[byte]).0.into_owned()),
    };
    (0..=255).map(character).collect()
}

fn standard() -> Vec<Option<String>> {
    let mut characters = vec![None; 256];
    for line in STANDARD.lines() {
        let mut codes = line.split(' ').map(|code| u32::from_str_radix(code, 16).unwrap_or(0));
        if let (Some(byte), Some(code)) = (codes.next(), codes.next()) {
            characters[byte as usize & 0xff] = char::from_u32(code).map(String::from);
        }
    }
    characters
}

/// The encoding that a Type 1 font program begins with: `dup 65 /A put`.
fn built_in(program: &[u8], names: &Names) -> Option<Vec<Option<String>>> {
    let clear = &program[..memchr::memmem::find(program, b"eexec").unwrap_or(program.len())];
    let clear = &clear[memchr::memmem::find(clear, b"/Encoding")?..];
    let mut characters = vec![None; 256];
    let mut words = clear.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        match word {
            b"StandardEncoding" => return None,
            b"dup" => {
                let code = words.next().and_then(|word| std::str::from_utf8(word).ok());
                let code = code.and_then(|code| code.parse::<usize>().ok());
                let name = words.next().and_then(|word| word.strip_prefix(b"/"));
                if let (Some(code), Some(name)) = (code, name)
                    && let Some(place) = characters.get_mut(code)
                {
                    *place = names.get(name);
                }
            }
            b"readonly" | b"def" => break,
            _ => {}
        }
    }
    characters.iter().any(Option::is_some).then_some(characters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn glyph_names_stand_for_what_their_list_says() {
        let names = Names::new();
        for (name, expected) in [
            ("A", Some("A")),
            ("Euro", Some("€")),
            ("f_f_i", Some("ffi")),
            ("a.alt", Some("a")),
            ("uni767D", Some("白")),
            ("u1F600", Some("😀")),
            ("g12", None),
            (".notdef", None),
        ] {
            assert_eq!(names.get(name.as_bytes()).as_deref(), expected, "{name}");
        }
        assert_eq!(standard()[0x27].as_deref(), Some("\u{2019}"));
        assert_eq!(single_bytes(WINDOWS_1252)[0x80].as_deref(), Some("€"));
        let program = b"/Encoding 256 array 0 1 255 {1 index exch /.notdef put} for\n\
                        dup 12 /fi put\ndup 300 /x put\nreadonly def eexec dup 1 /A put";
        let found = built_in(program, &names).unwrap();
        assert_eq!((found[12].as_deref(), &found[1]), (Some("\u{fb01}"), &None));
    }
}
