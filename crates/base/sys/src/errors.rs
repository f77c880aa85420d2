//! System errors in words.

use alloc::borrow::Cow;
use alloc::format;
use rustix::io::Errno;

/// What a system error means, in words; the number where none are known.
#[must_use]
pub fn system_error(error: Errno) -> Cow<'static, str> {
    let number = error.raw_os_error();
    match winterop_words::system::text(number) {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(format!("system error {number}")),
    }
}
