//! Leaves out the C runtime's start-up code: these programs bring their own entry point.

fn main() {
    println!("cargo::rustc-link-arg-bins=-nostartfiles");
    println!("cargo::rerun-if-changed=build.rs");
}
