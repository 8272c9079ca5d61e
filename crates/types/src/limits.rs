//! Bounds that keep one request from taking the process down.

/// Largest vector dimension.
pub const MAX_DIMENSION: usize = 8_192;
/// Deepest nesting of `$and` / `$or` in a filter.
pub const MAX_FILTER_DEPTH: usize = 64;
/// Most operators in one filter.
pub const MAX_FILTER_NODES: usize = 16_384;
/// Longest filter, in bytes of its JSON.
pub const MAX_FILTER_BYTES: usize = 4 << 20;
/// Most records, ids or query vectors in the body of one HTTP request, so that a body of tiny records does not take gigabytes.
pub const MAX_BODY_ROWS: usize = 1 << 18;
/// Longest regular expression, in bytes.
pub const MAX_REGEX_BYTES: usize = 16_384;
/// Most memory that a compiled regular expression may take, in bytes.
pub const MAX_REGEX_COMPILED_BYTES: usize = 4 << 20;
/// Most records in one segment: labels are `u32` and the last values are sentinels.
pub const MAX_SEGMENT_ROWS: usize = (u32::MAX - 16) as usize;
/// Most results of one query vector. More are cut to the number of records anyway.
pub const MAX_RESULTS: usize = 1 << 24;
