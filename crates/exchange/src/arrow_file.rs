//! Arrow IPC files: written batch by batch, and read so that no length in a file is trusted.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, LargeStringArray, RecordBatch, StringArray, StringViewArray};
use arrow_buffer::Buffer;
use arrow_ipc::reader::read_record_batch;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_ipc::{Block, BodyCompressionMethod, CompressionType, Message, MessageHeader};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use ferrochrome_types::{Error, Result};

use crate::failure::{damaged, unreadable};
use crate::record_file::Compression;

const MAGIC: &[u8; 6] = b"ARROW1";
/// Length of the footer (4 bytes) and the magic behind it.
const TRAILER_LEN: u64 = 10;
/// Continuation marker and length in front of each message.
const PREFIX_LEN: usize = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];
/// In front of a compressed buffer stands its decompressed length, or this where compressing did not pay.
const NOT_COMPRESSED: i64 = -1;
/// Bytes that a compressed byte stands for at most: memory is taken for what a column claims before it is decompressed. LZ4 adds at
/// most 255 to a length with a byte; Zstandard has blocks of 128 KiB, the shortest of which take 4 bytes.
const LZ4_MOST_OF_A_BYTE: u64 = 255;
/// See [`LZ4_MOST_OF_A_BYTE`].
const ZSTD_MOST_OF_A_BYTE: u64 = (128 << 10) / 4;
/// Most bytes of one batch, decompressed; also of its message, and of the footer.
const MAX_BATCH_BYTES: u64 = 2 << 30;

/// Writes an Arrow IPC file.
pub(crate) struct ArrowWriter(FileWriter<BufWriter<File>>);

impl ArrowWriter {
    pub fn create(file: File, schema: &Schema, compression: Compression) -> Result<Self, ArrowError> {
        let codec = match compression {
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::Zstd => Some(CompressionType::ZSTD),
            Compression::None | Compression::Snappy => None,
        };
        let options = IpcWriteOptions::default().try_with_compression(codec)?;
        FileWriter::try_new_with_options(BufWriter::new(file), schema, options).map(ArrowWriter)
    }

    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        self.0.write(batch)
    }

    pub fn finish(self) -> Result<File, ArrowError> {
        let writer = self.0.into_inner()?;
        Ok(writer.into_inner().map_err(std::io::IntoInnerError::into_error)?)
    }
}

/// Reads an Arrow IPC file, one record batch at a time.
pub(crate) struct ArrowReader {
    file: File,
    shown: String,
    schema: SchemaRef,
    dictionaries: HashMap<i64, ArrayRef>,
    blocks: Vec<Block>,
    next: usize,
    rows: u64,
}

impl ArrowReader {
    /// # Errors
    /// `Corrupted` where the file is no Arrow IPC file, or a damaged one; `Io`.
    pub fn open(mut file: File, shown: &str) -> Result<Self> {
        let length = file.seek(SeekFrom::End(0)).map_err(|e| Error::io(shown, e))?;
        let (footer, limit) = read_footer(&mut file, length, shown)?;
        let footer = arrow_ipc::root_as_footer(&footer)
            .map_err(|e| damaged(shown, format!("its footer is malformed: {e}")))?;
        let schema = footer.schema().ok_or_else(|| damaged(shown, "its footer has no schema"))?;
        if !schema.endianness().equals_to_target_endianness() {
            return Err(unreadable(shown, "its byte order is not this machine's"));
        }
        let schema = arrow_ipc::convert::try_fb_to_schema(schema)
            .map_err(|e| damaged(shown, format!("its schema is malformed: {e}")))?;
        check_fields(schema.fields().iter().map(AsRef::as_ref), shown)?;
        let schema = Arc::new(schema);
        let check = |block: &Block| check_block(block, limit, shown).map(|()| *block);
        let dictionaries =
            footer.dictionaries().into_iter().flatten().map(check).collect::<Result<Vec<_>>>()?;
        let batches = footer.recordBatches().into_iter().flatten().map(check).collect::<Result<Vec<_>>>()?;
        let mut reader = ArrowReader {
            file,
            shown: shown.to_owned(),
            schema,
            dictionaries: HashMap::new(),
            blocks: batches,
            next: 0,
            rows: 0,
        };
        for block in reader.blocks.clone() {
            let message = reader.read_bytes(&block, block.metaDataLength() as usize)?;
            reader.rows += rows_of(&message).map_err(|what| damaged(shown, what))?;
        }
        for block in dictionaries {
            let bytes = reader.read(&block)?;
            reader.add_dictionary(&block, &bytes).map_err(|what| damaged(shown, what))?;
        }
        Ok(reader)
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next batch; `None` behind the last.
    pub fn next(&mut self) -> Result<Option<RecordBatch>> {
        let Some(block) = self.blocks.get(self.next).copied() else { return Ok(None) };
        self.next += 1;
        let bytes = self.read(&block)?;
        self.decode(&block, &bytes).map(Some).map_err(|what| damaged(&self.shown, what))
    }

    fn decode(&self, block: &Block, bytes: &Buffer) -> std::result::Result<RecordBatch, String> {
        let (message, body) = parts(block, bytes)?;
        let batch = message.header_as_record_batch().ok_or("a block holds no batch")?;
        read_record_batch(&body, batch, self.schema.clone(), &self.dictionaries, None, &message.version())
            .map_err(|e| e.to_string())
    }

    /// Reads a batch of the values that columns refer to.
    fn add_dictionary(&mut self, block: &Block, bytes: &Buffer) -> std::result::Result<(), String> {
        let (message, body) = parts(block, bytes)?;
        let batch = message.header_as_dictionary_batch().ok_or("a block holds no dictionary")?;
        let values = batch.data().ok_or("a dictionary has no values")?;
        // Not every file numbers its dictionaries in the order of their columns.
        #[expect(deprecated)]
        let fields = self.schema.fields_with_dict_id(batch.id());
        let Some(DataType::Dictionary(_, of)) = fields.first().map(|field| field.data_type()) else {
            return Err("a dictionary belongs to no column".to_owned());
        };
        let schema = Arc::new(Schema::new(vec![Field::new("", of.as_ref().clone(), true)]));
        let values = read_record_batch(&body, values, schema, &self.dictionaries, None, &message.version())
            .map_err(|e| e.to_string())?;
        let mut values = values.column(0).clone();
        if batch.isDelta() {
            let before = self.dictionaries.get(&batch.id()).ok_or("a dictionary has no beginning")?;
            values = joined(before, &values)?;
        }
        self.dictionaries.insert(batch.id(), values);
        Ok(())
    }

    /// Rows of all batches.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// A block, after all that its message says of lengths was compared with what is there.
    fn read(&mut self, block: &Block) -> Result<Buffer> {
        let message = block.metaDataLength() as usize;
        let bytes = self.read_bytes(block, message + block.bodyLength() as usize)?;
        let (message, body) = bytes.split_at(message);
        check_message(message, body).map_err(|what| damaged(&self.shown, what))?;
        Ok(Buffer::from_vec(bytes))
    }

    fn read_bytes(&mut self, block: &Block, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.file.seek(SeekFrom::Start(block.offset() as u64));
        read.and_then(|_| self.file.read_exact(&mut bytes)).map_err(|e| Error::io(&self.shown, e))?;
        Ok(bytes)
    }
}

/// The footer, and where it begins.
fn read_footer(file: &mut File, length: u64, shown: &str) -> Result<(Vec<u8>, u64)> {
    let io = |e| Error::io(shown, e);
    let not_arrow = || {
        unreadable(
            shown,
            "it is no Arrow IPC file. A stream of Arrow batches must be written as a file, with pyarrow.ipc.new_file or feather.write_feather",
        )
    };
    let trailer = length.checked_sub(TRAILER_LEN).ok_or_else(not_arrow)?;
    let mut tail = [0; TRAILER_LEN as usize];
    file.seek(SeekFrom::Start(trailer)).and_then(|_| file.read_exact(&mut tail)).map_err(io)?;
    if &tail[4..] != MAGIC {
        return Err(not_arrow());
    }
    let footer_len = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    let begin = trailer.checked_sub(footer_len).ok_or_else(|| damaged(shown, "its footer is cut"))?;
    let mut footer = vec![0; footer_len as usize];
    file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut footer)).map_err(io)?;
    Ok((footer, begin))
}

/// Lists of a negative length would be counted with.
fn check_fields<'a>(fields: impl Iterator<Item = &'a Field>, shown: &str) -> Result<()> {
    for field in fields {
        match field.data_type() {
            DataType::FixedSizeList(_, length) | DataType::FixedSizeBinary(length) if *length < 0 => {
                return Err(damaged(shown, "a column has lists of a negative length"));
            }
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                check_fields(std::iter::once(item.as_ref()), shown)?;
            }
            DataType::Struct(fields) => check_fields(fields.iter().map(AsRef::as_ref), shown)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_block(block: &Block, limit: u64, shown: &str) -> Result<()> {
    let lengths = (
        u64::try_from(block.offset()),
        u64::try_from(block.metaDataLength()),
        u64::try_from(block.bodyLength()),
    );
    let (Ok(offset), Ok(message), Ok(body)) = lengths else {
        return Err(damaged(shown, "a batch has a negative length"));
    };
    if message.saturating_add(body) > MAX_BATCH_BYTES {
        return Err(unreadable(shown, "it holds a batch of more than 2 GiB: write it in smaller batches"));
    }
    if offset.saturating_add(message + body) > limit || message < PREFIX_LEN as u64 {
        return Err(damaged(shown, "a batch lies outside it"));
    }
    Ok(())
}

/// A dictionary that goes on in another batch. Only texts are read of dictionaries.
fn joined(before: &ArrayRef, behind: &ArrayRef) -> std::result::Result<ArrayRef, String> {
    let all = [before, behind];
    Ok(match (before.data_type(), behind.data_type()) {
        (DataType::Utf8, DataType::Utf8) => {
            Arc::new(all.iter().flat_map(|part| part.as_string::<i32>()).collect::<StringArray>())
        }
        (DataType::LargeUtf8, DataType::LargeUtf8) => {
            Arc::new(all.iter().flat_map(|part| part.as_string::<i64>()).collect::<LargeStringArray>())
        }
        (DataType::Utf8View, DataType::Utf8View) => {
            Arc::new(all.iter().flat_map(|part| part.as_string_view()).collect::<StringViewArray>())
        }
        (of, _) => return Err(format!("a dictionary of {of} comes in several parts")),
    })
}

/// The message in a block, and the body behind it.
fn parts<'a>(block: &Block, bytes: &'a Buffer) -> std::result::Result<(Message<'a>, Buffer), String> {
    let length = block.metaDataLength() as usize;
    Ok((message_of(&bytes[..length])?, bytes.slice(length)))
}

fn message_of(bytes: &[u8]) -> std::result::Result<Message<'_>, String> {
    let start = if bytes[..4] == CONTINUATION { PREFIX_LEN } else { PREFIX_LEN / 2 };
    arrow_ipc::root_as_message(&bytes[start..]).map_err(|e| format!("a message is malformed: {e}"))
}

/// The batch in a message.
fn batch_of(message: &[u8]) -> std::result::Result<arrow_ipc::RecordBatch<'_>, String> {
    let message = message_of(message)?;
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
        _ => None,
    };
    batch.ok_or_else(|| "a message holds no batch".to_owned())
}

fn rows_of(message: &[u8]) -> std::result::Result<u64, String> {
    u64::try_from(batch_of(message)?.length()).map_err(|_| "a batch has a negative length".to_owned())
}

/// Compares the lengths in a message with the body behind it.
fn check_message(message: &[u8], body: &[u8]) -> std::result::Result<(), String> {
    let batch = batch_of(message)?;
    let most_of_a_byte = match batch.compression() {
        None => None,
        Some(how) if how.method() == BodyCompressionMethod::BUFFER => Some(match how.codec() {
            CompressionType::LZ4_FRAME => LZ4_MOST_OF_A_BYTE,
            _ => ZSTD_MOST_OF_A_BYTE,
        }),
        Some(_) => return Err("a batch is compressed in an unknown way".to_owned()),
    };
    let negative = || "a column has a negative length".to_owned();
    for node in batch.nodes().into_iter().flatten() {
        u64::try_from(node.length())
            .and_then(|_| u64::try_from(node.null_count()))
            .map_err(|_| negative())?;
    }
    let mut decompressed = 0_u64;
    for buffer in batch.buffers().into_iter().flatten() {
        let place = usize::try_from(buffer.offset()).ok().zip(usize::try_from(buffer.length()).ok());
        let bytes = place.and_then(|(from, length)| body.get(from..from.checked_add(length)?));
        let bytes = bytes.ok_or("a column lies outside its batch")?;
        if let Some(most) = most_of_a_byte.filter(|_| !bytes.is_empty()) {
            let (prefix, content) =
                bytes.split_first_chunk::<8>().ok_or("a compressed column has no length")?;
            let declared = match i64::from_le_bytes(*prefix) {
                NOT_COMPRESSED => 0,
                declared => u64::try_from(declared).map_err(|_| negative())?,
            };
            if declared > (content.len() as u64).saturating_mul(most) {
                return Err("a column cannot decompress to the length that it claims".to_owned());
            }
            decompressed = decompressed.saturating_add(declared);
        }
    }
    if decompressed > MAX_BATCH_BYTES {
        return Err("a batch decompresses to more than 2 GiB".to_owned());
    }
    Ok(())
}
