//! The library that Winterop preloads into Wine's loader and server.
//!
//! It does these things that Wine offers no other way for:
//! - **Exit codes.** A Unix process ends with 8 bits. The loader calls `exit` or `_exit` with all
//!   32 of the Windows program's code; [`report`] writes them to a descriptor on the way. [`vanished`]
//!   keeps a process that has not asked to end from looking like success to other Windows programs.
//! - **Exact command lines.** Wine builds the Windows command line from arguments, by rules that
//!   not every command line fits. [`command_line`] puts the wanted one in its place, after Wine has
//!   made the process's parameters and before the first Windows instruction.
//! - **Faster starts.** A start asks the server several hundred times and sleeps each time. While
//!   exactly one program starts, [`patience`] lets both sides look again before they sleep. Half of the
//!   questions are for the time zone, which [`zones`] finds where the last start has found it.
//! - **Crashes without noise.** [`crashes`] keeps Wine from writing about them between the program's
//!   own lines; the interpreter names them in one.
//! - **Signals as console events.** Wine knows SIGINT only; [`events`] adds Ctrl-Break and close.
//! - **Terminals.** [`console_host`] keeps Wine's console host from taking more of a terminal than its
//!   program wants; [`size`] tells the console of the terminal's size when it changes.
//! - **Starts that do not fail.** Once in some thousand starts the kernel puts the heap where Wine
//!   needs to be; [`layout`] begins such a start again.
//! - **Links.** In the server [`links`] has a link removed or renamed, and not what it leads to;
//!   [`listings`] tells programs which entries are links.
//! - **The command processor.** [`command_processor`] gives Wine's the lines that Windows' would read,
//!   and keeps it from removing what links lead to.
//! - **Readers that go away.** [`readers`] tells programs of it as Windows does.
//! - **What Wine has only half.** [`placeholders`] hides it from programs that have another way.
//! - **Children.** [`children`] gives the library to the Windows processes that this one starts, where
//!   their loader can load it; [`orphan`] ends one whose parent has ended before it let it begin.
//!
//! # Variables
//! The constructor reads these, and takes them and `LD_PRELOAD` out of the environment, so that
//! neither the Windows program nor its children see them:
//!
//! | variable | meaning |
//! |---|---|
//! | `WINTEROP_REPORT_FD` | number of the descriptor that gets the exit code, 4 bytes, little-endian |
//! | `WINTEROP_COMMAND_LINE` | the command line in generalized UTF-8 |
//! | `WINTEROP_LAUNCHES` | path of the page of launches in flight; this process is one |
//! | `WINTEROP_SERVER_LAUNCHES` | the same, and this process is the server |
//! | `WINTEROP_PARENT` | the pid of the Windows process that has started this one |
//! | `WINTEROP_PLAIN` | if set, terminals are files like any other |
//! | `WINTEROP_CONSOLE` | path of the file in which those who have the terminal tell each other of it |
//! | `WINTEROP_STARTS` | how often the start was begun again, one digit |
//! | `WINTEROP_CHILDREN` | if set, the Windows processes that this one starts get the library too |
//!
//! # Rules for this code
//! It runs inside somebody else's program, in every thread, between `fork` and `exec` and in signal
//! handlers: no allocation, no locks, no panics, nothing of std's. What fails is left undone.
#![expect(unsafe_code, reason = "it stands in front of libc's functions in a foreign process")]
#![no_std]

// The panic strategy of a whole build is one setting, and without std only "abort" is possible.
// `cargo xtask` builds this library by itself with `-C panic=abort`; in any other build std comes
// along, and with it libgcc_s, which costs each start a third of a millisecond.
#[cfg(panic = "unwind")]
extern crate std;

mod children;
mod command_line;
mod command_processor;
mod console_host;
mod crashes;
mod environment;
mod events;
mod image;
mod interpose;
mod layout;
mod lines;
mod link_names;
mod links;
mod listings;
mod modules;
mod orphan;
mod page;
mod patience;
mod placeholders;
mod readers;
mod report;
mod size;
mod start;
mod system;
mod terminal;
mod vanished;
mod walk;
mod zone_search;
mod zones;

use core::ffi::{c_char, c_int};

/// Nothing here panics; the compiler asks for this all the same.
#[cfg(not(panic = "unwind"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    system::exit_group(134)
}

/// What core's unwind tables name. Nothing unwinds here, so nothing calls it.
#[cfg(not(panic = "unwind"))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The dynamic linker calls this when the library is loaded, before the program's own constructors.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn(c_int, *mut *mut c_char, *mut *mut c_char) = construct;

extern "C" fn construct(_: c_int, arguments: *mut *mut c_char, environment: *mut *mut c_char) {
    // SAFETY: the dynamic linker passes the process's arguments and environment, which no other
    // thread uses yet.
    unsafe { layout::choose(arguments, environment) };
    // SAFETY: the dynamic linker passes the process's environment, which no other thread uses yet.
    let settings = unsafe { environment::take(environment) };
    report::prepare(settings.report);
    // SAFETY: the dynamic linker passes the process's arguments.
    if unsafe { environment::has_argument(arguments, b"conhost.exe") } {
        events::ignore_all();
        // SAFETY: the dynamic linker passes the process's arguments.
        if unsafe { environment::has_argument(arguments, b"--unix") } {
            console_host::prepare(settings.console);
        }
    } else {
        console_host::begin(settings.console);
    }
    // SAFETY: the dynamic linker passes the process's arguments.
    let is_helper = unsafe { environment::has_argument(arguments, b"/winterop-helper.exe") };
    events::prepare(match settings.report {
        None => events::Role::Child,
        Some(_) if is_helper => events::Role::Helper,
        Some(_) => events::Role::Program,
    });
    if settings.report.is_some() && settings.plain.is_none() {
        size::prepare();
    }
    terminal::prepare(settings.plain);
    crashes::prepare(settings.debugging);
    command_line::prepare(settings.command_line);
    children::prepare(&settings);
    orphan::prepare(settings.parent);
    if let Some(path) = settings.server_launches {
        links::prepare();
        patience::prepare(path, patience::Side::Server);
        vanished::prepare();
    } else if let Some(path) = settings.launches {
        patience::prepare(path, patience::Side::Program);
        zones::prepare();
    }
}
