use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use ferrochrome_types::Filter;
use xxhash_rust::xxh3::Xxh3DefaultBuilder;

/// A filter that its clones share. It is hashed once, and known to be the same as its clones without being compared, however long it is.
#[derive(Clone, Debug)]
pub struct SharedFilter(Arc<Hashed>);

#[derive(Debug)]
struct Hashed {
    hash: u64,
    filter: Filter,
}

impl From<Filter> for SharedFilter {
    fn from(filter: Filter) -> Self {
        SharedFilter(Arc::new(Hashed { hash: Xxh3DefaultBuilder::new().hash_one(&filter), filter }))
    }
}

impl Deref for SharedFilter {
    type Target = Filter;

    fn deref(&self) -> &Filter {
        &self.0.filter
    }
}

impl PartialEq for SharedFilter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash == other.0.hash && self.0.filter == other.0.filter)
    }
}

/// Each is equal to itself and its clones, even one with what is no number.
impl Eq for SharedFilter {}

impl Hash for SharedFilter {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash.hash(state);
    }
}
