//! A store in a folder of the file system.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use ferrochrome_durable::{remove_if_there, sync_file, sync_folder, sync_name};
use ferrochrome_types::{Code, Error, Result};

use crate::checksum::{ChecksumBuilder, ChecksumTable, ChecksumWriter, SIDECAR_SUFFIX};
use crate::segment_copy::{CopyMode, place};
use crate::segment_json::FileDescription;
use crate::store::{SEGMENT_JSON, VECTORS, check_folder, is_folder, split_name};
use crate::{Blob, BlobStore, BlobWriter};

/// What is appended to a folder's name until it is published.
const STAGING_SUFFIX: &str = ".staging";

/// Most bytes handed to the kernel at once. Linux caches what one call writes in folios of up to that size, and maps a whole
/// folio when a page of it is touched: a small bound keeps scattered reads of a fresh file from making most of it resident.
const WRITE_BYTES: usize = 64 << 10;

/// Files in a folder, mapped when read.
#[derive(Debug)]
pub struct LocalStore {
    dir: PathBuf,
    read_only: bool,
}

impl LocalStore {
    /// The store in `dir`, which is made if it is missing and `read_only` is not set.
    ///
    /// # Errors
    /// `Io` if the folder cannot be made; `NotFound` if it is missing and `read_only` is set.
    pub fn open(dir: &Path, read_only: bool) -> Result<Self> {
        if read_only {
            if !dir.is_dir() {
                return Err(Error::new(Code::NotFound, format!("{} is not a folder", dir.display())));
            }
        } else {
            fs::create_dir_all(dir).map_err(|e| Error::io(dir.display(), e))?;
            if let Some(parent) = dir.parent() {
                sync_folder(parent)?;
            }
        }
        Ok(LocalStore { dir: dir.to_owned(), read_only })
    }

    fn published_dir(&self, folder: &str) -> PathBuf {
        self.dir.join(folder)
    }

    fn staging_dir(&self, folder: &str) -> PathBuf {
        self.dir.join(format!("{folder}{STAGING_SUFFIX}"))
    }

    fn check_writable(&self) -> Result<()> {
        if self.read_only {
            let message = format!("{} was opened read-only", self.dir.display());
            return Err(Error::new(Code::ReadOnly, message));
        }
        Ok(())
    }
}

impl BlobStore for LocalStore {
    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>> {
        self.check_writable()?;
        let (folder, file) = split_name(name)?;
        let dir = self.staging_dir(folder);
        make_folder(&dir).map_err(|e| Error::io(dir.display(), e))?;
        let path = dir.join(file);
        let sidecar = sidecar_path(&path);
        remove_if_there(&sidecar)?;
        let handle = File::create(&path).map_err(|e| Error::io(path.display(), e))?;
        let writer = ChecksumWriter::new(BufWriter::with_capacity(WRITE_BYTES, handle));
        let sidecar = (file != SEGMENT_JSON).then_some(sidecar);
        Ok(Box::new(LocalWriter { writer, path, sidecar }))
    }

    fn open(&self, name: &str) -> Result<Blob> {
        let (folder, file) = split_name(name)?;
        open_file(name, &self.published_dir(folder).join(file))
    }

    fn open_staged(&self, name: &str) -> Result<Blob> {
        let (folder, file) = split_name(name)?;
        open_file(name, &self.staging_dir(folder).join(file))
    }

    fn adopt(&self, name: &str) -> Result<()> {
        self.check_writable()?;
        let (folder, file) = split_name(name)?;
        let path = self.staging_dir(folder).join(file);
        let table = checksum_file(&path).map_err(|e| missing_or_io(name, &path, e))?;
        write_sidecar(&sidecar_path(&path), &table)
    }

    fn publish_folder(&self, folder: &str) -> Result<()> {
        self.check_writable()?;
        check_folder(folder)?;
        let (staging, published) = (self.staging_dir(folder), self.published_dir(folder));
        if published.exists() {
            return Err(Error::new(Code::AlreadyExists, format!("segment {folder} was published before")));
        }
        let missing = |e| missing_or_io(folder, &staging, e);
        for entry in fs::read_dir(&staging).map_err(missing)? {
            sync_file(&entry.map_err(missing)?.path())?;
        }
        sync_folder(&staging)?;
        fs::rename(&staging, &published).map_err(|e| Error::io(published.display(), e))?;
        sync_folder(&self.dir)
    }

    fn discard_folder(&self, folder: &str) -> Result<()> {
        self.check_writable()?;
        check_folder(folder)?;
        let (staging, published) = (self.staging_dir(folder), self.published_dir(folder));
        remove_dir_if_there(&staging)?;
        // Renamed first, so that a crash half-way does not leave a published folder with files missing.
        match fs::rename(&published, &staging) {
            Ok(()) => remove_dir_if_there(&staging),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(Error::io(published.display(), e)),
        }
    }

    fn discard_staged(&self, folder: &str) -> Result<()> {
        self.check_writable()?;
        check_folder(folder)?;
        remove_dir_if_there(&self.staging_dir(folder))
    }

    fn folders(&self) -> Result<Vec<String>> {
        let mut names = self.subfolders()?;
        names.retain(|name| is_folder(name));
        names.sort();
        Ok(names)
    }

    fn clear_staging(&self) -> Result<()> {
        self.check_writable()?;
        for name in self.subfolders()? {
            if name.strip_suffix(STAGING_SUFFIX).is_some_and(is_folder) {
                remove_dir_if_there(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<Option<u64>> {
        fs4::available_space(&self.dir).map(Some).map_err(|e| Error::io(self.dir.display(), e))
    }

    fn local_path(&self, name: &str) -> Option<PathBuf> {
        let (folder, file) = split_name(name).ok()?;
        Some(self.published_dir(folder).join(file))
    }

    fn staging_path(&self, name: &str) -> Result<Option<PathBuf>> {
        let (folder, file) = split_name(name)?;
        let dir = self.staging_dir(folder);
        if !self.read_only {
            make_folder(&dir).map_err(|e| Error::io(dir.display(), e))?;
        }
        Ok(Some(dir.join(file)))
    }
}

impl LocalStore {
    /// Opens a published file that may be damaged: longer or shorter than it was, or without its table of checksums, if
    /// `expected` proves that the bytes are still those that were written. Each block is verified when it is read all the same.
    ///
    /// # Errors
    /// `Corrupted` where nothing of it can be trusted, `Io`.
    pub(crate) fn open_damaged(&self, name: &str, expected: Option<&FileDescription>) -> Result<Blob> {
        let (folder, file) = split_name(name)?;
        let path = self.published_dir(folder).join(file);
        let handle = File::open(&path).map_err(|e| gone_or_io(name, &path, e))?;
        let sidecar = sidecar_path(&path);
        let is_expected = |table: &ChecksumTable| {
            expected.is_none_or(|expected| expected.table_checksum == table.checksum())
        };
        let stored = fs::read(&sidecar).ok().and_then(|bytes| ChecksumTable::from_bytes(name, &bytes).ok());
        let table = match stored.filter(is_expected) {
            Some(table) => table,
            None => {
                let table = checksum_file(&path).map_err(|e| Error::io(path.display(), e))?;
                if expected.is_none() || !is_expected(&table) {
                    return Err(Error::corrupted(
                        name,
                        "neither its checksums nor its bytes are those that were written",
                    ));
                }
                table
            }
        };
        Blob::map_damaged(name, &handle, table)
    }

    /// Puts what a folder of the store holds, sound or not, into `target`, a folder that does not exist, and on the medium: under second
    /// names where that is possible.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn copy_folder(&self, folder: &str, target: &Path) -> Result<()> {
        let from = self.dir.join(folder);
        if folder.contains(['/', '\\']) || !from.is_dir() {
            return Err(Error::new(Code::NotFound, format!("{folder:?} is no folder of the store")));
        }
        fs::create_dir(target).map_err(|e| Error::io(target.display(), e))?;
        for entry in fs::read_dir(&from).map_err(|e| Error::io(from.display(), e))? {
            let entry = entry.map_err(|e| Error::io(from.display(), e))?;
            let copy = target.join(entry.file_name());
            place(&entry.path(), &copy, &entry.path().to_string_lossy(), CopyMode::Link)?;
            sync_file(&copy)?;
        }
        sync_folder(target)?;
        sync_name(target)
    }

    /// Names of all folders in the store's folder, published, staged or strange, in order.
    ///
    /// # Errors
    /// `Io`.
    pub fn all_folders(&self) -> Result<Vec<String>> {
        let mut names = self.subfolders()?;
        names.sort();
        Ok(names)
    }

    /// Names of the folders in the store's folder; those that are not UTF-8 are not ours.
    fn subfolders(&self) -> Result<Vec<String>> {
        let failed = |e| Error::io(self.dir.display(), e);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if entry.file_type().map_err(failed)?.is_dir()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        Ok(names)
    }
}

struct LocalWriter {
    writer: ChecksumWriter<BufWriter<File>>,
    path: PathBuf,
    sidecar: Option<PathBuf>,
}

impl Write for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(&bytes[..bytes.len().min(WRITE_BYTES)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl BlobWriter for LocalWriter {
    fn finish(self: Box<Self>) -> Result<()> {
        let LocalWriter { writer, path, sidecar } = *self;
        let (mut file, table) = writer.finish();
        file.flush().map_err(|e| Error::io(path.display(), e))?;
        match sidecar {
            Some(sidecar) => write_sidecar(&sidecar, &table),
            None => Ok(()),
        }
    }
}

fn open_file(name: &str, path: &Path) -> Result<Blob> {
    let file = File::open(path).map_err(|e| gone_or_io(name, path, e))?;
    let table = if name.ends_with(SEGMENT_JSON) {
        None
    } else {
        let sidecar = sidecar_path(path);
        let sidecar_name = format!("{name}{SIDECAR_SUFFIX}");
        let bytes = fs::read(&sidecar).map_err(|e| gone_or_io(&sidecar_name, &sidecar, e))?;
        Some(ChecksumTable::from_bytes(&sidecar_name, &bytes)?)
    };
    // Vectors are read here and there, and the mapping of all of them would fill the memory.
    Blob::map(name, file, table, name.ends_with(VECTORS))
}

fn sidecar_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(SIDECAR_SUFFIX);
    PathBuf::from(name)
}

fn write_sidecar(path: &Path, table: &ChecksumTable) -> Result<()> {
    fs::write(path, table.to_bytes()).map_err(|e| Error::io(path.display(), e))
}

fn checksum_file(path: &Path) -> io::Result<ChecksumTable> {
    let mut file = File::open(path)?;
    let mut builder = ChecksumBuilder::default();
    let mut chunk = vec![0; 256 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(builder.finish()),
            n => builder.update(&chunk[..n]),
        }
    }
}

/// Makes a folder that may be there already, but not the one it lies in: that one was removed if it is missing.
fn make_folder(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => Ok(()),
    }
}

fn remove_dir_if_there(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(path.display(), e)),
        _ => Ok(()),
    }
}

/// A published file that is not there was removed behind our back: the segment is damaged.
fn gone_or_io(name: &str, path: &Path, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => Error::corrupted(name, "the file is missing"),
        _ => Error::io(path.display(), e),
    }
}

fn missing_or_io(name: &str, path: &Path, e: io::Error) -> Error {
    match e.kind() {
        io::ErrorKind::NotFound => Error::new(Code::NotFound, format!("{name} was not written")),
        _ => Error::io(path.display(), e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_whose_folder_was_removed_does_not_make_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("segments");
        let store = LocalStore::open(&folder, false).unwrap();
        fs::remove_dir(&folder).unwrap();
        let name = "6b1f0c1e-7f0d-4a53-9a55-0c2f3a3f8d10/records.arrow";
        assert_eq!(store.create(name).err().map(|e| e.code()), Some(Code::Io));
        assert_eq!(store.staging_path(name).err().map(|e| e.code()), Some(Code::Io));
        assert!(!folder.exists());
    }
}
