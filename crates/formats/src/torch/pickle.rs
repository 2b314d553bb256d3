//! A machine that reads pickles and can only build plain values.
//!
//! It knows numbers, texts, tuples, lists, dictionaries, tensors (views of storages) and the names
//! on the list in `allowed`; an opcode or a name beyond these is refused with its place. Texts are
//! borrowed from the file, containers lie in one arena and go with it. What the pickle makes it
//! allocate stays within a constant factor of the bytes read so far.

use std::collections::BTreeMap;

use super::allowed::{self, Global, StorageSpec, TensorSpec};
use super::opcodes;
use crate::cursor::{Cursor, Phrased};
use crate::{Error, Result};

/// Most values on the stack; real pickles have some thousands.
const STACK_MAX: usize = 1 << 16;
/// Memory that a pickle may cost per byte; real ones cost about ten.
const COST_PER_BYTE_MAX: usize = 32;
/// Memory that any pickle may cost.
const COST_FREE: usize = 64 * 1024;
/// Memory that none may exceed, beyond the length of its file.
const COST_MAX: usize = 64 << 20;
/// What a container and one of its items cost, about.
const NODE_BYTES: usize = 96;
const ITEM_BYTES: usize = 48;

/// A value; containers are places in the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    None,
    Bool,
    Int(i64),
    /// An integer of more than eight bytes, little-endian.
    Long(&'a [u8]),
    Float,
    Text(&'a str),
    Bytes,
    Global(Global),
    Storage(usize),
    Node(usize),
}

/// What lies in the arena.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    List(Vec<Value<'a>>),
    Tuple(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    Tensor(TensorSpec),
}

impl Value<'_> {
    pub(super) fn as_usize(self) -> Option<usize> {
        match self {
            Self::Int(value) => value.try_into().ok(),
            _ => None,
        }
    }
}

/// The machine, on one pickle of a file.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    cursor: Cursor<'a>,
    start: usize,
    file: &'a str,
    file_len: usize,
    stack: Vec<Value<'a>>,
    marks: Vec<usize>,
    memo: BTreeMap<u32, Value<'a>>,
    nodes: Vec<Node<'a>>,
    storages: Vec<StorageSpec<'a>>,
    cost: usize,
}

/// A pickle that was read: its value, and where what follows it begins.
#[derive(Debug)]
pub(super) struct Read<'a> {
    pub(super) machine: Machine<'a>,
    pub(super) value: Value<'a>,
    pub(super) end: usize,
}

/// Reads the pickle that begins at byte `start` of `bytes`; `file` names it in messages.
pub(super) fn read<'a>(file: &'a str, bytes: &'a [u8], start: usize) -> Result<Read<'a>> {
    let mut machine = Machine {
        cursor: Cursor::new(bytes, start),
        start,
        file,
        file_len: bytes.len(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: BTreeMap::new(),
        nodes: Vec::new(),
        storages: Vec::new(),
        cost: 0,
    };
    loop {
        let offset = machine.cursor.at() - start;
        let opcode = machine.cursor.u8("an opcode").map_err(|message| machine.damaged(message))?;
        if opcode == b'.' && offset > 0 {
            let value = machine.pop().map_err(|found| machine.refused(opcode, offset, found))?;
            let end = machine.cursor.at();
            return Ok(Read { machine, value, end });
        }
        if offset == 0 && opcode != 0x80 {
            return Err(machine.damaged(format!("a pickle begins with {opcode:#04x}, not PROTO")));
        }
        machine.step(opcode).map_err(|found| machine.refused(opcode, offset, found))?;
    }
}

impl<'a> Machine<'a> {
    fn damaged(&self, message: String) -> Error {
        Error::Damaged { file: self.file.to_owned(), format: super::FORMAT, message }
    }

    fn refused(&self, opcode: u8, offset: usize, found: String) -> Error {
        let (file, opcode) = (self.file.to_owned(), opcodes::name(opcode));
        Error::Refused { file, opcode, offset, found }
    }

    /// Runs one opcode; an error is the end of a phrase whose subject is the opcode.
    fn step(&mut self, opcode: u8) -> Phrased<()> {
        match opcode {
            0x80 => self.protocol(),
            0x95 => self.cursor.count(1, "a frame").map(|_| ()),
            b'N' => self.push(Value::None),
            0x88 | 0x89 => self.push(Value::Bool),
            b'J' | b'K' | b'M' | 0x8a => self.integer(opcode),
            b'G' => self.cursor.take(8, "a float").map(|_| Value::Float).and_then(|v| self.push(v)),
            b'X' | b'T' | b'U' | 0x8c | 0x8d => self.text(opcode),
            b'B' | b'C' => self.byte_string(opcode),
            b'(' => self.mark(),
            b')' | b't' | 0x85..=0x87 => self.tuple_of(opcode),
            b']' | b'}' => self.empty(opcode),
            b'a' | b'e' => self.append(opcode == b'e'),
            b's' | b'u' => self.set_items(opcode == b'u'),
            b'q' | b'r' | 0x94 => self.put(opcode),
            b'h' | b'j' => self.get(opcode),
            b'0' => self.pop().map(|_| ()),
            b'c' | 0x93 => self.global(opcode),
            b'R' => self.reduce(),
            b'b' => self.build(),
            b'Q' => self.persistent(),
            _ => Err("is not one that plain values need".to_owned()),
        }
    }

    fn protocol(&mut self) -> Phrased<()> {
        match self.cursor.u8("a protocol")? {
            2..=5 => Ok(()),
            other => Err(format!("says protocol {other}, 2 to 5 are read")),
        }
    }

    fn push(&mut self, value: Value<'a>) -> Phrased<()> {
        if self.stack.len() >= STACK_MAX {
            return Err(format!("makes the stack deeper than {STACK_MAX}"));
        }
        self.stack.push(value);
        Ok(())
    }

    /// The top of the stack, but nothing below the last mark.
    fn pop(&mut self) -> Phrased<Value<'a>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        let above = self.stack.len() > floor;
        self.stack.pop().filter(|_| above).ok_or_else(|| "takes from an empty stack".to_owned())
    }

    /// Everything above the last mark, which goes.
    fn pop_mark(&mut self) -> Phrased<Vec<Value<'a>>> {
        let mark = self.marks.pop().ok_or("needs a mark, there is none")?;
        Ok(self.stack.split_off(mark))
    }

    fn mark(&mut self) -> Phrased<()> {
        if self.marks.len() >= STACK_MAX {
            return Err(format!("sets more than {STACK_MAX} marks"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    /// Counts memory that the pickle costs.
    pub(super) fn charge(&mut self, bytes: usize) -> Phrased<()> {
        self.cost = self.cost.saturating_add(bytes);
        let consumed = self.cursor.at() - self.start;
        let most = (COST_FREE + COST_PER_BYTE_MAX * consumed).min(COST_MAX + self.file_len);
        if self.cost > most {
            return Err(format!(
                "makes more of {consumed} bytes than the {most} allowed in memory"
            ));
        }
        Ok(())
    }

    pub(super) fn new_node(&mut self, node: Node<'a>) -> Phrased<Value<'a>> {
        let items = match &node {
            Node::List(items) | Node::Tuple(items) => items.len(),
            Node::Dict(pairs) => pairs.len(),
            Node::Tensor(spec) => spec.shape.len(),
        };
        self.charge(NODE_BYTES + items * ITEM_BYTES)?;
        self.nodes.push(node);
        Ok(Value::Node(self.nodes.len() - 1))
    }

    fn integer(&mut self, opcode: u8) -> Phrased<()> {
        let value = match opcode {
            b'J' => i64::from(self.cursor.u32("an integer")?.cast_signed()),
            b'K' => self.cursor.u8("an integer")?.into(),
            b'M' => self.cursor.u16("an integer")?.into(),
            _ => return self.long(),
        };
        self.push(Value::Int(value))
    }

    fn long(&mut self) -> Phrased<()> {
        let len = self.cursor.u8("an integer")?.into();
        let bytes = self.cursor.take(len, "an integer")?;
        if len > 8 {
            return self.push(Value::Long(bytes));
        }
        let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
        let mut wide = if negative { [0xff; 8] } else { [0; 8] };
        wide[..len].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self, opcode: u8) -> Phrased<()> {
        let len = match opcode {
            b'X' | b'T' => self.cursor.u32("a text")? as usize,
            0x8d => self.cursor.count(1, "a text")?,
            _ => self.cursor.u8("a text")?.into(),
        };
        let text = std::str::from_utf8(self.cursor.take(len, "a text")?);
        self.push(Value::Text(text.map_err(|_| "holds a text that is not UTF-8")?))
    }

    fn byte_string(&mut self, opcode: u8) -> Phrased<()> {
        let len = match opcode {
            b'B' => self.cursor.u32("bytes")? as usize,
            _ => self.cursor.u8("bytes")?.into(),
        };
        self.cursor.take(len, "bytes")?;
        self.push(Value::Bytes)
    }

    fn tuple_of(&mut self, opcode: u8) -> Phrased<()> {
        let items = match opcode {
            b')' => Vec::new(),
            b't' => self.pop_mark()?,
            _ => {
                let mut items = Vec::with_capacity(3);
                for _ in 0..=opcode - 0x85 {
                    items.push(self.pop()?);
                }
                items.reverse();
                items
            }
        };
        let value = self.new_node(Node::Tuple(items))?;
        self.push(value)
    }

    fn empty(&mut self, opcode: u8) -> Phrased<()> {
        let node = if opcode == b']' { Node::List(Vec::new()) } else { Node::Dict(Vec::new()) };
        let value = self.new_node(node)?;
        self.push(value)
    }

    fn append(&mut self, many: bool) -> Phrased<()> {
        let items = if many { self.pop_mark()? } else { vec![self.pop()?] };
        self.charge(items.len() * ITEM_BYTES)?;
        match self.top_node() {
            Some(Node::List(list)) => list.extend(items),
            _ => return Err("appends to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set_items(&mut self, many: bool) -> Phrased<()> {
        let items = if many {
            self.pop_mark()?
        } else {
            let value = self.pop()?;
            vec![self.pop()?, value]
        };
        self.charge(items.len() * ITEM_BYTES)?;
        let (pairs, rest) = items.as_chunks::<2>();
        match self.top_node() {
            Some(Node::Dict(dict)) if rest.is_empty() => {
                dict.extend(pairs.iter().map(|[key, value]| (*key, *value)));
            }
            _ => return Err("sets items of what is no dictionary, or half an item".to_owned()),
        }
        Ok(())
    }

    fn put(&mut self, opcode: u8) -> Phrased<()> {
        let index = match opcode {
            b'q' => self.cursor.u8("a memo")?.into(),
            b'r' => self.cursor.u32("a memo")?,
            _ => u32::try_from(self.memo.len()).map_err(|_| "remembers too much")?,
        };
        self.charge(ITEM_BYTES)?;
        let value = *self.stack.last().ok_or("remembers the top of an empty stack")?;
        self.memo.insert(index, value);
        Ok(())
    }

    fn get(&mut self, opcode: u8) -> Phrased<()> {
        let index = match opcode {
            b'h' => self.cursor.u8("a memo")?.into(),
            _ => self.cursor.u32("a memo")?,
        };
        let value = self.memo.get(&index).copied();
        self.push(value.ok_or_else(|| format!("recalls memo {index}, which was never set"))?)
    }

    fn global(&mut self, opcode: u8) -> Phrased<()> {
        let (module, name) = if opcode == b'c' {
            (self.line()?, self.line()?)
        } else {
            match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => (module, name),
                _ => return Err("names what is no text".to_owned()),
            }
        };
        let global = allowed::find(module, name);
        let shown = |text: &str| text.escape_default().take(80).collect::<String>();
        let refused = || format!("asks for `{}.{}`", shown(module), shown(name));
        self.push(Value::Global(global.ok_or_else(refused)?))
    }

    /// A text that ends with its line.
    fn line(&mut self) -> Phrased<&'a str> {
        let mut ahead = self.cursor.clone();
        let mut len = 0;
        while ahead.u8("a name")? != b'\n' {
            len += 1;
        }
        let line = self.cursor.take(len, "a name")?;
        self.cursor.take(1, "a name")?;
        std::str::from_utf8(line).map_err(|_| "names what is not UTF-8".to_owned())
    }

    fn reduce(&mut self) -> Phrased<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let (Value::Global(function), Some(arguments)) = (function, self.tuple(arguments)) else {
            return Err("calls what is no function, or not with a tuple".to_owned());
        };
        let arguments = arguments.to_vec();
        let value = allowed::call(self, function, &arguments)?;
        self.push(value)
    }

    /// Attributes of a dictionary (such as the versions of a state_dict) are not kept.
    fn build(&mut self) -> Phrased<()> {
        self.pop()?;
        match self.top_node() {
            Some(Node::Dict(_)) => Ok(()),
            _ => Err("sets attributes of what is no dictionary".to_owned()),
        }
    }

    fn persistent(&mut self) -> Phrased<()> {
        let id = self.pop()?;
        let storage = allowed::storage_of_id(self, id)?;
        self.charge(NODE_BYTES)?;
        self.storages.push(storage);
        self.push(Value::Storage(self.storages.len() - 1))
    }

    fn top_node(&mut self) -> Option<&mut Node<'a>> {
        match self.stack.last() {
            Some(Value::Node(index)) => self.nodes.get_mut(*index),
            _ => None,
        }
    }

    fn node(&self, value: Value<'a>) -> Option<&Node<'a>> {
        match value {
            Value::Node(index) => self.nodes.get(index),
            _ => None,
        }
    }

    pub(super) fn tuple(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value) {
            Some(Node::Tuple(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn list(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match self.node(value) {
            Some(Node::List(items)) => Some(items),
            _ => None,
        }
    }

    pub(super) fn dict(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match self.node(value) {
            Some(Node::Dict(pairs)) => Some(pairs),
            _ => None,
        }
    }

    pub(super) fn tensor(&self, value: Value<'a>) -> Option<&TensorSpec> {
        match self.node(value) {
            Some(Node::Tensor(spec)) => Some(spec),
            _ => None,
        }
    }

    /// Every storage that was named, as often as it was.
    pub(super) fn storages(&self) -> &[StorageSpec<'a>] {
        &self.storages
    }

    pub(super) fn storage(&self, index: usize) -> &StorageSpec<'a> {
        &self.storages[index]
    }
}
