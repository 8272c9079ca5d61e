//! What fuzzers call for the catalog: manifests whose checksums match whatever is in them.

use ferrochrome_types::{Code, Result};
use rusqlite::{Connection, params};
use uuid::Uuid;

use super::{manifest, schema, sql};

/// The collection that the manifest is of, and the one that a sound manifest is then written for.
const COLLECTION: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

thread_local! {
    static CATALOG: Connection = {
        let mut connection = Connection::open_in_memory().unwrap_or_else(|error| panic!("{error}"));
        schema::open_schema(&mut connection, false).unwrap_or_else(|error| panic!("{error}"));
        connection
    };
}

/// A manifest as the rows of the catalog hold it. Numbers are little-endian: `version`, `log_cut`, `next_ordinal` and how many
/// segments the row claims, 8 bytes each; then for each segment its number of records in 8 bytes, the lengths of its id and of its
/// tombstones in 2 bytes each, the id and the tombstones.
///
/// What is accepted is written and read again, and must be the same.
pub fn manifest(bytes: &[u8]) {
    CATALOG.with(|connection| {
        let outcome = store(connection, bytes).and_then(|()| manifest::read(connection, COLLECTION));
        let found = match outcome {
            Ok(found) => found,
            Err(error) => return assert_eq!(error.code(), Code::Corrupted, "{error}"),
        };
        let Some((found, _)) = found else { panic!("the manifest is not found") };
        let again = manifest::put(connection, OTHER, &found).and_then(|_| manifest::read(connection, OTHER));
        match again {
            Ok(again) => assert_eq!(again.map(|(again, _)| again), Some(found)),
            Err(error) => panic!("what was read cannot be written: {error}"),
        }
    });
}

fn store(connection: &Connection, bytes: &[u8]) -> Result<()> {
    let mut rest = bytes;
    let head = [int(&mut rest), int(&mut rest), int(&mut rest)];
    let count = int(&mut rest);
    let mut sum = manifest::start_checksum(COLLECTION, head, count);
    connection.execute("DELETE FROM manifest_segments", []).map_err(sql)?;
    let mut position = 0_i64;
    while !rest.is_empty() {
        let rows = int(&mut rest);
        let lengths = [length(&mut rest), length(&mut rest)];
        let [id, tombstones] = lengths.map(|length| take(&mut rest, length));
        sum = sum.int(position).bytes(id).int(rows).bytes(tombstones);
        connection
            .prepare_cached("INSERT INTO manifest_segments (collection, position, id, rows, tombstones) VALUES (?1, ?2, ?3, ?4, ?5)")
            .map_err(sql)?
            .execute(params![COLLECTION.as_bytes(), position, id, rows, tombstones])
            .map_err(sql)?;
        position += 1;
    }
    connection
        .prepare_cached("INSERT OR REPLACE INTO manifests (collection, version, log_cut, next_ordinal, segments, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
        .map_err(sql)?
        .execute(params![COLLECTION.as_bytes(), head[0], head[1], head[2], count, sum.finish()])
        .map_err(sql)?;
    Ok(())
}

fn int(rest: &mut &[u8]) -> i64 {
    let mut number = [0; 8];
    let bytes = take(rest, 8);
    number[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(number)
}

fn length(rest: &mut &[u8]) -> usize {
    let bytes = take(rest, 2);
    bytes.iter().rev().fold(0, |length, byte| length << 8 | usize::from(*byte))
}

/// The next `length` bytes, or as many as there are.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (bytes, after) = rest.split_at(rest.len().min(length));
    *rest = after;
    bytes
}
