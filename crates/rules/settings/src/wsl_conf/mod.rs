//! `/etc/wsl.conf`: what a distribution says of itself, in WSL's own dialect.
//!
//! Sections `[name]`, lines `key = value`, comments from `#` to the end of the line. Names are
//! letters and digits, beginning with a letter; upper and lower case are the same. In a value, double
//! quotes protect spaces and `#` and are left out themselves; `\\`, `\"`, `\b`, `\n`, `\t` are escapes
//! and a backslash at the end of a line goes on in the next. Booleans are `true`, `false`, `1`, `0`;
//! integers are decimal, octal after `0`, hexadecimal after `0x`. Of two lines for one key the first
//! counts.
//!
//! A line that is wrong is reported and passed over, as WSL does; all others hold. The source of
//! these facts is WSL's own parser and its tests.

mod parser;
mod types;

pub(crate) use parser::LARGEST;
pub use parser::PATH;
pub use types::{
    Automount, Boot, Cgroups, Diagnostic, FileServer, Filesystem, General, Gpu, Interop, Network,
    Problem, Time, User, WslConf,
};
