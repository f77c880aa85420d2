//! The table of checks, in the order of a launch.

use crate::finding::Check;
use crate::{entries, host, kernel, launch, settings, sockets, wine};
use std::time::Duration;

/// What only looks at files and asks the kernel.
const SHORT: Duration = Duration::from_secs(3);

/// What starts Wine; the first time makes a prefix.
const LONG: Duration = Duration::from_secs(60);

macro_rules! checks {
    ($($id:literal $title:literal $patience:ident $look:path,)+) => {
        /// Every check.
        pub const CHECKS: &[Check] =
            &[$(Check { id: $id, title: $title, patience: $patience, look: $look }),+];
    };
}

checks! {
    "kernel" "kernel" SHORT kernel::version,
    "user-namespaces" "user namespaces" SHORT kernel::user_namespaces,
    "table" "table of executables" SHORT kernel::table,
    "entry" "registration" SHORT entries::entry,
    "taker" "who takes it" SHORT entries::taker,
    "interpreter" "interpreter" SHORT entries::interpreter,
    "runtime-directory" "runtime directory" SHORT sockets::runtime_directory,
    "sockets" "sockets" SHORT sockets::directory,
    "server" "interop server" SHORT sockets::server,
    "settings" "settings" SHORT settings::files,
    "wsl-conf" "wsl.conf" SHORT settings::distribution,
    "switches" "switches" SHORT settings::switches,
    "policy" "policy" SHORT settings::policy,
    "program" "program" SHORT launch::program,
    "host" "host" SHORT host::host,
    "wine" "Wine" SHORT wine::installation,
    "prefix" "Wine prefix" SHORT wine::prefix,
    "wine-server" "Wine server" SHORT wine::server,
    "launch" "trial launch" LONG launch::trial,
}
