//! Hashing for tables whose keys come from a vocabulary or a text.

const FACTORS: [u64; 3] = [0x9E37_79B9_7F4A_7C15, 0xD1B5_4A32_D192_ED03, 0x8CB9_2BA7_2F3D_8DD7];

/// Both halves of the product of two words, mixed.
#[inline]
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

/// The hash of a word.
#[inline]
pub(crate) fn mix(word: u64) -> u64 {
    fold(word ^ FACTORS[1], FACTORS[0])
}

/// The hash of two words.
#[inline]
pub(crate) fn mix2(low: u64, high: u64) -> u64 {
    fold(low ^ FACTORS[1], high ^ FACTORS[2])
}

/// The hash of some bytes.
#[inline]
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut state = bytes.len() as u64;
    for word in words {
        state = mix2(state, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..tail.len()].copy_from_slice(tail);
    mix2(state, u64::from_le_bytes(last))
}
