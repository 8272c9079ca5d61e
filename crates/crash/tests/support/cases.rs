//! Folders as a crash may have left them, and checking many of them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};

use ferrochrome_testing::{Disk, Operation, Random, Survives, Tree, write_tree};

use super::long;

/// A folder as a crash may have left it.
pub struct Case<A> {
    pub tree: Tree,
    /// What may be found in it.
    pub allowed: A,
    /// For the message.
    pub what: String,
    /// Whether to write more and open once more.
    pub goes_on: bool,
}

/// Every so many cases are written to and opened once more.
const GOES_ON: usize = 6;

/// Which cases of a trace to take.
#[derive(Clone)]
pub struct Sample {
    /// The operations after which to stop.
    pub points: Range<usize>,
    /// In the short form, the share of them.
    pub share: f64,
    /// In the short form, the share of these at which some of what was not synced is lost, rather than all or nothing.
    pub mixed: f64,
    /// Seeded mixtures at each.
    pub seeds: u64,
}

/// What a watcher of a trace says may be found after a crash: after the end of the process, and after a power cut.
pub type Allowed<A> = (A, A);

/// Passes the cases of a trace to `send`: at each of its points the end of the process, and a power cut that takes all that was
/// not synced; there, or in the short form at some of them, also the other extremes and mixtures. Equal ones are passed once.
/// `watch` is told of each operation, and says what may be found if the crash comes right after it.
pub fn cases<A: Clone + Hash>(
    first: &Tree,
    trace: &[Operation],
    sample: &Sample,
    mut watch: impl FnMut(&Operation, &Disk) -> Allowed<A>,
    mut send: impl FnMut(Case<A>),
) {
    let mut disk = Disk::new(first);
    let mut seen = HashSet::new();
    let mut random = Random::new(trace.len() as u64);
    let mut sent = 0;
    for (at, operation) in trace.iter().enumerate() {
        disk.apply(operation);
        let (after_kill, after_cut) = watch(operation, &disk);
        // After these a crash leaves what it would have left before.
        let changes_nothing =
            matches!(operation, Operation::Close(_) | Operation::Duplicate { .. } | Operation::Unknown(..));
        if changes_nothing || !sample.points.contains(&at) || !(long() || random.chance(sample.share)) {
            continue;
        }
        let mut all = vec![(Survives::Everything, after_kill), (Survives::Nothing, after_cut.clone())];
        if long() || random.chance(sample.mixed) {
            let mixtures = (0..sample.seeds).map(|_| Survives::Some(random.number()));
            let more = [Survives::Names, Survives::Bytes].into_iter().chain(mixtures);
            all.extend(more.map(|cut| (cut, after_cut.clone())));
        }
        for (survives, allowed) in all {
            let tree = disk.after_crash(survives);
            let mut hasher = DefaultHasher::new();
            (&tree, &allowed).hash(&mut hasher);
            if seen.insert(hasher.finish()) {
                let what = format!(
                    "after operation {at} of {}, {} survives: {survives:?}",
                    trace.len(),
                    show(operation)
                );
                sent += 1;
                send(Case { tree, allowed, what, goes_on: sent % GOES_ON == 0 });
            }
        }
    }
}

fn show(operation: &Operation) -> String {
    match operation {
        Operation::Write { fd, offset, bytes } => format!("Write({fd}, {offset}, {} bytes)", bytes.len()),
        other => format!("{other:?}"),
    }
}

/// What checking many cases came to.
pub struct Checked {
    pub cases: usize,
    pub failures: Vec<String>,
}

impl Checked {
    /// Fails the test if a case failed, else says how many there were.
    pub fn passed(self) -> usize {
        let shown = self.failures.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
        assert!(self.failures.is_empty(), "{} of {} cases failed:\n{shown}", self.failures.len(), self.cases);
        self.cases
    }
}

/// Writes cases into folders and checks them, on all cores.
pub fn check_all<A: Send>(
    workplace: &Path,
    check: impl Fn(&Path, &Case<A>) -> Result<(), String> + Sync,
    produce: impl FnOnce(&mut dyn FnMut(Case<A>)),
) -> Checked {
    let checked = Mutex::new(Checked { cases: 0, failures: Vec::new() });
    let (sender, receiver) = sync_channel::<Case<A>>(64);
    let receiver = Mutex::new(receiver);
    let next = |receiver: &Mutex<Receiver<Case<A>>>| receiver.lock().unwrap().recv().ok();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for worker in 0..threads {
            let (checked, receiver, check) = (&checked, &receiver, &check);
            scope.spawn(move || {
                let folder = workplace.join(format!("case-{worker}"));
                while let Some(case) = next(receiver) {
                    write_tree(&case.tree, &folder).unwrap();
                    let outcome = check(&folder, &case);
                    let mut checked = checked.lock().unwrap();
                    checked.cases += 1;
                    if let Err(message) = outcome {
                        checked.failures.push(format!("{}\n    {message}", case.what));
                    }
                }
            });
        }
        produce(&mut |case| sender.send(case).unwrap());
        drop(sender);
    });
    checked.into_inner().unwrap()
}
