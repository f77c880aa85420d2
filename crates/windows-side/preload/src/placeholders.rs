//! Hides from programs that Wine 8 has `VirtualAlloc2`.
//!
//! What makes programs ask for it are its placeholders: memory that is reserved as a whole and given out
//! in parts. Wine 8 has the function without them. V8, for one (Node.js 24 and later, Deno), takes it
//! where it is there, ends where placeholders fail, and has an older way for a Windows that has neither.

use crate::modules::{Module, Writer};

/// Gives it another name, which stands at the same place in the order of names. Programs that have
/// imported it already go on with it.
pub(crate) fn hide(writer: Writer, kernelbase: Module) {
    // SAFETY: "VirtualAlloc1" stands behind "VirtualAlloc" as "VirtualAlloc2" does, and no other thread is
    // there before the program begins.
    unsafe { writer.rename_export(kernelbase, b"VirtualAlloc2", b'1') };
}
