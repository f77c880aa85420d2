//! Has its moment as Windows code: in the first thread of a Windows process, when the program's
//! libraries are loaded and before its first instruction.
//!
//! Wine runs an asynchronous procedure call there, in children too. Whatever needs Windows' own functions,
//! or changes the tables of libraries, does it here.

use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::modules::{self, Writer};
use crate::{command_processor, events, listings, orphan, placeholders, readers};

/// Whether the procedure call has been asked for.
static ASKED: AtomicBool = AtomicBool::new(false);

type QueueCall = unsafe extern "win64" fn(isize, *const c_void, usize, usize, usize) -> i32;

/// Asks for the procedure call, at the first thread's last step before Windows code.
pub(crate) fn begin() {
    if ASKED.swap(true, Ordering::Relaxed) || !events::is_ready() {
        return;
    }
    let Some(queue) = events::unix_function(c"NtQueueApcThread") else { return };
    // SAFETY: Wine's function has this type; it is Windows' own.
    let queue = unsafe { core::mem::transmute::<*mut c_void, QueueCall>(queue) };
    let this_thread = -2;
    // SAFETY: our function has the type of such a procedure, and this library stays loaded.
    unsafe { queue(this_thread, set_up as *const c_void, 0, 0, 0) };
}

/// The procedure.
extern "win64" fn set_up(_: usize, _: usize, _: usize) {
    orphan::has_begun();
    // SAFETY: Windows code runs in this thread, and these two stay loaded as long as the process.
    let Some(kernelbase) = (unsafe { modules::find(b"kernelbase.dll") }) else { return };
    // SAFETY: as above.
    let Some(ntdll) = (unsafe { modules::find(b"ntdll.dll") }) else { return };
    events::set_up(kernelbase, ntdll);
    let Some(writer) = Writer::new(ntdll) else { return };
    placeholders::hide(writer, kernelbase);
    listings::mend(writer, kernelbase, ntdll);
    command_processor::mend(writer, kernelbase, ntdll);
    // SAFETY: as above.
    if let Some(program) = unsafe { modules::first() } {
        readers::mend(writer, program, kernelbase);
    }
}
