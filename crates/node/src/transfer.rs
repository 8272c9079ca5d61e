//! Records of a collection in files and as lines of JSON, and records of a Chroma server.

use std::path::Path;
use std::sync::Arc;

use ferrochrome_engine::{Collection, GetResult, WriteBatch, WriteKind};
use ferrochrome_exchange::{ColumnNames, Compression, Format, RecordFileReader, RecordFileWriter};
use ferrochrome_types::{CancelToken, Error, Result};
use ferrochrome_wire::{Include, parse_get, parse_record_lines, parse_server_page, record_lines};
use napi::Env;
use napi::bindgen_prelude::Object;
use napi_derive::napi;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;

use crate::background::{long_promise, promise};
use crate::collection::{NativeCancel, NativeCollection};

/// The records of a collection as they were at one moment, to be read page by page.
#[napi]
pub struct NativeExport {
    rows: Arc<Mutex<ExportedRows>>,
    total: f64,
}

struct ExportedRows {
    result: GetResult,
    include: Include,
    next: usize,
}

/// How a file is written.
#[derive(Deserialize)]
struct FileOptions {
    format: Format,
    compression: Compression,
    /// What describes the collection, as JSON text.
    description: Option<String>,
}

#[napi]
impl NativeExport {
    /// Records in all.
    #[napi(getter, catch_unwind)]
    pub fn total(&self) -> f64 {
        self.total
    }

    /// Records that were read.
    #[napi(getter, catch_unwind)]
    pub fn done(&self) -> f64 {
        self.rows.lock().next as f64
    }

    /// The next records, `limit` at most and fewer where they are large, each as a line of JSON; empty after the last.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn next<'env>(&self, env: &'env Env, limit: u32) -> napi::Result<Object<'env>> {
        let rows = self.rows.clone();
        promise(env, move || {
            let rows = &mut *rows.lock();
            let (lines, after) = record_lines(&rows.result, rows.include, rows.next, limit as usize)?;
            rows.next = after;
            Ok(lines)
        })
    }

    /// Begins a file with these records, which must not exist. `options` is JSON `{"format", "compression", "description"?}`.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeExportFile>")]
    pub fn create_file<'env>(
        &self,
        env: &'env Env,
        path: String,
        options: String,
        cancel: &NativeCancel,
    ) -> napi::Result<Object<'env>> {
        let (rows, cancel) = (self.rows.clone(), cancel.token.clone());
        long_promise(env, move || {
            let FileOptions { format, compression, description } = serde_json::from_str(&options)
                .map_err(|e| Error::invalid(format!("The options cannot be read: {e}")))?;
            let (result, include) = {
                let rows = rows.lock();
                (rows.result.clone(), rows.include)
            };
            let (path, description) = (Path::new(&path), description.as_deref());
            let file =
                RecordFileWriter::create(path, format, compression, description, result, include, &cancel)?;
            Ok(NativeExportFile { file: Arc::new(Mutex::new(Some(file))) })
        })
    }
}

/// A file that is being written.
#[napi]
pub struct NativeExportFile {
    /// `None` once it is finished.
    file: Arc<Mutex<Option<RecordFileWriter>>>,
}

#[napi]
impl NativeExportFile {
    /// Writes the next records, `limit` at most and fewer where they are large; the promise is for the number written so far.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn next<'env>(&self, env: &'env Env, limit: u32) -> napi::Result<Object<'env>> {
        let file = self.file.clone();
        long_promise(env, move || {
            let mut file = file.lock();
            let file = file.as_mut().ok_or_else(|| Error::invalid("the file is finished"))?;
            file.write(limit as usize).map(|done| done as f64)
        })
    }

    /// Ends the file; the promise, for its length in bytes, is fulfilled when it is on the disk.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn finish<'env>(&self, env: &'env Env) -> napi::Result<Object<'env>> {
        let file = self.file.clone();
        long_promise(env, move || {
            let file = file.lock().take().ok_or_else(|| Error::invalid("the file is finished"))?;
            file.finish().map(|bytes| bytes as f64)
        })
    }

    /// Closes the file as it is. Does nothing once it is finished.
    #[napi(catch_unwind)]
    pub fn discard(&self) {
        self.file.lock().take();
    }
}

/// A file of records, of ours or of another program, that is being read.
#[napi]
pub struct NativeRecordFile {
    file: Arc<Mutex<RecordFileReader>>,
}

/// How a file is read.
#[derive(Deserialize)]
struct ReadOptions {
    format: Format,
    columns: ColumnNames,
}

#[napi]
impl NativeRecordFile {
    /// Opens a file. `options` is JSON `{"format", "columns"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeRecordFile>")]
    pub fn open<'env>(env: &'env Env, path: String, options: String) -> napi::Result<Object<'env>> {
        long_promise(env, move || {
            let ReadOptions { format, columns } = serde_json::from_str(&options)
                .map_err(|e| Error::invalid(format!("The options cannot be read: {e}")))?;
            let file = RecordFileReader::open(Path::new(&path), format, &columns)?;
            Ok(NativeRecordFile { file: Arc::new(Mutex::new(file)) })
        })
    }

    /// What the file says of the collection that it was written from, as JSON; null for a file of another program.
    #[napi(getter, catch_unwind)]
    pub fn description(&self) -> Option<String> {
        self.file.lock().description().map(str::to_owned)
    }

    /// Records of the file; null where that is known only at its end.
    #[napi(getter, catch_unwind)]
    pub fn total(&self) -> Option<f64> {
        self.file.lock().total().map(|total| total as f64)
    }

    /// Writes the next records, `limit` at most, to a collection; the promise is for JSON `{"read", "imported"}`, where nothing was
    /// read behind the last record.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn next<'env>(
        &self,
        env: &'env Env,
        target: &NativeCollection,
        upsert: bool,
        limit: u32,
    ) -> napi::Result<Object<'env>> {
        let file = self.file.clone();
        target.in_write_order(env, move |collection| {
            let batch = file.lock().read(limit as usize)?.unwrap_or_default();
            write(collection, if upsert { WriteKind::Upsert } else { WriteKind::Add }, batch)
        })
    }
}

#[napi]
impl NativeCollection {
    /// The records as they are now. `request` is that of a get.
    #[napi(catch_unwind, ts_return_type = "Promise<NativeExport>")]
    pub fn export<'env>(&self, env: &'env Env, request: String) -> napi::Result<Object<'env>> {
        let collection = self.usable().map_err(|e| crate::failure::failure(&e))?;
        long_promise(env, move || {
            let (request, include) = parse_get(&request, None)?;
            let result = collection.get(&request, &CancelToken::default())?;
            let total = result.rows.len() as f64;
            Ok(NativeExport { rows: Arc::new(Mutex::new(ExportedRows { result, include, next: 0 })), total })
        })
    }

    /// Writes records from lines of JSON, the first of which has the number `first`; the promise is for `{"read", "imported"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn write_lines<'env>(
        &self,
        env: &'env Env,
        text: String,
        first: f64,
        upsert: bool,
    ) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |collection| {
            let batch = parse_record_lines(&text, first as u64)?;
            write(collection, if upsert { WriteKind::Upsert } else { WriteKind::Add }, batch)
        })
    }

    /// Adds the records in a Chroma server's answer to a get; the promise is for `{"read", "imported", "withoutVector"}`.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn add_server_page<'env>(&self, env: &'env Env, body: String) -> napi::Result<Object<'env>> {
        self.in_write_order(env, move |collection| {
            let page = parse_server_page(&body)?;
            let imported = added(collection, WriteKind::Add, page.batch)?;
            Ok(json!({ "read": page.read, "imported": imported, "withoutVector": page.without_vector })
                .to_string())
        })
    }
}

/// Writes a batch, and says as JSON how many records it had and how many of them were new.
fn write(collection: &Collection, kind: WriteKind, batch: WriteBatch) -> Result<String> {
    let read = batch.ids.len();
    let imported = added(collection, kind, batch)?;
    Ok(json!({ "read": read, "imported": imported }).to_string())
}

/// Writes a batch, and says how many of its records were new.
fn added(collection: &Collection, kind: WriteKind, batch: WriteBatch) -> Result<u64> {
    let before = collection.count()?;
    if !batch.ids.is_empty() {
        collection.write(kind, batch)?;
    }
    Ok(collection.count()?.saturating_sub(before))
}
