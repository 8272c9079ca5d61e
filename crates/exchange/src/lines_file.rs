//! Lines of JSON: one that describes the collection, and one for each record.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use ferrochrome_engine::{GetResult, WriteBatch};
use ferrochrome_types::{Error, Result};
use ferrochrome_wire::{Include, RecordLines, write_record_line};

use crate::failure::unreadable;

/// What begins the line that describes the collection.
const DESCRIBED: &str = "{\"ferrochrome\":1,";
/// What editors on Windows put in front of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Bytes of lines after which a batch ends.
const BATCH_BYTES: usize = 16 << 20;
/// Longest line.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// Writes lines of records.
pub(crate) struct LinesWriter(BufWriter<File>);

impl LinesWriter {
    pub fn create(file: File, description: Option<&str>) -> std::io::Result<Self> {
        let mut writer = BufWriter::new(file);
        if let Some(fields) = description.and_then(|text| text.strip_prefix('{')) {
            writeln!(writer, "{DESCRIBED}{fields}")?;
        }
        Ok(LinesWriter(writer))
    }

    /// Writes `limit` rows from `from` on, and returns the one that comes next. A line is in memory at a time.
    pub fn write(
        &mut self,
        result: &GetResult,
        include: Include,
        from: usize,
        limit: usize,
        path: &str,
    ) -> Result<usize> {
        let mut next = from;
        for row in result.rows.iter().skip(from).take(limit) {
            write_record_line(result, include, *row, &mut self.0)?.map_err(|e| Error::io(path, e))?;
            next += 1;
        }
        Ok(next)
    }

    pub fn finish(self) -> std::io::Result<File> {
        self.0.into_inner().map_err(std::io::IntoInnerError::into_error)
    }
}

/// Reads lines of records.
pub(crate) struct LinesReader {
    input: BufReader<File>,
    shown: String,
    description: Option<String>,
    /// The line that was read last, with its end; empty behind the last.
    bytes: Vec<u8>,
    /// Its number, from 1.
    line: u64,
    /// Whether it is a record that was not handed out.
    pending: bool,
}

impl LinesReader {
    pub fn open(file: File, shown: &str) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 20, file);
        let mut reader = LinesReader {
            input,
            shown: shown.to_owned(),
            description: None,
            bytes: Vec::new(),
            line: 0,
            pending: true,
        };
        let mark = reader.input.fill_buf().map_err(|e| Error::io(shown, e))?.starts_with(BYTE_ORDER_MARK);
        reader.input.consume(if mark { BYTE_ORDER_MARK.len() } else { 0 });
        reader.next_line()?;
        if let Some(fields) = reader.text()?.and_then(|text| text.strip_prefix(DESCRIBED)) {
            reader.description = Some(format!("{{{}", fields.trim_end()));
            reader.pending = false;
        }
        Ok(reader)
    }

    /// What the first line says of the collection.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The next records, `limit` at most; `None` behind the last.
    pub fn read(&mut self, limit: usize) -> Result<Option<WriteBatch>> {
        loop {
            let (mut lines, mut count, mut bytes) = (RecordLines::default(), 0, 0);
            while count < limit && bytes < BATCH_BYTES {
                if !std::mem::take(&mut self.pending) {
                    self.next_line()?;
                }
                let Some(text) = self.text()? else { break };
                (count, bytes) = (count + 1, bytes + text.len());
                lines.push(text, self.line)?;
            }
            let batch = lines.into_batch();
            // Lines may be empty.
            if count == 0 || !batch.ids.is_empty() {
                return Ok((count > 0).then_some(batch));
            }
        }
    }

    /// Reads the next line, which is empty behind the last.
    fn next_line(&mut self) -> Result<()> {
        self.bytes.clear();
        let mut limited = (&mut self.input).take(MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut self.bytes).map_err(|e| Error::io(&self.shown, e))?;
        self.line += u64::from(!self.bytes.is_empty());
        Ok(())
    }

    /// The line that was read last; `None` behind the last.
    fn text(&self) -> Result<Option<&str>> {
        let (text, line) = (&self.bytes, self.line);
        if text.len() as u64 == MAX_LINE_BYTES {
            return Err(unreadable(&self.shown, &format!("line {line} is longer than 256 MiB")));
        }
        let text = std::str::from_utf8(text)
            .map_err(|_| unreadable(&self.shown, &format!("line {line} is not UTF-8")))?;
        Ok((!text.is_empty()).then_some(text))
    }
}
