//! `{% generation %} ... {% endgeneration %}`, the tags that publishers of templates use to say
//! which text the assistant says. The interpreter does not know them, so each becomes a tag that it
//! does know and that prints a mark; white-space control (`{%-`, `-%}`) works as for any tag.

use crate::{Error, Result};

/// Rewrites the tags in the template `source`.
///
/// # Errors
/// [`Error::TemplateSyntax`] when blocks are nested or not closed.
pub(super) fn rewrite(source: &str) -> Result<String> {
    let mut rewritten = String::with_capacity(source.len() + 256);
    let mut rest = source;
    let mut open = false;
    let mut raw = false;
    while let Some(start) = rest.find('{') {
        rewritten.push_str(&rest[..start]);
        rest = &rest[start..];
        let Some(length) = construct_len(rest) else {
            rewritten.push('{');
            rest = &rest[1..];
            continue;
        };
        let construct = &rest[..length];
        let name = tag_name(construct);
        match name {
            "raw" => raw = true,
            "endraw" => raw = false,
            "generation" | "endgeneration" if !raw && open == (name == "generation") => {
                let message = "`{% generation %}` blocks must be closed and not nested";
                return Err(Error::TemplateSyntax(message.to_owned()));
            }
            "generation" | "endgeneration" if !raw => {
                open = !open;
                rewritten.push_str(&printing_tag(construct, open));
                rest = &rest[length..];
                continue;
            }
            _ => {}
        }
        // Inside `raw` only its end is a tag, and braces are text.
        let keep = if raw && name != "raw" { 1 } else { length };
        rewritten.push_str(&rest[..keep]);
        rest = &rest[keep..];
    }
    if open {
        let message = "`{% generation %}` is never closed by `{% endgeneration %}`";
        return Err(Error::TemplateSyntax(message.to_owned()));
    }
    rewritten.push_str(rest);
    Ok(rewritten)
}

/// Length of the tag, expression or comment that `text` starts with, strings inside respected.
fn construct_len(text: &str) -> Option<usize> {
    let close = match text.as_bytes().get(..2)? {
        b"{#" => return text.find("#}").map(|end| end + 2),
        b"{%" => "%}",
        b"{{" => "}}",
        _ => return None,
    };
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(2) {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if text[index..].starts_with(close) => return Some(index + 2),
            None => {}
        }
    }
    None
}

/// The first word of a `{% tag %}`; empty for everything else.
fn tag_name(construct: &str) -> &str {
    let inside = construct.strip_prefix("{%").and_then(|inside| inside.strip_suffix("%}"));
    inside.map_or("", |inside| inside.trim_matches(['-', '+']).trim())
}

/// A tag with the white-space control of `construct` that prints the mark.
fn printing_tag(construct: &str, open: bool) -> String {
    let control = |byte: u8| match byte {
        b'-' => "-",
        b'+' => "+",
        _ => "",
    };
    let bytes = construct.as_bytes();
    let (before, after) = (control(bytes[2]), control(bytes[bytes.len() - 3]));
    let name = if open { "__generation_open" } else { "__generation_close" };
    format!("{{%{before} if true %}}{{{{ {name} or '' }}}}{{% endif {after}%}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_real_tags_are_rewritten() {
        let untouched = [
            "{# {% generation %} #}",
            "{{ '{% generation %}' }}",
            "{% raw %}{% generation %}{{ {% endraw %}",
            "a { b {",
        ];
        for source in untouched {
            assert_eq!(rewrite(source).unwrap(), source);
        }
        let rewritten = rewrite("{%- generation -%}x{% endgeneration %}").unwrap();
        assert!(rewritten.starts_with("{%- if true %}"), "{rewritten}");
        assert!(rewritten.contains("{% endif -%}x"), "{rewritten}");
    }

    #[test]
    fn blocks_must_be_closed_and_not_nested() {
        for source in [
            "{% generation %}",
            "{% endgeneration %}",
            "{% generation %}{% generation %}{% endgeneration %}{% endgeneration %}",
        ] {
            assert!(matches!(rewrite(source), Err(Error::TemplateSyntax(_))), "{source}");
        }
    }
}
