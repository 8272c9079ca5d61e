//! Makes a segment ready for many searches in the background: copies its index into memory, which searches read in its file
//! meanwhile, and has the system read its vectors into its cache.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ferrochrome_blockstore::{Blob, IndexFile};
use ferrochrome_index::{Provider, VectorIndex, available_memory};
use ferrochrome_types::{CancelToken, Result};
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use crate::maintenance::yield_to_the_program;

/// How often, and how long at most, a copy waits for searches in the file to end before it gives the file's pages back.
const POLL: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A file is read ahead where it takes no more than this part of the memory that the system could give, or than so many bytes where
/// that is not known.
const READ_AHEAD_PART: u64 = 4;
const READ_AHEAD_BYTES: u64 = 1 << 30;

/// What is asked for.
enum Request {
    /// To copy a segment's index into memory, by the segment's id.
    Copy(Uuid, Arc<IndexFile>),
    /// To have a file in the system's cache.
    ReadAhead(Blob),
}

/// Does what is asked for one after the other, on a thread that is there only while there is something to do.
pub(crate) struct Preloader {
    provider: Arc<Provider>,
    /// Ends a copy half-way.
    cancel: CancelToken,
    queue: Mutex<Queue>,
    /// Held while a copy is made, so that memory is taken for one at a time.
    copying: Mutex<()>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Whether the thread will look at `waiting` again.
    running: bool,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Preloader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preloader").field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Preloader {
    pub fn new(provider: Arc<Provider>, cancel: CancelToken) -> Self {
        Preloader { provider, cancel, queue: Mutex::default(), copying: Mutex::default() }
    }

    /// Has the open index `id` copied into memory, if there is room for it then.
    pub fn request_copy(self: &Arc<Self>, id: Uuid, file: Arc<IndexFile>) {
        let is_same = |waiting: &Request| matches!(waiting, Request::Copy(waiting, _) if *waiting == id);
        let queue = self.queue.lock();
        if !queue.waiting.iter().any(is_same) {
            self.push(queue, Request::Copy(id, file));
        }
    }

    /// Has the system read a file into its cache, if it is not too large for that.
    pub fn request_read_ahead(self: &Arc<Self>, blob: Blob) {
        self.push(self.queue.lock(), Request::ReadAhead(blob));
    }

    fn push(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue>, request: Request) {
        if self.cancel.is_cancelled() {
            return;
        }
        queue.waiting.push_back(request);
        if queue.running {
            return;
        }
        let loader = self.clone();
        let thread = std::thread::Builder::new().name("ferrochrome-load".to_owned());
        match thread.spawn(move || loader.run()) {
            Ok(thread) => {
                queue.running = true;
                queue.thread = Some(thread);
            }
            // Searches go on in the file, and a later request tries again.
            Err(_) => queue.waiting.clear(),
        }
    }

    /// Copies the open index `id` into memory on this thread, unless it is there already or has no room.
    ///
    /// # Errors
    /// `Corrupted`, `Cancelled`, `LimitExceeded` where the system gives no memory.
    pub fn copy(&self, id: Uuid, file: &IndexFile) -> Result<()> {
        let _one_copy = self.copying.lock();
        let Some(in_file) = self.provider.get(id).filter(|index| !index.is_resident()) else {
            return Ok(());
        };
        if self.provider.has_room(id, file.bytes_on_disk()) {
            self.provider.replace(id, load(file, &self.cancel)?);
            self.wait_for_searches(&in_file);
            // Those that ran beside the copy have mapped pages again.
            file.release_pages();
        }
        Ok(())
    }

    /// Waits a while for those who search the index in its file to be done.
    fn wait_for_searches(&self, in_file: &Arc<dyn VectorIndex>) {
        let mut waited = Duration::ZERO;
        while Arc::strong_count(in_file) > 1 && waited < LONGEST_WAIT && !self.cancel.is_cancelled() {
            std::thread::sleep(POLL);
            waited += POLL;
        }
    }

    /// Waits until a copy that is being made has been given up. To be called once `cancel` is.
    pub fn stop(&self) {
        let thread = self.queue.lock().thread.take();
        if let Some(thread) = thread {
            // A panic there was reported there.
            let _ = thread.join();
        }
    }

    fn run(&self) {
        yield_to_the_program();
        while let Some(request) = self.next() {
            match request {
                // What is damaged is reported by the searches that come upon it; they go on in the file.
                Request::Copy(id, file) => _ = self.copy(id, &file),
                Request::ReadAhead(blob) => self.read_ahead(&blob),
            }
        }
    }

    fn read_ahead(&self, blob: &Blob) {
        let most = available_memory().map_or(READ_AHEAD_BYTES, |bytes| bytes / READ_AHEAD_PART);
        if blob.len() as u64 <= most {
            blob.read_ahead(&self.cancel);
        }
    }

    fn next(&self) -> Option<Request> {
        let mut queue = self.queue.lock();
        if self.cancel.is_cancelled() {
            queue.waiting.clear();
        }
        let next = queue.waiting.pop_front();
        queue.running = next.is_some();
        next
    }
}

/// A copy of an index in memory, checked as a whole.
///
/// # Errors
/// `Corrupted`, `Cancelled`, `LimitExceeded`.
pub(crate) fn load(file: &IndexFile, cancel: &CancelToken) -> Result<Arc<dyn VectorIndex>> {
    let index = ferrochrome_index::load(file.parameters()?, file, cancel);
    file.release_pages();
    index
}
