//! For tests and benches: datasets and measures; a shim that records what a program does to files or lets it fail, and a disk that
//! says what may be left of that after a crash. Never a dependency of the product.
#![forbid(unsafe_code)]

mod disk;
mod random;
mod recall;
mod shim;
mod trace;
mod wordnet;

pub use disk::{Disk, Survives, Tree, read_tree, write_tree};
pub use random::Random;
pub use recall::recall;
pub use shim::{Control, Faults, Shim, kinds};
pub use trace::{Operation, read_trace};
pub use wordnet::{Entry, WordNet};
