use crate::Metadata;

/// Everything a collection knows of one record beside its vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The user's id: at least one character, compared by bytes.
    pub id: String,
    /// Place in insertion order, unique in a collection. Updates keep it.
    pub ordinal: u64,
    /// The document, if it has one.
    pub document: Option<String>,
    /// Metadata. `None` rather than empty.
    pub metadata: Option<Metadata>,
    /// The URI, if it has one.
    pub uri: Option<String>,
}
