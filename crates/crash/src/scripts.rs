//! The programs: which steps, with which settings, in which folders.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ferrochrome_engine::{DatabaseOptions, Durability, WriteKind};

use crate::model::DATABASE;
use crate::steps::Step;

/// Rows that start a seal: few, so that a short program sees many.
pub const SEAL_ROWS: usize = 10;
/// Rows from which segments of [`Script::Graphs`] have a graph: few enough for a debugger, enough for several levels of it.
const GRAPH_ROWS: u64 = 12;

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Script {
    /// Records: every kind of change, in the head and in segments, with seals and merges in between.
    Records,
    /// Forks and versions, which share segments.
    Family,
    /// Segments so large, in relation to what makes a graph, that graphs are built, extended, mended and shared.
    Graphs,
    /// Snapshots of a database beside it, and restoring them there and in its place.
    Copies,
    /// A short one for a database that survived something: it goes on where [`Records`](Self::Records) may have stopped.
    More,
}

impl Script {
    /// All of them.
    pub const ALL: [Script; 5] =
        [Script::Records, Script::Family, Script::Graphs, Script::Copies, Script::More];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Script::Records => "records",
            Script::Family => "family",
            Script::Graphs => "graphs",
            Script::Copies => "copies",
            Script::More => "more",
        }
    }

    /// The steps.
    pub fn steps(self) -> Vec<Step> {
        match self {
            Script::Records => records(),
            Script::Family => family(),
            Script::Graphs => graphs(),
            Script::Copies => copies(),
            Script::More => more(),
        }
    }

    /// Options for its database.
    pub fn options(self, durability: Durability) -> DatabaseOptions {
        let mut options = DatabaseOptions::default();
        options.durability = durability;
        options.seal_rows = SEAL_ROWS;
        options.threads = 1;
        if self == Script::Graphs {
            options.min_rows_for_codes = 6;
            options.min_rows_for_graph = GRAPH_ROWS;
        }
        options
    }

    /// The folder of the database that it writes to, if it works below `root`.
    pub fn database(self, root: &Path) -> PathBuf {
        if self.has_several() { root.join(DATABASE) } else { root.to_owned() }
    }

    /// Whether its folder holds several databases beside one another, rather than being one.
    pub fn has_several(self) -> bool {
        self == Script::Copies
    }

    /// Path of the log that promises durability, below the root.
    pub fn log(self) -> String {
        const LOG: &str = "catalog.sqlite-wal";
        if self.has_several() { format!("{DATABASE}/{LOG}") } else { LOG.to_owned() }
    }

    /// How many times at least it should write an index with a graph.
    pub fn graphs(self) -> RangeInclusive<usize> {
        if self == Script::Graphs { 6..=usize::MAX } else { 0..=0 }
    }
}

fn records() -> Vec<Step> {
    use Step::{Compact, Create, Delete, DeleteCollection, DeleteTag, Note, Rename, Reopen, Settle, Write};
    use WriteKind::{Add, Update, Upsert};
    vec![
        Create("a"),
        Write("a", Add, 0..4, 1),
        Write("a", Add, 4..8, 1),
        Write("a", Add, 8..14, 1),
        Settle("a"),
        Write("a", Upsert, 2..6, 2),
        Delete("a", 0..1),
        Create("b"),
        Write("b", Add, 0..6, 1),
        Note("a", 1),
        Write("a", Update, 5..9, 3),
        DeleteTag("a", 1),
        Compact("a"),
        Write("a", Add, 20..32, 1),
        Settle("a"),
        Rename("b", "c"),
        Reopen,
        Write("c", Upsert, 3..9, 2),
        Write("a", Add, 32..44, 1),
        Settle("a"),
        // Most of the two segments has died: the background writes them anew.
        Write("a", Upsert, 20..40, 4),
        Settle("a"),
        Compact("a"),
        DeleteCollection("c"),
        Create("b"),
        Write("b", Add, 0..3, 1),
        Reopen,
        Delete("a", 20..44),
        Compact("a"),
        Note("b", 2),
        Write("a", Add, 50..56, 1),
        Reopen,
        Compact("b"),
        Delete("b", 0..3),
        Compact("b"),
        DeleteCollection("a"),
    ]
}

fn family() -> Vec<Step> {
    use Step::{
        Compact, Create, CreateKeeping, Delete, DeleteCollection, DeleteVersion, Fork, ForkVersion, Note,
        Reopen, SecureCompact, Settle, Version, Write,
    };
    use WriteKind::{Add, Update, Upsert};
    vec![
        Create("a"),
        Note("a", 1),
        Write("a", Add, 0..14, 1),
        Settle("a"),
        Write("a", Upsert, 2..5, 2),
        // One segment and a head, which both sides then change.
        Fork("a", "fork"),
        Write("fork", Upsert, 0..3, 3),
        Delete("a", 8..12),
        Version("a", "first"),
        Write("a", Update, 5..8, 4),
        Write("fork", Add, 20..32, 1),
        Settle("fork"),
        Compact("a"),
        Version("a", "second"),
        // The segment that `a` has given up lives on in the fork and in the version.
        ForkVersion("a", "first", "old"),
        Delete("old", 0..4),
        Compact("fork"),
        Reopen,
        Compact("old"),
        DeleteVersion("a", "first"),
        Fork("fork", "grandchild"),
        DeleteCollection("fork"),
        Write("grandchild", Upsert, 20..26, 5),
        Version("grandchild", "third"),
        Reopen,
        Write("grandchild", Upsert, 0..2, 6),
        SecureCompact("grandchild"),
        DeleteCollection("a"),
        CreateKeeping("kept"),
        Write("kept", Add, 0..12, 1),
        Settle("kept"),
        Write("kept", Upsert, 0..12, 2),
        Settle("kept"),
        DeleteVersion("grandchild", "third"),
        Fork("kept", "last"),
        DeleteCollection("kept"),
        SecureCompact("last"),
        DeleteCollection("old"),
        Reopen,
        DeleteCollection("grandchild"),
    ]
}

fn graphs() -> Vec<Step> {
    use Step::{
        Compact, Create, Delete, DeleteCollection, DeleteVersion, Fork, Idle, Reopen, SecureCompact, Settle,
        Version, Write,
    };
    use WriteKind::{Add, Upsert};
    vec![
        Create("a"),
        Write("a", Add, 0..24, 1),
        // A first graph, which is extended, mended and at last built anew.
        Compact("a"),
        Write("a", Add, 24..36, 1),
        Settle("a"),
        Compact("a"),
        Version("a", "first"),
        Delete("a", 0..4),
        Compact("a"),
        Fork("a", "fork"),
        // A fifth of the graph has died: the background mends it.
        Write("a", Upsert, 10..20, 2),
        Settle("a"),
        Write("fork", Upsert, 4..6, 3),
        Reopen,
        // In the background a graph with some dead nodes is extended, and two graphs become one.
        Write("fork", Add, 40..54, 1),
        Idle("fork"),
        Compact("a"),
        DeleteCollection("fork"),
        SecureCompact("a"),
        DeleteVersion("a", "first"),
        Delete("a", 20..36),
        Compact("a"),
        Reopen,
        DeleteCollection("a"),
    ]
}

fn copies() -> Vec<Step> {
    use Step::{
        Compact, Create, Delete, DeleteCollection, Fork, Reopen, Replace, Restore, Snapshot, Version, Write,
    };
    use WriteKind::{Add, Upsert};
    vec![
        Create("a"),
        Write("a", Add, 0..12, 1),
        Compact("a"),
        Version("a", "first"),
        Write("a", Upsert, 2..5, 2),
        Create("b"),
        Write("b", Add, 0..3, 1),
        Fork("a", "fork"),
        Snapshot("monday"),
        Delete("a", 0..6),
        Compact("a"),
        DeleteCollection("fork"),
        Snapshot("tuesday"),
        DeleteCollection("b"),
        Restore("monday", "beside"),
        Write("a", Upsert, 30..33, 1),
        Replace("monday"),
        Write("a", Upsert, 0..2, 7),
        Compact("a"),
        Replace("tuesday"),
        Reopen,
        Write("a", Add, 40..42, 1),
    ]
}

fn more() -> Vec<Step> {
    use Step::{Compact, Create, Reopen, Write};
    vec![
        Create("more"),
        Write("more", WriteKind::Add, 0..12, 1),
        Compact("more"),
        Reopen,
        Write("more", WriteKind::Upsert, 5..7, 2),
    ]
}
