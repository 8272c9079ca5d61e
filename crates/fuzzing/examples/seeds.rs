//! Writes the seeds of the corpus: `cargo run -p ferrochrome-fuzzing --example seeds`.
#![allow(clippy::unwrap_used, reason = "it fails where a step does")]

use std::path::Path;

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for (target, name, bytes) in ferrochrome_fuzzing::seeds::all() {
        let folder = corpus.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}
