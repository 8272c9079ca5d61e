//! Errors about files from elsewhere.

use std::fmt;

use ferrochrome_types::Error;

/// A file that breaks its own format.
pub(crate) fn damaged(shown: &str, what: impl fmt::Display) -> Error {
    Error::invalid(format!("{shown} is damaged: {what}"))
}

/// A file that cannot be read, though nothing need be wrong with it.
pub(crate) fn unreadable(shown: &str, what: &str) -> Error {
    Error::invalid(format!("{shown} cannot be read: {what}"))
}
