//! Results on stdout: text for people, JSON for programs, and nothing else.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

/// Writes text as it is, at once.
///
/// # Errors
/// When stdout is gone, as after `| head`.
pub fn text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a line.
///
/// # Errors
/// As [`text`].
pub fn line(line: &str) -> Result<()> {
    text(&format!("{line}\n"))
}

/// Writes one JSON object on a line of its own.
///
/// # Errors
/// As [`text`].
pub fn json(value: &impl Serialize) -> Result<()> {
    line(&serde_json::to_string(value)?)
}

/// Reports what went wrong, and what led to it, on stderr.
pub fn error(error: &anyhow::Error) {
    // A closed stderr must not change the exit code.
    let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
}

/// Says something beside the results, on stderr.
pub fn note(text: &str) {
    // A closed stderr must not end a command.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Whether an error is a reader that closed the pipe, which is no failure.
#[must_use]
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Text that came from a model or a file, safe to show on a terminal: control characters, which
/// could move the cursor or recolour the screen, become visible.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_commands_in_text_are_made_harmless() {
        assert_eq!(printable("a\u{1b}[31mb\r\n\u{9b}2J"), "a\u{fffd}[31mb\u{fffd}\n\u{fffd}2J");
    }
}
