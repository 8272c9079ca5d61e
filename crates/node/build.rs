//! Linker set-up for a Node addon.

use std::path::Path;
use std::process::Command;

/// Symbols that dependencies export and no Node addon needs.
const HIDDEN: &str = "hidden.map";

fn main() {
    napi_build::setup();
    println!("cargo::rerun-if-changed={HIDDEN}");
    if links_with_lld() {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!(
            "cargo::rustc-cdylib-link-arg=-Wl,--version-script={}",
            Path::new(&folder).join(HIDDEN).display()
        );
    }
}

/// Whether the linker is the one that the toolchain brings along for this target. It takes a second version script beside rustc's
/// own; GNU's refuses one, and with it the addon is 2 MB larger.
fn links_with_lld() -> bool {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let target = variable("TARGET");
    let chosen_by_user =
        !variable("RUSTC_LINKER").is_empty() || variable("CARGO_ENCODED_RUSTFLAGS").contains("link");
    if target != "x86_64-unknown-linux-gnu" || chosen_by_user {
        return false;
    }
    let sysroot = Command::new(variable("RUSTC")).args(["--print", "sysroot"]).output();
    sysroot.is_ok_and(|output| {
        let root = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Path::new(&root).join("lib/rustlib").join(target).join("bin/gcc-ld/ld.lld").exists()
    })
}
