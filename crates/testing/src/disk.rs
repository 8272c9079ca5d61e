//! A disk that keeps what was written apart from what is durable, and says what may be left after the power fails.
//!
//! It grants no more than POSIX does. Bytes are durable once their file was synced, a name once its folder was. Until then
//! anything may have happened to a change: each sector of a write, each change of a length and each change of a name may have
//! come through or not, in any order. What journalling file systems do is among that.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

use crate::random::Random;
use crate::trace::Operation;

/// What a folder holds: relative paths, and the contents of files; `None` is a folder. Parents come before their children.
pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What of the changes that were not synced is there after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survives {
    /// Everything: the process died, the system goes on.
    Everything,
    /// Nothing.
    Nothing,
    /// The names, but not the bytes: files that are shorter than they should be, and files that are still there or already gone.
    Names,
    /// The bytes, but not the names.
    Bytes,
    /// Some of both, as this seed decides. Sectors have 512 or 4,096 bytes.
    Some(u64),
}

type Id = usize;
const ROOT: Id = 0;

#[derive(Clone, Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

#[derive(Clone, Debug)]
enum Node {
    File {
        /// What a reader sees.
        written: Vec<u8>,
        /// What is on the medium for certain.
        durable: Vec<u8>,
        /// The changes in between.
        pending: Vec<Change>,
    },
    Folder {
        written: BTreeMap<String, Id>,
        durable: BTreeMap<String, Id>,
        /// Each is atomic: what it takes away, what it puts in.
        pending: Vec<Vec<(String, Option<Id>)>>,
    },
}

/// The files of one folder, at one point of a trace.
#[derive(Clone, Debug)]
pub struct Disk {
    nodes: Vec<Node>,
    open: HashMap<i32, Id>,
}

impl Disk {
    /// A disk on which `tree` lies, all of it durable.
    pub fn new(tree: &Tree) -> Self {
        let mut disk = Disk { nodes: vec![folder()], open: HashMap::new() };
        for (path, contents) in tree {
            let node = match contents {
                None => folder(),
                Some(bytes) => {
                    Node::File { written: bytes.clone(), durable: bytes.clone(), pending: Vec::new() }
                }
            };
            let id = disk.add(node);
            disk.change_names(path, Some(id));
        }
        for node in &mut disk.nodes {
            if let Node::Folder { written, durable, pending } = node {
                durable.clone_from(written);
                pending.clear();
            }
        }
        disk
    }

    /// Lets the next operation of the trace happen.
    ///
    /// # Panics
    /// If it does not fit what happened before, or cannot be modelled.
    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Open { fd, truncates, path } => {
                let id = self.find(path).unwrap_or_else(|| {
                    let file = Node::File { written: Vec::new(), durable: Vec::new(), pending: Vec::new() };
                    let id = self.add(file);
                    self.change_names(path, Some(id));
                    id
                });
                self.open.insert(*fd, id);
                if *truncates {
                    self.change(*fd, Change::Length(0));
                }
            }
            Operation::Close(fd) => _ = self.open.remove(fd),
            Operation::Duplicate { fd, copy } => _ = self.open.insert(*copy, self.open[fd]),
            Operation::Write { fd, offset, bytes } => self.change(*fd, Change::Write(*offset, bytes.clone())),
            Operation::Truncate { fd, length } => self.change(*fd, Change::Length(*length)),
            Operation::Sync(fd) => match &mut self.nodes[self.open[fd]] {
                Node::File { durable, pending, .. } => {
                    pending.drain(..).for_each(|change| alter(durable, &change));
                }
                Node::Folder { durable, pending, .. } => {
                    pending.drain(..).flatten().for_each(|(name, id)| set_name(durable, &name, id));
                }
            },
            // Names are in the journal of the file system, which does not take them for written.
            Operation::SyncFailed(fd) => {
                if let Node::File { pending, .. } = &mut self.nodes[self.open[fd]] {
                    pending.clear();
                }
            }
            Operation::Rename(from, to) => self.rename(from, to),
            Operation::Link(from, to) => {
                let id = self.find(from).unwrap_or_else(|| panic!("{from} is linked, but is not there"));
                self.change_names(to, Some(id));
            }
            Operation::Unlink(path) | Operation::RemoveFolder(path) => self.change_names(path, None),
            Operation::MakeFolder(path) => {
                let id = self.add(folder());
                self.change_names(path, Some(id));
            }
            Operation::Mark(_) => {}
            Operation::Unknown(fd, call) => {
                let name = self.name_of(*fd);
                // Whoever opens the file first makes it anew.
                assert!(call == "mmap" && name.ends_with("-shm"), "{call} of {name} cannot be modelled");
            }
        }
    }

    /// What is there after a crash at this point. SQLite's shared memory is left out.
    pub fn after_crash(&self, survives: Survives) -> Tree {
        let mut tree = Tree::new();
        let mut random = match survives {
            Survives::Some(seed) => Some(Random::new(seed)),
            _ => None,
        };
        self.collect(ROOT, "", survives, &mut random, &mut tree);
        tree
    }

    fn collect(
        &self,
        at: Id,
        prefix: &str,
        survives: Survives,
        random: &mut Option<Random>,
        tree: &mut Tree,
    ) {
        let Node::Folder { written, durable, pending } = &self.nodes[at] else { return };
        let names = match survives {
            Survives::Everything | Survives::Names => written.clone(),
            Survives::Nothing | Survives::Bytes => durable.clone(),
            Survives::Some(_) => some_names(durable, pending, random),
        };
        for (name, id) in names {
            if name.ends_with("-shm") {
                continue;
            }
            let path = format!("{prefix}{name}");
            match &self.nodes[id] {
                Node::Folder { .. } => {
                    tree.insert(path.clone(), None);
                    self.collect(id, &format!("{path}/"), survives, random, tree);
                }
                Node::File { written, durable, pending } => {
                    let contents = match survives {
                        Survives::Everything | Survives::Bytes => written.clone(),
                        Survives::Nothing | Survives::Names => durable.clone(),
                        Survives::Some(_) => some_bytes(durable, pending, random),
                    };
                    tree.insert(path, Some(contents));
                }
            }
        }
    }

    /// Whether the path would be found after a crash, whatever else is lost, for the file that it names now.
    pub fn is_name_durable(&self, path: &str) -> bool {
        let mut at = ROOT;
        path.split('/').all(|name| match &self.nodes[at] {
            Node::Folder { written, durable, .. } => match (written.get(name), durable.get(name)) {
                (Some(id), Some(other)) if id == other => {
                    at = *id;
                    true
                }
                _ => false,
            },
            Node::File { .. } => false,
        })
    }

    /// The path of an open file or folder, one of them if it has several names; empty if it has none any more.
    pub fn path_of(&self, fd: i32) -> String {
        let mut path = String::new();
        let mut id = self.open[&fd];
        while id != ROOT {
            let holds = |(folder, node): (Id, &Node)| match node {
                Node::Folder { written, .. } => {
                    written.iter().find(|(_, other)| **other == id).map(|(name, _)| (folder, name.clone()))
                }
                Node::File { .. } => None,
            };
            let Some((folder, name)) = self.nodes.iter().enumerate().find_map(holds) else {
                return String::new();
            };
            path = if path.is_empty() { name } else { format!("{name}/{path}") };
            id = folder;
        }
        path
    }

    /// The name, without its folder, of an open file; empty if it has none any more.
    pub fn name_of(&self, fd: i32) -> &str {
        let id = self.open[&fd];
        let folders = self.nodes.iter().filter_map(|node| match node {
            Node::Folder { written, .. } => Some(written),
            Node::File { .. } => None,
        });
        folders.flatten().find(|(_, other)| **other == id).map_or("", |(name, _)| name.as_str())
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn find(&self, path: &str) -> Option<Id> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(ROOT, |at, name| match &self.nodes[at] {
            Node::Folder { written, .. } => written.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    fn parent<'a>(&self, path: &'a str) -> (Id, &'a str) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let id = self.find(parent).unwrap_or_else(|| panic!("{parent} is used, but is not there"));
        (id, name)
    }

    fn change_names(&mut self, path: &str, id: Option<Id>) {
        let (parent, name) = self.parent(path);
        self.change_folder(parent, vec![(name.to_owned(), id)]);
    }

    fn rename(&mut self, from: &str, to: &str) {
        let id = self.find(from).unwrap_or_else(|| panic!("{from} is renamed, but is not there"));
        let ((source, old), (target, new)) = (self.parent(from), self.parent(to));
        let (removed, added) = ((old.to_owned(), None), (new.to_owned(), Some(id)));
        if source == target {
            self.change_folder(source, vec![removed, added]);
        } else {
            // Two folders need two syncs.
            self.change_folder(target, vec![added]);
            self.change_folder(source, vec![removed]);
        }
    }

    fn change_folder(&mut self, folder: Id, changes: Vec<(String, Option<Id>)>) {
        let Node::Folder { written, pending, .. } = &mut self.nodes[folder] else {
            panic!("a name in what is no folder")
        };
        for (name, id) in &changes {
            set_name(written, name, *id);
        }
        pending.push(changes);
    }

    fn change(&mut self, fd: i32, change: Change) {
        let Node::File { written, pending, .. } = &mut self.nodes[self.open[&fd]] else {
            panic!("a write to a folder")
        };
        alter(written, &change);
        pending.push(change);
    }
}

fn folder() -> Node {
    Node::Folder { written: BTreeMap::new(), durable: BTreeMap::new(), pending: Vec::new() }
}

fn set_name(names: &mut BTreeMap<String, Id>, name: &str, id: Option<Id>) {
    match id {
        Some(id) => names.insert(name.to_owned(), id),
        None => names.remove(name),
    };
}

fn alter(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => contents.resize(*length as usize, 0),
        Change::Write(offset, bytes) => {
            let (from, to) = (*offset as usize, *offset as usize + bytes.len());
            if contents.len() < to {
                contents.resize(to, 0);
            }
            contents[from..to].copy_from_slice(bytes);
        }
    }
}

/// Names after some of the changes: in half of the cases those before some moment, else any.
fn some_names(
    durable: &BTreeMap<String, Id>,
    pending: &[Vec<(String, Option<Id>)>],
    random: &mut Option<Random>,
) -> BTreeMap<String, Id> {
    let mut names = durable.clone();
    let Some(random) = random else { return names };
    let chosen = choose(pending.len(), random);
    for (change, _) in pending.iter().zip(chosen).filter(|(_, chosen)| *chosen) {
        for (name, id) in change {
            set_name(&mut names, name, *id);
        }
    }
    names
}

/// Bytes after some of the changes, whose sectors come through on their own. What a file was extended by without its bytes is
/// zeros, or what lay on the disk before.
fn some_bytes(durable: &[u8], pending: &[Change], random: &mut Option<Random>) -> Vec<u8> {
    let mut contents = durable.to_vec();
    let Some(random) = random else { return contents };
    let sector = if random.chance(0.5) { 512 } else { 4096 };
    let old = if random.chance(0.5) { 0 } else { 0xa5 };
    let whole = random.chance(0.3);
    let chosen = choose(pending.len(), random);
    for (change, chosen) in pending.iter().zip(chosen) {
        match change {
            Change::Length(_) if chosen => alter(&mut contents, change),
            Change::Write(..) if chosen && whole => alter(&mut contents, change),
            Change::Write(offset, bytes) if chosen => {
                let end = *offset as usize + bytes.len();
                if contents.len() < end && random.chance(0.8) {
                    contents.resize(end, old);
                }
                write_sectors(&mut contents, *offset as usize, bytes, sector, random);
            }
            _ => {}
        }
    }
    contents
}

fn write_sectors(contents: &mut Vec<u8>, offset: usize, bytes: &[u8], sector: usize, random: &mut Random) {
    let mut at = 0;
    while at < bytes.len() {
        let end = ((offset + at) / sector * sector + sector - offset).min(bytes.len());
        // A part beyond the end of the file is lost with the length that it would have given it.
        if random.chance(0.6) && offset + at <= contents.len() {
            alter(contents, &Change::Write((offset + at) as u64, bytes[at..end].to_vec()));
        }
        at = end;
    }
}

fn choose(changes: usize, random: &mut Random) -> Vec<bool> {
    if random.chance(0.5) {
        let until = random.below(changes as u64 + 1) as usize;
        return (0..changes).map(|at| at < until).collect();
    }
    let share = [0.2, 0.5, 0.9][random.below(3) as usize];
    (0..changes).map(|_| random.chance(share)).collect()
}

/// What lies in a folder, without SQLite's shared memory.
///
/// # Errors
/// Of the file system.
pub fn read_tree(root: &Path) -> io::Result<Tree> {
    fn read(folder: &Path, prefix: &str, tree: &mut Tree) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                tree.insert(path.clone(), None);
                read(&entry.path(), &format!("{path}/"), tree)?;
            } else if !path.ends_with("-shm") {
                tree.insert(path, Some(fs::read(entry.path())?));
            }
        }
        Ok(())
    }
    let mut tree = Tree::new();
    read(root, "", &mut tree)?;
    Ok(tree)
}

/// Writes a tree into a folder, which is made, or emptied first.
///
/// # Errors
/// Of the file system.
pub fn write_tree(tree: &Tree, root: &Path) -> io::Result<()> {
    if root.exists() {
        fs::remove_dir_all(root)?;
    }
    fs::create_dir_all(root)?;
    for (path, contents) in tree {
        match contents {
            None => fs::create_dir(root.join(path))?,
            Some(bytes) => fs::write(root.join(path), bytes)?,
        }
    }
    Ok(())
}
