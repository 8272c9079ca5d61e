//! Filling a new catalog with what was read from a damaged one.

use ferrochrome_types::{Result, ValueKind};
use uuid::Uuid;

use super::collections::{find, find_by_name, put};
use super::schema::{COLLECTION_TABLES, Digest, change_digest, put_digest};
use super::tenants::{find_database, insert_database, insert_tenant, tenant_exists};
use super::{Catalog, CollectionRow, DatabaseRow, Manifest, VersionRow, forks, log, manifest, versions};

impl Catalog {
    /// Creates a tenant and databases with their UUIDs, where they are not there yet.
    pub fn restore_databases(&self, tenants: &[String], databases: &[DatabaseRow]) -> Result<()> {
        self.write(|tx| {
            for tenant in tenants {
                if !tenant_exists(tx, tenant)? {
                    insert_tenant(tx, tenant)?;
                }
            }
            for row in databases {
                if find_database(tx, &row.tenant, &row.name)?.is_none() {
                    insert_database(tx, row)?;
                }
            }
            Ok(())
        })
    }

    /// Creates a collection as it was, in one transaction: its row, the keys of its records, its manifest. A tenant or
    /// database that is missing is created; a name that is taken gets the UUID added. Returns the row as it is stored.
    ///
    /// # Errors
    /// `Io`; `InvalidArgument` for a manifest that cannot be.
    pub fn restore_collection(
        &self,
        row: &CollectionRow,
        keys: &[(String, ValueKind)],
        manifest: &Manifest,
    ) -> Result<CollectionRow> {
        self.write(|tx| {
            let mut row = row.clone();
            if find_database(tx, &row.tenant, &row.database)?.is_none() {
                let (name, tenant) = (row.database.clone(), row.tenant.clone());
                insert_database(tx, &DatabaseRow { id: Uuid::new_v4(), name, tenant })?;
            }
            if !tenant_exists(tx, &row.tenant)? {
                insert_tenant(tx, &row.tenant)?;
            }
            if find_by_name(tx, &row.tenant, &row.database, &row.name)?.is_some() {
                row.name = format!("{}-{}", row.name, row.id);
            }
            if find(tx, row.id)?.is_some() {
                row.id = Uuid::new_v4();
            }
            let crc = put(tx, &row)?;
            for table in COLLECTION_TABLES {
                put_digest(tx, table, row.id.as_bytes(), Digest::default())?;
            }
            change_digest(tx, "collections", Digest::default(), Digest::row(crc))?;
            log::insert_keys(tx, row.id, keys)?;
            let crc = manifest::put(tx, row.id, manifest)?;
            change_digest(tx, "manifests", Digest::default(), Digest::row(crc))?;
            Ok(row)
        })
    }

    /// Notes that a restored collection is a fork in the family of `root`, which may be gone.
    pub fn restore_fork(&self, collection: Uuid, root: Uuid) -> Result<()> {
        self.write(|tx| forks::insert(tx, collection, root))
    }

    /// Creates a version of a restored collection as it was, with the batches of its log that `manifest` does not contain.
    ///
    /// # Errors
    /// `Io`; `InvalidArgument` for a manifest that cannot be.
    pub fn restore_version(
        &self,
        collection: Uuid,
        version: &VersionRow,
        manifest: &Manifest,
        batches: &[Vec<u8>],
    ) -> Result<()> {
        self.write(|tx| {
            versions::put(tx, collection, version, Digest::default())?;
            let crc = manifest::put(tx, version.state, manifest)?;
            change_digest(tx, "manifests", Digest::default(), Digest::row(crc))?;
            log::fill(tx, version.state, |put| {
                let numbers = manifest.log_cut + 1..;
                numbers.zip(batches).try_for_each(|(seq, payload)| put(seq, payload))
            })
        })
    }
}
