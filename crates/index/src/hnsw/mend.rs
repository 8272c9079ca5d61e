//! A graph without some of its nodes, whose neighbours are linked with one another instead.

use ferrochrome_types::{CancelToken, Result};
use roaring::RoaringBitmap;

use super::builder::Selection;
use super::graph::{EMPTY, Graph, UpperLevels};
use super::walk::{Links, score_one};
use crate::aligned_buffer::AlignedBuffer;
use crate::scorer::Scorer;
use crate::shortlist::Candidate;
use crate::threads::join_all;

/// Nodes that are gone, among the neighbours of one that stays, whose neighbours are looked at in turn.
const MOST_EXPANDED: usize = 64;
/// Nodes considered for the links of a node: more are hardly ever chosen.
const MOST_CANDIDATES: usize = 100;
/// A node that is left with a smaller part of the usual links than this is inserted anew.
const FEWEST_LINKS_PART: usize = 4;
/// Nodes between two looks at the cancel token.
const CANCEL_STRIDE: usize = 256;

/// A graph without the nodes that were to go.
pub(crate) struct Mended {
    pub(crate) graph: Graph,
    /// Nodes that nothing leads to any more, or that lead almost nowhere: to be inserted again, ascending.
    pub(crate) loose: Vec<u32>,
}

/// What is needed beside the scorer, which knows the nodes that stay by their new labels.
pub(crate) struct MendOptions<'a> {
    pub(crate) gone: &'a RoaringBitmap,
    pub(crate) threads: usize,
    pub(crate) cancel: &'a CancelToken,
}

/// `graph` without the nodes in `options.gone`, of which at least one stays. Those that stay keep their order and their levels.
pub(crate) fn mend<S: Scorer>(scorer: &S, graph: &Graph, options: &MendOptions<'_>) -> Result<Mended> {
    let names = Names::new(graph.len, options.gone);
    let shape = graph.shape;
    let mut links = AlignedBuffer::zeroed(names.stay.len() * shape.row_width())?;
    links.fill(EMPTY);
    let mender = Mender { scorer, graph, names: &names, options };
    let rows = names.stay.len().div_ceil(options.threads.max(1)).max(1);
    let width = shape.row_width();
    std::thread::scope(|scope| {
        let mut workers = Vec::new();
        for (part, links) in links.chunks_mut(rows * width).enumerate() {
            let mender = &mender;
            workers.push(scope.spawn(move || mender.mend_ground(part * rows, links)));
        }
        join_all(workers)
    })?;
    let upper = mender.mend_upper()?;
    let (entry, top_level) = highest(&upper);
    let graph = Graph { shape, len: names.stay.len(), links, upper, entry, top_level };
    let loose = loose(&graph);
    Ok(Mended { graph, loose })
}

/// Old labels and new ones.
struct Names {
    /// The old label of each node that stays.
    stay: Vec<u32>,
    /// The new label of each old node; [`EMPTY`] of those that are gone.
    new: Vec<u32>,
}

impl Names {
    fn new(len: usize, gone: &RoaringBitmap) -> Self {
        let mut names = Names { stay: Vec::with_capacity(len), new: vec![EMPTY; len] };
        for label in 0..len as u32 {
            if !gone.contains(label) {
                names.new[label as usize] = names.stay.len() as u32;
                names.stay.push(label);
            }
        }
        names
    }
}

/// The first node of the highest level.
fn highest(upper: &UpperLevels) -> (u32, u8) {
    let top = |best: (u32, u8), &label: &u32| {
        let level = upper.level(label);
        if level > best.1 { (label, level) } else { best }
    };
    upper.labels.iter().fold((0, 0), top)
}

/// Nodes of the ground level without a link that leads to them, or with few links of their own.
fn loose(graph: &Graph) -> Vec<u32> {
    let width = graph.shape.row_width();
    let fewest = graph.shape.ground_links() / FEWEST_LINKS_PART;
    let mut reached = RoaringBitmap::new();
    graph.links.iter().filter(|&&link| link != EMPTY).for_each(|&link| _ = reached.insert(link));
    let is_loose = |label: &u32| {
        let row = &graph.links[*label as usize * width..][..width];
        let links = row.iter().take_while(|&&link| link != EMPTY).count();
        links < fewest.min(graph.len - 1) || !reached.contains(*label)
    };
    (0..graph.len as u32).filter(|label| *label != graph.entry).filter(is_loose).collect()
}

struct Mender<'a, S: Scorer> {
    scorer: &'a S,
    graph: &'a Graph,
    names: &'a Names,
    options: &'a MendOptions<'a>,
}

/// Memory of one thread.
struct Workspace<Q> {
    query: Q,
    selection: Selection<Q>,
    /// Old labels of nodes that are gone, in the order in which they were met.
    expanded: Vec<u32>,
    /// New labels.
    near: Vec<u32>,
    scores: Vec<f32>,
    candidates: Vec<Candidate>,
}

impl<S: Scorer> Mender<'_, S> {
    fn workspace(&self) -> Result<Workspace<S::Query>> {
        Ok(Workspace {
            query: self.scorer.new_query()?,
            selection: Selection::new(self.scorer.new_query()?, self.graph.shape.ground_links() + 1),
            expanded: Vec::new(),
            near: Vec::new(),
            scores: Vec::new(),
            candidates: Vec::new(),
        })
    }

    /// Fills the ground rows of the nodes from the new label `begin` on.
    fn mend_ground(&self, begin: usize, links: &mut [u32]) -> Result<()> {
        let shape = self.graph.shape;
        let mut workspace = self.workspace()?;
        for (at, row) in links.chunks_exact_mut(shape.row_width()).enumerate() {
            if at.is_multiple_of(CANCEL_STRIDE) {
                self.options.cancel.check()?;
            }
            self.mend_row(begin + at, &self.graph.ground(), shape.ground_links(), row, &mut workspace)?;
        }
        Ok(())
    }

    fn mend_upper(&self) -> Result<UpperLevels> {
        let (old, width) = (&self.graph.upper, self.graph.shape.upper_width());
        let stays = |label: &u32| Some(self.names.new[*label as usize]).filter(|new| *new != EMPTY);
        let labels: Vec<u32> = old.labels.iter().filter_map(stays).collect();
        let mut links = AlignedBuffer::zeroed(labels.len() * width)?;
        links.fill(EMPTY);
        let mut workspace = self.workspace()?;
        let (mut level, mut previous) = (0, None);
        for (at, (&label, row)) in labels.iter().zip(links.chunks_exact_mut(width)).enumerate() {
            if at.is_multiple_of(CANCEL_STRIDE) {
                self.options.cancel.check()?;
            }
            level = if previous == Some(label) { level + 1 } else { 1 };
            previous = Some(label);
            self.mend_row(label as usize, &self.graph.upper(level), width, row, &mut workspace)?;
        }
        let len = self.names.stay.len();
        Ok(UpperLevels::new(len, width, AlignedBuffer::extended(&labels, 0)?, links))
    }

    /// Fills the row of the node with the new label `label` on the level of `level`: as it was if all its neighbours stay, otherwise with
    /// the best of those that stay and of those that can be reached through the others.
    fn mend_row(
        &self,
        label: usize,
        level: &impl Links,
        capacity: usize,
        row: &mut [u32],
        workspace: &mut Workspace<S::Query>,
    ) -> Result<()> {
        self.find_near(label as u32, level, capacity, workspace)?;
        let Workspace { query, selection, expanded, near, scores, candidates } = workspace;
        if expanded.is_empty() {
            row.iter_mut().zip(&*near).for_each(|(slot, near)| *slot = *near);
            return Ok(());
        }
        near.sort_unstable();
        near.dedup();
        self.scorer.load_row(label as u32, query)?;
        scores.resize(near.len().max(scores.len()), 0.0);
        self.scorer.score(query, near, scores)?;
        candidates.clear();
        candidates.extend(near.iter().zip(&*scores).map(|(&label, &score)| Candidate { score, label }));
        candidates.sort_unstable_by(Candidate::order);
        candidates.truncate(MOST_CANDIDATES);
        let self_score = score_one(self.scorer, query, label as u32)?;
        selection.select(self.scorer, candidates, capacity, self_score)?;
        row.iter_mut().zip(&selection.selected).for_each(|(slot, link)| *slot = link.label);
        Ok(())
    }

    /// Collects in `near` the neighbours of a node that stay, and those of the ones that are gone, which are in `expanded`; what is further
    /// away only where these are not `enough`.
    fn find_near(
        &self,
        label: u32,
        level: &impl Links,
        enough: usize,
        workspace: &mut Workspace<S::Query>,
    ) -> Result<()> {
        let Workspace { expanded, near, .. } = workspace;
        expanded.clear();
        near.clear();
        let new = |old: u32| self.names.new[old as usize];
        let visit = |old: u32, near: &mut Vec<u32>, expanded: &mut Vec<u32>| match new(old) {
            EMPTY if expanded.len() < MOST_EXPANDED && !expanded.contains(&old) => expanded.push(old),
            EMPTY => {}
            one if one != label => near.push(one),
            _ => {}
        };
        level.for_each(self.names.stay[label as usize], |old| visit(old, near, expanded))?;
        let mut begin = 0;
        while begin < expanded.len() && (begin == 0 || near.len() < enough) {
            let end = expanded.len();
            for at in begin..end {
                level.for_each(expanded[at], |old| visit(old, near, expanded))?;
            }
            begin = end;
        }
        Ok(())
    }
}
