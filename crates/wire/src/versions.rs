//! Versions in JSON.

use ferrochrome_engine::VersionRow;
use serde_json::{Value as Json, json};

/// A version as `src/versions.ts` reads it.
pub fn version_json(version: &VersionRow) -> Json {
    json!({
        "version": version.version,
        "label": version.label,
        "createdAt": version.created,
        "count": version.records,
        "automatic": version.automatic,
    })
}
