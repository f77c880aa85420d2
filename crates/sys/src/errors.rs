//! System errors in words.

use alloc::borrow::Cow;
use alloc::format;
use rustix::io::Errno;

/// What a system error means, in words; the number where none are known.
#[must_use]
pub fn system_error(error: Errno) -> Cow<'static, str> {
    let text = match error {
        Errno::ACCESS => "permission denied",
        Errno::AGAIN => "the resource is busy for now",
        Errno::CONNREFUSED => "nobody serves this socket any more",
        Errno::ISDIR => "it is a directory",
        Errno::LOOP => "too many symbolic links",
        Errno::MFILE => "too many open files in this process",
        Errno::NAMETOOLONG => "the name is too long",
        Errno::NFILE => "too many open files on this machine",
        Errno::NODEV => "no such device",
        Errno::NOENT => "no such file or directory",
        Errno::NOEXEC => "it has no format that can be executed",
        Errno::NOMEM => "out of memory",
        Errno::NOTDIR => "a part of the path is not a directory",
        Errno::NOTSOCK => "it is not a socket",
        Errno::PERM => "operation not permitted",
        Errno::PIPE => "the other side has closed the connection",
        Errno::PROTOTYPE => "it is a socket of another kind",
        Errno::STALE => "the file is gone from its server",
        Errno::TOOBIG => "the argument list is too long",
        other => return Cow::Owned(format!("system error {}", other.raw_os_error())),
    };
    Cow::Borrowed(text)
}
