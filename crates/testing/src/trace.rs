//! What a program did to the files of a folder, in order, as the shim recorded it.

/// One operation that succeeded (or, for [`SyncFailed`](Self::SyncFailed), did not). Paths are relative to the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A file or folder was opened.
    Open {
        /// The descriptor it got.
        fd: i32,
        /// Whether it was emptied.
        truncates: bool,
        /// Its path.
        path: String,
    },
    /// A descriptor was closed.
    Close(i32),
    /// A second descriptor of the same file.
    Duplicate {
        /// The first.
        fd: i32,
        /// The second.
        copy: i32,
    },
    /// Bytes were written.
    Write {
        /// Where to.
        fd: i32,
        /// At which place in the file.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The length of a file was set.
    Truncate {
        /// Which file.
        fd: i32,
        /// In bytes.
        length: u64,
    },
    /// A file or folder was put on the medium.
    Sync(i32),
    /// The system could not put a file on the medium. It does not try again: the next sync succeeds without these bytes.
    SyncFailed(i32),
    /// A file or folder was renamed.
    Rename(String, String),
    /// A file got a second name.
    Link(String, String),
    /// A name of a file was removed.
    Unlink(String),
    /// A folder was made.
    MakeFolder(String),
    /// A folder was removed.
    RemoveFolder(String),
    /// The program says something.
    Mark(String),
    /// A call whose effect cannot be recorded.
    Unknown(i32, String),
}

const HEADER_BYTES: usize = 40;
const O_TRUNC: u32 = 0o1000;

/// Reads a trace. An incomplete last record, of a program that was killed, is left out.
///
/// # Errors
/// What does not belong into a trace.
pub fn read_trace(mut trace: &[u8]) -> Result<Vec<Operation>, String> {
    let mut operations = Vec::new();
    while let Some((header, rest)) = trace.split_first_chunk::<HEADER_BYTES>() {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let (kind, fd, copy, flags) = (word(0), word(4) as i32, word(8) as i32, word(12));
        let (offset, length) = (long(16), long(24) as usize);
        let (path_length, path2_length) = (word(32) as usize, word(36) as usize);
        let Some((path, rest)) = rest.split_at_checked(path_length) else { break };
        let Some((path2, rest)) = rest.split_at_checked(path2_length) else { break };
        let Some((bytes, rest)) = rest.split_at_checked(length) else { break };
        trace = rest;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let path = text(path);
        operations.push(match kind {
            1 => Operation::Open { fd, truncates: flags & O_TRUNC != 0, path },
            2 => Operation::Close(fd),
            3 => Operation::Duplicate { fd, copy },
            4 => Operation::Write { fd, offset, bytes: bytes.to_vec() },
            5 => Operation::Truncate { fd, length: offset },
            6 => Operation::Sync(fd),
            7 => Operation::SyncFailed(fd),
            8 => Operation::Rename(path, text(path2)),
            9 => Operation::Link(path, text(path2)),
            10 => Operation::Unlink(path),
            11 => Operation::MakeFolder(path),
            12 => Operation::RemoveFolder(path),
            13 => Operation::Mark(text(bytes)),
            14 => Operation::Unknown(fd, path),
            _ => return Err(format!("record {} is of kind {kind}", operations.len())),
        });
    }
    Ok(operations)
}
