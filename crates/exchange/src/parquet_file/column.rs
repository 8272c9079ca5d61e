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

/// Reads one column, from one row group after the other.
pub(super) struct LeafReader {
    /// Its number among all of the file.
    at: usize,
    /// That of the present row group.
    reader: Option<Reader>,
    /// Values that the pages of this batch may still have.
    allowance: Arc<AtomicUsize>,
    values: Values,
    pub levels: Levels,
}

impl LeafReader {
    pub fn new(at: usize, of: PhysicalType) -> Result<Self> {
        let values = match of {
            PhysicalType::BOOLEAN => Values::Bool(Vec::new()),
            PhysicalType::INT32 => Values::Int32(Vec::new()),
            PhysicalType::INT64 => Values::Int64(Vec::new()),
            PhysicalType::FLOAT => Values::Float(Vec::new()),
            PhysicalType::DOUBLE => Values::Double(Vec::new()),
            PhysicalType::BYTE_ARRAY => Values::Bytes(Texts::default()),
            PhysicalType::FIXED_LEN_BYTE_ARRAY => Values::Half(Vec::new()),
            PhysicalType::INT96 => return Err(general("a column holds values of 96 bits")),
        };
        let allowance = Arc::new(AtomicUsize::new(0));
        Ok(LeafReader { at, reader: None, allowance, values, levels: Levels::default() })
    }

    /// Goes on in another row group.
    pub fn open(&mut self, file: &Arc<File>, group: &RowGroupMetaData, rows: usize) -> Result<()> {
        let chunk = group.columns().get(self.at).ok_or_else(|| general("a row group lacks a column"))?;
        let (from, length) = chunk.byte_range();
        if from.checked_add(length).is_none_or(|behind| behind > file.len()) {
            return Err(general("a column lies outside the file"));
        }
        let of = chunk.column_descr_ptr();
        let pages = SerializedPageReader::new(file.clone(), chunk, rows, None)?;
        let pages: Box<dyn PageReader> = match of.max_rep_level() {
            0 => Box::new(pages),
            _ => Box::new(AllowedPages { pages, allowance: self.allowance.clone() }),
        };
        self.reader = Some(match &self.values {
            Values::Bool(_) => Reader::Bool(ColumnReaderImpl::new(of, pages)),
            Values::Int32(_) => Reader::Int32(ColumnReaderImpl::new(of, pages)),
            Values::Int64(_) => Reader::Int64(ColumnReaderImpl::new(of, pages)),
            Values::Float(_) => Reader::Float(ColumnReaderImpl::new(of, pages)),
            Values::Double(_) => Reader::Double(ColumnReaderImpl::new(of, pages)),
            Values::Bytes(_) => Reader::Bytes(ColumnReaderImpl::new(of, pages)),
            Values::Half(_) => Reader::Half(ColumnReaderImpl::new(of, pages)),
        });
        Ok(())
    }

    /// Begins another batch.
    pub fn begin(&mut self) {
        let most = match self.values {
            Values::Bytes(_) | Values::Half(_) => MAX_BYTES_VALUES,
            _ => MAX_VALUES,
        };
        self.allowance.store(most, Ordering::Relaxed);
        self.levels.definition.clear();
        self.levels.repetition.clear();
    }

    /// Adds the next rows of the row group to the batch; returns how many there were of `rows`.
    pub fn read(&mut self, rows: usize) -> Result<usize> {
        let levels = &mut self.levels;
        match (&mut self.reader, &mut self.values) {
            (Some(Reader::Bool(reader)), Values::Bool(values)) => read(reader, rows, levels, values),
            (Some(Reader::Int32(reader)), Values::Int32(values)) => read(reader, rows, levels, values),
            (Some(Reader::Int64(reader)), Values::Int64(values)) => read(reader, rows, levels, values),
            (Some(Reader::Float(reader)), Values::Float(values)) => read(reader, rows, levels, values),
            (Some(Reader::Double(reader)), Values::Double(values)) => read(reader, rows, levels, values),
            (Some(Reader::Bytes(reader)), Values::Bytes(texts)) => {
                read_pieces(reader, rows, levels, |value| texts.push(value.data()))
            }
            (Some(Reader::Half(reader)), Values::Half(halves)) => {
                read_pieces(reader, rows, levels, |value| {
                    halves.push(half_of(value.data())?);
                    Ok(())
                })
            }
            _ => Ok(0),
        }
    }

    /// The values of the batch, whose levels are in `levels`. The next batch has about as many.
    pub fn take(&mut self) -> Values {
        match &mut self.values {
            Values::Bool(values) => Values::Bool(emptied(values)),
            Values::Int32(values) => Values::Int32(emptied(values)),
            Values::Int64(values) => Values::Int64(emptied(values)),
            Values::Float(values) => Values::Float(emptied(values)),
            Values::Double(values) => Values::Double(emptied(values)),
            Values::Half(values) => Values::Half(emptied(values)),
            Values::Bytes(Texts { bytes, ends }) => {
                Values::Bytes(Texts { bytes: emptied(bytes), ends: emptied(ends) })
            }
        }
    }
}

/// What is in a vector; another of this capacity takes its place.
fn emptied<T>(values: &mut Vec<T>) -> Vec<T> {
    let empty = Vec::with_capacity(values.len());
    std::mem::replace(values, empty)
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
fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Levels,
    values: &mut Vec<T::T>,
) -> Result<usize> {
    let (definition, repetition) = (&mut levels.definition, &mut levels.repetition);
    let (records, _, _) = reader.read_records(rows, Some(definition), Some(repetition), values)?;
    Ok(records)
}

/// The same for values that are copied one by one.
fn read_pieces<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    rows: usize,
    levels: &mut Levels,
    mut take: impl FnMut(&T::T) -> Result<()>,
) -> Result<usize> {
    let mut values = Vec::new();
    let mut found = 0;
    while found < rows {
        values.clear();
        let piece = read(reader, PIECE_ROWS.min(rows - found), levels, &mut values)?;
        if piece == 0 {
            break;
        }
        values.iter().try_for_each(&mut take)?;
        found += piece;
    }
    Ok(found)
}

fn half_of(bytes: &[u8]) -> Result<f16> {
    let bytes = bytes.try_into().map_err(|_| general("a number of 16 bits has another length"))?;
    Ok(f16::from_le_bytes(bytes))
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
