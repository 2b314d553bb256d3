//! A page as paragraphs: tags to blocks of text, with what the markup says about each.
//!
//! The tokenizer follows the WHATWG specification; of its tree construction only what decides where
//! text stands is kept here: void elements, end tags that close what is open inside, `p`, `li`,
//! cells and `head` that end without being closed. A page costs time and memory in proportion to
//! its length, however deep or broken it is.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Span, Tokenizer};

use super::tags::{Region, Tag, region_of};

/// A block of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Paragraph {
    /// Its text, white space collapsed unless it is preformatted; never empty.
    pub(super) text: String,
    /// Characters of it.
    pub(super) chars: usize,
    /// Of them, those inside links.
    pub(super) link_chars: usize,
    /// Whether it stands in a heading.
    pub(super) heading: bool,
    /// Whether it is preformatted.
    pub(super) verbatim: bool,
    /// The innermost region around it: an index into [`Page::areas`].
    pub(super) area: Option<usize>,
}

/// An element that says what stands in it, or that holds other blocks.
#[derive(Clone, Debug)]
pub(super) struct Area {
    pub(super) region: Region,
    /// The next one around it.
    pub(super) parent: Option<usize>,
}

/// What a page holds.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Text of its first `title`.
    pub(super) title: Option<String>,
    /// Its paragraphs in reading order.
    pub(super) paragraphs: Vec<Paragraph>,
    /// Its regions, each behind the one around it.
    pub(super) areas: Vec<Area>,
}

/// Elements deeper than this are taken as standing in the last one.
const MAX_DEPTH: usize = 512;

/// Areas of a page; more are not told apart.
const MAX_AREAS: usize = 1 << 16;

impl Page {
    /// Reads a page; `xml` when it is XHTML, where `<a/>` is closed and no element is raw text.
    pub(super) fn read(markup: &str, xml: bool) -> Self {
        let mut builder = Builder { xml, ..Builder::default() };
        let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _span: Span<()>| {
            builder.take(&event);
            None::<std::convert::Infallible>
        });
        emitter.naively_switch_states(!xml);
        let Ok(()) = Tokenizer::new_with_emitter(markup, emitter).finish();
        builder.end_paragraph();
        builder.page
    }
}

/// A start tag whose attributes are being read.
#[derive(Default)]
struct Start {
    name: Vec<u8>,
    attribute: Vec<u8>,
    region: Option<Region>,
    hidden: bool,
}

struct Element {
    name: Vec<u8>,
    tag: Tag,
    area: Option<usize>,
    /// Whether nothing in it is text for a reader.
    dead: bool,
}

#[derive(Default)]
struct Builder {
    xml: bool,
    page: Page,
    open: Vec<Element>,
    /// Open elements beyond [`MAX_DEPTH`].
    deeper: usize,
    start: Option<Start>,
    current: Paragraph,
    /// White space that stands before the next word of the paragraph; whether it breaks the line.
    space: Option<bool>,
    after_break: bool,
    links: usize,
    headings: usize,
    verbatim: usize,
}

impl Builder {
    fn take(&mut self, event: &CallbackEvent<'_>) {
        match *event {
            CallbackEvent::OpenStartTag { name } => {
                self.start = Some(Start { name: name.to_ascii_lowercase(), ..Start::default() });
            }
            CallbackEvent::AttributeName { name } => {
                if let Some(start) = &mut self.start {
                    start.attribute = name.to_ascii_lowercase();
                    start.hidden |= name.eq_ignore_ascii_case(b"hidden");
                }
            }
            CallbackEvent::AttributeValue { value } => self.attribute(value),
            CallbackEvent::CloseStartTag { self_closing } => {
                if let Some(start) = self.start.take() {
                    self.open(start, self_closing);
                }
            }
            CallbackEvent::EndTag { name } => {
                self.start = None;
                self.close(&name.to_ascii_lowercase());
            }
            CallbackEvent::String { value } => self.text(&String::from_utf8_lossy(value)),
            _ => {}
        }
    }

    fn attribute(&mut self, value: &[u8]) {
        let Some(start) = &mut self.start else { return };
        match &start.attribute[..] {
            b"class" | b"id" | b"role" | b"itemprop" => {
                let found = region_of(&start.attribute, value);
                start.region = start.region.max(found);
            }
            b"hidden" if value.eq_ignore_ascii_case(b"until-found") => start.hidden = false,
            b"style" => {
                let words = value.split(u8::is_ascii_whitespace).collect::<Vec<_>>().concat();
                start.hidden |= memchr::memmem::find(&words, b"display:none").is_some();
            }
            _ => {}
        }
    }

    fn open(&mut self, start: Start, self_closing: bool) {
        let tag = Tag::of(&start.name);
        self.close_implied(&start.name, tag);
        let around = self.open.last();
        let dead = around.is_some_and(|element| element.dead) || start.hidden || tag.is_dead();
        let mut area = around.and_then(|element| element.area);
        let region = tag.region().max(start.region.filter(|_| tag.may_be_marked()));
        if let Some(region) = region
            && self.page.areas.len() < MAX_AREAS
        {
            self.page.areas.push(Area { region, parent: area });
            area = Some(self.page.areas.len() - 1);
        }
        if !dead {
            self.begin(tag);
        }
        let closed = self_closing && (self.xml || dead);
        if tag == Tag::Void || tag == Tag::Break || closed {
            if !dead && closed && tag.is_block() {
                self.end_paragraph();
            }
            return;
        }
        if self.open.len() == MAX_DEPTH {
            self.deeper += 1;
            return;
        }
        self.count(tag, 1);
        if tag.is_block() {
            self.current.area = area;
        }
        self.open.push(Element { name: start.name, tag, area, dead });
    }

    /// What a start tag does to the paragraph.
    fn begin(&mut self, tag: Tag) {
        if tag.is_block() || (tag == Tag::Break && self.after_break) {
            self.end_paragraph();
        } else if tag == Tag::Break {
            self.after_break = true;
            if self.verbatim > 0 {
                self.current.text.push('\n');
            } else {
                self.space = Some(false);
            }
        } else {
            self.after_break = false;
        }
    }

    /// Closes what a start tag ends by itself.
    fn close_implied(&mut self, name: &[u8], tag: Tag) {
        if self.xml {
            return;
        }
        let in_head = self.open.last().is_some_and(|element| element.tag == Tag::Head);
        if in_head && !tag.belongs_in_head() {
            self.pop();
        }
        let (wanted, border): (&[&[u8]], &[Tag]) = match name {
            b"li" => (&[b"li"], &[Tag::List, Tag::Table]),
            b"dd" | b"dt" => (&[b"dd", b"dt"], &[Tag::List, Tag::Table]),
            b"td" | b"th" => (&[b"td", b"th"], &[Tag::Table]),
            b"tr" => (&[b"tr"], &[Tag::Table]),
            _ if tag.is_block() => (&[b"p"], &[]),
            _ => return,
        };
        for at in (0..self.open.len()).rev() {
            if wanted.contains(&&self.open[at].name[..]) {
                return self.pop_to(at);
            }
            // Only what stands within lines lies between a `p` and what ends it.
            let found = self.open[at].tag;
            if border.contains(&found) || (border.is_empty() && found.is_block()) {
                return;
            }
        }
    }

    fn close(&mut self, name: &[u8]) {
        if self.deeper > 0 {
            self.deeper -= 1;
            return;
        }
        let cell =
            matches!(name, b"td" | b"th" | b"tr" | b"tbody" | b"thead" | b"tfoot" | b"table");
        for at in (0..self.open.len()).rev() {
            if self.open[at].name == name {
                return self.pop_to(at);
            }
            // A stray end tag in a cell closes nothing outside of it.
            if !cell && matches!(self.open[at].tag, Tag::Table | Tag::Cell) {
                break;
            }
        }
        if matches!(name, b"p" | b"br") && !self.open.last().is_some_and(|element| element.dead) {
            self.end_paragraph();
        }
    }

    fn pop_to(&mut self, length: usize) {
        while self.open.len() > length {
            self.pop();
        }
    }

    fn pop(&mut self) {
        let Some(element) = self.open.pop() else { return };
        if element.tag.is_block() && !element.dead {
            self.end_paragraph();
        }
        self.count(element.tag, -1);
        self.current.area = self.open.last().and_then(|element| element.area);
    }

    fn count(&mut self, tag: Tag, by: isize) {
        let counter = match tag {
            Tag::Link => &mut self.links,
            Tag::Heading => &mut self.headings,
            Tag::Verbatim => &mut self.verbatim,
            _ => return,
        };
        *counter = counter.saturating_add_signed(by);
    }

    fn text(&mut self, text: &str) {
        if let Some(last) = self.open.last()
            && last.dead
        {
            if last.name == b"title" && self.page.title.is_none() {
                let title: Vec<&str> = text.split_whitespace().collect();
                self.page.title = Some(title.join(" ")).filter(|title| !title.is_empty());
            }
            return;
        }
        self.current.heading |= self.headings > 0 && !text.trim().is_empty();
        if self.verbatim > 0 {
            return self.verbatim_text(text);
        }
        let mut words = text.split_whitespace().peekable();
        if text.starts_with(char::is_whitespace) {
            self.add_space(leading(text).contains('\n'));
        }
        if words.peek().is_none() {
            return;
        }
        self.after_break = false;
        let before = self.current.chars;
        let mut end = None;
        for word in words {
            let start = word.as_ptr() as usize - text.as_ptr() as usize;
            if let Some(end) = end {
                self.add_space(text[end..start].contains('\n'));
            }
            self.add_word(word);
            end = Some(start + word.len());
        }
        let added = self.current.chars - before;
        let rest = &text[end.unwrap_or(text.len())..];
        if !rest.is_empty() {
            self.add_space(rest.contains('\n'));
        }
        if self.links > 0 {
            self.current.link_chars += added;
        }
    }

    fn verbatim_text(&mut self, text: &str) {
        let added = text.chars().count();
        self.current.text.push_str(text);
        self.current.chars += added;
        self.current.verbatim = true;
        if self.links > 0 {
            self.current.link_chars += added;
        }
    }

    fn add_space(&mut self, breaks: bool) {
        self.space = Some(self.space.map_or(breaks, |before| before && breaks));
    }

    fn add_word(&mut self, word: &str) {
        let current = &mut self.current;
        if let (Some(breaks), Some(last)) = (self.space.take(), current.text.chars().next_back()) {
            // Line ends of the source between Chinese characters stand for nothing.
            if !(breaks && is_wide(last) && word.starts_with(is_wide)) {
                current.text.push(' ');
                current.chars += 1;
            }
        }
        current.text.push_str(word);
        current.chars += if word.is_ascii() { word.len() } else { word.chars().count() };
    }

    fn end_paragraph(&mut self) {
        let mut done = std::mem::take(&mut self.current);
        self.current.area = done.area;
        (self.space, self.after_break) = (None, false);
        if done.verbatim {
            done.text = done.text.trim_end().trim_start_matches(['\n', '\r']).to_owned();
            done.chars = done.text.chars().count();
        }
        if !done.text.is_empty() {
            self.page.paragraphs.push(done);
        }
    }
}

fn leading(text: &str) -> &str {
    &text[..text.len() - text.trim_start().len()]
}

/// Whether a character is of a script that is written without spaces, or its punctuation.
fn is_wide(found: char) -> bool {
    matches!(found, '\u{2e80}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{ff00}'..='\u{ff60}' | '\u{20000}'..='\u{3ffff}')
}
