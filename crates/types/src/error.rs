use std::fmt;
use std::sync::Arc;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The kind of a failure. Stable: HTTP status and JavaScript error class follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Code {
    /// The caller's input breaks a rule. Nothing was changed.
    InvalidArgument,
    /// Well-formed input of a wrong shape or type (HTTP 422).
    Unprocessable,
    /// What was named does not exist.
    NotFound,
    /// What was to be created exists already.
    AlreadyExists,
    /// A file is damaged: a checksum, a bound or a structure does not hold. The message names the file.
    Corrupted,
    /// A file from elsewhere asks for what is never done for a file, such as running code. The message names the file.
    Untrusted,
    /// Another process holds the database. The message names its pid.
    Locked,
    /// The folder of a database lies where locks do not hold. The message names the type of file system.
    UnsafeFileSystem,
    /// A write to a database that was opened read-only.
    ReadOnly,
    /// The database was closed before the call.
    Closed,
    /// The caller cancelled the operation.
    Cancelled,
    /// The operating system refused a read or a write. The message names the path.
    Io,
    /// The volume has less space than the operation needs. Nothing was changed.
    NoSpace,
    /// A bound on memory, size or complexity would be passed.
    LimitExceeded,
    /// Not offered here.
    Unsupported,
    /// A bug in Ferrochrome.
    Internal,
}

impl Code {
    /// The stable name that crosses the boundary, for example `INVALID_ARGUMENT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::Unprocessable => "UNPROCESSABLE",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::Corrupted => "CORRUPTED",
            Code::Untrusted => "UNTRUSTED",
            Code::Locked => "LOCKED",
            Code::UnsafeFileSystem => "UNSAFE_FILE_SYSTEM",
            Code::ReadOnly => "READ_ONLY",
            Code::Closed => "CLOSED",
            Code::Cancelled => "CANCELLED",
            Code::Io => "IO",
            Code::NoSpace => "NO_SPACE",
            Code::LimitExceeded => "LIMIT_EXCEEDED",
            Code::Unsupported => "UNSUPPORTED",
            Code::Internal => "INTERNAL",
        }
    }
}

/// What went wrong, in a sentence for the person who reads it, and in a [`Code`] for the program.
#[derive(Clone, Debug)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of this kind with this message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), source: None }
    }

    /// Shorthand for [`Code::InvalidArgument`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Error::new(Code::InvalidArgument, message)
    }

    /// Shorthand for [`Code::Internal`].
    pub fn internal(message: impl Into<String>) -> Self {
        Error::new(Code::Internal, message)
    }

    /// A damaged file: `file` as the user sees it, and what does not hold in it.
    pub fn corrupted(file: impl fmt::Display, what: impl fmt::Display) -> Self {
        Error::new(Code::Corrupted, format!("{file} is damaged: {what}"))
    }

    /// An I/O failure at `path`.
    pub fn io(path: impl fmt::Display, source: std::io::Error) -> Self {
        Error { code: Code::Io, message: format!("{path}: {source}"), source: Some(Arc::new(source)) }
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The kind.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}
