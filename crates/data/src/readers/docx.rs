//! Word documents: each file is one document, its paragraphs a line each, those of tables in
//! reading order. Deleted text, field codes and notes are left out. Format: ECMA-376.

use super::archive::Archive;
use super::record::{Outcome, Parsed};
use super::text::one_record;
use super::xml::{Event, each};
use super::{Place, Reader, Reason};
use crate::document::{Document, Meta};

pub(super) const READER: Reader = Reader {
    name: "docx",
    extensions: &["docx"],
    about: "a Word document",
    read: |file, max_record_bytes, sink| one_record(file, max_record_bytes, sink, document),
};

fn document(place: &Place, bytes: Vec<u8>, max_bytes: u64) -> Outcome {
    let mut archive = Archive::open(bytes, max_bytes)?;
    let mut main = None;
    each(&archive.text("_rels/.rels")?, |event| {
        if let Event::Start(tag) = event
            && tag.get("type").ends_with("/officeDocument")
        {
            main = Some(tag.get("target").trim_start_matches('/').to_owned());
        }
    });
    let main = main.ok_or_else(|| Reason::new("damaged archive", "it names no document"))?;
    let text = text(&archive.text(&main)?);
    if text.trim().is_empty() {
        return Err(Reason::new("empty", ""));
    }
    let mut meta = Meta::new();
    archive.describe(&mut meta);
    Ok(Parsed::Document(Document { id: place.to_string(), text, meta }))
}

/// The paragraphs of `word/document.xml`.
fn text(markup: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    // Text boxes are paragraphs within paragraphs.
    let mut open: Vec<String> = Vec::new();
    let (mut in_text, mut in_tab_stops, mut fallback) = (false, false, 0_usize);
    each(markup, |event| match event {
        // What is for programs that do not know the newer form beside it.
        Event::Start(tag) if tag.name == "fallback" => fallback += 1,
        Event::End("fallback") => fallback = fallback.saturating_sub(1),
        _ if fallback > 0 => {}
        Event::Start(tag) => {
            in_text = tag.name == "t";
            in_tab_stops |= tag.name == "tabs";
            let last = open.last_mut();
            match (tag.name.as_str(), last) {
                ("p", _) => open.push(String::new()),
                ("tab", Some(line)) if !in_tab_stops => line.push('\t'),
                ("br" | "cr", Some(line)) => line.push('\n'),
                ("nobreakhyphen", Some(line)) => line.push('-'),
                _ => {}
            }
        }
        Event::End("p") => lines.extend(open.pop().filter(|line| !line.trim().is_empty())),
        // Places of tabs, named as the tabs are.
        Event::End("tabs") => in_tab_stops = false,
        Event::End(_) => in_text = false,
        Event::Text(text) => {
            if let Some(line) = open.last_mut()
                && in_text
            {
                line.push_str(text);
            }
        }
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_stops_are_no_tabs() {
        let markup = "<w:p><w:pPr><w:tabs><w:tab w:pos='720'/></w:tabs></w:pPr>\
                      <w:r><w:t>a</w:t><w:tab/><w:t>b</w:t></w:r></w:p>";
        assert_eq!(text(markup), "a\tb");
    }
}
