//! A reader of protobuf messages: fields one by one, borrowed from the bytes, nothing allocated.
//!
//! Source: protobuf's "Encoding" document. Groups, which it calls deprecated, are refused.

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Content<'a> {
    Number(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

/// The fields of a message, in their order.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and content; `None` at the end.
    ///
    /// # Errors
    /// When the bytes end in the middle of a field, or are no field.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Content<'a>)>, &'static str> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.number()?;
        let content = match key & 7 {
            0 => Content::Number(self.number()?),
            1 => Content::Fixed64(self.fixed()?),
            2 => {
                let length = usize::try_from(self.number()?).map_err(|_| "has an absurd length")?;
                let (bytes, rest) =
                    self.rest.split_at_checked(length).ok_or("ends inside a field")?;
                self.rest = rest;
                Content::Bytes(bytes)
            }
            5 => Content::Fixed32(self.fixed()?),
            _ => return Err("has a field of an unknown kind"),
        };
        Ok(Some((key >> 3, content)))
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self) -> Result<u64, &'static str> {
        let mut number = 0_u64;
        for place in 0..10 {
            let (&byte, rest) = self.rest.split_first().ok_or("ends inside a number")?;
            self.rest = rest;
            number |= u64::from(byte & 0x7F).checked_shl(7 * place).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("has a number of more than ten bytes")
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or("ends inside a field")?;
        self.rest = rest;
        Ok(*bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_the_encoding_document_has_them() {
        let message = b"\x08\x96\x01\x12\x07testing\x1d\x00\x00\x80\x3f";
        let mut fields = Fields::new(message);
        assert_eq!(fields.next(), Ok(Some((1, Content::Number(150)))));
        assert_eq!(fields.next(), Ok(Some((2, Content::Bytes(b"testing")))));
        assert_eq!(fields.next(), Ok(Some((3, Content::Fixed32(1_f32.to_le_bytes())))));
        assert_eq!(fields.next(), Ok(None));
        for broken in [&b"\x08"[..], b"\x12\x07test", b"\x0b", b"\x1d\0\0", &[0xFF; 11]] {
            assert!(Fields::new(broken).next().is_err(), "{broken:?}");
        }
    }
}
