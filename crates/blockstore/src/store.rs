//! Where files lie: the trait, and the names that it accepts.

use std::fmt::Debug;
use std::io::Write;
use std::path::PathBuf;

use ferrochrome_types::{Error, Result};
use uuid::Uuid;

use crate::Blob;

pub(crate) const RECORDS: &str = "records.arrow";
pub(crate) const VECTORS: &str = "vectors.arrow";
pub(crate) const IDS: &str = "ids.arrow";
pub(crate) const INDEX: &str = "index.arrow";
pub(crate) const LOOKUP: &str = "lookup.sqlite";
/// Carries its checksum inside and therefore has no sidecar.
pub(crate) const SEGMENT_JSON: &str = "segment.json";

const FILES: [&str; 6] = [RECORDS, VECTORS, IDS, INDEX, LOOKUP, SEGMENT_JSON];

/// A store of folders that are written once, published whole and then never changed.
///
/// A name is `<folder>/<file>`: the folder a lowercase hyphenated UUID, the file one of `records.arrow`, `vectors.arrow`,
/// `ids.arrow`, `index.arrow`, `lookup.sqlite` and `segment.json`. Every other name is refused with `InvalidArgument`, so
/// that no name leads out of the store. Until [`publish_folder`](Self::publish_folder) a folder is *staged*: seen only by
/// the methods that say so.
pub trait BlobStore: Send + Sync + Debug {
    /// Starts a staged file, replacing one of the same name.
    ///
    /// # Errors
    /// `ReadOnly`, `Io`, `InvalidArgument` for a bad name.
    fn create(&self, name: &str) -> Result<Box<dyn BlobWriter>>;

    /// Opens a published file.
    ///
    /// # Errors
    /// `Corrupted` if it or its checksums are missing or damaged, `Io`, `InvalidArgument` for a bad name.
    fn open(&self, name: &str) -> Result<Blob>;

    /// Opens a staged file whose writer was finished.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    fn open_staged(&self, name: &str) -> Result<Blob>;

    /// Checksums a staged file that was written at its [`staging_path`](Self::staging_path) rather than through
    /// [`create`](Self::create). It must not change from then on.
    ///
    /// # Errors
    /// `Unsupported` where files have no path, `NotFound` if the file is not there, `ReadOnly`, `Io`.
    fn adopt(&self, name: &str) -> Result<()>;

    /// Makes a staged folder visible, at once and as a whole. On return it is on the medium.
    ///
    /// # Errors
    /// `NotFound` if nothing is staged, `AlreadyExists` if the folder was published before, `ReadOnly`, `Io`.
    fn publish_folder(&self, folder: &str) -> Result<()>;

    /// Removes a folder, staged or published. It need not exist. Blobs that are open stay readable.
    ///
    /// # Errors
    /// `ReadOnly`, `Io`, `InvalidArgument` for a bad name.
    fn discard_folder(&self, folder: &str) -> Result<()>;

    /// Removes a staged folder. It need not exist; a published folder of the same name stays.
    ///
    /// # Errors
    /// As [`discard_folder`](Self::discard_folder).
    fn discard_staged(&self, folder: &str) -> Result<()>;

    /// The published folders, in order of name.
    ///
    /// # Errors
    /// `Io`.
    fn folders(&self) -> Result<Vec<String>>;

    /// Removes what writers left behind that never published. Must not run while a segment is being written.
    ///
    /// # Errors
    /// `ReadOnly`, `Io`.
    fn clear_staging(&self) -> Result<()>;

    /// Bytes of the volume that this process may still write; `None` where the store does not know.
    ///
    /// # Errors
    /// `Io`.
    fn free_bytes(&self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// The path of a published file, if the store has paths and the name is good. The file may be missing.
    fn local_path(&self, name: &str) -> Option<PathBuf>;

    /// The path of a staged file, if the store has paths. Its folder exists on return.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name, `Io` where the folder cannot be made.
    fn staging_path(&self, name: &str) -> Result<Option<PathBuf>>;
}

/// Writes one file of a staged folder.
pub trait BlobWriter: Write + Send {
    /// Ends the file. A writer that is dropped instead leaves a file that cannot be opened.
    ///
    /// # Errors
    /// `Io`.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// Splits `<folder>/<file>` and refuses anything else.
pub(crate) fn split_name(name: &str) -> Result<(&str, &'static str)> {
    let known = name.split_once('/').and_then(|(folder, file)| {
        let file = FILES.iter().find(|known| **known == file)?;
        Some((folder, *file))
    });
    let Some((folder, file)) = known else {
        return Err(Error::invalid(format!(
            "{name:?} does not name a segment file, expected <uuid>/<file> with one of {}",
            FILES.join(", ")
        )));
    };
    check_folder(folder)?;
    Ok((folder, file))
}

/// Refuses a folder that is not named by a lowercase hyphenated UUID.
pub(crate) fn check_folder(folder: &str) -> Result<()> {
    if is_folder(folder) {
        Ok(())
    } else {
        Err(Error::invalid(format!("{folder:?} does not name a segment folder, expected a lowercase UUID")))
    }
}

/// Whether a folder is named as this crate names folders.
pub(crate) fn is_folder(folder: &str) -> bool {
    Uuid::try_parse(folder).is_ok_and(|uuid| uuid.hyphenated().to_string() == folder)
}
