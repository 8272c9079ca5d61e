//! Lines of JSON: one that describes the collection, and one for each record.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};

use ferrochrome_engine::{GetResult, WriteBatch};
use ferrochrome_types::{Error, Result};
use ferrochrome_wire::{Include, parse_record_lines, record_lines};

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

    /// Writes rows from `from` on, and returns the one that comes next.
    pub fn write(
        &mut self,
        result: &GetResult,
        include: Include,
        from: usize,
        limit: usize,
        path: &str,
    ) -> Result<usize> {
        let (lines, next) = record_lines(result, include, from, limit)?;
        self.0.write_all(lines.as_bytes()).map_err(|e| Error::io(path, e))?;
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
    /// The first line, if it is a record.
    first: Option<String>,
    /// Number of the last line that was read, from 1.
    line: u64,
}

impl LinesReader {
    pub fn open(file: File, shown: &str) -> Result<Self> {
        let input = BufReader::with_capacity(1 << 20, file);
        let mut reader =
            LinesReader { input, shown: shown.to_owned(), description: None, first: None, line: 0 };
        let mark = reader.input.fill_buf().map_err(|e| Error::io(shown, e))?.starts_with(BYTE_ORDER_MARK);
        reader.input.consume(if mark { BYTE_ORDER_MARK.len() } else { 0 });
        let mut text = String::new();
        if reader.read_line(&mut text)? {
            match text.strip_prefix(DESCRIBED) {
                Some(fields) => reader.description = Some(format!("{{{}", fields.trim_end())),
                None => reader.first = Some(text),
            }
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
            let (mut text, mut lines, mut number) = (String::new(), 0, self.line + 1);
            if let Some(first) = self.first.take() {
                (text, lines, number) = (first, 1, 1);
            }
            while lines < limit && text.len() < BATCH_BYTES && self.read_line(&mut text)? {
                lines += 1;
            }
            if text.is_empty() {
                return Ok(None);
            }
            let batch = parse_record_lines(&text, number)?;
            // Lines may be empty.
            if !batch.ids.is_empty() {
                return Ok(Some(batch));
            }
        }
    }

    /// Appends a line, with its end; `false` behind the last.
    fn read_line(&mut self, text: &mut String) -> Result<bool> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.input).take(MAX_LINE_BYTES);
        limited.read_until(b'\n', &mut bytes).map_err(|e| Error::io(&self.shown, e))?;
        if bytes.is_empty() {
            return Ok(false);
        }
        self.line += 1;
        if bytes.len() as u64 == MAX_LINE_BYTES {
            return Err(unreadable(&self.shown, &format!("line {} is longer than 256 MiB", self.line)));
        }
        let line = std::str::from_utf8(&bytes)
            .map_err(|_| unreadable(&self.shown, &format!("line {} is not UTF-8", self.line)))?;
        text.push_str(line);
        Ok(true)
    }
}
