//! What a collection consists of.

use ferrochrome_engine::CollectionStats;
use ferrochrome_types::Code;
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use serde_json::{Value as Json, json};

use crate::background::long_promise;
use crate::collection::NativeCollection;
use crate::database::{NativeDatabase, describe};
use crate::failure::failure;

#[napi]
impl NativeDatabase {
    /// Array of the collections of all tenants and databases, by UUID.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn all_collections<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        self.with(env, move |database| {
            let catalog = database.catalog();
            let mut described = Vec::new();
            for id in catalog.all_collection_ids()? {
                match catalog.collection_by_id(id).and_then(|row| describe(database, &row)) {
                    // Deleted meanwhile.
                    Err(error) if error.code() == Code::NotFound => {}
                    collection => described.push(collection?),
                }
            }
            Ok(json!(described).to_string())
        })
    }
}

#[napi]
impl NativeCollection {
    /// Sizes and parameters of the parts, as JSON.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn stats<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| failure(&e))?;
        long_promise(env, move || Ok(stats_json(&collection.stats()?).to_string()))
    }
}

fn stats_json(stats: &CollectionStats) -> Json {
    let segments = stats.segments.iter().map(|segment| {
        let index = segment.index.as_ref().map(|index| {
            json!({
                "metric": index.metric,
                "quantization": index.quantization,
                "rescoreDepth": index.rescore_depth,
                "recall": index.recall,
                "graph": index.graph.as_ref().map(|graph| json!({
                    "m": graph.m,
                    "efConstruction": graph.ef_construction,
                    "topLevel": graph.top_level,
                })),
            })
        });
        json!({
            "id": segment.id.to_string(),
            "rows": segment.rows,
            "tombstones": segment.tombstones,
            "bytes": segment.bytes,
            "index": index,
        })
    });
    json!({
        "records": stats.records,
        "dimension": stats.dimension,
        "head": { "records": stats.head_records, "bytes": stats.head_bytes },
        "segments": segments.collect::<Json>(),
    })
}
