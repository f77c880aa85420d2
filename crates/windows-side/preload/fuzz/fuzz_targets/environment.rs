//! Feeds lists of strings, as the dynamic linker hands them over, to whoever takes the library's own out of
//! them.
#![no_main]

#[allow(dead_code, reason = "the library has more in there")]
#[path = "../../src/environment.rs"]
mod environment;

use libfuzzer_sys::fuzz_target;
use std::ffi::{CStr, CString, c_char};
use std::ptr::null_mut;

/// What is looked for among the arguments.
const WANTED: &[u8] = b"conhost.exe";

/// The entries up to the NULL.
fn entries(list: &[*mut c_char]) -> Vec<&[u8]> {
    let strings = list.iter().take_while(|entry| !entry.is_null());
    // SAFETY: each is one of the strings of the target's own.
    strings.map(|entry| unsafe { CStr::from_ptr(*entry) }.to_bytes()).collect()
}

fn is_ours(entry: &[u8]) -> bool {
    entry.starts_with(b"LD_PRELOAD=") || entry.starts_with(b"WINTEROP_")
}

/// The value of the last entry of a name.
fn last<'a>(all: &[&'a [u8]], name: &[u8]) -> Option<&'a [u8]> {
    all.iter().rev().find_map(|entry| entry.strip_prefix(name))
}

fuzz_target!(|bytes: &[u8]| {
    let parts = bytes.split(|byte| *byte == 0);
    let strings: Vec<_> = parts.map(|part| CString::new(part).expect("no NUL")).collect();
    let all: Vec<&[u8]> = strings.iter().map(|string| string.as_bytes()).collect();
    let pointers = strings.iter().map(|string| string.as_ptr().cast_mut());
    let mut list: Vec<*mut c_char> = pointers.chain([null_mut()]).collect();
    // SAFETY: a list that ends with NULL, of strings that outlive it.
    let has = unsafe { environment::has_argument(list.as_mut_ptr(), WANTED) };
    assert_eq!(has, all.iter().any(|entry| entry.ends_with(WANTED)));
    // SAFETY: as above; what is taken out of it is used here alone, while they are there.
    let settings = unsafe { environment::take(list.as_mut_ptr()) };
    let left: Vec<&[u8]> = all.iter().copied().filter(|entry| !is_ours(entry)).collect();
    assert_eq!(entries(&list), left);
    for (value, name) in [
        (settings.report, &b"WINTEROP_REPORT_FD="[..]),
        (settings.command_line, b"WINTEROP_COMMAND_LINE="),
        (settings.launches, b"WINTEROP_LAUNCHES="),
        (settings.server_launches, b"WINTEROP_SERVER_LAUNCHES="),
        (settings.console, b"WINTEROP_CONSOLE="),
        (settings.debugging, b"WINEDEBUG="),
    ] {
        assert_eq!(value.map(CStr::to_bytes), last(&all, name));
    }
});
