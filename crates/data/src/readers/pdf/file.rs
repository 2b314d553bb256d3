//! A PDF as numbered objects. They are found by reading the file from its start, not by its table:
//! that finds the same ones in a sound file, the later of two with one number, and all that is left
//! in a damaged one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use memchr::memmem;

use super::filters::unpack;
use super::syntax::{Budget, Dict, Lexer, Object, Spent};

/// Where an object is.
#[derive(Clone, Copy, Debug)]
enum Location {
    /// At a byte of the file.
    At(usize),
    /// The n-th of a stream of objects.
    In(u32, usize),
}

/// References to references end after so many.
const MAX_HOPS: usize = 16;
/// Objects of a file.
const MAX_OBJECTS: usize = 1 << 22;

/// Objects that are packed together: bytes, and where each begins.
type Packed = Rc<(Vec<u8>, Vec<usize>)>;

pub(super) struct Pdf<'a> {
    bytes: &'a [u8],
    objects: BTreeMap<u32, Location>,
    packed: RefCell<BTreeMap<u32, Packed>>,
    /// What the trailers say, the last one last.
    trailers: Vec<Dict>,
    budget: RefCell<Budget>,
    max_stream: u64,
}

/// A page, and what its own or inherited resources are.
pub(super) struct Page {
    pub(super) dict: Dict,
    pub(super) resources: Option<Rc<Object>>,
}

/// A stream as it lies in the file.
struct Raw<'a> {
    dict: Dict,
    data: &'a [u8],
    /// Where the file goes on.
    end: usize,
}

impl<'a> Pdf<'a> {
    /// Finds the objects of a file.
    pub(super) fn new(bytes: &'a [u8], budget: Budget, max_stream: u64) -> Result<Self, Spent> {
        let mut pdf = Self {
            bytes,
            objects: BTreeMap::new(),
            packed: RefCell::default(),
            trailers: Vec::new(),
            budget: RefCell::new(budget),
            max_stream,
        };
        let mut at = 0;
        while let Some(found) = memmem::find(&bytes[at..], b"obj") {
            let (start, after) = (at + found, at + found + 3);
            at = match number_before(bytes, start) {
                Some(number) => pdf.take(number, after)?,
                None => after,
            };
        }
        let trailers = memmem::find_iter(bytes, b"trailer").map(|at| at + 7);
        for at in trailers.collect::<Vec<_>>() {
            if let Some(Object::Dict(dict)) = pdf.parse(bytes, at)? {
                pdf.trailers.push(dict);
            }
        }
        Ok(pdf)
    }

    fn parse(&self, bytes: &[u8], at: usize) -> Result<Option<Object>, Spent> {
        Lexer::new(bytes, at).next(&mut self.budget.borrow_mut())
    }

    /// Notes the object that begins at a byte and says where to look on.
    fn take(&mut self, number: u32, at: usize) -> Result<usize, Spent> {
        if self.objects.len() == MAX_OBJECTS {
            return Err(Spent);
        }
        self.objects.insert(number, Location::At(at));
        let Some(raw) = self.raw(at)? else { return Ok(at) };
        match raw.dict.get(&b"Type"[..]).and_then(Object::name) {
            Some(b"ObjStm") => self.take_packed(number, &raw)?,
            Some(b"XRef") => self.trailers.push(raw.dict),
            _ => {}
        }
        Ok(raw.end.max(at))
    }

    fn take_packed(&mut self, stream: u32, raw: &Raw<'_>) -> Result<(), Spent> {
        let Some(bytes) = self.unpacked(&raw.dict, raw.data)? else { return Ok(()) };
        let number = |key: &[u8]| raw.dict.get(key).and_then(Object::count);
        let (Some(count), Some(first)) = (number(b"N"), number(b"First")) else { return Ok(()) };
        let (mut lexer, mut starts) = (Lexer::new(&bytes, 0), Vec::new());
        for index in 0..count {
            let mut pair = || {
                let found = lexer.next(&mut self.budget.borrow_mut())?;
                Ok(found.and_then(|number| number.count()))
            };
            let (Some(number), Some(start)) = (pair()?, pair()?) else { break };
            let Ok(number) = u32::try_from(number) else { break };
            starts.push(first.saturating_add(start));
            if self.objects.len() == MAX_OBJECTS {
                return Err(Spent);
            }
            self.objects.insert(number, Location::In(stream, index));
        }
        self.packed.borrow_mut().insert(stream, Rc::new((bytes, starts)));
        Ok(())
    }

    /// The stream that begins at a byte, if the object there is one.
    fn raw(&self, at: usize) -> Result<Option<Raw<'a>>, Spent> {
        let mut lexer = Lexer::new(self.bytes, at);
        let object = lexer.next(&mut self.budget.borrow_mut())?;
        let Some(Object::Dict(dict)) = object else { return Ok(None) };
        lexer.skip_space();
        let Some(rest) = lexer.rest().strip_prefix(b"stream") else { return Ok(None) };
        let rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        let start = self.bytes.len() - rest.len();
        let stated = dict.get(&b"Length"[..]).and_then(Object::count);
        let fits = |&length: &usize| {
            rest.get(length..).is_some_and(|rest| {
                rest[..rest.len().min(16)].trim_ascii_start().starts_with(b"endstream")
            })
        };
        let length = stated.filter(fits).or_else(|| memmem::find(rest, b"endstream"));
        let length = length.unwrap_or(rest.len());
        Ok(Some(Raw { dict, data: &rest[..length], end: start + length }))
    }

    fn unpacked(&self, dict: &Dict, data: &[u8]) -> Result<Option<Vec<u8>>, Spent> {
        let list = |keys: [&[u8]; 2]| {
            let found = keys.iter().find_map(|key| dict.get(*key));
            match self.resolved(found.unwrap_or(&Object::Null))? {
                Object::Array(items) => items.iter().map(|item| self.resolved(item)).collect(),
                Object::Null => Ok(Vec::new()),
                one => Ok(vec![one]),
            }
        };
        let filters: Vec<Object> = list([b"Filter", b"F"])?;
        let parameters: Vec<Object> = list([b"DecodeParms", b"DP"])?;
        let parameters: Vec<_> = parameters.iter().map(|one| one.dict().cloned()).collect();
        let limit = self.max_stream.min(self.budget.borrow().unpacked);
        let found = unpack(data, &filters, &parameters, limit);
        let mut budget = self.budget.borrow_mut();
        let spent = found.as_ref().map_or(data.len(), Vec::len) as u64;
        budget.unpacked = budget.unpacked.checked_sub(spent).ok_or(Spent)?;
        Ok(found)
    }

    /// An object by its number; null when there is none.
    pub(super) fn object(&self, number: u32) -> Result<Object, Spent> {
        let found = match self.objects.get(&number) {
            None => None,
            Some(Location::At(at)) => self.parse(self.bytes, *at)?,
            Some(Location::In(stream, index)) => {
                let packed = self.packed.borrow().get(stream).cloned();
                match packed.as_ref().and_then(|packed| Some((packed, *packed.1.get(*index)?))) {
                    Some((packed, start)) => self.parse(&packed.0, start)?,
                    None => None,
                }
            }
        };
        Ok(found.unwrap_or(Object::Null))
    }

    /// What a reference stands for.
    pub(super) fn resolved(&self, object: &Object) -> Result<Object, Spent> {
        let mut found = object.clone();
        for _ in 0..MAX_HOPS {
            let Object::Reference(number) = found else { return Ok(found) };
            found = self.object(number)?;
        }
        Ok(Object::Null)
    }

    /// The value of a key, resolved; null when there is none.
    pub(super) fn get(&self, dict: &Dict, key: &[u8]) -> Result<Object, Spent> {
        self.resolved(dict.get(key).unwrap_or(&Object::Null))
    }

    /// The dictionary of a key; empty when there is none.
    pub(super) fn dict(&self, dict: &Dict, key: &[u8]) -> Result<Dict, Spent> {
        Ok(if let Object::Dict(found) = self.get(dict, key)? { found } else { Dict::new() })
    }

    /// The dictionary and unpacked bytes of a stream; none when it is none or an image.
    pub(super) fn stream(&self, object: &Object) -> Result<Option<(Dict, Vec<u8>)>, Spent> {
        let mut object = object.clone();
        for _ in 0..MAX_HOPS {
            let Object::Reference(number) = object else { return Ok(None) };
            let Some(Location::At(at)) = self.objects.get(&number) else { return Ok(None) };
            if let Some(raw) = self.raw(*at)? {
                let found = self.unpacked(&raw.dict, raw.data)?;
                return Ok(found.map(|bytes| (raw.dict, bytes)));
            }
            object = self.object(number)?;
        }
        Ok(None)
    }

    /// The next object or operator of page contents, at the file's cost.
    pub(super) fn token(&self, lexer: &mut Lexer<'_>) -> Result<Option<Object>, Spent> {
        lexer.next(&mut self.budget.borrow_mut())
    }

    /// The last trailer's value of a key.
    fn trailer(&self, key: &[u8]) -> Option<&Object> {
        self.trailers.iter().rev().find_map(|dict| dict.get(key))
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.trailer(b"Encrypt").is_some_and(|found| *found != Object::Null)
    }

    /// What the file says of itself.
    pub(super) fn info(&self) -> Result<Dict, Spent> {
        let info = self.resolved(self.trailer(b"Info").unwrap_or(&Object::Null))?;
        Ok(if let Object::Dict(info) = info { info } else { Dict::new() })
    }

    /// The pages in their order.
    pub(super) fn pages(&self) -> Result<Vec<Page>, Spent> {
        let root = self.resolved(self.trailer(b"Root").unwrap_or(&Object::Null))?;
        let tree = root.dict().and_then(|root| root.get(&b"Pages"[..]).cloned());
        let mut pages = Vec::new();
        if let Some(tree) = tree {
            self.walk(tree, &mut pages)?;
        }
        if pages.is_empty() {
            // The tree is lost; the pages are where they were written.
            for number in self.objects.keys() {
                if let Object::Dict(dict) = self.object(*number)?
                    && dict.get(&b"Type"[..]).and_then(Object::name) == Some(b"Page")
                {
                    let resources = dict.get(&b"Resources"[..]).cloned().map(Rc::new);
                    pages.push(Page { dict, resources });
                }
            }
        }
        Ok(pages)
    }

    fn walk(&self, tree: Object, pages: &mut Vec<Page>) -> Result<(), Spent> {
        let mut seen = BTreeSet::new();
        let mut open = vec![(tree, None::<Rc<Object>>)];
        while let Some((node, inherited)) = open.pop() {
            if let Object::Reference(number) = node
                && !seen.insert(number)
            {
                continue;
            }
            let Object::Dict(dict) = self.resolved(&node)? else { continue };
            let own = dict.get(&b"Resources"[..]).cloned().map(Rc::new);
            let resources = own.or(inherited);
            match self.get(&dict, b"Kids")? {
                Object::Array(kids) => {
                    let kids = kids.into_iter().rev().map(|kid| (kid, resources.clone()));
                    open.extend(kids);
                }
                _ => pages.push(Page { dict, resources }),
            }
        }
        Ok(())
    }
}

/// The number of the object whose `obj` begins at a byte: `12 0 obj`.
fn number_before(bytes: &[u8], at: usize) -> Option<u32> {
    let before = &bytes[at.saturating_sub(32)..at];
    let word = |bytes: &[u8]| {
        let trimmed = bytes.trim_ascii_end();
        let digits = trimmed.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        (digits > 0).then(|| trimmed.split_at(trimmed.len() - digits).0.len())
    };
    let generation = word(before)?;
    let rest = &before[..generation];
    // White space between the two, but `obj` may follow at once.
    if rest.trim_ascii_end().len() == rest.len() {
        return None;
    }
    let start = word(rest)?;
    std::str::from_utf8(rest[start..].trim_ascii_end()).ok()?.parse().ok()
}
