//! Making a manifest of segments that are there, for a collection whose own manifest is lost or too old.

use std::collections::{BTreeMap, HashSet};

use ferrochrome_blockstore::{LocalStore, SalvagedSegment, hash_id};
use ferrochrome_metadata::{CollectionRow, DEFAULT_DATABASE, DEFAULT_TENANT, Manifest, ManifestSegment};
use ferrochrome_types::{Result, ValueKind};
use roaring::RoaringBitmap;
use uuid::Uuid;

use crate::check::CheckProgress;

/// The segments of a store by the collection that they say they belong to.
pub(super) fn by_collection(store: &LocalStore, folders: &[Uuid]) -> BTreeMap<Uuid, Vec<Uuid>> {
    let mut found: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
    for folder in folders {
        let segment = SalvagedSegment::open(store, *folder, None, None);
        // One that cannot tell is a collection of its own, with the segment's UUID.
        let collection = segment.origin().map_or(*folder, |origin| origin.collection);
        found.entry(collection).or_default().push(*folder);
    }
    found
}

/// What a collection's newest segment says of it.
pub(super) fn describe(store: &LocalStore, collection: Uuid, segments: &[Uuid]) -> CollectionRow {
    let open = |id: &Uuid| SalvagedSegment::open(store, *id, None, None);
    let newest = segments.iter().map(open).max_by_key(sequence);
    let told = newest
        .as_ref()
        .and_then(SalvagedSegment::origin)
        .and_then(|origin| CollectionRow::from_json(&origin.description));
    let mut row = told.unwrap_or_else(|| CollectionRow {
        id: collection,
        name: format!("recovered-{collection}"),
        tenant: DEFAULT_TENANT.to_owned(),
        database: DEFAULT_DATABASE.to_owned(),
        metadata: None,
        configuration: "{}".to_owned(),
        schema: None,
        dimension: None,
    });
    row.id = collection;
    row.dimension =
        newest.and_then(|segment| segment.dim()).and_then(|dim| u32::try_from(dim).ok()).or(row.dimension);
    row
}

/// What was made of segments.
pub(super) struct Adopted {
    pub manifest: Manifest,
    /// The metadata keys of the records.
    pub keys: Vec<(String, ValueKind)>,
}

/// A manifest of these segments. Of rows with one id the one in the newest segment is live. Which records were deleted since is
/// not known.
pub(super) fn adopt(
    store: &LocalStore,
    segments: &[Uuid],
    log_cut: u64,
    progress: &CheckProgress,
) -> Result<Adopted> {
    let mut opened: Vec<(Uuid, SalvagedSegment)> =
        segments.iter().map(|id| (*id, SalvagedSegment::open(store, *id, None, None))).collect();
    opened.sort_by_key(|(id, segment)| (sequence(segment), *id));
    let mut manifest = Manifest { version: 1, log_cut, ..Manifest::default() };
    let mut keys = HashSet::new();
    let mut seen = HashSet::new();
    for (id, segment) in opened.iter().rev() {
        let mut tombstones = RoaringBitmap::new();
        for label in 0..segment.rows() {
            if label % 1_024 == 0 {
                progress.token().check()?;
            }
            // A row without an id was deleted before a merge kept its place. Two ids with one hash are as good as impossible, and
            // then a record would be missing rather than wrong.
            if segment.id(label).is_some_and(|id| id.is_empty() || !seen.insert(hash_id(id))) {
                tombstones.insert(label);
            }
            if let Ok((record, _)) = segment.row(label) {
                manifest.next_ordinal = manifest.next_ordinal.max(record.ordinal.saturating_add(1));
                let pairs = record.metadata.into_iter().flatten();
                keys.extend(pairs.map(|(key, value)| (key, value.kind())));
            }
        }
        manifest.log_cut = manifest.log_cut.max(sequence(segment));
        if tombstones.len() < u64::from(segment.rows()) {
            manifest.segments.push(ManifestSegment { id: *id, rows: segment.rows(), tombstones });
        }
    }
    manifest.segments.reverse();
    Ok(Adopted { manifest, keys: keys.into_iter().collect() })
}

fn sequence(segment: &SalvagedSegment) -> u64 {
    segment.origin().map_or(0, |origin| origin.sequence)
}
