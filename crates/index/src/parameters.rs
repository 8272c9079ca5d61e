use ferrochrome_types::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::Quantization;
use crate::hnsw::Width;

/// Version of the buffers' layout that this crate writes.
pub(crate) const LAYOUT_VERSION: u32 = 1;

/// What describes an index beside its buffers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Layout of the buffers.
    pub version: u32,
    /// Name of the metric, for example `l2`.
    pub metric: String,
    /// Components of each vector.
    pub dim: usize,
    /// Number of vectors.
    pub len: usize,
    /// `int4`, `int8` or `none`.
    pub quantization: String,
    /// What the build was asked for: `auto` or one of these. Default `auto`.
    #[serde(default)]
    pub quantization_asked: Quantization,
    /// Whether each vector has its own step and bias (buffer `factors`) rather than one step for all.
    pub factors: bool,
    /// The one step, in units of the scaled vectors. 0 where `factors` says otherwise.
    pub step: f32,
    /// Vectors are multiplied by this power of two before coding (after normalisation, for cosine).
    pub scale: f32,
    /// Seed of the rotation and of the levels.
    pub seed: u64,
    /// Rows rescored exactly in a search for ten.
    pub rescore_depth: usize,
    /// recall@10 of the codes with that depth, measured with some of the rows as queries. `None` if there was nothing to measure.
    pub recall: Option<f32>,
    /// The graph, if there is one.
    pub graph: Option<GraphParameters>,
}

/// What describes a graph beside its buffers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GraphParameters {
    /// Half the links of a node on the ground level.
    pub m: usize,
    /// Candidates that were considered for the links of a node.
    pub ef_construction: usize,
    /// Slots of a row of ground-level links (buffer `links`).
    pub row_width: usize,
    /// Slots of a row of links above (buffer `upper_links`).
    pub upper_width: usize,
    /// Label where a walk begins.
    pub entry: u32,
    /// Level of the entry.
    pub top_level: u8,
    /// What `ef` of a search is multiplied by: more than 1 where the build found the data hard to walk. Default 1.
    #[serde(default = "usual_ef_factor")]
    pub ef_factor: usize,
    /// The same for a search with a filter, which may leave nothing but what links hardly lead to. Default: `ef_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filtered_ef_factor: Option<usize>,
    /// Candidates that a walk keeps for each of `k`, at least. Default 2.
    #[serde(default = "usual_ef_per_k")]
    pub ef_per_k: usize,
    /// By how much the score of a neighbour grows on average with the logarithm of its rank. Walks end by that; without it, by rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank_slope: Option<f32>,
}

fn usual_ef_factor() -> usize {
    Width::USUAL.ef_factor
}

fn usual_ef_per_k() -> usize {
    Width::USUAL.ef_per_k
}

impl Parameters {
    /// As JSON, to be given back to [`load`](crate::load).
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self)
            .map_err(|e| Error::internal("index parameters have no JSON form").with_source(e))
    }
}
