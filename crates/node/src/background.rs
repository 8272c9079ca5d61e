//! Work off the JavaScript thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use ferrochrome_types::Result;
use napi::bindgen_prelude::{Object, ToNapiValue};
use napi::{Env, JsDeferred};

use crate::failure::{failure, panicked};

/// Threads for what waits rather than computes: opening, closing, the catalog, reads.
const WORKERS: usize = 4;

static SHORT: LazyLock<Option<rayon::ThreadPool>> =
    LazyLock::new(|| pool(WORKERS, "ferrochrome-worker").ok());
static LONG: LazyLock<Option<rayon::ThreadPool>> = LazyLock::new(|| pool(WORKERS, "ferrochrome-long").ok());

pub(crate) fn pool(threads: usize, name: &'static str) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |i| format!("{name}-{i}"))
        .build()
        .map_err(|e| ferrochrome_types::Error::internal(format!("background threads cannot be started: {e}")))
}

type Resolver<T> = Box<dyn FnOnce(Env) -> napi::Result<T> + Send>;

/// A promise for what `work` returns; `spawn` says where it runs.
pub(crate) fn promise_on<'env, T, F>(
    env: &'env Env,
    spawn: impl FnOnce(Box<dyn FnOnce() + Send>),
    work: F,
) -> napi::Result<Object<'env>>
where
    T: ToNapiValue + Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    let (deferred, promise): (JsDeferred<T, Resolver<T>>, _) = env.create_deferred()?;
    spawn(Box::new(move || match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => deferred.resolve(Box::new(move |_| Ok(value))),
        Ok(Err(error)) => deferred.reject(failure(&error)),
        Err(payload) => deferred.reject(panicked(payload.as_ref())),
    }));
    Ok(promise)
}

/// A promise for what `work` returns on one of the shared workers.
pub(crate) fn promise<'env, T, F>(env: &'env Env, work: F) -> napi::Result<Object<'env>>
where
    T: ToNapiValue + Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    promise_on(env, |work| spawn(&SHORT, work), work)
}

/// As [`promise`], for work that may take minutes and must not keep the other from a thread.
pub(crate) fn long_promise<'env, T, F>(env: &'env Env, work: F) -> napi::Result<Object<'env>>
where
    T: ToNapiValue + Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    promise_on(env, |work| spawn(&LONG, work), work)
}

fn spawn(pool: &LazyLock<Option<rayon::ThreadPool>>, work: Box<dyn FnOnce() + Send>) {
    match pool.as_ref() {
        Some(pool) => pool.spawn(work),
        // No thread could be had: late is better than never.
        None => work(),
    }
}

/// Waits until everything that was given to `writer` before is done.
///
/// Not `install`: a worker that waits in there takes up other work meanwhile, perhaps for minutes.
pub(crate) fn drain(writer: &rayon::ThreadPool) {
    let (done, finished) = std::sync::mpsc::channel::<()>();
    writer.spawn_fifo(move || drop(done));
    // An error is what we wait for: the sender is gone.
    let _ = finished.recv();
}
