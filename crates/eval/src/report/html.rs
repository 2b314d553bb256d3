//! The few HTML pieces a report is made of. Everything that comes from outside is escaped here.

use std::fmt::Write as _;

/// Text in both languages.
#[derive(Clone, Copy)]
pub struct Both<'a>(pub &'a str, pub &'a str);

/// Replaces the characters that HTML gives a meaning.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in a page; a visible mark keeps them noticeable.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A whole page without scripts or links to elsewhere, with a switch for the language. `lead` and
/// `body` are HTML.
#[must_use]
pub fn page(title: &str, lead: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} - Danlu</title>\n<style>\n{style}</style></head>\n<body>\n\
         <input class=\"switch\" type=\"radio\" name=\"language\" id=\"both\" checked>\
         <input class=\"switch\" type=\"radio\" name=\"language\" id=\"only-en\">\
         <input class=\"switch\" type=\"radio\" name=\"language\" id=\"only-zh\">\n\
         <div class=\"bar\"><label for=\"both\">English + 中文</label>\
         <label for=\"only-en\">English</label><label for=\"only-zh\">中文</label></div>\n\
         <main>\n<h1>{title}</h1>\n<p class=\"soft\">{lead}</p>\n{body}\
         </main></body></html>\n",
        title = escape(title),
        style = include_str!("style.css"),
    )
}

/// A span for each language; the switch at the top of the page hides one.
#[must_use]
pub fn both(text: Both<'_>) -> String {
    format!(
        "<span class=\"en\">{}</span><span class=\"zh\" lang=\"zh-CN\">{}</span>",
        escape(text.0),
        escape(text.1)
    )
}

/// A paragraph in both languages.
#[must_use]
pub fn paragraph(text: Both<'_>) -> String {
    format!(
        "<p class=\"en\">{}</p>\n<p class=\"zh\" lang=\"zh-CN\">{}</p>\n",
        escape(text.0),
        escape(text.1)
    )
}

/// A heading in both languages.
#[must_use]
pub fn heading(text: Both<'_>) -> String {
    format!("<h2>{}</h2>\n", both(text))
}

/// A table whose cells are plain text.
#[must_use]
pub fn table(head: &[Both<'_>], rows: &[Vec<String>]) -> String {
    let mut out = String::from("<table><thead><tr>");
    for cell in head {
        let _ = write!(out, "<th>{}</th>", both(*cell));
    }
    out.push_str("</tr></thead><tbody>\n");
    for row in rows {
        out.push_str("<tr>");
        for cell in row {
            let _ = write!(out, "<td>{}</td>", escape(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table>\n");
    out
}

/// Text as it is, in a fixed-width block.
#[must_use]
pub fn preformatted(text: &str) -> String {
    format!("<pre>{}</pre>\n", escape(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let hostile = "<script>alert('x')</script> & \"quotes\" \u{1b}[31m";
        for page in [
            escape(hostile),
            paragraph(Both(hostile, hostile)),
            table(&[Both(hostile, hostile)], &[vec![hostile.to_owned()]]),
            preformatted(hostile),
        ] {
            assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");
        }
    }
}
