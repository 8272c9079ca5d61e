//! Many ids of one request, as they cross from JavaScript.

use ferrochrome_engine::IdList;
use napi::bindgen_prelude::{Uint8ArraySlice, Uint32ArraySlice};
use napi_derive::napi;
use parking_lot::Mutex;

use crate::failure::failure;

/// The ids that a request names, where there are many. The request that it is given to takes them out.
#[napi]
pub struct NativeIds {
    ids: Mutex<Option<IdList>>,
}

#[napi]
impl NativeIds {
    /// Ids in UTF-8, one after the other in `text`, and where each ends, in bytes. Both are copied before the call returns.
    #[napi(catch_unwind)]
    pub fn pack(text: Uint8ArraySlice<'_>, ends: Uint32ArraySlice<'_>) -> napi::Result<NativeIds> {
        let ids = IdList::packed(&text, &ends).map_err(|e| failure(&e))?;
        Ok(NativeIds { ids: Mutex::new(Some(ids)) })
    }

    /// Whether no two ids are equal; to see that takes longer than to pack them.
    #[napi(catch_unwind)]
    pub fn are_distinct(&self) -> bool {
        let ids = self.ids.lock().clone();
        ids.is_none_or(|ids| ids.is_distinct())
    }
}

impl NativeIds {
    /// The ids; there are none afterwards.
    pub(crate) fn take(&self) -> Option<IdList> {
        self.ids.lock().take()
    }
}
