//! Arrow IPC files: where each buffer of each batch lies, found without decoding or copying anything.

use std::io::Write;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_ipc::{CompressionType, MessageHeader};
use arrow_schema::{ArrowError, Schema};
use ferrochrome_types::{Error, Result};

use crate::{Blob, BlobStore, BlobWriter};

const MAGIC: &[u8; 6] = b"ARROW1";
/// Length of the footer (4 bytes) and the magic behind it.
const TRAILER_LEN: usize = 10;
/// Continuation marker and length in front of each message.
const MESSAGE_PREFIX_LEN: usize = 8;

/// How the buffers of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Lz4Frame,
    Zstd,
}

/// An open Arrow IPC file. Its offsets are checked against its length, its schema against the expected one.
#[derive(Debug)]
pub(crate) struct ArrowFile {
    blob: Blob,
    schema: Schema,
    footer_metadata: Vec<(String, String)>,
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    message: Range<usize>,
    body: Range<usize>,
}

/// Where the buffers of one record batch lie in the file.
#[derive(Debug)]
pub(crate) struct BatchLayout {
    pub(crate) rows: usize,
    /// Rows and nulls of each array, depth first.
    pub(crate) nodes: Vec<(usize, usize)>,
    /// Place of each buffer in the file, depth first.
    pub(crate) buffers: Vec<Range<usize>>,
    pub(crate) codec: Option<Codec>,
}

impl ArrowFile {
    /// Reads the footer.
    pub(crate) fn open(blob: Blob) -> Result<Self> {
        let footer_range = footer_range(&blob)?;
        let limit = footer_range.start;
        let (schema, footer_metadata, blocks) = {
            let footer = arrow_ipc::root_as_footer(blob.bytes(footer_range)?)
                .map_err(|e| blob.damaged(format!("its footer is malformed: {e}")))?;
            let schema = footer.schema().ok_or_else(|| blob.damaged("its footer has no schema"))?;
            if !schema.endianness().equals_to_target_endianness() {
                return Err(blob.damaged("its byte order is not this machine's"));
            }
            let schema = arrow_ipc::convert::try_fb_to_schema(schema)
                .map_err(|e| blob.damaged(format!("its schema is malformed: {e}")))?;
            let metadata = footer.custom_metadata().into_iter().flatten();
            let metadata =
                metadata.filter_map(|kv| Some((kv.key()?.to_owned(), kv.value()?.to_owned()))).collect();
            let blocks = footer.recordBatches().into_iter().flatten();
            let blocks = blocks.map(|block| check_block(&blob, block, limit)).collect::<Result<Vec<_>>>()?;
            (schema, metadata, blocks)
        };
        Ok(ArrowFile { blob, schema, footer_metadata, blocks })
    }

    /// As [`open`](Self::open), of a file whose footer may be damaged: then the batches are found one behind the other.
    /// `schema` stands for the one that was lost.
    pub(crate) fn open_damaged(blob: Blob, schema: &Schema) -> Result<Self> {
        match Self::open(blob.clone()) {
            Ok(file) => Ok(file),
            Err(error) => {
                let blocks = walk_messages(&blob);
                if blocks.is_empty() {
                    return Err(error);
                }
                Ok(ArrowFile { blob, schema: schema.clone(), footer_metadata: Vec::new(), blocks })
            }
        }
    }

    /// Where the body of a batch lies.
    pub(crate) fn body(&self, index: usize) -> Option<Range<usize>> {
        self.blocks.get(index).map(|block| block.body.clone())
    }

    /// Errors unless the file has exactly the fields of `expected`.
    pub(crate) fn expect_fields(&self, expected: &Schema) -> Result<()> {
        if self.schema.fields() == expected.fields() {
            Ok(())
        } else {
            Err(self.blob.damaged("its columns are not the expected ones"))
        }
    }

    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// A value of the footer's custom metadata.
    pub(crate) fn footer_metadata(&self, key: &str) -> Option<&str> {
        self.footer_metadata.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn batch_count(&self) -> usize {
        self.blocks.len()
    }

    /// Reads the message in front of a batch.
    pub(crate) fn batch(&self, index: usize) -> Result<BatchLayout> {
        let malformed = |what: &str| self.blob.damaged(format!("batch {index}: {what}"));
        let block = self.blocks.get(index).ok_or_else(|| malformed("it does not exist"))?;
        let bytes = self.blob.bytes(block.message.clone())?;
        let message = message_body(bytes).ok_or_else(|| malformed("its message is cut"))?;
        let message =
            arrow_ipc::root_as_message(message).map_err(|_| malformed("its message is malformed"))?;
        if message.header_type() != MessageHeader::RecordBatch {
            return Err(malformed("it is not a record batch"));
        }
        let batch = message.header_as_record_batch().ok_or_else(|| malformed("its message has no header"))?;
        let codec = match batch.compression().map(|c| c.codec()) {
            None => None,
            Some(CompressionType::LZ4_FRAME) => Some(Codec::Lz4Frame),
            Some(CompressionType::ZSTD) => Some(Codec::Zstd),
            Some(_) => return Err(malformed("its compression is unknown")),
        };
        let mut nodes = Vec::new();
        for node in batch.nodes().into_iter().flatten() {
            let pair = usize::try_from(node.length()).ok().zip(usize::try_from(node.null_count()).ok());
            nodes.push(pair.ok_or_else(|| malformed("a column has a negative length"))?);
        }
        let mut buffers = Vec::new();
        for buffer in batch.buffers().into_iter().flatten() {
            let place = place_in(&block.body, buffer.offset(), buffer.length());
            buffers.push(place.ok_or_else(|| malformed("a buffer lies outside it"))?);
        }
        let rows = usize::try_from(batch.length()).map_err(|_| malformed("its length is negative"))?;
        Ok(BatchLayout { rows, nodes, buffers, codec })
    }
}

/// The batches, from the start of the file to where a message cannot be read.
fn walk_messages(blob: &Blob) -> Vec<Block> {
    let mut blocks = Vec::new();
    // The magic, filled up to the alignment that the writer keeps.
    let mut at = 64;
    while let Some((is_batch, block)) = message_at(blob, at) {
        at = block.body.end;
        if is_batch {
            blocks.push(block);
        }
    }
    blocks
}

/// The message at `at`, and whether it is a batch.
fn message_at(blob: &Blob, at: usize) -> Option<(bool, Block)> {
    let prefix: [u8; MESSAGE_PREFIX_LEN] = blob.array(at).ok()?;
    let len = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]) as usize;
    let end = at.checked_add(MESSAGE_PREFIX_LEN)?.checked_add(len)?;
    let message = arrow_ipc::root_as_message(message_body(blob.bytes(at..end).ok()?)?).ok()?;
    let body_end = end.checked_add(usize::try_from(message.bodyLength()).ok()?)?;
    let is_batch = message.header_type() == MessageHeader::RecordBatch;
    Some((is_batch, Block { message: at..end, body: end..body_end }))
}

fn footer_range(blob: &Blob) -> Result<Range<usize>> {
    let cut = || blob.damaged("it is too short for an Arrow file");
    let trailer = blob.len().checked_sub(TRAILER_LEN).ok_or_else(cut)?;
    let tail: [u8; TRAILER_LEN] = blob.array(trailer)?;
    if &tail[4..] != MAGIC {
        return Err(blob.damaged("it does not end like an Arrow file"));
    }
    let len = u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]) as usize;
    Ok(trailer.checked_sub(len).ok_or_else(cut)?..trailer)
}

fn check_block(blob: &Blob, block: &arrow_ipc::Block, limit: usize) -> Result<Block> {
    let place = |from: i64, len: i64| {
        let start = usize::try_from(from).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        (end <= limit).then_some(start..end)
    };
    let message = place(block.offset(), i64::from(block.metaDataLength()));
    let body = block
        .offset()
        .checked_add(i64::from(block.metaDataLength()))
        .and_then(|at| place(at, block.bodyLength()));
    match message.zip(body) {
        Some((message, body)) => Ok(Block { message, body }),
        None => Err(blob.damaged("a batch lies outside it")),
    }
}

fn place_in(body: &Range<usize>, offset: i64, len: i64) -> Option<Range<usize>> {
    let start = body.start.checked_add(usize::try_from(offset).ok()?)?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= body.end).then_some(start..end)
}

fn message_body(bytes: &[u8]) -> Option<&[u8]> {
    let (prefix, rest) = bytes.split_at_checked(MESSAGE_PREFIX_LEN)?;
    if prefix[..4] != [0xff; 4] {
        return None;
    }
    let len = u32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
    rest.get(..len as usize)
}

/// Streams record batches into a file of a store.
pub(crate) struct ArrowWriter {
    name: String,
    writer: FileWriter<Box<dyn BlobWriter>>,
}

impl ArrowWriter {
    pub(crate) fn create(
        store: &dyn BlobStore,
        name: String,
        schema: &Schema,
        codec: Option<Codec>,
    ) -> Result<Self> {
        let compression = codec.map(|codec| match codec {
            Codec::Lz4Frame => CompressionType::LZ4_FRAME,
            Codec::Zstd => CompressionType::ZSTD,
        });
        let file = store.create(&name)?;
        let writer = IpcWriteOptions::default()
            .try_with_compression(compression)
            .and_then(|options| FileWriter::try_new_with_options(file, schema, options))
            .map_err(|e| write_error(&name, e))?;
        Ok(ArrowWriter { name, writer })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|e| write_error(&self.name, e))
    }

    /// Adds to the footer's custom metadata.
    pub(crate) fn footer_metadata(&mut self, key: &str, value: String) {
        self.writer.write_metadata(key, value);
    }

    pub(crate) fn finish(self) -> Result<()> {
        let mut writer = self.writer.into_inner().map_err(|e| write_error(&self.name, e))?;
        writer.flush().map_err(|e| Error::io(&self.name, e))?;
        writer.finish()
    }
}

/// What failed beneath Arrow's writer, as our error.
pub(crate) fn write_error(name: &str, e: ArrowError) -> Error {
    match e {
        ArrowError::IoError(_, source) => Error::io(name, source),
        other => Error::internal(format!("{name} could not be written: {other}")),
    }
}
