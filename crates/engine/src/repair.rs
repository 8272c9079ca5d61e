//! Repairing a damaged database: what is derived is made anew, what is beyond help is put aside, and nothing is deleted.
//!
//! Everything is written beside the old files first and takes their place in one step: new segments by a manifest, a new catalog by
//! a rename. So a repair that is interrupted leaves the database as it was, or repaired.

mod adoption;
mod catalog;
mod plan;
mod quarantine;
mod report;
mod segments;

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

use ferrochrome_blockstore::{BlobStore, LocalStore};
use ferrochrome_metadata::{
    BatchState, Catalog, Durability, Location, Manifest, ManifestSegment, SalvagedCatalog,
};
use ferrochrome_types::{Code, Error, Result};
use uuid::Uuid;

pub(crate) use catalog::expect_finished;
pub(crate) use quarantine::QUARANTINE_FOLDER;
pub use report::{LostBatch, RepairOptions, RepairReport, RepairedCollection, RepairedSegment};

use crate::check::{CheckProgress, CheckedSegment, Named, check_segment, expect_database};
use crate::database::{CATALOG_FILE, SEGMENTS_FOLDER, shared};
use crate::lock::DatabaseLock;
use crate::log_entry::LogEntry;
use crate::options::DatabaseOptions;
use plan::{Plan, Planned};
use quarantine::Quarantine;
use segments::Workshop;

/// Repairs the database in a folder, which nobody may have open for writing.
///
/// Damaged segments are written anew without the rows that lay in damaged blocks; `index.arrow`, `ids.arrow` and `lookup.sqlite`
/// are derived from the records and vectors. A damaged catalog is written anew from what can be read of it and from what segments tell
/// of their collections. What was replaced, and batches of the log that do not match their checksums, are kept in
/// `quarantine/<seconds since 1970>-<uuid>/`, with the report as `report.json`.
///
/// # Errors
/// `NotFound` where there is no database, `Locked` where it is open, `Unsupported` where a newer release wrote it, `Cancelled`, `Io`.
/// The database is then as it was, but for a quarantine that holds copies.
pub fn repair_folder(
    folder: &Path,
    options: &RepairOptions,
    progress: &CheckProgress,
) -> Result<RepairReport> {
    expect_database(folder)?;
    let _lock = if options.dry_run { None } else { Some(DatabaseLock::acquire(folder)?) };
    if options.dry_run {
        expect_finished(folder)?;
    } else {
        catalog::finish(folder)?;
    }
    let store = LocalStore::open(&folder.join(SEGMENTS_FOLDER), options.dry_run)?;
    let mut plan = Plan::of(folder, &store, progress)?;
    let mut quarantine = Quarantine::new(folder);
    let workshop = Workshop { store: &store, shared: workshop_of(folder, options)?, progress };
    for planned in &mut plan.collections {
        mend_segments(&workshop, folder, planned)?;
    }
    let mut report =
        RepairReport { dry_run: options.dry_run, catalog: plan.findings.clone(), ..RepairReport::default() };
    if options.dry_run {
        count_batches(&mut plan)?;
    } else {
        // Closes the indices that were built.
        drop(workshop);
        publish(folder, &store, &mut plan, &mut quarantine)?;
    }
    report.collections = plan.collections.into_iter().map(|planned| planned.report).collect();
    report.collections.retain(RepairedCollection::is_changed);
    report.damaged = !(report.catalog.is_empty() && report.collections.is_empty());
    let json = serde_json::to_vec_pretty(&report)
        .map_err(|e| Error::internal("the report could not be written").with_source(e))?;
    quarantine.write_report(&json)?;
    (report.quarantine, report.quarantined) = quarantine.into_content();
    Ok(report)
}

fn workshop_of(folder: &Path, options: &RepairOptions) -> Result<Option<Arc<crate::collection::Shared>>> {
    if options.dry_run {
        return Ok(None);
    }
    let opened = DatabaseOptions { threads: options.threads.max(1), ..DatabaseOptions::default() };
    let store = Arc::new(LocalStore::open(&folder.join(SEGMENTS_FOLDER), false)?);
    store.clear_staging()?;
    // Segments are built for collections that the catalog need not know yet.
    let nowhere = Catalog::open(Location::Memory, Durability::Normal, false)?;
    Ok(Some(Arc::new(shared(nowhere, store, opened)?)))
}

/// Checks each segment of a collection, and puts a new one into its manifest for each that is damaged.
fn mend_segments(workshop: &Workshop<'_>, folder: &Path, planned: &mut Planned) -> Result<()> {
    let store: Arc<dyn BlobStore> = Arc::new(LocalStore::open(&folder.join(SEGMENTS_FOLDER), true)?);
    let before = std::mem::take(&mut planned.manifest.segments);
    for mut segment in before {
        let checked = checked(&store, planned, &segment, planned.manifest.next_ordinal, workshop)?;
        if checked.findings.is_empty() {
            planned.manifest.segments.push(segment);
            continue;
        }
        segment.tombstones.remove_range(segment.rows..);
        let (report, replacement) = workshop.rebuild(&planned.row, &segment, checked)?;
        planned.manifest.segments.extend(replacement);
        planned.replaced.push(segment.id);
        planned.report.segments.push(report);
    }
    plan::settle_duplicates(&store, planned, workshop.progress)?;
    end_damaged_versions(workshop, &store, planned)
}

/// Checks a segment that the collection, or one of its versions, names.
///
/// # Errors
/// `Io` where the system refuses to read it, which may be no damage.
fn checked(
    store: &Arc<dyn BlobStore>,
    planned: &Planned,
    segment: &ManifestSegment,
    next_ordinal: u64,
    workshop: &Workshop<'_>,
) -> Result<CheckedSegment> {
    let named = Named::by_manifest(segment, next_ordinal, planned.row.dimension);
    let checked = check_segment(store, named, workshop.progress)?;
    match checked.findings.iter().find(|finding| finding.unreadable) {
        Some(refused) => Err(Error::new(Code::Io, format!("{}: {}", refused.file, refused.message))),
        None => Ok(checked),
    }
}

/// Takes the versions that name damaged segments out of the plan: their records would not be those of that time.
fn end_damaged_versions(
    workshop: &Workshop<'_>,
    store: &Arc<dyn BlobStore>,
    planned: &mut Planned,
) -> Result<()> {
    let mut seen: HashSet<Uuid> = planned.manifest.segments.iter().map(|segment| segment.id).collect();
    let versions = std::mem::take(&mut planned.versions);
    for (_, manifest) in &versions {
        for segment in &manifest.segments {
            let known = !seen.insert(segment.id) || planned.replaced.contains(&segment.id);
            if !known
                && !checked(store, planned, segment, manifest.next_ordinal, workshop)?.findings.is_empty()
            {
                planned.replaced.push(segment.id);
            }
        }
    }
    for (version, manifest) in versions {
        if manifest.segments.iter().any(|segment| planned.replaced.contains(&segment.id)) {
            planned.end_version(version.version, "has a damaged segment");
        } else {
            planned.versions.push((version, manifest));
        }
    }
    Ok(())
}

/// Makes the database that of the plan.
fn publish(folder: &Path, store: &LocalStore, plan: &mut Plan, quarantine: &mut Quarantine) -> Result<()> {
    // A segment may be named by several collections, of which only some found it damaged: those that stay keep it.
    let kept: HashSet<Uuid> = plan.collections.iter().flat_map(Planned::named_segments).collect();
    let replaced = plan.collections.iter().flat_map(|planned| planned.replaced.iter().copied());
    // With the old catalog gone, nothing else tells what the unnamed ones were.
    let leaving: BTreeSet<Uuid> =
        replaced.chain(plan.unnamed.iter().copied()).filter(|id| !kept.contains(id)).collect();
    // First: once the catalog does not name them they are garbage, which the next opening removes.
    leaving.iter().try_for_each(|id| quarantine.keep(store, &id.to_string()))?;
    match &mut plan.salvaged {
        Some(salvaged) => {
            write_catalog(folder, salvaged, &mut plan.collections, &plan.databases, quarantine)?;
            catalog::install(folder, quarantine)?;
        }
        None => {
            if !plan.collections.iter().any(|planned| planned.report.is_changed()) {
                return Ok(());
            }
            for file in catalog::files(folder) {
                quarantine.copy(&file)?;
            }
            let location = Location::File(folder.join(CATALOG_FILE));
            let catalog = Catalog::open(location, Durability::Full, false)?;
            for planned in plan.collections.iter().filter(|planned| planned.report.is_changed()) {
                let version = planned.manifest.version + 1;
                catalog.publish(planned.row.id, &Manifest { version, ..planned.manifest.clone() })?;
            }
            for planned in &plan.collections {
                planned
                    .ended
                    .iter()
                    .try_for_each(|version| catalog.delete_version(planned.row.id, *version).map(drop))?;
            }
            catalog.make_durable()?;
            catalog.close()?;
        }
    }
    leaving.iter().try_for_each(|id| store.discard_folder(&id.to_string()))
}

/// Writes the new catalog, not in its place yet.
fn write_catalog(
    folder: &Path,
    salvaged: &mut SalvagedCatalog,
    collections: &mut [Planned],
    databases: &plan::Databases,
    quarantine: &mut Quarantine,
) -> Result<()> {
    let path = catalog::unfinished(folder)?;
    let catalog = Catalog::open(Location::File(path), Durability::Normal, false)?;
    catalog.restore_databases(&databases.tenants, &databases.rows)?;
    for planned in collections {
        let before = planned.row.id;
        let row = catalog.restore_collection(&planned.row, &planned.keys, &planned.manifest)?;
        if row.name != planned.row.name {
            planned.report.notes.push(format!("its name was taken: it is now {}", row.name));
        }
        let mut seq = planned.manifest.log_cut;
        let mut put = |bytes: &[u8]| {
            seq += 1;
            let dim = LogEntry::decode(bytes).ok().map(|entry| entry.dim as u32).filter(|dim| *dim > 0);
            catalog.append(row.id, seq, bytes, dim, &[])
        };
        each_batch(salvaged, before, planned, &mut put, &mut Some(&mut *quarantine))?;
        if let Some(root) = planned.root {
            catalog.restore_fork(row.id, root)?;
        }
        for (version, _) in &planned.versions {
            if let Some((manifest, batches)) = salvaged.version(version) {
                catalog.restore_version(row.id, version, &manifest, &batches)?;
            }
        }
        planned.row = row;
    }
    catalog.close()
}

fn count_batches(plan: &mut Plan) -> Result<()> {
    let Some(salvaged) = &mut plan.salvaged else { return Ok(()) };
    for planned in &mut plan.collections {
        each_batch(salvaged, planned.row.id, planned, &mut |_| Ok(()), &mut None)?;
    }
    Ok(())
}

/// Calls `put` with each batch of a collection's log that is whole; the others go to the report and into the quarantine.
fn each_batch(
    salvaged: &mut SalvagedCatalog,
    id: Uuid,
    planned: &mut Planned,
    put: &mut dyn FnMut(&[u8]) -> Result<()>,
    quarantine: &mut Option<&mut Quarantine>,
) -> Result<()> {
    let dim = planned.row.dimension;
    let fits = |bytes: &[u8]| {
        LogEntry::decode(bytes)
            .is_ok_and(|entry| entry.puts.is_empty() || dim.is_none_or(|dim| dim as usize == entry.dim))
    };
    let lost = &mut planned.report.lost_batches;
    salvaged.each_batch(id, planned.log_from, &mut |seq, state| match state {
        BatchState::Whole(bytes) if fits(bytes) => put(bytes),
        BatchState::Whole(bytes) | BatchState::Damaged(bytes) => {
            if let Some(quarantine) = quarantine {
                quarantine.write(&format!("log-{id}-{seq}.bin"), bytes)?;
            }
            lost.push(LostBatch { seq, quarantined: true });
            Ok(())
        }
        BatchState::Missing => {
            lost.push(LostBatch { seq, quarantined: false });
            Ok(())
        }
    })
}
