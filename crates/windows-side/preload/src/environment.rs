//! Reads this library's variables and takes them out of the environment.

use core::ffi::{CStr, c_char};

/// What the environment asks for.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) report: Option<&'static CStr>,
    pub(crate) command_line: Option<&'static CStr>,
    pub(crate) launches: Option<&'static CStr>,
    pub(crate) server_launches: Option<&'static CStr>,
    /// The whole entry that asks for the library in children.
    pub(crate) children: Option<&'static CStr>,
    /// The whole entry that names the file which a terminal's users share, and its value.
    pub(crate) console_entry: Option<&'static CStr>,
    pub(crate) console: Option<&'static CStr>,
    /// The pid of the Windows process that has started this one.
    pub(crate) parent: Option<&'static CStr>,
    /// Set where a terminal is to be a file like any other.
    pub(crate) plain: Option<&'static CStr>,
    /// What Wine is to say of itself; it stays in the environment.
    pub(crate) debugging: Option<&'static CStr>,
    /// The whole entry that names this library, `LD_PRELOAD=` included.
    pub(crate) preload: Option<&'static CStr>,
}

/// Takes `LD_PRELOAD` and every `WINTEROP_*` variable out of the environment.
///
/// # Safety
/// `environment` is a NULL-terminated array of pointers to NUL-terminated strings that stay as long
/// as the process, and nothing else reads or writes the array during the call.
pub(crate) unsafe fn take(environment: *mut *mut c_char) -> Settings {
    let mut settings = Settings::default();
    if environment.is_null() {
        return settings;
    }
    let (mut read, mut write) = (environment, environment);
    loop {
        // SAFETY: the loop stops at the NULL, so `read` is inside the array.
        let entry = unsafe { read.read() };
        let taken = !entry.is_null() && {
            // SAFETY: every entry before the NULL is a string that stays.
            let text = unsafe { CStr::from_ptr(entry) };
            settings.note(text)
        };
        if !taken {
            // SAFETY: `write` is never behind `read`, so it is inside the array.
            unsafe { write.write(entry) };
            write = write.wrapping_add(1);
        }
        if entry.is_null() {
            return settings;
        }
        read = read.wrapping_add(1);
    }
}

impl Settings {
    /// Keeps the value if the entry is one of this library's, and says whether it is.
    fn note(&mut self, entry: &'static CStr) -> bool {
        if value(entry, b"LD_PRELOAD=").is_some() {
            self.preload = Some(entry);
            return true;
        }
        if value(entry, b"WINTEROP_CHILDREN=").is_some() {
            self.children = Some(entry);
            return true;
        }
        if let Some(value) = value(entry, b"WINTEROP_CONSOLE=") {
            self.console_entry = Some(entry);
            self.console = Some(value);
            return true;
        }
        if let Some(value) = value(entry, b"WINEDEBUG=") {
            self.debugging = Some(value);
            return false;
        }
        let fields = [
            (b"WINTEROP_REPORT_FD=".as_slice(), &mut self.report),
            (b"WINTEROP_COMMAND_LINE=", &mut self.command_line),
            (b"WINTEROP_LAUNCHES=", &mut self.launches),
            (b"WINTEROP_PARENT=", &mut self.parent),
            (b"WINTEROP_PLAIN=", &mut self.plain),
            (b"WINTEROP_SERVER_LAUNCHES=", &mut self.server_launches),
        ];
        for (name, field) in fields {
            if let Some(value) = value(entry, name) {
                *field = Some(value);
                return true;
            }
        }
        entry.to_bytes().starts_with(b"WINTEROP_")
    }
}

/// The value behind `name`, which ends in `=`.
fn value(entry: &'static CStr, name: &[u8]) -> Option<&'static CStr> {
    let value = entry.to_bytes_with_nul().strip_prefix(name)?;
    CStr::from_bytes_with_nul(value).ok()
}

/// Whether one of the arguments ends in `wanted`.
///
/// # Safety
/// `arguments` is NULL or a NULL-terminated array of pointers to NUL-terminated strings.
pub(crate) unsafe fn has_argument(arguments: *mut *mut c_char, wanted: &[u8]) -> bool {
    let mut next = arguments;
    while !next.is_null() {
        // SAFETY: the loop stops at the NULL, so `next` is inside the array.
        let entry = unsafe { next.read() };
        if entry.is_null() {
            break;
        }
        // SAFETY: every entry before the NULL is a string.
        if unsafe { CStr::from_ptr(entry) }.to_bytes().ends_with(wanted) {
            return true;
        }
        next = next.wrapping_add(1);
    }
    false
}
