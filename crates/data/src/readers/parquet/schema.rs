//! What a Parquet file says of itself: its columns as a tree, and where each row group has them.

use std::ops::Range;

use super::thrift::{Kind, Result, Thrift};

/// Columns may nest so deep.
const MAX_DEPTH: usize = 32;

/// How a leaf's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Bool,
    Int32,
    Int64,
    Int96,
    Float,
    Double,
    Bytes,
    /// Of so many bytes.
    Fixed(usize),
}

/// What a leaf's values mean, where they do not mean themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logical {
    Plain,
    Text,
    Unsigned,
    Date,
    /// Units of a second.
    Time(i64),
    /// Units of a second, and whether they count in UTC.
    Timestamp(i64, bool),
    Decimal(u32),
    Half,
    Uuid,
}

#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) physical: Physical,
    pub(super) logical: Logical,
    pub(super) max_definition: u32,
    pub(super) max_repetition: u32,
}

#[derive(Debug)]
pub(super) enum Shape {
    Leaf,
    Group(Vec<Field>),
    /// The element, and the levels that an entry has.
    List {
        item: Box<Field>,
        definition: u32,
        repetition: u32,
        map: bool,
    },
}

/// A node of the tree of columns.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) optional: bool,
    /// The definition level of values that are there.
    pub(super) definition: u32,
    /// Indices of the leaves below.
    pub(super) leaves: Range<usize>,
    pub(super) shape: Shape,
}

/// Where a row group has a column.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) codec: i64,
    pub(super) values: u64,
    pub(super) start: u64,
    pub(super) end: u64,
}

#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) rows: u64,
    pub(super) chunks: Vec<Chunk>,
}

#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) fields: Vec<Field>,
    pub(super) leaves: Vec<Leaf>,
    pub(super) groups: Vec<Group>,
}

/// One line of the flat list that the tree is written as.
#[derive(Default)]
struct Element {
    name: String,
    physical: Option<i64>,
    length: i64,
    repetition: i64,
    children: i64,
    converted: Option<i64>,
    scale: i64,
    logical: Option<Logical>,
    is_list: bool,
    is_map: bool,
}

impl Table {
    /// # Errors
    /// What is wrong with the footer.
    pub(super) fn read(footer: &[u8]) -> Result<Self> {
        let mut table = Self::default();
        let mut elements = Vec::new();
        Thrift::new(footer).fields(|thrift, number, kind| {
            match number {
                2 => thrift.list(kind, |thrift, _| {
                    elements.push(element(thrift)?);
                    Ok(())
                })?,
                4 => thrift.list(kind, |thrift, _| {
                    table.groups.push(group(thrift)?);
                    Ok(())
                })?,
                8 => return Err("it is encrypted".to_owned()),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let mut tree = Tree { elements, at: 0, leaves: Vec::new() };
        let root = tree.next()?.children;
        table.fields = (0..root).map(|_| tree.field(0, 0, 0)).collect::<Result<_>>()?;
        table.leaves = tree.leaves;
        if let Some(group) = table.groups.iter().find(|g| g.chunks.len() != table.leaves.len()) {
            let (found, expected) = (group.chunks.len(), table.leaves.len());
            return Err(format!("a row group of {found} columns where {expected} are declared"));
        }
        Ok(table)
    }
}

fn element(thrift: &mut Thrift<'_>) -> Result<Element> {
    let mut found = Element { length: -1, ..Element::default() };
    thrift.fields(|thrift, number, kind| {
        match number {
            1 => found.physical = Some(thrift.int(kind)?),
            2 => found.length = thrift.int(kind)?,
            3 => found.repetition = thrift.int(kind)?,
            4 => found.name = thrift.text(kind)?,
            5 => found.children = thrift.int(kind)?,
            6 => found.converted = Some(thrift.int(kind)?),
            7 => found.scale = thrift.int(kind)?,
            10 => logical(thrift, &mut found)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    found.is_list |= found.converted == Some(3);
    found.is_map |= matches!(found.converted, Some(1 | 2));
    Ok(found)
}

/// The union `LogicalType`.
fn logical(thrift: &mut Thrift<'_>, element: &mut Element) -> Result<()> {
    thrift.fields(|thrift, number, _| {
        let (mut scale, mut unit, mut truth) = (0, 1000, false);
        let is_int = number == 10;
        match number {
            2 => element.is_map = true,
            3 => element.is_list = true,
            _ => {}
        }
        thrift.fields(|thrift, field, kind| {
            match (number, field) {
                (5, 1) => scale = thrift.int(kind)?,
                (7 | 8, 1) | (10, 2) => {
                    truth = Thrift::bool(kind);
                    return Ok(false);
                }
                (7 | 8, 2) => thrift.fields(|_, which, _| {
                    unit = match which {
                        1 => 1000,
                        2 => 1_000_000,
                        _ => 1_000_000_000,
                    };
                    Ok(false)
                })?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        element.logical = match number {
            1 | 4 | 12 => Some(Logical::Text),
            5 => Some(Logical::Decimal(u32::try_from(scale).unwrap_or(0))),
            6 => Some(Logical::Date),
            7 => Some(Logical::Time(unit)),
            8 => Some(Logical::Timestamp(unit, truth)),
            10 if is_int && !truth => Some(Logical::Unsigned),
            14 => Some(Logical::Uuid),
            15 => Some(Logical::Half),
            _ => None,
        };
        Ok(true)
    })
}

fn group(thrift: &mut Thrift<'_>) -> Result<Group> {
    let mut found = Group::default();
    thrift.fields(|thrift, number, kind| {
        match number {
            1 => thrift.list(kind, |thrift, _| {
                found.chunks.push(chunk(thrift)?);
                Ok(())
            })?,
            3 => found.rows = unsigned(thrift, kind)?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(found)
}

fn unsigned(thrift: &mut Thrift<'_>, kind: Kind) -> Result<u64> {
    let value = thrift.int(kind)?;
    u64::try_from(value).map_err(|_| format!("a length of {value} in its description"))
}

fn chunk(thrift: &mut Thrift<'_>) -> Result<Chunk> {
    let mut found = Chunk::default();
    let (mut length, mut data, mut dictionary) = (0, 0, 0);
    thrift.fields(|thrift, number, _| {
        match number {
            1 => return Err("its columns are in other files".to_owned()),
            3 => thrift.fields(|thrift, number, kind| {
                match number {
                    4 => found.codec = thrift.int(kind)?,
                    5 => found.values = unsigned(thrift, kind)?,
                    7 => length = unsigned(thrift, kind)?,
                    9 => data = unsigned(thrift, kind)?,
                    11 => dictionary = unsigned(thrift, kind)?,
                    _ => return Ok(false),
                }
                Ok(true)
            })?,
            8 => return Err("it is encrypted".to_owned()),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    found.start = if dictionary > 0 && dictionary < data { dictionary } else { data };
    found.end = found.start.checked_add(length).ok_or("a column beyond the end of the file")?;
    Ok(found)
}

/// The flat list on its way to a tree.
struct Tree {
    elements: Vec<Element>,
    at: usize,
    leaves: Vec<Leaf>,
}

impl Tree {
    fn next(&mut self) -> Result<Element> {
        let element = self.elements.get_mut(self.at).ok_or("its list of columns is cut")?;
        self.at += 1;
        Ok(std::mem::take(element))
    }

    fn field(&mut self, definition: u32, repetition: u32, depth: usize) -> Result<Field> {
        if depth == MAX_DEPTH {
            return Err("its columns nest too deep".to_owned());
        }
        let element = self.next()?;
        let repeated = element.repetition == 2;
        let optional = element.repetition == 1;
        let definition = definition + u32::from(optional);
        let (inner, deeper) = (definition + u32::from(repeated), repetition + u32::from(repeated));
        let (start, name) = (self.leaves.len(), element.name.clone());
        let (is_list, is_map) = (element.is_list, element.is_map);
        let mut shape = if element.children == 0 {
            self.leaves.push(leaf(&element, inner, deeper)?);
            Shape::Leaf
        } else {
            let children = 0..element.children;
            let fields = children.map(|_| self.field(inner, deeper, depth + 1));
            Shape::Group(fields.collect::<Result<_>>()?)
        };
        let leaves = start..self.leaves.len();
        if leaves.is_empty() {
            return Err(format!("`{name}` holds no columns"));
        }
        shape = collapsed(shape, is_list, is_map);
        if repeated {
            let (name, leaves) = (name.clone(), leaves.clone());
            let item = Field { name, optional: false, definition: inner, leaves, shape };
            let item = Box::new(item);
            shape = Shape::List { item, definition: inner, repetition: deeper, map: false };
        }
        Ok(Field { name, optional, definition, leaves, shape })
    }
}

/// A list or map is written as a group around a repeated group; the group around says nothing.
fn collapsed(shape: Shape, is_list: bool, is_map: bool) -> Shape {
    let Shape::Group(mut fields) = shape else { return shape };
    let one = fields.len() == 1 && matches!(fields[0].shape, Shape::List { .. });
    if !one || !(is_list || is_map) {
        return Shape::Group(fields);
    }
    let Shape::List { item, definition, repetition, .. } = fields.remove(0).shape else {
        return Shape::Group(fields);
    };
    let item = match *item {
        Field { name, shape: Shape::Group(mut inner), .. }
            if is_list && inner.len() == 1 && name != "array" && !name.ends_with("_tuple") =>
        {
            Box::new(inner.remove(0))
        }
        item => Box::new(item),
    };
    Shape::List { item, definition, repetition, map: is_map }
}

fn leaf(element: &Element, max_definition: u32, max_repetition: u32) -> Result<Leaf> {
    let physical = match element.physical {
        Some(0) => Physical::Bool,
        Some(1) => Physical::Int32,
        Some(2) => Physical::Int64,
        Some(3) => Physical::Int96,
        Some(4) => Physical::Float,
        Some(5) => Physical::Double,
        Some(6) => Physical::Bytes,
        Some(7) if (1..=1 << 20).contains(&element.length) => {
            Physical::Fixed(usize::try_from(element.length).unwrap_or(1))
        }
        other => return Err(format!("`{}` is of unknown type {other:?}", element.name)),
    };
    let converted = match element.converted {
        Some(0 | 4 | 19) => Logical::Text,
        Some(5) => Logical::Decimal(u32::try_from(element.scale).unwrap_or(0)),
        Some(6) => Logical::Date,
        Some(7) => Logical::Time(1000),
        Some(8) => Logical::Time(1_000_000),
        Some(9) => Logical::Timestamp(1000, true),
        Some(10) => Logical::Timestamp(1_000_000, true),
        Some(11..=14) => Logical::Unsigned,
        _ => Logical::Plain,
    };
    let logical = element.logical.unwrap_or(converted);
    Ok(Leaf { physical, logical, max_definition, max_repetition })
}
