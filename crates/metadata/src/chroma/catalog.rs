//! Tenants, databases and collections.

use std::collections::HashMap;

use ferrochrome_types::{Error, Metadata, Result};
use uuid::Uuid;

use super::{ChromaSqlite, Problem, ProblemKind, value};
use crate::catalog::{DEFAULT_DATABASE, DEFAULT_TENANT};

/// A database of the source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChromaDatabase {
    /// The tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
}

/// A collection of the source.
#[derive(Clone, Debug, PartialEq)]
pub struct ChromaCollection {
    /// Its UUID.
    pub id: Uuid,
    /// Unique in its database.
    pub name: String,
    /// The tenant.
    pub tenant: String,
    /// The database.
    pub database: String,
    /// Components of each vector; `None` where it never saw one.
    pub dimension: Option<u32>,
    /// The user's metadata, `hnsw:` keys included; may be empty.
    pub metadata: Metadata,
    /// `hnsw:` keys of the vector segment; empty from 1.0 on.
    pub segment_metadata: Metadata,
    /// `config_json_str`, as it is stored.
    pub configuration: Option<String>,
    /// `schema_str`, as it is stored.
    pub schema: Option<String>,
    /// UUID of the segment with metadata.
    pub metadata_segment: Option<String>,
    /// UUID of the segment with vectors, which also names its folder.
    pub vector_segment: Option<Uuid>,
    /// Records, as SQLite counts them.
    pub records: u64,
    /// What could not be read of the collection's own data.
    pub problems: Vec<Problem>,
}

impl ChromaSqlite {
    /// The tenants, by name. Before 0.4.15 there was one.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn tenants(&self) -> Result<Vec<String>> {
        if !self.has("databases", "tenant_id") {
            return Ok(vec![DEFAULT_TENANT.to_owned()]);
        }
        let sql = |e| self.sqlite(e);
        let mut query = self.connection.prepare("SELECT id FROM tenants ORDER BY id").map_err(sql)?;
        query.query_map([], |row| row.get(0)).map_err(sql)?.collect::<Result<_, _>>().map_err(sql)
    }

    /// The databases, by tenant and name. Before 0.4.15 there was one.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn databases(&self) -> Result<Vec<ChromaDatabase>> {
        if !self.has("databases", "tenant_id") {
            return Ok(vec![ChromaDatabase { tenant: DEFAULT_TENANT.into(), name: DEFAULT_DATABASE.into() }]);
        }
        let sql = |e| self.sqlite(e);
        let mut query = self
            .connection
            .prepare("SELECT tenant_id, name FROM databases ORDER BY tenant_id, name")
            .map_err(sql)?;
        let read = |row: &rusqlite::Row<'_>| Ok(ChromaDatabase { tenant: row.get(0)?, name: row.get(1)? });
        query.query_map([], read).map_err(sql)?.collect::<Result<_, _>>().map_err(sql)
    }

    /// The collections of all databases, by tenant, database and name.
    ///
    /// # Errors
    /// `Corrupted`, `Io`.
    pub fn collections(&self) -> Result<Vec<ChromaCollection>> {
        let has_databases = self.has("collections", "database_id");
        let (tenant, database, join) = if has_databases {
            ("d.tenant_id", "d.name", "JOIN databases d ON d.id = c.database_id")
        } else {
            ("'default_tenant'", "'default_database'", "")
        };
        let text = format!(
            "SELECT c.id, c.name, c.dimension, {}, {}, {tenant}, {database} FROM collections c {join} ORDER BY 6, 7, 2",
            self.column("collections", "config_json_str"),
            self.column("collections", "schema_str"),
        );
        let sql = |e| self.sqlite(e);
        let mut query = self.connection.prepare(&text).map_err(sql)?;
        let mut rows = query.query([]).map_err(sql)?;
        let mut collections = Vec::new();
        while let Some(row) = rows.next().map_err(sql)? {
            let id: String = row.get(0).map_err(sql)?;
            let dimension: Option<i64> = row.get(2).map_err(sql)?;
            collections.push(ChromaCollection {
                id: self.parse_uuid(&id)?,
                name: row.get(1).map_err(sql)?,
                dimension: dimension.and_then(|dimension| u32::try_from(dimension).ok()),
                configuration: row.get(3).map_err(sql)?,
                schema: row.get(4).map_err(sql)?,
                tenant: row.get(5).map_err(sql)?,
                database: row.get(6).map_err(sql)?,
                metadata: Metadata::new(),
                segment_metadata: Metadata::new(),
                metadata_segment: None,
                vector_segment: None,
                records: 0,
                problems: Vec::new(),
            });
        }
        drop(rows);
        self.add_segments(&mut collections)?;
        for collection in &mut collections {
            let id = collection.id.to_string();
            collection.metadata =
                self.owned_metadata("collection_metadata", "collection_id", &id, &mut collection.problems)?;
            if let Some(segment) = collection.vector_segment {
                let segment = segment.to_string();
                collection.segment_metadata = self.owned_metadata(
                    "segment_metadata",
                    "segment_id",
                    &segment,
                    &mut collection.problems,
                )?;
            }
            if let Some(segment) = &collection.metadata_segment {
                collection.records = self.count_records(segment)?;
            }
        }
        Ok(collections)
    }

    fn parse_uuid(&self, text: &str) -> Result<Uuid> {
        Uuid::parse_str(text).map_err(|_| {
            Error::corrupted(&self.file, format!("`{}` stands in the place of a UUID", text.escape_debug()))
        })
    }

    fn add_segments(&self, collections: &mut [ChromaCollection]) -> Result<()> {
        let sql = |e| self.sqlite(e);
        let mut by_id: HashMap<String, &mut ChromaCollection> =
            collections.iter_mut().map(|collection| (collection.id.to_string(), collection)).collect();
        let mut query = self.connection.prepare("SELECT id, scope, collection FROM segments").map_err(sql)?;
        let mut rows = query.query([]).map_err(sql)?;
        while let Some(row) = rows.next().map_err(sql)? {
            let (id, scope): (String, String) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
            let owner: Option<String> = row.get(2).map_err(sql)?;
            let Some(collection) = owner.and_then(|owner| by_id.get_mut(&owner)) else { continue };
            match scope.as_str() {
                "METADATA" => collection.metadata_segment = Some(id),
                "VECTOR" => collection.vector_segment = Some(self.parse_uuid(&id)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Metadata of a collection or a segment.
    fn owned_metadata(
        &self,
        table: &'static str,
        owner: &str,
        id: &str,
        problems: &mut Vec<Problem>,
    ) -> Result<Metadata> {
        if !self.has(table, "str_value") {
            return Ok(Metadata::new());
        }
        let sql = |e| self.sqlite(e);
        let flag = self.column(table, "bool_value");
        let text =
            format!("SELECT key, str_value, int_value, float_value, {flag} FROM {table} WHERE {owner} = ?1");
        let mut query = self.connection.prepare_cached(&text).map_err(sql)?;
        let mut rows = query.query([id]).map_err(sql)?;
        let mut metadata = Metadata::new();
        while let Some(row) = rows.next().map_err(sql)? {
            let key: String = row.get(0).map_err(sql)?;
            let value = match value::refused_key(&key) {
                Some(reason) => Err(reason.to_owned()),
                None => value::read(row, 1),
            };
            match value {
                Ok(Some(value)) => _ = metadata.insert(key, value),
                Ok(None) => {}
                Err(what) => problems.push(Problem::of_collection(
                    ProblemKind::InvalidSetting,
                    format_args!(
                        "the collection's metadata key `{}` is left out: {what}",
                        key.escape_debug()
                    ),
                )),
            }
        }
        Ok(metadata)
    }

    fn count_records(&self, segment: &str) -> Result<u64> {
        let count: rusqlite::Result<i64> = self
            .connection
            .prepare_cached("SELECT count(*) FROM embeddings WHERE segment_id = ?1")
            .and_then(|mut query| query.query_row([segment], |row| row.get(0)));
        count.map(i64::unsigned_abs).map_err(|e| self.sqlite(e))
    }
}
