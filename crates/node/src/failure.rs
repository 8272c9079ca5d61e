//! Failures on their way to JavaScript.

use ferrochrome_types::{Code, Error};
use napi::Status;

/// A failure with its code, as `src/native.ts` reads it.
pub(crate) fn failure(error: &Error) -> napi::Error {
    let text = serde_json::json!({ "code": error.code().as_str(), "message": error.message() });
    napi::Error::new(Status::GenericFailure, format!("!{text}"))
}

/// What a panic leaves behind. It is a bug, and the message says so.
pub(crate) fn panicked(payload: &(dyn std::any::Any + Send)) -> napi::Error {
    let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    failure(&Error::new(Code::Internal, format!("This is a bug in Ferrochrome, please report it: {text}")))
}
