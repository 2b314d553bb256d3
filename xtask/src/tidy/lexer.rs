//! Just enough of Rust's grammar to tell code from comments and literals.

/// The text with every comment and literal blanked, lines and columns kept.
pub(crate) fn code_only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip(&chars, at);
        if end == at {
            code.push(chars[at]);
            at += 1;
        } else {
            code.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    code
}

/// The end of the comment or literal that starts at `at`; `at` when none does.
fn skip(chars: &[char], at: usize) -> usize {
    let starts = |pattern: &str| pattern.chars().enumerate().all(|(i, c)| get(chars, at + i) == c);
    let in_word = at > 0 && is_word(chars[at - 1]);
    if starts("//") {
        return find(chars, at, |i| chars[i] == '\n');
    }
    if starts("/*") {
        return block_comment_end(chars, at);
    }
    if starts("\"") {
        return quoted_end(chars, at + 1, '"');
    }
    if !in_word && (starts("r\"") || starts("r#") || starts("br\"") || starts("br#")) {
        return raw_end(chars, at);
    }
    // A lifetime has no closing quote one (or one escaped) character later.
    let is_char = get(chars, at + 1) == '\\' || get(chars, at + 2) == '\'';
    if starts("'") && is_char {
        return quoted_end(chars, at + 1, '\'');
    }
    at
}

fn get(chars: &[char], index: usize) -> char {
    chars.get(index).copied().unwrap_or('\0')
}

/// Whether a character can be part of a Rust identifier.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn find(chars: &[char], from: usize, stop: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|&index| stop(index)).unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at < chars.len() {
        match (chars[at], get(chars, at + 1)) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], start: usize, quote: char) -> usize {
    let mut at = start;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// The end of `r"..."` or `r#"..."#`; the start when it is a raw identifier such as `r#type`.
fn raw_end(chars: &[char], start: usize) -> usize {
    let hashes_from = find(chars, start, |i| chars[i] == 'r') + 1;
    let open = find(chars, hashes_from, |i| chars[i] != '#');
    if get(chars, open) != '"' {
        return start;
    }
    let hashes = open - hashes_from;
    let closes = |i: usize| chars[i] == '"' && (1..=hashes).all(|n| get(chars, i + n) == '#');
    (find(chars, open + 1, closes) + 1 + hashes).min(chars.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_code_is_kept() {
        let cases = [
            ("let a = 1; // word", "let a = 1;"),
            ("a /* word /* word */ word */ b", "a b"),
            (r#"call("word \" word", b)"#, "call( , b)"),
            (r##"call(r#"word " word"#, b)"##, "call( , b)"),
            ("match c { '\"' => 'a', '\\'' => x }", "match c { => , => x }"),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("r#type + br\"word\"", "r#type +"),
        ];
        for (text, expected) in cases {
            let code = code_only(text);
            let words: Vec<&str> = code.split_whitespace().collect();
            assert_eq!(words.join(" "), expected, "{text}");
            assert_eq!(code.chars().count(), text.chars().count(), "columns of {text}");
        }
    }

    #[test]
    fn lines_stay_where_they_are() {
        let text = "a\n/* x\n y */ b\n\"p\nq\" c\n";
        let code = code_only(text);
        assert_eq!(code.lines().nth(2).unwrap().trim(), "b");
        assert_eq!(code.lines().nth(4).unwrap().trim(), "c");
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'\\", "\"a\\", "//"] {
            assert_eq!(code_only(text).trim(), "", "{text}");
        }
    }
}
