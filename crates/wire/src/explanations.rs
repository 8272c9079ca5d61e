//! Explanations in JSON, in the words and units of the TypeScript API.

use std::time::Duration;

use ferrochrome_engine::{Explanation, PartExplanation};
use serde_json::{Value as Json, json};

/// An explanation; durations in microseconds.
pub fn explanation_json(explanation: &Explanation) -> Json {
    json!({
        "ef": explanation.ef,
        "onCallingThread": explanation.on_calling_thread,
        "predictedMicroseconds": microseconds(explanation.predicted),
        "prepareMicroseconds": microseconds(explanation.prepare),
        "parts": explanation.parts.iter().map(part_json).collect::<Vec<_>>(),
    })
}

fn part_json(part: &PartExplanation) -> Json {
    json!({
        "kind": if part.segment.is_some() { "segment" } else { "head" },
        "id": part.segment,
        "rows": part.rows,
        "tombstones": part.tombstones,
        "allowed": part.allowed,
        "plan": part.plan,
        "visitBudget": part.visit_budget,
        "fellBack": part.fell_back,
        "quantization": part.quantization,
        "scored": part.counts.scored,
        "rescored": part.counts.rescored,
        "hits": part.hits,
        "filterRemembered": part.filter_remembered,
        "filterMicroseconds": microseconds(part.filter),
        "openMicroseconds": microseconds(part.open),
        "searchMicroseconds": microseconds(part.search),
    })
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64 / 1_000.0
}
