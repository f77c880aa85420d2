//! Gives the static x86-64 build its own entry point (see `src/entry.rs`).

fn main() {
    println!("cargo::rustc-check-cfg=cfg(own_entry)");
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let is_static = variable("CARGO_CFG_TARGET_FEATURE").split(',').any(|f| f == "crt-static");
    let is_supported = variable("CARGO_CFG_TARGET_ARCH") == "x86_64"
        && variable("CARGO_CFG_TARGET_OS") == "linux"
        && variable("CARGO_CFG_TARGET_ENV") == "gnu";
    if is_static && is_supported {
        println!("cargo::rustc-cfg=own_entry");
        println!("cargo::rustc-link-arg-bins=-Wl,-e,winterop_entry");
        println!("cargo::rerun-if-changed=thread-block.ld");
        let script = format!("{}/thread-block.ld", variable("CARGO_MANIFEST_DIR"));
        println!("cargo::rustc-link-arg-bins={script}");
    }
}
