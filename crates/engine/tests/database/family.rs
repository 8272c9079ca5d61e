//! Forks and versions against a list in memory each: whatever is written, merged, deleted or reopened on one side, the others keep
//! their records; and when all is done, no file is left that nothing names.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ferrochrome_engine::{
    Collection, Database, DatabaseOptions, DeleteRequest, GetRequest, Handle, QueryRequest, WriteBatch,
    WriteKind,
};
use ferrochrome_types::{CancelToken, Code};
use proptest::prelude::*;
use uuid::Uuid;

use crate::support;

/// Records by id.
type Records = BTreeMap<u8, u8>;

#[derive(Clone, Debug)]
enum Step {
    /// Writes these ids with a value to a member.
    Upsert(usize, Vec<u8>, u8),
    Delete(usize, Vec<u8>),
    Fork(usize),
    /// Forks a version of a member.
    ForkVersion(usize, usize),
    CreateVersion(usize),
    DeleteVersion(usize, usize),
    Compact(usize),
    Drop(usize),
    Reopen,
    /// Opens the database anew without closing it, as after a kill.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    let ids = || prop::collection::vec(0..24_u8, 1..8);
    let member = 0..8_usize;
    prop_oneof![
        8 => (member.clone(), ids(), any::<u8>()).prop_map(|(member, ids, value)| Step::Upsert(member, ids, value)),
        3 => (member.clone(), ids()).prop_map(|(member, ids)| Step::Delete(member, ids)),
        3 => member.clone().prop_map(Step::Fork),
        2 => (member.clone(), member.clone()).prop_map(|(member, version)| Step::ForkVersion(member, version)),
        3 => member.clone().prop_map(Step::CreateVersion),
        2 => (member.clone(), member.clone()).prop_map(|(member, version)| Step::DeleteVersion(member, version)),
        3 => member.clone().prop_map(Step::Compact),
        2 => member.clone().prop_map(Step::Drop),
        2 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ]
}

struct Member {
    id: Uuid,
    name: String,
    records: Records,
    versions: BTreeMap<u64, Records>,
}

struct Family {
    folder: tempfile::TempDir,
    /// `None` only while it is reopened.
    handle: Option<Handle>,
    members: Vec<Member>,
    forks: u64,
}

fn options() -> DatabaseOptions {
    let mut options = support::options(6);
    // Few enough that idle members are closed and opened again.
    options.open_segments = 3;
    options
}

/// The last hold on a database may be a background thread's, which lets go of it in a moment.
fn open_when_free(folder: &Path) -> Handle {
    loop {
        match Database::open(Some(folder), options()) {
            Err(e) if e.code() == Code::Locked => std::thread::yield_now(),
            handle => return handle.unwrap(),
        }
    }
}

fn upsert(collection: &Collection, ids: &[u8], value: u8) {
    let batch = WriteBatch {
        ids: ids.iter().map(u8::to_string).collect(),
        embeddings: Some(ids.iter().flat_map(|id| [f32::from(*id), f32::from(value)]).collect()),
        dim: 2,
        ..WriteBatch::default()
    };
    collection.write(WriteKind::Upsert, batch).unwrap();
}

fn records_of(collection: &Collection) -> Records {
    let result = collection.get(&GetRequest::default(), &CancelToken::default()).unwrap();
    let read = |row| {
        let id: u8 = result.snapshot.id(row).unwrap().parse().unwrap();
        let vector = result.snapshot.vector(row).unwrap();
        assert_eq!(vector[0], f32::from(id));
        (id, vector[1] as u8)
    };
    result.rows.iter().map(|row| read(*row)).collect()
}

fn check(collection: &Collection, expected: &Records) {
    assert_eq!(records_of(collection), *expected);
    assert_eq!(collection.count().unwrap(), expected.len() as u64);
    if expected.is_empty() {
        return;
    }
    let request = QueryRequest { embeddings: vec![3.0, 100.0], dim: 2, k: 2, ..QueryRequest::default() };
    let found = collection.query(request, &CancelToken::default()).unwrap();
    let found: Vec<f32> = found.queries[0].iter().map(|(_, distance)| *distance).collect();
    let square = |a: f32| a * a;
    let distance = |(id, value): (&u8, &u8)| square(f32::from(*id) - 3.0) + square(f32::from(*value) - 100.0);
    let mut distances: Vec<f32> = expected.iter().map(distance).collect();
    distances.sort_by(f32::total_cmp);
    distances.truncate(2);
    assert_eq!(found, distances);
}

fn segment_folders(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("segments")).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

impl Family {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let handle = support::open(folder.path(), options());
        let first = support::create(&handle, "first", "{}");
        let member = Member {
            id: first.id(),
            name: "first".to_owned(),
            records: Records::new(),
            versions: BTreeMap::new(),
        };
        Family { folder, handle: Some(handle), members: vec![member], forks: 0 }
    }

    fn database(&self) -> &Arc<Database> {
        self.handle.as_ref().unwrap().database().unwrap()
    }

    fn collection(&self, member: usize) -> Arc<Collection> {
        self.database().collection(self.members[member].id).unwrap()
    }

    fn adopt(&mut self, member: usize, version: Option<u64>) {
        let name = format!("fork-{}", self.forks);
        self.forks += 1;
        let parent = &self.members[member];
        let records = version.map_or(&parent.records, |version| &parent.versions[&version]).clone();
        let row = self.database().fork_collection(parent.id, version, &name).unwrap();
        self.members.push(Member { id: row.id, name, records, versions: BTreeMap::new() });
    }

    /// The version that a step means, if the member has one.
    fn version(&self, member: usize, at: usize) -> Option<u64> {
        let versions = &self.members[member].versions;
        versions.keys().nth(at % versions.len().max(1)).copied()
    }

    fn apply(&mut self, step: &Step) {
        let member = |given: &usize| given % self.members.len();
        match step {
            Step::Upsert(given, ids, value) => {
                let member = member(given);
                upsert(&self.collection(member), ids, *value);
                self.members[member].records.extend(ids.iter().map(|id| (*id, *value)));
            }
            Step::Delete(given, ids) => {
                let member = member(given);
                let named = ids.iter().map(u8::to_string).collect();
                let request = DeleteRequest { ids: Some(named), ..DeleteRequest::default() };
                self.collection(member).delete(&request).unwrap();
                self.members[member].records.retain(|id, _| !ids.contains(id));
            }
            Step::Fork(given) => self.adopt(member(given), None),
            Step::ForkVersion(given, at) => {
                let member = member(given);
                if let Some(version) = self.version(member, *at) {
                    self.adopt(member, Some(version));
                }
            }
            Step::CreateVersion(given) => {
                let member = member(given);
                let version = self.collection(member).create_version(None).unwrap();
                let records = self.members[member].records.clone();
                assert_eq!(version.records, records.len() as u64);
                // Without a write in between it is the same version.
                if let Some(known) = self.members[member].versions.insert(version.version, records.clone()) {
                    assert_eq!(known, records);
                }
            }
            Step::DeleteVersion(given, at) => {
                let member = member(given);
                if let Some(version) = self.version(member, *at) {
                    self.database().delete_version(self.members[member].id, version).unwrap();
                    self.members[member].versions.remove(&version);
                }
            }
            Step::Compact(given) => {
                self.collection(member(given)).compact(&CancelToken::default()).unwrap();
            }
            Step::Drop(given) => {
                if self.members.len() > 1 {
                    let member = member(given);
                    let gone = self.members.remove(member);
                    let held = self.database().collection(gone.id).unwrap();
                    self.database()
                        .delete_collection("default_tenant", "default_database", &gone.name)
                        .unwrap();
                    assert_eq!(held.count().unwrap_err().code(), Code::NotFound);
                }
            }
            Step::Reopen => {
                self.handle.take().unwrap().close().unwrap();
                self.handle = Some(support::open(self.folder.path(), options()));
            }
            Step::Kill => {
                // Dropped without a close: nothing is sealed, and the lock is free.
                drop(self.handle.take());
                self.handle = Some(open_when_free(self.folder.path()));
            }
        }
    }

    fn check(&self) {
        for (at, member) in self.members.iter().enumerate() {
            check(&self.collection(at), &member.records);
            let listed = self.collection(at).versions().unwrap();
            let numbers: Vec<u64> = listed.iter().map(|version| version.version).collect();
            assert_eq!(numbers, member.versions.keys().copied().collect::<Vec<_>>());
            for (version, records) in &member.versions {
                check(&self.database().collection_version(member.id, *version).unwrap(), records);
            }
        }
        let is_fork = |member: &&Member| member.name != "first";
        let forks = self.members.iter().filter(is_fork).count() as u64;
        for member in &self.members {
            assert_eq!(self.database().catalog().fork_count(member.id).unwrap(), forks);
        }
    }

    /// The folders of segments are those that the catalog names, once background work has given up what it replaced.
    fn check_files(mut self) {
        for at in 0..self.members.len() {
            self.collection(at).compact(&CancelToken::default()).unwrap();
        }
        let named = self.database().catalog().all_segment_ids().unwrap();
        let mut named: Vec<String> = named.iter().map(Uuid::to_string).collect();
        named.sort();
        // Not as garbage of the next opening: as soon as nothing names them.
        self.handle.take().unwrap().close().unwrap();
        assert_eq!(segment_folders(self.folder.path()), named);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn members_of_a_family_go_their_own_ways(steps in prop::collection::vec(step(), 1..28)) {
        let mut family = Family::new();
        for step in &steps {
            family.apply(step);
            family.check();
        }
        family.check_files();
    }
}

#[test]
fn a_fork_shares_files_until_it_is_compacted_and_outlives_its_parent() {
    let mut family = Family::new();
    let ids: Vec<u8> = (0..20).collect();
    family.apply(&Step::Upsert(0, ids, 1));
    family.apply(&Step::Compact(0));
    let before = segment_folders(family.folder.path());
    assert_eq!(before.len(), 1);
    family.apply(&Step::Fork(0));
    assert_eq!(family.collection(1).stats().unwrap(), family.collection(0).stats().unwrap());
    assert_eq!(segment_folders(family.folder.path()), before);
    family.apply(&Step::Delete(0, vec![1, 2]));
    family.apply(&Step::Compact(0));
    assert_eq!(segment_folders(family.folder.path()).len(), 2);
    family.check();
    family.apply(&Step::Drop(0));
    assert_eq!(segment_folders(family.folder.path()), before);
    family.check();
    family.check_files();
}

#[test]
fn a_version_can_be_read_and_nothing_else() {
    let mut family = Family::new();
    family.apply(&Step::Upsert(0, vec![1, 2, 3], 7));
    let collection = family.collection(0);
    let version = collection.create_version(Some("first".to_owned())).unwrap();
    assert_eq!((version.records, version.label.as_deref()), (3, Some("first")));
    // The same state is the same version; a new label replaces the old one.
    let again = collection.create_version(None).unwrap();
    assert_eq!((again.version, again.label.as_deref()), (version.version, Some("first")));
    let again = collection.create_version(Some("second".to_owned())).unwrap();
    assert_eq!((again.version, again.label.as_deref()), (version.version, Some("second")));
    assert_eq!(collection.versions().unwrap(), [again]);

    upsert(&collection, &[1, 9], 8);
    let view = family.database().collection_version(collection.id(), version.version).unwrap();
    assert_eq!(records_of(&view), Records::from([(1, 7), (2, 7), (3, 7)]));
    let batch =
        WriteBatch { ids: vec!["1".into()], embeddings: Some(vec![0.0; 2]), dim: 2, ..WriteBatch::default() };
    assert_eq!(view.write(WriteKind::Add, batch).unwrap_err().code(), Code::ReadOnly);
    let request = DeleteRequest { ids: Some(["1"].into_iter().collect()), ..DeleteRequest::default() };
    assert_eq!(view.delete(&request).unwrap_err().code(), Code::ReadOnly);
    assert_eq!(view.compact(&CancelToken::default()).unwrap_err().code(), Code::ReadOnly);
    assert_eq!(view.create_version(None).unwrap_err().code(), Code::ReadOnly);

    family.database().delete_version(collection.id(), version.version).unwrap();
    assert_eq!(view.count().unwrap_err().code(), Code::NotFound);
    let missing = family.database().collection_version(collection.id(), version.version).unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(
        family.database().delete_version(collection.id(), u64::MAX).unwrap_err().code(),
        Code::NotFound
    );
}

#[test]
fn automatic_versions_are_kept_as_the_setting_says() {
    let folder = tempfile::tempdir().unwrap();
    let handle = support::open(folder.path(), support::options(6));
    let collection = support::create(&handle, "kept", r#"{"versions":{"keep":2}}"#);
    for value in 0..5 {
        upsert(&collection, &(0..20).collect::<Vec<u8>>(), value);
        if value == 1 {
            collection.create_version(Some("mine".to_owned())).unwrap();
        }
        collection.compact(&CancelToken::default()).unwrap();
    }
    let versions = collection.versions().unwrap();
    assert_eq!(versions.iter().filter(|version| version.automatic).count(), 2);
    assert_eq!(versions.iter().filter(|version| !version.automatic).count(), 1);
    let newest = versions.last().unwrap();
    let database = handle.database().unwrap();
    let view = database.collection_version(collection.id(), newest.version).unwrap();
    assert_eq!(records_of(&view), (0..20).map(|id| (id, 4)).collect::<Records>());
    let mine = versions.iter().find(|version| !version.automatic).unwrap();
    let view = database.collection_version(collection.id(), mine.version).unwrap();
    assert_eq!(records_of(&view), (0..20).map(|id| (id, 1)).collect::<Records>());
    // A segment each, and that of the present state, which the newest version shares.
    assert_eq!(segment_folders(folder.path()).len(), 3);
    database.reset().unwrap();
    drop(view);
    assert!(segment_folders(folder.path()).is_empty());
}
