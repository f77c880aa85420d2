//! Linux paths to Windows paths and back.
//!
//! A [`Translator`] knows three kinds of places with a name on both sides:
//! - mounts that show a Windows directory (from the [`MountTable`](crate::MountTable)): the truth under WSL;
//! - [`Drives`]: Linux directories that the host offers as drive letters, as Wine offers a prefix's
//!   `dosdevices`. A mount that shows the same directory of the same file system counts too, so
//!   `/mnt/c` is `C:\` where a prefix's `drive_c` is bind mounted there;
//! - distributions: `\\wsl.localhost\NAME` and `\\wsl$\NAME`.
//!
//! Where several names are right, one with a drive letter is preferred (cmd.exe cannot work in a
//! directory without), and of those the one that leaves the least of the path behind it.
//!
//! # Names that Windows cannot have
//! The characters `\ : * ? " < > |` and control characters other than tab go as private-use
//! characters, U+F000 plus the character, as WSL has it. Under `\\wsl.localhost` they are turned
//! back on the way to Linux. On a mounted Windows drive they are not: the file system driver does
//! that, and WSL's `wslpath` leaves them alone. Dots and spaces at the end of a name stay as they
//! are. So a translation comes back as it was if the name holds no private-use characters of its
//! own, and, on a mounted Windows drive, none of those characters.
//!
//! All of this is lexical: links are followed, if at all, by the caller and before.
mod drives;
mod escapes;
mod normal;
mod translator;
mod types;

pub use drives::{Drives, Naming};
pub(crate) use escapes::escape_into;
pub use escapes::{is_device, opens_in_wine};
pub use normal::normalize;
pub use translator::{TranslateError, Translator};
pub use types::{LinuxPath, WindowsPath};
pub(crate) use types::{is_absolute, is_separator};
