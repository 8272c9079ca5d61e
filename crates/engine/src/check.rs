//! Checking a database: every block of every file against its checksum, and the files against one another.

mod progress;
mod report;
mod segment;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, LocalStore, SegmentReader};
use ferrochrome_metadata::{
    Catalog, CollectionRow, Durability, Location, Manifest, ManifestSegment, VersionRow,
};
use ferrochrome_types::{Code, Error, Result};
use roaring::RoaringBitmap;
use uuid::Uuid;

pub use progress::CheckProgress;
pub use report::{CheckReport, CheckedCollection, CheckedSegment, Finding, Garbage};
pub(crate) use segment::{Named, check_segment, is_damage};

use crate::database::{CATALOG_FILE, Database, SEGMENTS_FOLDER};
use crate::log_entry::LogEntry;

/// How often a collection is looked at again whose segments another process replaced meanwhile.
const ATTEMPTS: usize = 5;
/// Ids that are named of those that are live twice.
const NAMED_DUPLICATES: usize = 10;

/// Checks the database in a folder. Reads only, takes no lock, and may be done beside a process that writes; also where
/// [`Database::open`] is refused because of damage.
///
/// # Errors
/// `NotFound` where there is no database, `Unsupported` where a newer release wrote it, `Cancelled`, `Locked`, `Io` where the
/// folder cannot be read. Damage is part of the answer.
pub fn check_folder(folder: &Path, progress: &CheckProgress) -> Result<CheckReport> {
    expect_database(folder)?;
    let catalog = match open_catalog(&folder.join(CATALOG_FILE)) {
        Err(error) if error.code() == Code::Corrupted => Err(error),
        catalog => Ok(catalog?),
    };
    let store: Option<Arc<dyn BlobStore>> = match LocalStore::open(&folder.join(SEGMENTS_FOLDER), true) {
        Ok(store) => Some(Arc::new(store)),
        Err(error) if error.code() == Code::NotFound => None,
        Err(error) => return Err(error),
    };
    check(catalog.as_ref(), store.as_ref(), progress)
}

/// Opens the catalog of a database that is expected to be there.
pub(crate) fn open_catalog(path: &Path) -> Result<Catalog> {
    match Catalog::open(Location::File(path.to_owned()), Durability::Normal, true) {
        Err(error) if error.code() == Code::NotFound => {
            Err(Error::corrupted(CATALOG_FILE, "it is missing or empty"))
        }
        catalog => catalog,
    }
}

/// Errors unless a folder looks like a database, be it a damaged one.
pub(crate) fn expect_database(folder: &Path) -> Result<()> {
    if folder.join(CATALOG_FILE).is_file() || folder.join(SEGMENTS_FOLDER).is_dir() {
        return Ok(());
    }
    Err(Error::new(Code::NotFound, format!("{} holds no database", folder.display())))
}

impl Database {
    /// As [`check_folder`], of a database that is open, which may be in memory.
    ///
    /// # Errors
    /// `Cancelled`, `Closed`, `Io`. Damage is part of the answer.
    pub fn check(&self, progress: &CheckProgress) -> Result<CheckReport> {
        let shared = self.shared();
        check(Ok(&shared.catalog), Some(&shared.store), progress)
    }
}

fn check(
    catalog: Result<&Catalog, &Error>,
    store: Option<&Arc<dyn BlobStore>>,
    progress: &CheckProgress,
) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let folders = store.map_or(Ok(Vec::new()), |store| store.folders())?;
    match catalog {
        Err(error) => {
            report.catalog.push(Finding::new(CATALOG_FILE, error, false));
            let nothing = RoaringBitmap::new();
            for id in folders.iter().filter_map(|folder| Uuid::parse_str(folder).ok()) {
                let Some(store) = store else { break };
                let named = Named { id, rows: None, tombstones: &nothing, dim: None, next_ordinal: None };
                report.segments.push(check_segment(store, named, progress)?);
            }
        }
        Ok(catalog) => {
            let ids = catalog.all_collection_ids()?;
            for id in &ids {
                let manifest = catalog.manifest(*id).ok().flatten().unwrap_or_default();
                progress.expect(manifest.segments.iter().map(|segment| u64::from(segment.rows)).sum());
            }
            for id in ids {
                report.collections.extend(check_collection(catalog, store, id, progress)?);
            }
            report.garbage = garbage(catalog, store)?;
        }
    }
    Ok(report.judged())
}

/// What no manifest names.
fn garbage(catalog: &Catalog, store: Option<&Arc<dyn BlobStore>>) -> Result<Vec<Garbage>> {
    // Folders first: what is published meanwhile is then named by the time that names are asked for.
    let folders = store.map_or(Ok(Vec::new()), |store| store.folders())?;
    let named: HashSet<String> = catalog.all_segment_ids()?.iter().map(Uuid::to_string).collect();
    Ok(folders
        .into_iter()
        .filter(|folder| !named.contains(folder))
        .map(|folder| Garbage { folder })
        .collect())
}

/// `None` if the collection is gone.
fn check_collection(
    catalog: &Catalog,
    store: Option<&Arc<dyn BlobStore>>,
    id: Uuid,
    progress: &CheckProgress,
) -> Result<Option<CheckedCollection>> {
    let mut attempt = 1;
    loop {
        let row = match catalog.collection_by_id(id) {
            Err(error) if error.code() == Code::NotFound => return Ok(None),
            row => row?,
        };
        let manifest = catalog.manifest(id)?.unwrap_or_default();
        let versions = catalog.versions(id)?;
        let checked = check_parts(catalog, store, &row, &manifest, progress)?;
        let is_whole = checked.findings.is_empty() && checked.segments.iter().all(|s| s.findings.is_empty());
        let is_current = || match (catalog.manifest(id), catalog.versions(id)) {
            (Ok(now), Ok(kept)) => now.unwrap_or_default().version == manifest.version && kept == versions,
            _ => false,
        };
        // A process that writes may have replaced segments while they were being read.
        if is_whole || attempt == ATTEMPTS || is_current() {
            return Ok(Some(checked));
        }
        attempt += 1;
    }
}

fn check_parts(
    catalog: &Catalog,
    store: Option<&Arc<dyn BlobStore>>,
    row: &CollectionRow,
    manifest: &Manifest,
    progress: &CheckProgress,
) -> Result<CheckedCollection> {
    let mut checked = CheckedCollection {
        id: row.id,
        tenant: row.tenant.clone(),
        database: row.database.clone(),
        name: row.name.clone(),
        segments: Vec::new(),
        log_batches: 0,
        findings: Vec::new(),
    };
    for segment in &manifest.segments {
        let named = Named::by_manifest(segment, manifest.next_ordinal, row.dimension);
        match store {
            Some(store) => checked.segments.push(check_segment(store, named, progress)?),
            None => checked.findings.push(Finding {
                file: SEGMENTS_FOLDER.to_owned(),
                message: format!("the folder with segment {} is missing", segment.id),
                derived: false,
                unreadable: false,
            }),
        }
    }
    let versions = catalog.version_manifests(row.id)?;
    if let Some(store) = store {
        check_versions(&versions, store, row, manifest, progress, &mut checked.segments)?;
    }
    let mut logs = vec![(row.id, manifest)];
    logs.extend(versions.iter().map(|(version, manifest)| (version.state, manifest)));
    for (state, manifest) in logs {
        match check_log(catalog, state, row.dimension, manifest) {
            Ok(batches) if state == row.id => checked.log_batches = batches,
            Ok(_) => {}
            Err(error) if is_damage(&error) => {
                checked.findings.push(Finding::new(CATALOG_FILE, &error, false));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(store) = store
        && checked.segments.iter().all(|segment| segment.findings.is_empty())
    {
        match duplicates(store, &manifest.segments, progress) {
            Ok(None) => {}
            Ok(Some(error)) => checked.findings.push(Finding::new(CATALOG_FILE, &error, false)),
            // A process that writes may have replaced a segment since it was checked.
            Err(error) if is_damage(&error) => {
                checked.findings.push(Finding::new(SEGMENTS_FOLDER, &error, false))
            }
            Err(error) => return Err(error),
        }
    }
    Ok(checked)
}

/// Checks the segments that only versions name.
fn check_versions(
    versions: &[(VersionRow, Manifest)],
    store: &Arc<dyn BlobStore>,
    row: &CollectionRow,
    present: &Manifest,
    progress: &CheckProgress,
    checked: &mut Vec<CheckedSegment>,
) -> Result<()> {
    let mut seen: HashSet<Uuid> = present.segments.iter().map(|segment| segment.id).collect();
    for (_, manifest) in versions {
        for segment in manifest.segments.iter().filter(|segment| seen.insert(segment.id)) {
            progress.expect(u64::from(segment.rows));
            let named = Named::by_manifest(segment, manifest.next_ordinal, row.dimension);
            checked.push(check_segment(store, named, progress)?);
        }
    }
    Ok(())
}

/// Reads the log of a collection, or of the state of a version, and returns the number of its batches.
fn check_log(catalog: &Catalog, state: Uuid, dimension: Option<u32>, manifest: &Manifest) -> Result<u64> {
    let mut batches = 0;
    catalog.read_log(state, manifest.log_cut, &mut |seq, payload| {
        let entry = LogEntry::decode(payload)?;
        let fits = dimension.is_none_or(|dim| entry.puts.is_empty() || entry.dim == dim as usize);
        if !fits {
            let what = format!("batch {seq} of the log has vectors of {} components", entry.dim);
            return Err(Error::corrupted(CATALOG_FILE, what));
        }
        batches += 1;
        Ok(())
    })?;
    Ok(batches)
}

/// Ids that are live in more than one segment, as an error.
fn duplicates(
    store: &Arc<dyn BlobStore>,
    segments: &[ManifestSegment],
    progress: &CheckProgress,
) -> Result<Option<Error>> {
    let open = |segment: &ManifestSegment| SegmentReader::open(store.clone(), segment.id);
    let readers = segments.iter().map(open).collect::<Result<Vec<_>>>()?;
    let mut found = BTreeSet::new();
    let mut count = 0_u64;
    for (at, reader) in readers.iter().enumerate() {
        for label in (0..reader.rows()).filter(|label| !segments[at].tombstones.contains(*label)) {
            if label % 1_024 == 0 {
                progress.token().check()?;
            }
            let id = reader.id(label)?;
            let is_elsewhere = |(other, reader): (usize, &SegmentReader)| -> Result<bool> {
                let found = reader.find(id)?;
                Ok(found.is_some_and(|found| {
                    !segments[other].tombstones.contains(found) && (other, found) != (at, label)
                }))
            };
            for other in readers.iter().enumerate().skip(at) {
                if is_elsewhere(other)? {
                    count += 1;
                    if found.len() < NAMED_DUPLICATES {
                        found.insert(format!("{id:?}"));
                    }
                }
            }
        }
    }
    let named: Vec<String> = found.into_iter().collect();
    let what = || format!("{count} ids are live twice, among them {}", named.join(", "));
    Ok((count > 0).then(|| Error::corrupted(CATALOG_FILE, what())))
}
