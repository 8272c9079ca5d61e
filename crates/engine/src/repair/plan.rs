//! What a repaired database should consist of, before segments are looked into.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, LocalStore, SegmentReader};
use ferrochrome_metadata::{Catalog, CollectionRow, DatabaseRow, Manifest, SalvagedCatalog, VersionRow};
use ferrochrome_types::{Code, Error, Result, ValueKind};
use uuid::Uuid;

use super::adoption::{Adopted, adopt, by_collection, describe};
use super::report::RepairedCollection;
use crate::check::{CheckProgress, Finding, open_catalog};
use crate::database::CATALOG_FILE;
use crate::log_entry::LogEntry;

/// A collection as it should be.
pub(super) struct Planned {
    pub row: CollectionRow,
    pub keys: Vec<(String, ValueKind)>,
    pub manifest: Manifest,
    /// For a fork, the collection that was first in its family.
    pub root: Option<Uuid>,
    /// Its versions that are kept, with their manifests.
    pub versions: Vec<(VersionRow, Manifest)>,
    /// The numbers of those that have to go.
    pub ended: Vec<u64>,
    /// Batches of the log up to here are in the segments.
    pub log_from: u64,
    /// Segments that the manifest no longer names.
    pub replaced: Vec<Uuid>,
    pub report: RepairedCollection,
}

/// Tenants and databases, also those without collections.
#[derive(Default)]
pub(super) struct Databases {
    pub tenants: Vec<String>,
    pub rows: Vec<DatabaseRow>,
}

pub(super) struct Plan {
    pub findings: Vec<Finding>,
    /// The old catalog, where it has to be written anew.
    pub salvaged: Option<SalvagedCatalog>,
    pub databases: Databases,
    pub collections: Vec<Planned>,
    /// Segments that belong to no collection of the plan.
    pub unnamed: Vec<Uuid>,
}

impl Plan {
    pub fn of(folder: &Path, store: &LocalStore, progress: &CheckProgress) -> Result<Self> {
        let folders: Vec<Uuid> =
            store.folders()?.iter().filter_map(|name| Uuid::parse_str(name).ok()).collect();
        let path = folder.join(CATALOG_FILE);
        let mut plan = match sound_catalog(&path) {
            Ok(catalog) => Self::of_catalog(&catalog)?,
            Err(error) if error.code() == Code::Corrupted => {
                Self::of_salvage(SalvagedCatalog::open(&path)?, &error)
            }
            Err(error) => return Err(error),
        };
        plan.adopt(store, &folders, progress)?;
        for planned in &plan.collections {
            progress.expect(planned.manifest.segments.iter().map(|segment| u64::from(segment.rows)).sum());
        }
        Ok(plan)
    }

    fn of_catalog(catalog: &Catalog) -> Result<Self> {
        let mut collections = Vec::new();
        for id in catalog.all_collection_ids()? {
            let manifest = catalog.manifest(id)?.unwrap_or_default();
            let mut planned = Planned::new(catalog.collection_by_id(id)?, catalog.schema_keys(id)?, manifest);
            planned.versions = catalog.version_manifests(id)?;
            collections.push(planned);
        }
        let (findings, databases, unnamed) = Default::default();
        Ok(Plan { findings, salvaged: None, databases, collections, unnamed })
    }

    fn of_salvage(mut salvaged: SalvagedCatalog, error: &Error) -> Self {
        let databases = Databases { tenants: salvaged.tenants(), rows: salvaged.databases() };
        let mut collections = Vec::new();
        for row in salvaged.collections() {
            let keys = salvaged.schema_keys(row.id);
            let mut planned = Planned::new(row, keys, Manifest::default());
            match salvaged.manifest(planned.row.id) {
                Some(manifest) => {
                    planned.log_from = manifest.log_cut;
                    planned.manifest = manifest;
                }
                // One that never had any is told from one that lost it by its segments.
                None => planned.manifest.version = 0,
            }
            planned.root = salvaged.fork_root(planned.row.id);
            planned.keep_whole_versions(&mut salvaged);
            collections.push(planned);
        }
        let mut findings = vec![Finding::new(CATALOG_FILE, error, false)];
        let known = error.message().to_owned();
        findings.extend(salvaged.problems().filter(|problem| *problem != known).map(|problem| Finding {
            file: CATALOG_FILE.to_owned(),
            message: problem.to_owned(),
            derived: false,
            unreadable: false,
        }));
        Plan { findings, salvaged: Some(salvaged), databases, collections, unnamed: Vec::new() }
    }

    /// Gives segments that no manifest names to the collections that they say they belong to: where the catalog, or the manifest,
    /// is lost; and where a manifest names segments that are not there, as one does that is older than they are.
    fn adopt(&mut self, store: &LocalStore, folders: &[Uuid], progress: &CheckProgress) -> Result<()> {
        let named: BTreeSet<Uuid> = self.collections.iter().flat_map(Planned::named_segments).collect();
        let unnamed: Vec<Uuid> = folders.iter().copied().filter(|folder| !named.contains(folder)).collect();
        let mut orphans: BTreeMap<Uuid, Vec<Uuid>> = by_collection(store, &unnamed);
        for planned in &mut self.collections {
            let lost_manifest = self.salvaged.is_some() && planned.manifest.version == 0;
            let missing = planned.manifest.segments.iter().any(|segment| !folders.contains(&segment.id));
            if !(lost_manifest || missing) {
                continue;
            }
            let Some(mut segments) = orphans.remove(&planned.row.id) else { continue };
            segments.extend(
                planned.manifest.segments.iter().map(|segment| segment.id).filter(|id| folders.contains(id)),
            );
            let before = std::mem::take(&mut planned.manifest);
            let Adopted { manifest, keys } = adopt(store, &segments, before.log_cut, progress)?;
            self.unnamed.extend(left_out(&segments, &manifest));
            planned.manifest = manifest;
            planned.keys.extend(keys);
            planned.manifest.version = before.version.max(1);
            planned.manifest.next_ordinal = planned.manifest.next_ordinal.max(before.next_ordinal);
            keep_known_tombstones(&mut planned.manifest, &before);
            planned.log_from = planned.manifest.log_cut;
            planned.report.adopted = true;
        }
        if self.salvaged.is_none() {
            // With a catalog that is whole they are what an interrupted process left.
            return Ok(());
        }
        for (collection, segments) in orphans {
            if self.collections.iter().any(|planned| planned.row.id == collection) {
                // Its manifest is whole and does not name them: it has replaced them.
                self.unnamed.extend(segments);
                continue;
            }
            let row = describe(store, collection, &segments);
            let Adopted { manifest, keys } = adopt(store, &segments, 0, progress)?;
            self.unnamed.extend(left_out(&segments, &manifest));
            let mut planned = Planned::new(row, keys, manifest);
            planned.log_from = planned.manifest.log_cut;
            planned.report.adopted = true;
            self.collections.push(planned);
        }
        Ok(())
    }
}

/// Those of the segments that a manifest does not name.
fn left_out(segments: &[Uuid], manifest: &Manifest) -> impl Iterator<Item = Uuid> {
    let named: BTreeSet<Uuid> = manifest.segments.iter().map(|segment| segment.id).collect();
    segments.iter().copied().filter(move |id| !named.contains(id))
}

impl Planned {
    fn new(row: CollectionRow, keys: Vec<(String, ValueKind)>, manifest: Manifest) -> Self {
        let report = RepairedCollection {
            id: row.id,
            tenant: row.tenant.clone(),
            database: row.database.clone(),
            name: row.name.clone(),
            ..RepairedCollection::default()
        };
        let log_from = manifest.log_cut;
        let (root, versions, ended, replaced) = Default::default();
        Planned { row, keys, manifest, root, versions, ended, log_from, replaced, report }
    }

    /// The segments of the collection and of its versions.
    pub fn named_segments(&self) -> impl Iterator<Item = Uuid> {
        let manifests = self.versions.iter().map(|(_, manifest)| manifest).chain([&self.manifest]);
        manifests.flat_map(|manifest| manifest.segments.iter().map(|segment| segment.id))
    }

    fn keep_whole_versions(&mut self, salvaged: &mut SalvagedCatalog) {
        for version in salvaged.versions(self.row.id) {
            match salvaged.version(&version) {
                Some((manifest, _)) => self.versions.push((version, manifest)),
                None => self.end_version(version.version, "cannot be read whole from the damaged catalog"),
            }
        }
    }

    /// Takes note of a version that goes, and why.
    pub fn end_version(&mut self, version: u64, why: &str) {
        self.report
            .notes
            .push(format!("version {version} {why}, which is in the quarantine: it is no longer kept"));
        self.ended.push(version);
    }
}

/// What an older manifest knows to be deleted stays deleted.
fn keep_known_tombstones(manifest: &mut Manifest, before: &Manifest) {
    let known: HashMap<Uuid, _> = before.segments.iter().map(|s| (s.id, &s.tombstones)).collect();
    for segment in &mut manifest.segments {
        if let Some(tombstones) = known.get(&segment.id) {
            segment.tombstones |= *tombstones;
        }
    }
}

/// The catalog, if everything in it is whole, the payloads of its log included.
fn sound_catalog(path: &Path) -> Result<Catalog> {
    let catalog = open_catalog(path)?;
    for id in catalog.all_collection_ids()? {
        let versions = catalog.versions(id)?.into_iter().map(|version| version.state);
        for state in [id].into_iter().chain(versions) {
            catalog.manifest_and_log(state, &mut |_, payload| LogEntry::decode(payload).map(|_| ()))?;
        }
    }
    Ok(catalog)
}

/// Of rows with one id in several segments keeps the one in the newest.
pub(super) fn settle_duplicates(
    store: &Arc<dyn BlobStore>,
    planned: &mut Planned,
    progress: &CheckProgress,
) -> Result<()> {
    let mut readers = Vec::new();
    for segment in &planned.manifest.segments {
        match SegmentReader::open(store.clone(), segment.id) {
            Ok(reader) => readers.push(reader),
            // In a dry run damaged segments are still there, and nothing is known of the rows that will be kept.
            Err(_) => return Ok(()),
        }
    }
    let mut settled = 0_u64;
    for at in 0..readers.len() {
        for label in 0..readers[at].rows() {
            if label % 1_024 == 0 {
                progress.token().check()?;
            }
            if planned.manifest.segments[at].tombstones.contains(label) {
                continue;
            }
            let Ok(id) = readers[at].id(label) else { return Ok(()) };
            let mut is_newer = false;
            for (other, reader) in readers.iter().enumerate().skip(at + 1) {
                let Ok(found) = reader.find(id) else { return Ok(()) };
                is_newer |=
                    found.is_some_and(|found| !planned.manifest.segments[other].tombstones.contains(found));
            }
            if is_newer {
                planned.manifest.segments[at].tombstones.insert(label);
                settled += 1;
            }
        }
    }
    if settled > 0 {
        planned.report.notes.push(format!("{settled} ids were live twice: the newer records were kept"));
    }
    Ok(())
}
