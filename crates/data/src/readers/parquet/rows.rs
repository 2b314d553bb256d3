//! Rows put together again from the streams of their columns: a null, an empty list and what
//! belongs to which entry are told from the levels alone (Dremel, 2010).

use std::ops::Range;

use serde_json::{Map, Value};

use super::column::{Column, Pages};
use super::json::json;
use super::schema::{Field, Group, Leaf, Shape};

/// What a value takes in memory beside its bytes.
const VALUE_BYTES: u64 = 32;

/// Why a row is not there.
pub(super) enum Fault {
    /// It takes more than it may; the ones after it can be read.
    TooLarge,
    /// The row group is damaged.
    Damaged(String),
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self::Damaged(what)
    }
}

/// The rows of a row group.
pub(super) struct Rows {
    columns: Vec<Column>,
    /// Rows that were begun.
    begun: u64,
    /// What the row may still take.
    left: u64,
}

impl Rows {
    pub(super) fn new(leaves: &[Leaf], group: &Group) -> Self {
        let columns = leaves.iter().zip(&group.chunks);
        let columns = columns.map(|(leaf, chunk)| Column::new(leaf.clone(), chunk)).collect();
        Self { columns, begun: 0, left: 0 }
    }

    /// The next row.
    pub(super) fn next(
        &mut self,
        fields: &[Field],
        pages: &mut Pages<'_>,
        max_bytes: u64,
    ) -> Result<Map<String, Value>, Fault> {
        // What is left of a row that was too large.
        for column in &mut self.columns {
            while column
                .peek(pages)?
                .is_some_and(|(level, _)| level > 0 || column.rows <= self.begun)
            {
                column.next(pages)?;
            }
        }
        self.begun += 1;
        self.left = max_bytes;
        let mut row = Map::new();
        for field in fields {
            row.insert(field.name.clone(), self.value(field, pages)?);
        }
        Ok(row)
    }

    fn spend(&mut self, bytes: u64) -> Result<(), Fault> {
        self.left = self.left.checked_sub(bytes).ok_or(Fault::TooLarge)?;
        Ok(())
    }

    fn value(&mut self, field: &Field, pages: &mut Pages<'_>) -> Result<Value, Fault> {
        self.spend(VALUE_BYTES)?;
        if field.optional && self.definition(&field.leaves, pages)? < field.definition {
            self.pass(&field.leaves, pages)?;
            return Ok(Value::Null);
        }
        match &field.shape {
            Shape::Leaf => {
                let column = &mut self.columns[field.leaves.start];
                let Some(raw) = column.next(pages)? else { return Ok(Value::Null) };
                let value = json(raw, column.leaf());
                self.spend(value.as_str().map_or(0, |text| text.len() as u64))?;
                Ok(value)
            }
            Shape::Group(inner) => {
                let mut found = Map::new();
                for field in inner {
                    self.spend(field.name.len() as u64)?;
                    found.insert(field.name.clone(), self.value(field, pages)?);
                }
                Ok(Value::Object(found))
            }
            Shape::List { item, definition, repetition, map } => {
                let mut found = Vec::new();
                if self.definition(&field.leaves, pages)? < *definition {
                    self.pass(&field.leaves, pages)?;
                } else {
                    loop {
                        found.push(self.value(item, pages)?);
                        let next = self.columns[field.leaves.start].peek(pages)?;
                        if next.is_none_or(|(level, _)| level < *repetition) {
                            break;
                        }
                    }
                }
                Ok(if *map { object(found) } else { Value::Array(found) })
            }
        }
    }

    fn definition(&mut self, leaves: &Range<usize>, pages: &mut Pages<'_>) -> Result<u32, Fault> {
        let next = self.columns[leaves.start].peek(pages)?;
        let (_, definition) = next.ok_or_else(|| "it has fewer rows than it says".to_owned())?;
        Ok(definition)
    }

    /// Takes the one entry that says that there is nothing.
    fn pass(&mut self, leaves: &Range<usize>, pages: &mut Pages<'_>) -> Result<(), Fault> {
        for column in &mut self.columns[leaves.clone()] {
            column.next(pages)?;
        }
        Ok(())
    }
}

/// The entries of a map as an object, if all keys are texts.
fn object(entries: Vec<Value>) -> Value {
    let key = |entry: &Value| entry.get("key").is_some_and(Value::is_string);
    if !entries.iter().all(key) {
        return Value::Array(entries);
    }
    let pair = |entry: Value| match entry {
        Value::Object(mut entry) => match entry.remove("key") {
            Some(Value::String(key)) => Some((key, entry.remove("value").unwrap_or(Value::Null))),
            _ => None,
        },
        _ => None,
    };
    Value::Object(entries.into_iter().filter_map(pair).collect())
}
