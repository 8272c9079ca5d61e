//! How the columns of a Parquet file, which has only values with levels, become Arrow's.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use parquet::basic::{ConvertedType, LogicalType, Repetition};
use parquet::schema::types::{SchemaDescriptor, Type};

use super::data_type::data_type;

/// Columns within columns, most; far more than records can have. Each takes stack.
const MAX_DEPTH: usize = 16;

/// What is to be made of the values of a column. Levels are definition levels, the depth to which a value is there.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Scalar(Leaf),
    /// A list of scalars.
    List {
        /// Level from which the list is no null.
        list: i16,
        /// Level from which it has an element.
        element: i16,
        item: Leaf,
    },
    /// Scalars and lists of them, by the names of their fields.
    Struct {
        /// Level from which the struct is no null.
        level: i16,
        fields: Vec<Shape>,
    },
    /// Nothing that records can have.
    Other,
}

impl Shape {
    /// The numbers of its columns of values.
    pub fn leaves(&self) -> Vec<usize> {
        match self {
            Shape::Scalar(leaf) | Shape::List { item: leaf, .. } => vec![leaf.at],
            Shape::Struct { fields, .. } => fields.iter().flat_map(Shape::leaves).collect(),
            Shape::Other => Vec::new(),
        }
    }
}

/// A column of values.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    /// Its number among all of the file.
    pub at: usize,
    /// Level at which a value is there.
    pub level: i16,
    pub data_type: DataType,
}

/// A column with its name, and what is to be made of it.
pub(super) struct Column {
    pub field: Field,
    pub shape: Shape,
}

/// The columns whose names are not in `ignore`; `hints` are the fields that Arrow's copy of the schema has.
pub(super) fn columns(
    schema: &SchemaDescriptor,
    ignore: &[String],
    hints: Option<&Fields>,
) -> Result<Vec<Column>, String> {
    let leaves = schema.num_columns();
    let mut columns = Vec::new();
    let mut first = 0;
    for (root, of) in schema.root_schema().get_fields().iter().enumerate() {
        let behind = (first..leaves).find(|leaf| schema.get_column_root_idx(*leaf) != root).unwrap_or(leaves);
        let range = std::mem::replace(&mut first, behind)..behind;
        // A group without columns is none itself.
        if range.is_empty() || ignore.iter().any(|name| name == of.name()) {
            continue;
        }
        let hint = hints.and_then(|hints| hints.find(of.name())).map(|(_, field)| field.data_type());
        let mut walk = Walk { next: range.start };
        let (field, shape) = walk.field(of, Place { level: 0, repeated: 0, depth: 0 }, hint)?;
        columns.push(Column { field, shape });
    }
    Ok(columns)
}

/// Where a column stands: the level at which it is there, how often it can be repeated, and how deep it is nested.
#[derive(Clone, Copy)]
struct Place {
    level: i16,
    repeated: i16,
    depth: usize,
}

impl Place {
    fn optional(self) -> Self {
        Place { level: self.level + 1, ..self }
    }

    fn element(self) -> Self {
        Place { level: self.level + 1, repeated: self.repeated + 1, ..self }
    }
}

/// Counts the columns of values on the way.
struct Walk {
    next: usize,
}

impl Walk {
    fn field(&mut self, of: &Type, place: Place, hint: Option<&DataType>) -> Result<(Field, Shape), String> {
        let (data_type, shape) = match repetition(of) {
            Repetition::REQUIRED => self.value(of, place, hint)?,
            Repetition::OPTIONAL => self.value(of, place.optional(), hint)?,
            // A list that is not marked as one: neither it nor its elements are ever null.
            Repetition::REPEATED => {
                let (item, shape) = self.value(of, place.element(), hint.and_then(item_of))?;
                list(place, Field::new(of.name(), item, false), shape)
            }
        };
        Ok((Field::new(of.name(), data_type, repetition(of) == Repetition::OPTIONAL), shape))
    }

    /// A column of which `place` says where it is no null.
    fn value(
        &mut self,
        of: &Type,
        place: Place,
        hint: Option<&DataType>,
    ) -> Result<(DataType, Shape), String> {
        if place.depth == MAX_DEPTH {
            return Err(format!("column `{}` is nested more than {MAX_DEPTH} deep", of.name()));
        }
        let place = Place { depth: place.depth + 1, ..place };
        if of.is_primitive() {
            let data_type = data_type(of, hint)?;
            let leaf = Leaf { at: self.next, level: place.level, data_type: data_type.clone() };
            self.next += 1;
            return Ok((data_type, Shape::Scalar(leaf)));
        }
        let info = of.get_basic_info();
        match (info.logical_type_ref(), info.converted_type()) {
            _ if is_list(of) => self.list(of, place, hint),
            (Some(LogicalType::Map), _) | (_, ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE) => {
                self.map(of, place, hint)
            }
            _ => self.group(of, place, hint),
        }
    }

    fn list(
        &mut self,
        of: &Type,
        place: Place,
        hint: Option<&DataType>,
    ) -> Result<(DataType, Shape), String> {
        let [repeated] = of.get_fields() else {
            return Err(format!("list `{}` has more than one field", of.name()));
        };
        if repetition(repeated) != Repetition::REPEATED {
            return Err(format!("list `{}` has a field that is not repeated", of.name()));
        }
        let hint = hint.and_then(item_of);
        let element = place.element();
        let (item, shape) = match repeated.as_ref() {
            // What is repeated has a field for the element, unless the file is older than that rule.
            Type::GroupType { fields, .. } if !is_element(of, repeated) => {
                self.field(&fields[0], element, hint)?
            }
            _ => {
                let (data_type, shape) = self.value(repeated, element, hint)?;
                (Field::new(repeated.name(), data_type, false), shape)
            }
        };
        Ok(list(place, item, shape))
    }

    fn map(&mut self, of: &Type, place: Place, hint: Option<&DataType>) -> Result<(DataType, Shape), String> {
        let entries = match of.get_fields() {
            [entries] if entries.is_group() && repetition(entries) == Repetition::REPEATED => entries,
            _ => return Err(format!("map `{}` has no entries", of.name())),
        };
        let [key, value] = entries.get_fields() else {
            // Keys without values are a list of them.
            return self.list(of, place, hint);
        };
        let (key, _) = self.field(key, place.element(), None)?;
        let (value, _) = self.field(value, place.element(), None)?;
        let entries = Field::new_struct(entries.name(), vec![key.with_nullable(false), value], false);
        Ok((DataType::Map(Arc::new(entries), false), Shape::Other))
    }

    fn group(
        &mut self,
        of: &Type,
        place: Place,
        hint: Option<&DataType>,
    ) -> Result<(DataType, Shape), String> {
        let mut columns = Vec::new();
        for of in of.get_fields() {
            let hint = match hint {
                Some(DataType::Struct(fields)) => fields.find(of.name()).map(|(_, field)| field.data_type()),
                _ => None,
            };
            columns.push(self.field(of, place, hint)?);
        }
        let (fields, shapes): (Vec<Field>, Vec<Shape>) = columns.into_iter().unzip();
        let is_flat = shapes.iter().all(|of| matches!(of, Shape::Scalar(_) | Shape::List { .. }));
        let shape = if is_flat && place.repeated == 0 {
            Shape::Struct { level: place.level, fields: shapes }
        } else {
            Shape::Other
        };
        Ok((DataType::Struct(fields.into()), shape))
    }
}

/// The list that stands at `place`.
fn list(place: Place, item: Field, shape: Shape) -> (DataType, Shape) {
    let shape = match shape {
        Shape::Scalar(item) if place.repeated == 0 => {
            Shape::List { list: place.level, element: place.level + 1, item }
        }
        _ => Shape::Other,
    };
    (DataType::List(Arc::new(item)), shape)
}

/// Whether what is repeated in a list is the element itself: <https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#lists>
fn is_element(list: &Type, repeated: &Type) -> bool {
    let [field] = repeated.get_fields() else { return true };
    !is_list(repeated)
        && repetition(field) != Repetition::REPEATED
        && (repeated.name() == "array" || repeated.name().strip_suffix("_tuple") == Some(list.name()))
}

fn is_list(of: &Type) -> bool {
    let info = of.get_basic_info();
    info.logical_type_ref() == Some(&LogicalType::List) || info.converted_type() == ConvertedType::LIST
}

fn repetition(of: &Type) -> Repetition {
    let info = of.get_basic_info();
    if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED }
}

fn item_of(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => Some(item.data_type()),
        _ => None,
    }
}
