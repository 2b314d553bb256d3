//! How the bytes of a part travel: quoted-printable and base64 (RFC 2045).

use mail_parser::decoders::base64::base64_decode;

/// What quoted-printable lines stand for. An `=` that begins nothing stands for itself, as in
/// every program that shows mail.
pub(super) fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        // Spaces at the end of a line were added on the way.
        let visible = line.trim_ascii_end();
        let (text, soft) = match visible.strip_suffix(b"=") {
            Some(text) => (text, true),
            None => (visible, false),
        };
        let mut rest = text;
        while let Some((&first, after)) = rest.split_first() {
            let digits = after.get(..2).filter(|_| first == b'=');
            let digits = digits.filter(|two| two.iter().all(u8::is_ascii_hexdigit));
            let digits = digits.and_then(|two| std::str::from_utf8(two).ok());
            if let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                bytes.push(byte);
                rest = &after[2..];
            } else {
                bytes.push(first);
                rest = after;
            }
        }
        if !soft && line.ends_with(b"\n") {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// What base64 stands for, up to its padding or an empty line: lists append their footers to it as
/// they are. None when it is broken before.
pub(super) fn base64(body: &[u8]) -> Option<Vec<u8>> {
    let body = body.trim_ascii_start();
    let mut end = 0;
    for line in body.split_inclusive(|&byte| byte == b'\n') {
        if line.trim_ascii().is_empty() {
            break;
        }
        if let Some(padding) = memchr::memchr(b'=', line) {
            end += padding;
            break;
        }
        end += line.len();
    }
    base64_decode(&body[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_kept_or_refused() {
        for (body, expected) in [
            ("a=3Db =\nc  \n=E4=\r\n=BD", &b"a=b c\n\xe4\xbd"[..]),
            ("1 = 2, =G1 =+1 =", b"1 = 2, =G1 =+1 "),
            ("=3", b"=3"),
        ] {
            assert_eq!(quoted_printable(body.as_bytes()), expected, "{body:?}");
        }
        assert_eq!(base64(b"\r\naGFs\r\nbG8=\r\n\r\n-- \r\nlist").unwrap(), b"hallo");
        assert_eq!(base64(b"aGFs\n\n-- list").unwrap(), b"hal");
        assert_eq!(base64(b"a*b"), None);
    }
}
