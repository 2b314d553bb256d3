//! A check of SentencePiece's precompiled character maps before the library walks them.
//!
//! Format (`sentencepiece/src/normalizer.cc`): the size in bytes of a Darts double array (u32,
//! little-endian), the array (u32 units), then replacements, each ended by a zero byte. A walk from
//! any text must stay inside the array, and every value must point at the start of a character.

/// One character becomes at most this many bytes; the longest in published maps is 33.
const MAX_REPLACEMENT_BYTES: usize = 256;

struct Unit(u32);

impl Unit {
    fn has_leaf(&self) -> bool {
        self.0 >> 8 & 1 == 1
    }

    fn value(&self) -> usize {
        (self.0 & 0x7FFF_FFFF) as usize
    }

    /// The byte on the edge that leads here; a leaf has none.
    fn label(&self) -> u32 {
        self.0 & (1 << 31 | 0xFF)
    }

    fn offset(&self) -> usize {
        ((self.0 >> 10) as usize) << ((self.0 & 1 << 9) >> 6)
    }
}

/// What is wrong with `map`, if anything.
pub(crate) fn check(map: &[u8]) -> Result<(), &'static str> {
    let (size, rest) = map.split_first_chunk().ok_or("is shorter than its size field")?;
    let size = u32::from_le_bytes(*size) as usize / 4 * 4;
    let (array, replacements) = rest.split_at_checked(size).ok_or("is shorter than it says")?;
    let replacements =
        std::str::from_utf8(replacements).map_err(|_| "has replacements that are not UTF-8")?;
    if replacements.split('\0').any(|replacement| replacement.len() > MAX_REPLACEMENT_BYTES) {
        return Err("has a replacement of more than 256 bytes");
    }
    let units: Vec<Unit> =
        array.as_chunks::<4>().0.iter().map(|bytes| Unit(u32::from_le_bytes(*bytes))).collect();
    walk(&units, replacements)
}

/// Follows every edge once: a unit has one label, so it is reached from one place only.
fn walk(units: &[Unit], replacements: &str) -> Result<(), &'static str> {
    let outside = "leads outside its own table";
    let root = units.first().ok_or("has an empty table")?.offset();
    let mut seen = vec![false; units.len()];
    let mut open = vec![root];
    while let Some(base) = open.pop() {
        match seen.get_mut(base) {
            Some(true) => continue,
            Some(seen) => *seen = true,
            // A place outside the table is reached only if no byte leads back into it.
            None => return Err(outside),
        }
        for byte in 1..=0xFF_u32 {
            let place = base ^ byte as usize;
            let unit = units.get(place).ok_or(outside)?;
            if unit.label() != byte {
                continue;
            }
            let next = place ^ unit.offset();
            if unit.has_leaf() {
                let value = units.get(next).ok_or(outside)?.value();
                if !replacements.is_char_boundary(value) {
                    return Err("points into the middle of a replacement's character");
                }
            }
            open.push(next);
        }
    }
    Ok(())
}
