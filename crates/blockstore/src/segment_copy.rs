//! Copying a published segment into another folder.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use ferrochrome_types::{Code, Error, Result};
use uuid::Uuid;

use crate::checksum::SIDECAR_SUFFIX;
use crate::segment_json::SegmentDescription;
use crate::store::SEGMENT_JSON;
use crate::{BlobStore, LocalStore, SegmentReader};

/// How the files of a segment are copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyMode {
    /// Under a second name, where both folders are on one file system that can do it; otherwise byte for byte. Files of segments
    /// never change, so neither name notices the other.
    Link,
    /// Byte for byte, and every byte of the copy is compared with its checksum.
    Verified,
}

/// Copies a published segment, which is then published in `target`, on the medium. Returns the bytes of its files, checksums not
/// counted.
///
/// # Errors
/// `Corrupted` if a file is missing, or damaged where that is looked for, `AlreadyExists` if `target` has the segment, `Io`. There
/// is no copy then.
pub fn copy_segment(
    source: &Arc<dyn BlobStore>,
    segment: Uuid,
    target: &Arc<LocalStore>,
    mode: CopyMode,
) -> Result<u64> {
    let folder = segment.to_string();
    let copied = copy_files(source.as_ref(), segment, target, mode);
    let published = copied.and_then(|bytes| target.publish_folder(&folder).map(|()| bytes));
    // If something cannot be discarded, the error that is reported is still that which came first.
    let bytes = published.inspect_err(|_| _ = target.discard_staged(&folder))?;
    if mode == CopyMode::Verified {
        let verified = SegmentReader::open(target.clone(), segment).and_then(|copy| copy.verify_all());
        verified.inspect_err(|_| _ = target.discard_folder(&folder))?;
    }
    Ok(bytes)
}

fn copy_files(source: &dyn BlobStore, segment: Uuid, target: &LocalStore, mode: CopyMode) -> Result<u64> {
    let description = format!("{segment}/{SEGMENT_JSON}");
    let read = SegmentDescription::read(&source.open(&description)?, segment)?;
    for file in read.files.keys() {
        let name = format!("{segment}/{file}");
        copy_file(source, &name, target, mode)?;
    }
    copy_file(source, &description, target, mode)?;
    Ok(read.files.values().map(|file| file.length).sum())
}

/// Copies a file, and the checksums that lie beside it.
fn copy_file(source: &dyn BlobStore, name: &str, target: &LocalStore, mode: CopyMode) -> Result<()> {
    let Some(from) = source.local_path(name) else {
        // The writer adds the checksums.
        let blob = source.open(name)?;
        let mut writer = target.create(name)?;
        writer.write_all(blob.bytes(0..blob.len())?).map_err(|e| Error::io(name, e))?;
        return writer.finish();
    };
    let Some(to) = target.staging_path(name)? else {
        return Err(Error::internal("a folder has paths"));
    };
    place(&from, &to, name, mode)?;
    if name.ends_with(SEGMENT_JSON) {
        return Ok(());
    }
    let beside = |path: &Path| {
        let mut path = path.as_os_str().to_owned();
        path.push(SIDECAR_SUFFIX);
        std::path::PathBuf::from(path)
    };
    place(&beside(&from), &beside(&to), &format!("{name}{SIDECAR_SUFFIX}"), mode)
}

/// Puts a file under a second path: linked or copied, as the mode says. `name` is for messages.
pub(crate) fn place(from: &Path, to: &Path, name: &str, mode: CopyMode) -> Result<()> {
    // Where a link is refused, for whatever reason, a copy may still succeed.
    if mode == CopyMode::Link && std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    // Not fs::copy(): that would take over permissions, and a copy must be writable to be synced.
    let copy = || -> io::Result<()> {
        let mut reader = File::open(from)?;
        io::copy(&mut reader, &mut File::create(to)?)?;
        Ok(())
    };
    copy().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::corrupted(name, "the file is missing"),
        _ => Error::new(Code::Io, format!("{} could not be copied to {}: {e}", from.display(), to.display()))
            .with_source(e),
    })
}

#[cfg(test)]
mod tests {
    use ferrochrome_types::Record;

    use super::*;
    use crate::{Compression, MemoryStore, SegmentOptions, SegmentWriter};

    fn write(store: Arc<dyn BlobStore>) -> Uuid {
        let id = Uuid::new_v4();
        let mut writer =
            SegmentWriter::create(store, id, SegmentOptions { dim: 2, compression: Compression::None })
                .unwrap();
        for i in 0..100_u64 {
            let record = Record { id: format!("id{i}"), ordinal: i, ..Record::default() };
            writer.push(&record, &[i as f32, 1.0]).unwrap();
        }
        writer.finish_rows().unwrap();
        writer.publish().unwrap();
        id
    }

    fn stores() -> Vec<(tempfile::TempDir, Arc<dyn BlobStore>)> {
        let folder = || tempfile::tempdir().unwrap();
        let local = folder();
        let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(local.path(), false).unwrap());
        vec![(local, store), (folder(), Arc::new(MemoryStore::new()))]
    }

    #[test]
    fn a_copy_is_a_segment_of_its_own() {
        for mode in [CopyMode::Link, CopyMode::Verified] {
            for (_folder, source) in stores() {
                let id = write(source.clone());
                let there = tempfile::tempdir().unwrap();
                let target = Arc::new(LocalStore::open(there.path(), false).unwrap());
                assert!(copy_segment(&source, id, &target, mode).unwrap() > 0);
                assert_eq!(copy_segment(&source, id, &target, mode).unwrap_err().code(), Code::AlreadyExists);
                source.discard_folder(&id.to_string()).unwrap();
                let copy = SegmentReader::open(target.clone(), id).unwrap();
                copy.verify_all().unwrap();
                assert_eq!(copy.id(7).unwrap(), "id7");
                assert_eq!(copy.vector(7).unwrap(), [7.0, 1.0]);
            }
        }
    }

    #[test]
    fn a_missing_and_a_damaged_file_are_named() {
        let (folder, source) = stores().swap_remove(0);
        let id = write(source.clone());
        let there = tempfile::tempdir().unwrap();
        let target = Arc::new(LocalStore::open(there.path(), false).unwrap());
        let file = folder.path().join(id.to_string()).join("records.arrow");
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&file, &bytes).unwrap();
        let error = copy_segment(&source, id, &target, CopyMode::Verified).unwrap_err();
        assert_eq!(error.code(), Code::Corrupted);
        assert!(error.message().contains("records.arrow"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let error = copy_segment(&source, id, &target, CopyMode::Link).unwrap_err();
        assert_eq!(error.code(), Code::Corrupted);
        assert!(error.message().contains("records.arrow"), "{error}");
        assert!(target.folders().unwrap().is_empty());
        assert!(std::fs::read_dir(there.path()).unwrap().next().is_none());
    }
}
