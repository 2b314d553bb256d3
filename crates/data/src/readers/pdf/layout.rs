//! Glyphs to paragraphs. Lines are taken in the order in which the page shows them, which keeps the
//! columns of set text apart; a paragraph's lines are joined again: without a space between Chinese
//! characters, without the hyphen where a word was broken.

use super::contents::Glyph;

/// Of the font's size: a gap this wide is a space,
const SPACE: f64 = 0.15;
/// beside Chinese characters, which stand apart from others by a quarter;
const WIDE_SPACE: f64 = 0.6;
/// a step back this wide begins another line,
const BACK: f64 = 0.6;
/// so does one across;
const ACROSS: f64 = 0.5;
/// lines further apart than this are of two paragraphs;
const APART: f64 = 1.9;
/// and one that is indented by this begins one.
const INDENT: f64 = 0.8;

/// A paragraph has at most so many lines.
const MAX_LINES: usize = 200;

/// A line of text, in a frame whose first axis runs along it.
#[derive(Clone, Debug)]
struct Line {
    text: String,
    direction: (f64, f64),
    start: f64,
    end: f64,
    across: f64,
    size: f64,
}

/// Whether a character is one of those that are written without spaces between words.
fn is_wide(character: char) -> bool {
    matches!(character,
        '\u{2e80}'..='\u{303f}' | '\u{3040}'..='\u{30ff}' | '\u{3100}'..='\u{31bf}'
        | '\u{31f0}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}'
        | '\u{ff00}'..='\u{ffef}' | '\u{20000}'..='\u{3ffff}')
}

/// The text of a page, a paragraph a line.
pub(super) fn text(glyphs: &[Glyph]) -> String {
    let mut paragraphs: Vec<String> = Vec::new();
    let mut open: Vec<Line> = Vec::new();
    for line in lines(glyphs) {
        if open.last().is_some_and(|last| !goes_on(&open, last, &line)) {
            paragraphs.extend(joined(&open));
            open.clear();
        }
        open.push(line);
    }
    paragraphs.extend(joined(&open));
    paragraphs.join("\n")
}

fn lines(glyphs: &[Glyph]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut last: Option<&Glyph> = None;
    for glyph in glyphs {
        // Programs without a bold font show a text twice, nearly at the same place.
        if last.is_some_and(|last| is_shadow(last, glyph)) {
            continue;
        }
        let size = glyph.size.max(0.1);
        let (dx, dy) = (glyph.end.0 - glyph.start.0, glyph.end.1 - glyph.start.1);
        let length = dx.hypot(dy);
        let known = lines.last().map(|line| line.direction);
        let direction = match known {
            Some(known) if length < 1e-6 => known,
            _ if length < 1e-6 => (1.0, 0.0),
            _ => (dx / length, dy / length),
        };
        let along = |(x, y): (f64, f64)| x * direction.0 + y * direction.1;
        let across = glyph.start.1 * direction.0 - glyph.start.0 * direction.1;
        let (start, end) = (along(glyph.start), along(glyph.end));
        let gap = match lines.last() {
            Some(line) if is_same(line, direction, across, start, size) => Some(start - line.end),
            _ => None,
        };
        match (gap, lines.last_mut()) {
            (Some(gap), Some(line)) => {
                append(line, &glyph.text, gap / size.max(line.size * 0.5));
                line.end = line.end.max(end);
                // Notes above the line are smaller than it.
                if size > line.size {
                    (line.size, line.across) = (size, across);
                }
            }
            _ => {
                let text = glyph.text.clone();
                lines.push(Line { text, direction, start, end, across, size });
            }
        }
        last = Some(glyph);
    }
    lines.retain(|line| !line.text.trim().is_empty());
    lines
}

fn is_shadow(last: &Glyph, glyph: &Glyph) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() < glyph.size * 0.1;
    let same = near(last.start.0, glyph.start.0) && near(last.start.1, glyph.start.1);
    same && last.text == glyph.text && glyph.start != glyph.end && !glyph.text.trim().is_empty()
}

fn is_same(line: &Line, direction: (f64, f64), across: f64, start: f64, size: f64) -> bool {
    let turned = direction.0 * line.direction.0 + direction.1 * line.direction.1 < 0.99;
    let larger = size.max(line.size);
    !turned && (across - line.across).abs() < ACROSS * larger && start > line.end - BACK * larger
}

fn append(line: &mut Line, text: &str, gap: f64) {
    let (last, first) = (line.text.chars().next_back(), text.chars().next());
    let wide = last.is_some_and(is_wide) || first.is_some_and(is_wide);
    let spaced = last.is_some_and(char::is_whitespace) || first.is_some_and(char::is_whitespace);
    if !spaced && gap > if wide { WIDE_SPACE } else { SPACE } {
        line.text.push(' ');
    }
    line.text.push_str(text);
}

/// Whether a line belongs to the paragraph that is open.
fn goes_on(open: &[Line], last: &Line, line: &Line) -> bool {
    let size = last.size.max(line.size);
    let step = last.across - line.across;
    let left = open[open.len().saturating_sub(1).min(1)].start;
    let right = open.iter().map(|line| line.end).fold(line.end, f64::max);
    let same = line.direction == last.direction
        && (last.size - line.size).abs() < 0.15 * size
        && step > 0.0
        && step < APART * size;
    if !same || open.len() == MAX_LINES {
        return false;
    }
    if open.len() >= 2 {
        let before = open[open.len() - 2].across - last.across;
        if step > before * 1.25 {
            return false;
        }
    }
    // Also a line that begins far to the left of the others: a hanging list is left as it is.
    if line.start > left + INDENT * size || line.start < left - 4.0 * size {
        return false;
    }
    // Where the next line's first word had fitted, the end was meant.
    let first = line.text.split_whitespace().next().unwrap_or_default();
    let (chars, width) = (line.text.chars().count().max(1), line.end - line.start);
    #[allow(clippy::cast_precision_loss)]
    let per_char = width / chars as f64;
    let wide = first.chars().next().is_some_and(is_wide);
    #[allow(clippy::cast_precision_loss)]
    let word = if wide { 2.0 * size } else { (first.chars().count() + 1) as f64 * per_char };
    // Ragged lines end anywhere in their last fifth.
    last.end + word > right - 0.1 * (right - left)
}

fn joined(lines: &[Line]) -> Option<String> {
    let mut text = String::new();
    for line in lines {
        let next = line.text.trim();
        let first = next.chars().next();
        let last = text.chars().next_back();
        let before = text.chars().rev().nth(1);
        match last {
            None => {}
            Some('\u{ad}') => drop(text.pop()),
            Some('-' | '\u{2010}')
                if before.is_some_and(char::is_alphabetic)
                    && first.is_some_and(char::is_lowercase) =>
            {
                text.pop();
            }
            Some(last) if is_wide(last) && first.is_some_and(is_wide) => {}
            Some(_) => text.push(' '),
        }
        text.push_str(next);
    }
    let text = cleaned(&text);
    (!text.is_empty()).then_some(text)
}

/// Ligatures as their letters, white space as single spaces, without controls.
fn cleaned(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    for character in text.chars() {
        let letters = match character {
            '\u{fb00}' => "ff",
            '\u{fb01}' => "fi",
            '\u{fb02}' => "fl",
            '\u{fb03}' => "ffi",
            '\u{fb04}' => "ffl",
            '\u{fb05}' | '\u{fb06}' => "st",
            _ => "",
        };
        if !letters.is_empty() {
            found.push_str(letters);
        } else if character.is_whitespace() {
            if !found.ends_with(' ') {
                found.push(' ');
            }
        } else if !character.is_control() && character != '\u{ad}' {
            found.push(character);
        }
    }
    found.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Glyphs of a width of half their size, from a place on.
    fn line(text: &str, x: f64, y: f64) -> Vec<Glyph> {
        let glyph = |(index, character): (usize, char)| {
            let start = x + index as f64 * 5.0;
            let text = character.to_string();
            Glyph { text, start: (start, y), end: (start + 5.0, y), size: 10.0 }
        };
        text.chars().enumerate().filter(|(_, c)| *c != ' ').map(glyph).collect()
    }

    #[test]
    fn lines_become_paragraphs_again() {
        for (lines, expected) in [
            (
                vec![("the bridge was", 0., 0.), ("closed. Now it", 0., -12.)],
                "the bridge was closed. Now it",
            ),
            (vec![("its founda-", 0., 0.), ("tions moved", 0., -12.)], "its foundations moved"),
            (vec![("the East-", 0., 0.), ("West line", 0., -12.)], "the East- West line"),
            (
                vec![("short.", 0., 0.), ("and a much longer line", 0., -12.)],
                "short.\nand a much longer line",
            ),
            (
                vec![("a line of text", 0., 0.), ("far below here", 0., -40.)],
                "a line of text\nfar below here",
            ),
            (vec![("left column", 0., 0.), ("right column", 200., 0.)], "left column right column"),
            (vec![("白日依山", 0., 0.), ("尽黄河入", 0., -12.)], "白日依山尽黄河入"),
            (vec![("twice", 0., 0.)], "twice"),
        ] {
            let glyphs: Vec<Glyph> = lines.iter().flat_map(|(t, x, y)| line(t, *x, *y)).collect();
            assert_eq!(text(&glyphs), expected);
        }
        let shadowed: Vec<Glyph> = line("bold", 0., 0.)
            .into_iter()
            .flat_map(|glyph| {
                let mut again = glyph.clone();
                again.start.0 += 0.2;
                [glyph, again]
            })
            .collect();
        assert_eq!(text(&shadowed), "bold");
        assert_eq!(text(&[]), "");
    }
}
