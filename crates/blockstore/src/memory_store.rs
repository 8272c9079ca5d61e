//! A store in memory, for databases that leave nothing behind.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_buffer::{Buffer, MutableBuffer};
use ferrochrome_types::{Code, Error, Result};
use parking_lot::Mutex;

use crate::checksum::{ChecksumTable, ChecksumWriter, SIDECAR_SUFFIX};
use crate::store::{SEGMENT_JSON, check_folder, split_name};
use crate::{Blob, BlobStore, BlobWriter};

/// Files in memory, aligned as mapped ones are.
#[derive(Debug, Default)]
pub struct MemoryStore {
    folders: Arc<Mutex<Folders>>,
}

#[derive(Debug, Default)]
struct Folders {
    staged: BTreeMap<String, Files>,
    published: BTreeMap<String, Files>,
}

type Files = HashMap<&'static str, MemoryFile>;

#[derive(Clone, Debug)]
struct MemoryFile {
    bytes: Buffer,
    table: ChecksumTable,
}

impl MemoryFile {
    fn open(&self, name: &str) -> Result<Blob> {
        let table = (!name.ends_with(SEGMENT_JSON)).then(|| self.table.clone());
        Blob::in_memory(name, self.bytes.clone(), table)
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

impl BlobStore for MemoryStore {
    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>> {
        let (folder, file) = split_name(name)?;
        Ok(Box::new(MemoryWriter {
            writer: ChecksumWriter::new(AlignedBytes(MutableBuffer::new(0))),
            folders: Arc::clone(&self.folders),
            folder: folder.to_owned(),
            file,
        }))
    }

    fn open(&self, name: &str) -> Result<Blob> {
        let (folder, file) = split_name(name)?;
        let folders = self.folders.lock();
        let found = folders.published.get(folder).and_then(|files| files.get(file));
        found.ok_or_else(|| missing(name))?.open(name)
    }

    fn open_staged(&self, name: &str) -> Result<Blob> {
        let (folder, file) = split_name(name)?;
        let folders = self.folders.lock();
        let found = folders.staged.get(folder).and_then(|files| files.get(file));
        found.ok_or_else(|| missing(name))?.open(name)
    }

    fn adopt(&self, name: &str) -> Result<()> {
        let message =
            format!("{name}{SIDECAR_SUFFIX}: files in memory have no path, write them through the store");
        Err(Error::new(Code::Unsupported, message))
    }

    fn publish_folder(&self, folder: &str) -> Result<()> {
        check_folder(folder)?;
        let mut folders = self.folders.lock();
        if folders.published.contains_key(folder) {
            return Err(Error::new(Code::AlreadyExists, format!("segment {folder} was published before")));
        }
        let Some(files) = folders.staged.remove(folder) else {
            return Err(Error::new(Code::NotFound, format!("{folder} was not written")));
        };
        folders.published.insert(folder.to_owned(), files);
        Ok(())
    }

    fn discard_folder(&self, folder: &str) -> Result<()> {
        check_folder(folder)?;
        let mut folders = self.folders.lock();
        folders.staged.remove(folder);
        folders.published.remove(folder);
        Ok(())
    }

    fn discard_staged(&self, folder: &str) -> Result<()> {
        check_folder(folder)?;
        self.folders.lock().staged.remove(folder);
        Ok(())
    }

    fn folders(&self) -> Result<Vec<String>> {
        Ok(self.folders.lock().published.keys().cloned().collect())
    }

    fn clear_staging(&self) -> Result<()> {
        self.folders.lock().staged.clear();
        Ok(())
    }

    fn local_path(&self, _name: &str) -> Option<PathBuf> {
        None
    }

    fn staging_path(&self, name: &str) -> Result<Option<PathBuf>> {
        split_name(name).map(|_| None)
    }
}

struct MemoryWriter {
    writer: ChecksumWriter<AlignedBytes>,
    folders: Arc<Mutex<Folders>>,
    folder: String,
    file: &'static str,
}

/// Bytes that start at a multiple of 64, which `Vec<u8>` does not promise and the cast to numbers needs.
struct AlignedBytes(MutableBuffer);

impl Write for AlignedBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for MemoryWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for MemoryWriter {
    fn finish(self: Box<Self>) -> Result<()> {
        let (AlignedBytes(bytes), table) = self.writer.finish();
        let file = MemoryFile { bytes: bytes.into(), table };
        self.folders.lock().staged.entry(self.folder).or_default().insert(self.file, file);
        Ok(())
    }
}

fn missing(name: &str) -> Error {
    Error::corrupted(name, "the file is missing")
}
