//! The contents of a page as glyphs with their places: the text operators of ISO 32000-1, 9.3 and
//! 9.4, and the forms that they stand in.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::file::{Page, Pdf};
use super::font::{Font, Names};
use super::syntax::{Dict, Lexer, Object, Spent};

/// Glyphs of a page; more are no text that anyone reads.
const MAX_GLYPHS: usize = 1 << 20;
/// Forms within forms.
const MAX_FORMS: usize = 12;
/// Saved states.
const MAX_SAVED: usize = 512;
/// Fonts of a file that are kept.
const MAX_FONTS: usize = 4096;

/// A character at its place.
#[derive(Clone, Debug)]
pub(super) struct Glyph {
    pub(super) text: String,
    /// Where the pen was, and where it is after it.
    pub(super) start: (f64, f64),
    pub(super) end: (f64, f64),
    /// The size of the font on the page.
    pub(super) size: f64,
}

/// What a page showed.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) glyphs: Vec<Glyph>,
    /// Characters that nothing says the meaning of.
    pub(super) unknown: usize,
}

/// A matrix `[a b c d e f]` that a row vector is multiplied by.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Matrix([f64; 6]);

impl Matrix {
    const ONE: Self = Self([1.0, 0.0, 0.0, 1.0, 0.0, 0.0]);

    fn moved(x: f64, y: f64) -> Self {
        Self([1.0, 0.0, 0.0, 1.0, x, y])
    }

    /// First this, then the other.
    fn then(self, other: Self) -> Self {
        let ([a, b, c, d, e, f], o) = (self.0, other.0);
        Self([
            a * o[0] + b * o[2],
            a * o[1] + b * o[3],
            c * o[0] + d * o[2],
            c * o[1] + d * o[3],
            e * o[0] + f * o[2] + o[4],
            e * o[1] + f * o[3] + o[5],
        ])
    }

    fn of(numbers: &[f64]) -> Option<Self> {
        Some(Self(*numbers.last_chunk()?))
    }
}

/// What `q` saves.
#[derive(Clone)]
struct State {
    page: Matrix,
    font: Option<Rc<Font>>,
    size: f64,
    character_spacing: f64,
    word_spacing: f64,
    stretch: f64,
    leading: f64,
    rise: f64,
}

/// Shows pages and keeps the fonts that they share.
pub(super) struct Viewer<'a, 'b> {
    pdf: &'a Pdf<'b>,
    names: Names,
    fonts: BTreeMap<u32, Rc<Font>>,
}

/// One page or form that is being shown.
struct Contents<'s> {
    resources: Rc<Dict>,
    shown: &'s mut Shown,
    depth: usize,
    state: State,
    saved: Vec<State>,
    text: Matrix,
    line: Matrix,
    operands: Vec<Object>,
}

impl<'a, 'b> Viewer<'a, 'b> {
    pub(super) fn new(pdf: &'a Pdf<'b>) -> Self {
        Self { pdf, names: Names::new(), fonts: BTreeMap::new() }
    }

    /// What a page shows.
    pub(super) fn show(&mut self, page: &Page) -> Result<Shown, Spent> {
        let resources = page.resources.as_deref().unwrap_or(&Object::Null);
        let resources = match self.pdf.resolved(resources)? {
            Object::Dict(dict) => dict,
            _ => Dict::new(),
        };
        let mut bytes = Vec::new();
        let contents = page.dict.get(&b"Contents"[..]).cloned().unwrap_or(Object::Null);
        let parts = match self.pdf.resolved(&contents)? {
            Object::Array(parts) => parts,
            _ => vec![contents],
        };
        for part in &parts {
            if let Some((_, part)) = self.pdf.stream(part)? {
                bytes.extend(part);
                bytes.push(b'\n');
            }
        }
        let state = State {
            page: Matrix::ONE,
            font: None,
            size: 0.0,
            character_spacing: 0.0,
            word_spacing: 0.0,
            stretch: 1.0,
            leading: 0.0,
            rise: 0.0,
        };
        let mut shown = Shown::default();
        self.run(&bytes, Rc::new(resources), state, 0, &mut shown)?;
        Ok(shown)
    }

    fn run(
        &mut self,
        bytes: &[u8],
        resources: Rc<Dict>,
        state: State,
        depth: usize,
        shown: &mut Shown,
    ) -> Result<(), Spent> {
        let mut contents = Contents {
            resources,
            shown,
            depth,
            state,
            saved: Vec::new(),
            text: Matrix::ONE,
            line: Matrix::ONE,
            operands: Vec::new(),
        };
        let mut lexer = Lexer::new(bytes, 0);
        while let Some(token) = self.pdf.token(&mut lexer)? {
            match token {
                Object::Operator(name) if name == b"BI" => {
                    skip_image(&mut lexer);
                    contents.operands.clear();
                }
                Object::Operator(name) => {
                    self.operate(&mut contents, &name)?;
                    contents.operands.clear();
                }
                // No operator has more operands than a matrix; what is left over is damage.
                operand if contents.operands.len() < 64 => contents.operands.push(operand),
                _ => {}
            }
            if contents.shown.glyphs.len() >= MAX_GLYPHS {
                return Ok(());
            }
        }
        Ok(())
    }

    fn operate(&mut self, contents: &mut Contents<'_>, name: &[u8]) -> Result<(), Spent> {
        match name {
            b"Do" => self.form(contents)?,
            b"Tf" => {
                contents.state.size = contents.number(0).unwrap_or(0.0);
                let font = contents.operands.first().and_then(Object::name);
                let font = font.map(<[u8]>::to_vec).unwrap_or_default();
                let fonts = self.pdf.dict(&contents.resources, b"Font")?;
                contents.state.font = self.font(fonts.get(&font))?;
            }
            b"gs" => {
                let states = self.pdf.dict(&contents.resources, b"ExtGState")?;
                let name = contents.operands.first().and_then(Object::name).unwrap_or_default();
                let state = self.pdf.dict(&states, name)?;
                if let Object::Array(pair) = self.pdf.get(&state, b"Font")? {
                    contents.state.font = self.font(pair.first())?;
                    contents.state.size = pair.get(1).and_then(Object::number).unwrap_or(0.0);
                }
            }
            _ => contents.operate(name),
        }
        Ok(())
    }

    fn font(&mut self, font: Option<&Object>) -> Result<Option<Rc<Font>>, Spent> {
        let number = if let Some(Object::Reference(number)) = font { Some(*number) } else { None };
        if let Some(found) = number.and_then(|number| self.fonts.get(&number)) {
            return Ok(Some(Rc::clone(found)));
        }
        let Object::Dict(dict) = self.pdf.resolved(font.unwrap_or(&Object::Null))? else {
            return Ok(None);
        };
        let found = Rc::new(Font::read(self.pdf, &dict, &self.names)?);
        if let Some(number) = number.filter(|_| self.fonts.len() < MAX_FONTS) {
            self.fonts.insert(number, Rc::clone(&found));
        }
        Ok(Some(found))
    }

    fn form(&mut self, contents: &mut Contents<'_>) -> Result<(), Spent> {
        let name = contents.operands.first().and_then(Object::name).unwrap_or_default();
        let forms = self.pdf.dict(&contents.resources, b"XObject")?;
        let Some(form) = forms.get(name).filter(|_| contents.depth < MAX_FORMS) else {
            return Ok(());
        };
        if let Object::Dict(dict) = self.pdf.resolved(form)?
            && self.pdf.get(&dict, b"Subtype")?.name() != Some(b"Form")
        {
            return Ok(());
        }
        let Some((dict, bytes)) = self.pdf.stream(form)? else { return Ok(()) };
        let own = match self.pdf.get(&dict, b"Resources")? {
            Object::Dict(own) => Rc::new(own),
            _ => Rc::clone(&contents.resources),
        };
        let matrix = self.pdf.get(&dict, b"Matrix")?;
        let numbers: Vec<f64> =
            matrix.array().unwrap_or_default().iter().filter_map(Object::number).collect();
        let mut state = contents.state.clone();
        state.page = Matrix::of(&numbers).unwrap_or(Matrix::ONE).then(state.page);
        self.run(&bytes, own, state, contents.depth + 1, contents.shown)
    }
}

impl Contents<'_> {
    /// The n-th number from the end of the operands.
    fn number(&self, from_end: usize) -> Option<f64> {
        let at = self.operands.len().checked_sub(from_end + 1)?;
        self.operands[at].number()
    }

    fn numbers(&self) -> Vec<f64> {
        self.operands.iter().filter_map(Object::number).collect()
    }

    fn operate(&mut self, name: &[u8]) {
        let number = |from_end| self.number(from_end).unwrap_or(0.0);
        match name {
            b"q" if self.saved.len() < MAX_SAVED => self.saved.push(self.state.clone()),
            b"Q" => {
                if let Some(state) = self.saved.pop() {
                    self.state = state;
                }
            }
            b"cm" => {
                if let Some(matrix) = Matrix::of(&self.numbers()) {
                    self.state.page = matrix.then(self.state.page);
                }
            }
            b"BT" => (self.text, self.line) = (Matrix::ONE, Matrix::ONE),
            b"Tm" => {
                if let Some(matrix) = Matrix::of(&self.numbers()) {
                    (self.text, self.line) = (matrix, matrix);
                }
            }
            b"Td" => self.next_line(number(1), number(0)),
            b"TD" => {
                let (x, y) = (number(1), number(0));
                self.state.leading = -y;
                self.next_line(x, y);
            }
            b"T*" => self.next_line(0.0, -self.state.leading),
            b"Tc" => self.state.character_spacing = number(0),
            b"Tw" => self.state.word_spacing = number(0),
            b"Tz" => self.state.stretch = number(0) / 100.0,
            b"TL" => self.state.leading = number(0),
            b"Ts" => self.state.rise = number(0),
            b"Tj" | b"TJ" => self.show_operand(),
            b"'" => {
                self.next_line(0.0, -self.state.leading);
                self.show_operand();
            }
            b"\"" => {
                let (word, character) = (number(2), number(1));
                (self.state.word_spacing, self.state.character_spacing) = (word, character);
                self.next_line(0.0, -self.state.leading);
                self.show_operand();
            }
            _ => {}
        }
    }

    fn next_line(&mut self, x: f64, y: f64) {
        self.line = Matrix::moved(x, y).then(self.line);
        self.text = self.line;
    }

    fn show_operand(&mut self) {
        match self.operands.pop() {
            Some(Object::Text(bytes)) => self.show(&bytes),
            Some(Object::Array(items)) => {
                for item in items {
                    match item {
                        Object::Text(bytes) => self.show(&bytes),
                        Object::Number(back) => self.advance(-back / 1000.0 * self.state.size),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    /// Moves the pen along the line.
    fn advance(&mut self, by: f64) {
        let vertical = self.state.font.as_ref().is_some_and(|font| font.is_vertical());
        let (x, y) = if vertical { (0.0, by) } else { (by * self.state.stretch, 0.0) };
        self.text = Matrix::moved(x, y).then(self.text);
    }

    fn show(&mut self, bytes: &[u8]) {
        let Some(font) = self.state.font.clone() else { return };
        let vertical = font.is_vertical();
        let mut found = Vec::new();
        font.show(bytes, |shown| found.push(shown));
        for shown in found {
            if self.shown.glyphs.len() >= MAX_GLYPHS {
                return;
            }
            let spacing = if shown.is_space { self.state.word_spacing } else { 0.0 };
            // The pen of vertical lines goes down by the height of a character.
            let width = if vertical { -1.0 } else { shown.width };
            let before = self.place();
            self.advance(width * self.state.size);
            let after = self.place();
            self.advance(self.state.character_spacing + spacing);
            let matrix = self.text.then(self.state.page).0;
            let size = (matrix[2].hypot(matrix[3]) * self.state.size).abs();
            let glyph = Glyph { text: String::new(), start: before, end: after, size };
            let numbers = [before.0, before.1, after.0, after.1, size];
            if !numbers.iter().all(|number| number.abs() < 1e7) {
                continue;
            }
            match shown.text {
                Some(text) => self.shown.glyphs.push(Glyph { text, ..glyph }),
                None => {
                    self.shown.unknown += 1;
                    self.shown.glyphs.push(Glyph { text: "\u{fffd}".to_owned(), ..glyph });
                }
            }
        }
    }

    /// Where the pen is on the page.
    fn place(&self) -> (f64, f64) {
        let matrix = Matrix::moved(0.0, self.state.rise).then(self.text).then(self.state.page).0;
        (matrix[4], matrix[5])
    }
}

/// Skips an image within the contents: what ends it is `EI` between white space.
fn skip_image(lexer: &mut Lexer<'_>) {
    let rest = lexer.rest();
    let is_end = |&at: &usize| {
        let before = at.checked_sub(1).is_none_or(|at| rest[at].is_ascii_whitespace());
        before && rest.get(at + 2).is_none_or(u8::is_ascii_whitespace)
    };
    let end = memchr::memmem::find_iter(rest, b"EI").find(is_end);
    lexer.at += end.map_or(rest.len(), |end| end + 2);
}
