//! Mail: a message in a file (`.eml`), or a mailbox of many (`.mbox`). Each is one document: its
//! text as a reader of mail sees it; subject, date, message id and the number of attachments go to
//! `meta`. Addresses are kept nowhere. Formats: RFC 5322, RFC 2045 to 2047, RFC 4155.
//!
//! A message of a mailbox begins at a line `From ...` with a time of day, or nothing, after it, at
//! the beginning of the file or after an empty line; `>From ` in it stands for `From `. Mailboxes
//! are read as a stream. Places count messages from 1; reasons also say at which byte of the
//! (unpacked) mailbox the message begins.

mod message;
mod transfer;

use std::io::{self, BufRead};

use super::lines::{Counted, Line, read_line};
use super::record::{Outcome, Record};
use super::text::one_record;
use super::{Place, Reader, Reason, Sink, SourceFile, open, too_large, unreadable, without_mark};
use crate::Result;

pub(super) const EML: Reader = Reader {
    name: "eml",
    extensions: &["eml"],
    about: "a mail; its text part, or else its HTML part, is one document",
    read: |file, max_record_bytes, sink| {
        one_record(file, max_record_bytes, sink, |place, bytes, _| document(place, &bytes))
    },
};

pub(super) const MBOX: Reader = Reader {
    name: "mbox",
    extensions: &["mbox"],
    about: "a mailbox; each mail is one document",
    read,
};

/// Fields that a mail has and other texts do not begin with.
const FIELDS: &[&str] = &[
    "bcc",
    "cc",
    "date",
    "delivered-to",
    "dkim-signature",
    "envelope-to",
    "from",
    "in-reply-to",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "status",
    "subject",
    "to",
    "x-mailer",
];

/// Whether a file that begins so is one mail: fields from the first line on, two of them of mails.
pub(super) fn is_mail(head: &[u8]) -> bool {
    let mut known = 0;
    for (index, line) in head.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || known == 2 {
            break;
        }
        if index > 0 && matches!(line[0], b' ' | b'\t') {
            continue;
        }
        let Some(end) = memchr::memchr(b':', line) else { break };
        let name = String::from_utf8_lossy(&line[..end]).to_ascii_lowercase();
        if name.is_empty() || name.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return false;
        }
        known += usize::from(FIELDS.contains(&name.as_str()));
    }
    known == 2
}

/// Whether a file that begins so is a mailbox.
pub(super) fn is_mailbox(head: &[u8]) -> bool {
    let end = memchr::memchr(b'\n', head).unwrap_or(head.len());
    let first = head[..end].strip_suffix(b"\r").unwrap_or(&head[..end]);
    is_separator(first) && is_mail(head.get(end + 1..).unwrap_or_default())
}

/// Whether a line that follows an empty one begins a message: most programs write address and time,
/// some nothing.
fn is_separator(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"From ") else { return false };
    let is_time = |window: &[u8]| {
        window[2] == b':' && [0, 1, 3, 4].iter().all(|&at| window[at].is_ascii_digit())
    };
    rest.is_empty() || rest.windows(5).any(is_time)
}

fn document(place: &Place, bytes: &[u8]) -> Outcome {
    let bytes = without_mark(bytes);
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1);
    message::document(place, if bytes.starts_with(b"From ") { &bytes[end..] } else { bytes })
}

fn read(file: &SourceFile, max_bytes: u64, sink: &mut Sink<'_>) -> Result<()> {
    let mut mailbox = match open(&file.path) {
        Ok(bytes) => Mailbox::new(bytes),
        Err(error) => return sink(unreadable(file, file.place(1), error)?),
    };
    for number in 1_u64.. {
        let place = file.place(number);
        match mailbox.next(max_bytes) {
            Ok(None) => break,
            Ok(Some(found)) => sink(found.record(place, max_bytes))?,
            Err(error) => return sink(unreadable(file, place, error)?),
        }
    }
    Ok(())
}

/// What stands between two separators.
struct Message {
    /// Where it begins in the mailbox.
    offset: u64,
    /// None when it is larger than allowed.
    bytes: Option<Vec<u8>>,
}

impl Message {
    fn record(self, place: Place, max_bytes: u64) -> Record {
        let offset = self.offset;
        let located = move |reason: Reason| {
            let comma = if reason.detail.is_empty() { "" } else { "; " };
            let detail = format!("{}{comma}the message begins at byte {offset}", reason.detail);
            Reason::new(reason.kind, detail)
        };
        match self.bytes {
            None => Record::rejected(place, located(too_large(max_bytes))),
            Some(bytes) => Record::new(place, bytes.len(), move |place| {
                message::document(place, &bytes).map_err(located)
            }),
        }
    }
}

/// A mailbox that is read message by message.
struct Mailbox<R> {
    lines: Counted<R>,
    /// Where the message begins whose separator was just read.
    begun: Option<u64>,
}

impl<R: BufRead> Mailbox<R> {
    fn new(bytes: R) -> Self {
        Self { lines: Counted::new(bytes), begun: None }
    }

    /// The next message, or none. What stands before the first separator is one too, a broken one.
    fn next(&mut self, max_bytes: u64) -> io::Result<Option<Message>> {
        let mut offset = self.begun.take();
        let mut bytes = Some(Vec::new());
        let (mut line, mut after_empty) = (Vec::new(), self.lines.count() == 0);
        loop {
            let start = self.lines.count();
            let fits = match read_line(&mut self.lines, &mut line, max_bytes)? {
                Line::End => break,
                Line::TooLong => false,
                Line::Whole => true,
            };
            if after_empty && is_separator(&line) {
                // Bytes of a message that begins right at the file's start are none.
                if offset.is_some() {
                    self.begun = Some(start);
                    break;
                }
                offset = Some(start);
                continue;
            }
            after_empty = line.is_empty() && fits;
            // Empty lines before the first separator are no message.
            if offset.is_none() && after_empty {
                continue;
            }
            offset.get_or_insert(start);
            bytes = bytes.filter(|bytes| fits && (bytes.len() + line.len()) as u64 <= max_bytes);
            if let Some(bytes) = &mut bytes {
                let quoted = line.iter().take_while(|&&byte| byte == b'>').count();
                let is_quoted = quoted > 0 && line[quoted..].starts_with(b"From ");
                bytes.extend_from_slice(&line[usize::from(is_quoted)..]);
                bytes.push(b'\n');
            }
        }
        Ok(offset.map(|offset| Message { offset, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(mailbox: &str) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for capacity in [1, 7, 4096] {
            let bytes = io::BufReader::with_capacity(capacity, mailbox.as_bytes());
            let mut mailbox = Mailbox::new(bytes);
            found.clear();
            while let Some(message) = mailbox.next(1000).unwrap() {
                let text = String::from_utf8(message.bytes.unwrap()).unwrap();
                found.push((message.offset, text));
            }
        }
        found
    }

    #[test]
    fn a_separator_is_a_line_with_a_time_after_an_empty_one() {
        let first = "From a@b Thu Jan  1 00:00:00 1970\nTo: x\n\nFrom here on\n\nFrom there on\n\n";
        let rest = "From \r\nTo: y\r\n\r\n>From me\n>>From you\n> From him\n";
        let expected = [
            (0, "To: x\n\nFrom here on\n\nFrom there on\n\n".to_owned()),
            (first.len() as u64, "To: y\n\nFrom me\n>From you\n> From him\n".to_owned()),
        ];
        assert_eq!(messages(&format!("{first}{rest}")), expected);
        assert_eq!(messages("\n\nno mail\n\nFrom \nTo: z\n").len(), 2);
        assert_eq!(messages("From \n"), [(0, String::new())]);
        assert!(messages("").is_empty());
    }

    #[test]
    fn a_mail_is_told_from_other_texts_by_its_fields() {
        for (head, expected) in [
            ("Return-Path: <a@b>\r\nDate: Thu", true),
            ("X-Spam: no\n folded\nSubject: a\nTo: b\n\n", true),
            ("Subject: a poem\n\nFrom: nobody\n", false),
            ("Chapter one: a date\nTo: b\nDate: c\n", false),
            ("text", false),
            ("", false),
        ] {
            assert_eq!(is_mail(head.as_bytes()), expected, "{head:?}");
        }
        assert!(is_mailbox(b"From a 12:30\nTo: x\nCc: y\n"));
        assert!(!is_mailbox(b"From the start at 12:30\nwe waited.\n"));
    }
}
