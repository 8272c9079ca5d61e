//! What models of concurrency call: a collection in memory without background threads, and what those would do, one step at a time.

use std::sync::Arc;
use std::time::Duration;

use ferrochrome_blockstore::MemoryStore;
use ferrochrome_metadata::{Catalog, Durability, Location};
use ferrochrome_types::{CancelToken, Result};

use crate::collection::Collection;
use crate::database::shared;
use crate::{CollectionRow, DatabaseOptions};

/// A new collection of a new database in memory, whose background work is left to the caller.
///
/// # Errors
/// As creating and opening a collection.
pub fn collection(row: &CollectionRow, options: DatabaseOptions) -> Result<Arc<Collection>> {
    let catalog = Catalog::open(Location::Memory, Durability::Normal, false)?;
    catalog.create_collection(row)?;
    let shared = Arc::new(shared(catalog, Arc::new(MemoryStore::default()), options)?);
    Ok(Arc::new(Collection::open(shared, row)?))
}

/// Seals the head, as the background thread for it does.
///
/// # Errors
/// As a seal.
pub fn seal(collection: &Collection) -> Result<()> {
    collection.seal(&CancelToken::default())
}

/// Merges what is due and gives up what was replaced, as the background thread for it does. Whether anything was merged.
///
/// # Errors
/// As a merge.
pub fn merge(collection: &Collection) -> Result<bool> {
    let look_again = collection.compact_if_due(&CancelToken::default())?;
    collection.retire_replaced()?;
    Ok(look_again == Some(Duration::ZERO))
}
