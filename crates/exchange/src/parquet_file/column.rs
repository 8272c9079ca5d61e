//! The values of one column of a row group, with the levels that say which are missing and which are of one list.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::f16;
use parquet::basic::Type as PhysicalType;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{Length, SerializedPageReader};

/// Rows of which values of bytes are read at once: each is an allocation or the like before it is copied.
const PIECE_ROWS: usize = 64;
/// Most values in the pages that a batch of lists takes. A few bytes can claim that a list has billions.
const MAX_VALUES: usize = 1 << 27;
/// The same for values of bytes, which take more memory.
const MAX_BYTES_VALUES: usize = 1 << 24;

/// Definition and repetition levels of a batch. Those that are always zero are left out.
#[derive(Default)]
pub(super) struct Levels {
    pub definition: Vec<i16>,
    pub repetition: Vec<i16>,
}

/// The values that are there, one behind the other.
pub(super) enum Values {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Half(Vec<f16>),
    Bytes(Texts),
}

/// Texts in a row, and the place where each ends.
#[derive(Default)]
pub(super) struct Texts {
    pub bytes: Vec<u8>,
    pub ends: Vec<i32>,
}

enum Reader {
    Bool(ColumnReaderImpl<BoolType>),
    Int32(ColumnReaderImpl<Int32Type>),
    Int64(ColumnReaderImpl<Int64Type>),
    Float(ColumnReaderImpl<FloatType>),
    Double(ColumnReaderImpl<DoubleType>),
    Bytes(ColumnReaderImpl<ByteArrayType>),
    Half(ColumnReaderImpl<FixedLenByteArrayType>),
}

/// Reads one column of a row group.
pub(super) struct LeafReader {
    reader: Reader,
    allowance: Arc<AtomicUsize>,
    most: usize,
    /// Values of the batch before.
    before: usize,
    pub levels: Levels,
}

impl LeafReader {
    /// Opens column `at` of a row group.
    pub fn open(file: &Arc<File>, group: &RowGroupMetaData, at: usize, rows: usize) -> Result<Self> {
        let chunk = group.columns().get(at).ok_or_else(|| general("a row group lacks a column"))?;
        let (from, length) = chunk.byte_range();
        if from.checked_add(length).is_none_or(|behind| behind > file.len()) {
            return Err(general("a column lies outside the file"));
        }
        let of = chunk.column_descr_ptr();
        let physical = of.physical_type();
        let most = match physical {
            PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => MAX_BYTES_VALUES,
            _ => MAX_VALUES,
        };
        let allowance = Arc::new(AtomicUsize::new(most));
        let pages = SerializedPageReader::new(file.clone(), chunk, rows, None)?;
        let pages: Box<dyn PageReader> = match of.max_rep_level() {
            0 => Box::new(pages),
            _ => Box::new(AllowedPages { pages, allowance: allowance.clone() }),
        };
        let reader = match physical {
            PhysicalType::BOOLEAN => Reader::Bool(ColumnReaderImpl::new(of, pages)),
            PhysicalType::INT32 => Reader::Int32(ColumnReaderImpl::new(of, pages)),
            PhysicalType::INT64 => Reader::Int64(ColumnReaderImpl::new(of, pages)),
            PhysicalType::FLOAT => Reader::Float(ColumnReaderImpl::new(of, pages)),
            PhysicalType::DOUBLE => Reader::Double(ColumnReaderImpl::new(of, pages)),
            PhysicalType::BYTE_ARRAY => Reader::Bytes(ColumnReaderImpl::new(of, pages)),
            PhysicalType::FIXED_LEN_BYTE_ARRAY => Reader::Half(ColumnReaderImpl::new(of, pages)),
            PhysicalType::INT96 => return Err(general("a column holds values of 96 bits")),
        };
        Ok(LeafReader { reader, allowance, most, before: 0, levels: Levels::default() })
    }

    /// The values of the next rows, whose levels are in `levels` from then on.
    pub fn read(&mut self, rows: usize) -> Result<Values> {
        self.allowance.store(self.most, Ordering::Relaxed);
        let levels = &mut self.levels;
        levels.definition.clear();
        levels.repetition.clear();
        let before = self.before;
        let values = match &mut self.reader {
            Reader::Bool(reader) => Values::Bool(read(reader, rows, levels, before)?),
            Reader::Int32(reader) => Values::Int32(read(reader, rows, levels, before)?),
            Reader::Int64(reader) => Values::Int64(read(reader, rows, levels, before)?),
            Reader::Float(reader) => Values::Float(read(reader, rows, levels, before)?),
            Reader::Double(reader) => Values::Double(read(reader, rows, levels, before)?),
            Reader::Bytes(reader) => {
                let mut texts = Texts::default();
                read_pieces(reader, rows, levels, |value| texts.push(value.data()))?;
                Values::Bytes(texts)
            }
            Reader::Half(reader) => {
                let mut halves = Vec::with_capacity(before);
                read_pieces(reader, rows, levels, |value| {
                    halves.push(half_of(value.data())?);
                    Ok(())
                })?;
                Values::Half(halves)
            }
        };
        self.before = values.len();
        Ok(values)
    }

    /// Whether all rows were read.
    pub fn is_at_end(&mut self) -> Result<bool> {
        let levels = &mut Levels::default();
        Ok(match &mut self.reader {
            Reader::Bool(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
            Reader::Int32(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
            Reader::Int64(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
            Reader::Float(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
            Reader::Double(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
            Reader::Bytes(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
            Reader::Half(reader) => records(reader, 1, levels, &mut Vec::new())? == 0,
        })
    }
}

impl Values {
    fn len(&self) -> usize {
        match self {
            Values::Bool(values) => values.len(),
            Values::Int32(values) => values.len(),
            Values::Int64(values) => values.len(),
            Values::Float(values) => values.len(),
            Values::Double(values) => values.len(),
            Values::Half(values) => values.len(),
            Values::Bytes(texts) => texts.ends.len(),
        }
    }
}

impl Texts {
    fn push(&mut self, text: &[u8]) -> Result<()> {
        let end = i32::try_from(self.bytes.len() + text.len())
            .map_err(|_| general("a column holds more than 2 GiB of text in a thousand rows"))?;
        self.bytes.extend_from_slice(text);
        self.ends.push(end);
        Ok(())
    }
}

/// Appends up to `rows` rows; returns how many there were.
fn records<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Levels,
    values: &mut Vec<T::T>,
) -> Result<usize> {
    let (definition, repetition) = (&mut levels.definition, &mut levels.repetition);
    let (records, _, _) = reader.read_records(rows, Some(definition), Some(repetition), values)?;
    Ok(records)
}

/// Reads just so many rows, of about as many values as `before`.
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Levels,
    before: usize,
) -> Result<Vec<T::T>> {
    let mut values = Vec::with_capacity(before);
    match records(reader, rows, levels, &mut values)? {
        found if found == rows => Ok(values),
        _ => Err(too_short()),
    }
}

fn read_pieces<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Levels,
    mut take: impl FnMut(&T::T) -> Result<()>,
) -> Result<()> {
    let mut values = Vec::new();
    let mut left = rows;
    while left > 0 {
        let piece = left.min(PIECE_ROWS);
        values.clear();
        if records(reader, piece, levels, &mut values)? != piece {
            return Err(too_short());
        }
        values.iter().try_for_each(&mut take)?;
        left -= piece;
    }
    Ok(())
}

fn half_of(bytes: &[u8]) -> Result<f16> {
    let bytes = bytes.try_into().map_err(|_| general("a number of 16 bits has another length"))?;
    Ok(f16::from_le_bytes(bytes))
}

fn too_short() -> ParquetError {
    general("a column ends before its row group does")
}

fn general(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}

/// Pages of a column of lists, as long as no more values are claimed than memory is meant for.
struct AllowedPages {
    pages: SerializedPageReader<File>,
    allowance: Arc<AtomicUsize>,
}

impl Iterator for AllowedPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for AllowedPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        let values = page.as_ref().filter(|page| page.is_data_page()).map_or(0, Page::num_values) as usize;
        let left = self.allowance.load(Ordering::Relaxed);
        let left = left.checked_sub(values).ok_or_else(|| general("a thousand rows hold too many values"))?;
        self.allowance.store(left, Ordering::Relaxed);
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }
}
