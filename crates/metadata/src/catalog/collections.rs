//! Collections: names, metadata, configuration.

use ferrochrome_types::{Code, Error, Metadata, Result};
use rusqlite::{Connection, Row, Statement, params};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::schema::{COLLECTION_TABLES, Digest, bad_row, change_digest, put_digest};
use super::tenants::{find_database, page};
use super::{Catalog, metadata_json, read_uuid, sql};
use crate::checksum::RowChecksum;

/// What the catalog knows of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct CollectionRow {
    /// Its UUID; also the order in which collections are listed.
    pub id: Uuid,
    /// Unique in its database.
    pub name: String,
    /// The tenant.
    pub tenant: String,
    /// The database.
    pub database: String,
    /// The user's metadata.
    pub metadata: Option<Metadata>,
    /// Opaque JSON.
    pub configuration: String,
    /// Opaque JSON: the schema that the user gave.
    pub schema: Option<String>,
    /// Components of each vector, known from the first write with an embedding on.
    pub dimension: Option<u32>,
}

impl CollectionRow {
    /// Reads the columns of [`SELECT_ALL`]; returns the row's checksum too.
    pub(super) fn read(row: &Row<'_>) -> Result<(CollectionRow, i64)> {
        let metadata: Option<String> = row.get(4).map_err(sql)?;
        let mut collection = CollectionRow {
            id: read_uuid(row, 0)?,
            tenant: row.get(1).map_err(sql)?,
            database: row.get(2).map_err(sql)?,
            name: row.get(3).map_err(sql)?,
            metadata: None,
            configuration: row.get(5).map_err(sql)?,
            schema: row.get(6).map_err(sql)?,
            dimension: row.get(7).map_err(sql)?,
        };
        let crc: i64 = row.get(8).map_err(sql)?;
        if collection.checksum(metadata.as_deref()) != crc {
            return Err(bad_row("collections"));
        }
        collection.metadata = metadata.as_deref().map(metadata_json::decode).transpose()?;
        Ok((collection, crc))
    }

    /// All of it as JSON text, for a copy outside of the catalog.
    pub fn to_json(&self) -> String {
        json!({
            "id": self.id.to_string(),
            "name": self.name,
            "tenant": self.tenant,
            "database": self.database,
            "metadata": self.metadata.as_ref().map(metadata_json::encode),
            "configuration": self.configuration,
            "schema": self.schema,
            "dimension": self.dimension,
        })
        .to_string()
    }

    /// What [`to_json`](Self::to_json) made `text` of; `None` for any other text.
    pub fn from_json(text: &str) -> Option<CollectionRow> {
        let json: Json = serde_json::from_str(text).ok()?;
        let text = |key: &str| Some(json.get(key)?.as_str()?.to_owned());
        Some(CollectionRow {
            id: Uuid::parse_str(&text("id")?).ok()?,
            name: text("name")?,
            tenant: text("tenant")?,
            database: text("database")?,
            metadata: text("metadata").map(|metadata| metadata_json::decode(&metadata)).transpose().ok()?,
            configuration: text("configuration")?,
            schema: text("schema"),
            dimension: json.get("dimension").and_then(Json::as_u64).and_then(|dim| u32::try_from(dim).ok()),
        })
    }

    fn checksum(&self, metadata: Option<&str>) -> i64 {
        RowChecksum::new("collections")
            .bytes(self.id.as_bytes())
            .text(&self.tenant)
            .text(&self.database)
            .text(&self.name)
            .optional_text(metadata)
            .text(&self.configuration)
            .optional_text(self.schema.as_deref())
            .int(self.dimension.map_or(-1, i64::from))
            .finish()
    }
}

/// All collections, with every column.
pub(super) const SELECT_ALL: &str = "SELECT id, tenant, database, name, metadata, configuration, schema, dimension, crc \
     FROM collections";
const SELECT_BY_ID: &str = "SELECT id, tenant, database, name, metadata, configuration, schema, dimension, crc \
     FROM collections WHERE id = ?1";
const SELECT_BY_NAME: &str = "SELECT id, tenant, database, name, metadata, configuration, schema, dimension, crc \
     FROM collections WHERE tenant = ?1 AND database = ?2 AND name = ?3";
const SELECT_PAGE: &str = "SELECT id, tenant, database, name, metadata, configuration, schema, dimension, crc \
     FROM collections WHERE tenant = ?1 AND database = ?2 ORDER BY id LIMIT ?3 OFFSET ?4";

impl Catalog {
    /// Creates a collection without records.
    ///
    /// # Errors
    /// `AlreadyExists` if its database has a collection of this name (or there is one with this UUID),
    /// `InvalidArgument` if there is no such database.
    pub fn create_collection(&self, row: &CollectionRow) -> Result<()> {
        self.write(|tx| insert(tx, row))
    }

    /// The collection of this name.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn collection_by_name(&self, tenant: &str, database: &str, name: &str) -> Result<CollectionRow> {
        let found = self.read(|c| find_by_name(c, tenant, database, name))?;
        found.map(|(row, _)| row).ok_or_else(|| name_not_found(name))
    }

    /// The collection with this UUID.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn collection_by_id(&self, id: Uuid) -> Result<CollectionRow> {
        self.read(|c| existing(c, id)).map(|(row, _)| row)
    }

    /// The collections of a database, by UUID. An unknown database has none.
    pub fn list_collections(
        &self,
        tenant: &str,
        database: &str,
        limit: Option<u32>,
        offset: u32,
    ) -> Result<Vec<CollectionRow>> {
        let (limit, offset) = page(limit, offset);
        self.read(|c| {
            let mut query = c.prepare_cached(SELECT_PAGE).map_err(sql)?;
            let rows = read_all(&mut query, params![tenant, database, limit, offset])?;
            Ok(rows.into_iter().map(|(row, _)| row).collect())
        })
    }

    /// How many collections a database has. An unknown database has none.
    pub fn count_collections(&self, tenant: &str, database: &str) -> Result<u64> {
        self.read(|c| {
            let count: i64 = c
                .prepare_cached("SELECT count(*) FROM collections WHERE tenant = ?1 AND database = ?2")
                .map_err(sql)?
                .query_row([tenant, database], |r| r.get(0))
                .map_err(sql)?;
            Ok(count.unsigned_abs())
        })
    }

    /// The UUIDs of all collections of all databases, ascending.
    pub fn all_collection_ids(&self) -> Result<Vec<Uuid>> {
        self.read(|c| {
            let mut query = c.prepare_cached("SELECT id FROM collections ORDER BY id").map_err(sql)?;
            let mut rows = query.query([]).map_err(sql)?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next().map_err(sql)? {
                ids.push(read_uuid(row, 0)?);
            }
            Ok(ids)
        })
    }

    /// Changes what is given: the name, the metadata (`Some(None)` removes it), the configuration.
    ///
    /// # Errors
    /// `NotFound` if there is no such collection, `AlreadyExists` if another of its database has the new name.
    pub fn update_collection(
        &self,
        id: Uuid,
        new_name: Option<&str>,
        new_metadata: Option<Option<&Metadata>>,
        new_configuration: Option<&str>,
    ) -> Result<()> {
        self.write(|tx| {
            let (mut row, old_crc) = existing(tx, id)?;
            if let Some(name) = new_name {
                let holder = find_by_name(tx, &row.tenant, &row.database, name)?;
                if holder.is_some_and(|(other, _)| other.id != id) {
                    return Err(already_exists(name));
                }
                row.name = name.to_owned();
            }
            if let Some(metadata) = new_metadata {
                row.metadata = metadata.cloned();
            }
            if let Some(configuration) = new_configuration {
                row.configuration = configuration.to_owned();
            }
            replace(tx, &row, old_crc)
        })
    }

    /// Deletes a collection with its manifest and log; returns its UUID.
    ///
    /// # Errors
    /// `NotFound` if there is none of this name.
    pub fn delete_collection(&self, tenant: &str, database: &str, name: &str) -> Result<Uuid> {
        self.write(|tx| {
            let (row, crc) = find_by_name(tx, tenant, database, name)?.ok_or_else(|| name_not_found(name))?;
            delete(tx, row.id, crc)?;
            Ok(row.id)
        })
    }
}

/// Creates a collection without records.
pub(super) fn insert(connection: &Connection, row: &CollectionRow) -> Result<()> {
    if find_database(connection, &row.tenant, &row.database)?.is_none() {
        return Err(Error::invalid(format!("Database [{}] does not exist", row.database)));
    }
    if find_by_name(connection, &row.tenant, &row.database, &row.name)?.is_some()
        || find(connection, row.id)?.is_some()
    {
        return Err(already_exists(&row.name));
    }
    let crc = put(connection, row)?;
    for table in COLLECTION_TABLES {
        put_digest(connection, table, row.id.as_bytes(), Digest::default())?;
    }
    change_digest(connection, "collections", Digest::default(), Digest::row(crc))
}

/// The collection with this UUID and its checksum, or `NotFound`.
pub(super) fn existing(connection: &Connection, id: Uuid) -> Result<(CollectionRow, i64)> {
    find(connection, id)?
        .ok_or_else(|| Error::new(Code::NotFound, format!("Collection [{id}] does not exist.")))
}

/// Overwrites a collection that is there with checksum `old_crc`.
pub(super) fn replace(connection: &Connection, row: &CollectionRow, old_crc: i64) -> Result<()> {
    let crc = put(connection, row)?;
    change_digest(connection, "collections", Digest::row(old_crc), Digest::row(crc))
}

/// The collections of a database with their checksums.
pub(super) fn collections_of(
    connection: &Connection,
    tenant: &str,
    database: &str,
) -> Result<Vec<(CollectionRow, i64)>> {
    let mut query = connection.prepare_cached(SELECT_PAGE).map_err(sql)?;
    read_all(&mut query, params![tenant, database, -1, 0])
}

/// Deletes a collection that is there with checksum `crc`, and everything that belongs to it.
pub(super) fn delete(connection: &Connection, id: Uuid, crc: i64) -> Result<()> {
    super::versions::delete_all(connection, id)?;
    super::forks::delete(connection, id)?;
    super::manifest::delete(connection, id)?;
    for statement in [
        "DELETE FROM log WHERE collection = ?1",
        "DELETE FROM schema_keys WHERE collection = ?1",
        "DELETE FROM digests WHERE collection = ?1",
        "DELETE FROM collections WHERE id = ?1",
    ] {
        connection.prepare_cached(statement).map_err(sql)?.execute([id.as_bytes()]).map_err(sql)?;
    }
    change_digest(connection, "collections", Digest::row(crc), Digest::default())
}

fn read_all(query: &mut Statement<'_>, params: impl rusqlite::Params) -> Result<Vec<(CollectionRow, i64)>> {
    let mut rows = query.query(params).map_err(sql)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        found.push(CollectionRow::read(row)?);
    }
    Ok(found)
}

pub(super) fn find(connection: &Connection, id: Uuid) -> Result<Option<(CollectionRow, i64)>> {
    let mut query = connection.prepare_cached(SELECT_BY_ID).map_err(sql)?;
    Ok(read_all(&mut query, [id.as_bytes()])?.pop())
}

pub(super) fn find_by_name(
    connection: &Connection,
    tenant: &str,
    database: &str,
    name: &str,
) -> Result<Option<(CollectionRow, i64)>> {
    let mut query = connection.prepare_cached(SELECT_BY_NAME).map_err(sql)?;
    Ok(read_all(&mut query, [tenant, database, name])?.pop())
}

pub(super) fn put(connection: &Connection, row: &CollectionRow) -> Result<i64> {
    let metadata = row.metadata.as_ref().map(metadata_json::encode);
    let crc = row.checksum(metadata.as_deref());
    connection
        .prepare_cached(
            "INSERT INTO collections (id, tenant, database, name, metadata, configuration, schema, dimension, crc) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
             ON CONFLICT (id) DO UPDATE SET name = ?4, metadata = ?5, configuration = ?6, schema = ?7, dimension = ?8, crc = ?9",
        )
        .map_err(sql)?
        .execute(params![
            row.id.as_bytes(),
            row.tenant,
            row.database,
            row.name,
            metadata,
            row.configuration,
            row.schema,
            row.dimension,
            crc
        ])
        .map_err(sql)?;
    Ok(crc)
}

fn already_exists(name: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("Collection [{name}] already exists"))
}

fn name_not_found(name: &str) -> Error {
    Error::new(Code::NotFound, format!("Collection [{name}] does not exist"))
}
