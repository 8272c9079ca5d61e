//! Tenants and databases.

use ferrochrome_types::{Code, Error, Result};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::schema::{Digest, bad_row, change_digest};
use super::{Catalog, database_checksum, read_uuid, sql, tenant_checksum};

/// The tenant that every catalog has from the start.
pub const DEFAULT_TENANT: &str = "default_tenant";
/// The database that every catalog has from the start, in [`DEFAULT_TENANT`], with the all-zero UUID.
pub const DEFAULT_DATABASE: &str = "default_database";

/// A database: a name for a group of collections in a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRow {
    /// Its UUID.
    pub id: Uuid,
    /// Unique in the tenant.
    pub name: String,
    /// The tenant, which need not have been created.
    pub tenant: String,
}

impl DatabaseRow {
    /// Reads `id, name, tenant, crc`.
    pub(super) fn read(row: &Row<'_>) -> Result<DatabaseRow> {
        let database = DatabaseRow {
            id: read_uuid(row, 0)?,
            name: row.get(1).map_err(sql)?,
            tenant: row.get(2).map_err(sql)?,
        };
        let crc: i64 = row.get(3).map_err(sql)?;
        if database_checksum(&database) == crc { Ok(database) } else { Err(bad_row("databases")) }
    }
}

/// `LIMIT` and `OFFSET` as SQLite takes them.
pub(super) fn page(limit: Option<u32>, offset: u32) -> (i64, i64) {
    (limit.map_or(-1, i64::from), i64::from(offset))
}

impl Catalog {
    /// Creates a tenant.
    ///
    /// # Errors
    /// `AlreadyExists` if there is one of this name.
    pub fn create_tenant(&self, name: &str) -> Result<()> {
        self.write(|tx| insert_tenant(tx, name))
    }

    /// Whether the tenant exists, as an error if not.
    ///
    /// # Errors
    /// `NotFound` if there is no tenant of this name.
    pub fn tenant(&self, name: &str) -> Result<()> {
        let found = self.read(|c| tenant_exists(c, name))?;
        if found { Ok(()) } else { Err(Error::new(Code::NotFound, format!("Tenant [{name}] not found"))) }
    }

    /// Creates a database with a fresh UUID. The tenant need not exist.
    ///
    /// # Errors
    /// `AlreadyExists` if the tenant has a database of this name.
    pub fn create_database(&self, tenant: &str, name: &str) -> Result<Uuid> {
        let row = DatabaseRow { id: Uuid::new_v4(), name: name.into(), tenant: tenant.into() };
        self.write(|tx| insert_database(tx, &row))?;
        Ok(row.id)
    }

    /// The database of this name in the tenant.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn database(&self, tenant: &str, name: &str) -> Result<DatabaseRow> {
        self.read(|c| find_database(c, tenant, name))?.ok_or_else(|| database_not_found(name))
    }

    /// The databases of a tenant, by name. An unknown tenant has none.
    pub fn list_databases(&self, tenant: &str, limit: Option<u32>, offset: u32) -> Result<Vec<DatabaseRow>> {
        let (limit, offset) = page(limit, offset);
        self.read(|c| {
            let mut query = c
                .prepare_cached(
                    "SELECT id, name, tenant, crc FROM databases WHERE tenant = ?1 ORDER BY name LIMIT ?2 OFFSET ?3",
                )
                .map_err(sql)?;
            let mut rows = query.query(params![tenant, limit, offset]).map_err(sql)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(sql)? {
                found.push(DatabaseRow::read(row)?);
            }
            Ok(found)
        })
    }

    /// Deletes a database with its collections; returns the UUIDs of those collections.
    ///
    /// # Errors
    /// `NotFound` if there is no such database.
    pub fn delete_database(&self, tenant: &str, name: &str) -> Result<Vec<Uuid>> {
        self.write(|tx| {
            let database = find_database(tx, tenant, name)?.ok_or_else(|| database_not_found(name))?;
            let collections = super::collections::collections_of(tx, tenant, name)?;
            let mut ids = Vec::with_capacity(collections.len());
            for (collection, crc) in collections {
                super::collections::delete(tx, collection.id, crc)?;
                ids.push(collection.id);
            }
            tx.prepare_cached("DELETE FROM databases WHERE tenant = ?1 AND name = ?2")
                .map_err(sql)?
                .execute([tenant, name])
                .map_err(sql)?;
            change_digest(tx, "databases", Digest::row(database_checksum(&database)), Digest::default())?;
            Ok(ids)
        })
    }
}

/// Whether the tenant has a database of this name.
pub(super) fn find_database(
    connection: &Connection,
    tenant: &str,
    name: &str,
) -> Result<Option<DatabaseRow>> {
    let mut query = connection
        .prepare_cached("SELECT id, name, tenant, crc FROM databases WHERE tenant = ?1 AND name = ?2")
        .map_err(sql)?;
    let mut rows = query.query([tenant, name]).map_err(sql)?;
    rows.next().map_err(sql)?.map(DatabaseRow::read).transpose()
}

/// Creates what every catalog has from the start.
pub(super) fn insert_defaults(connection: &Connection) -> Result<()> {
    insert_tenant(connection, DEFAULT_TENANT)?;
    let row = DatabaseRow { id: Uuid::nil(), name: DEFAULT_DATABASE.into(), tenant: DEFAULT_TENANT.into() };
    insert_database(connection, &row)
}

pub(super) fn tenant_exists(connection: &Connection, name: &str) -> Result<bool> {
    let crc: Option<i64> = connection
        .prepare_cached("SELECT crc FROM tenants WHERE name = ?1")
        .map_err(sql)?
        .query_row([name], |r| r.get(0))
        .optional()
        .map_err(sql)?;
    match crc {
        Some(crc) if crc != tenant_checksum(name) => Err(bad_row("tenants")),
        found => Ok(found.is_some()),
    }
}

pub(super) fn insert_tenant(connection: &Connection, name: &str) -> Result<()> {
    if tenant_exists(connection, name)? {
        return Err(Error::new(Code::AlreadyExists, format!("Tenant [{name}] already exists")));
    }
    let crc = tenant_checksum(name);
    connection
        .prepare_cached("INSERT INTO tenants (name, crc) VALUES (?1, ?2)")
        .map_err(sql)?
        .execute(params![name, crc])
        .map_err(sql)?;
    change_digest(connection, "tenants", Digest::default(), Digest::row(crc))
}

pub(super) fn insert_database(connection: &Connection, row: &DatabaseRow) -> Result<()> {
    if find_database(connection, &row.tenant, &row.name)?.is_some() {
        return Err(Error::new(Code::AlreadyExists, format!("Database [{}] already exists", row.name)));
    }
    let crc = database_checksum(row);
    connection
        .prepare_cached("INSERT INTO databases (tenant, name, id, crc) VALUES (?1, ?2, ?3, ?4)")
        .map_err(sql)?
        .execute(params![row.tenant, row.name, row.id.as_bytes(), crc])
        .map_err(sql)?;
    change_digest(connection, "databases", Digest::default(), Digest::row(crc))
}

fn database_not_found(name: &str) -> Error {
    Error::new(Code::NotFound, format!("Database [{name}] not found. Are you sure it exists?"))
}
