//! Variables that belong together and mean the same on both sides: a setting passes a group of them
//! to every Windows program.
//!
//! An interpreter sends those that are set along with each request, because only the host reads the
//! settings. Of names that Windows takes for one the first that is set counts.

/// Where the network is reached through a proxy. Programs for Linux read the lower-case names first.
pub const PROXY: &[&[u8]] = &[
    b"http_proxy",
    b"https_proxy",
    b"ftp_proxy",
    b"all_proxy",
    b"no_proxy",
    b"HTTP_PROXY",
    b"HTTPS_PROXY",
    b"FTP_PROXY",
    b"ALL_PROXY",
    b"NO_PROXY",
];

/// By what a program knows that it runs in continuous integration.
pub const CI: &[&[u8]] =
    &[b"CI", b"CONTINUOUS_INTEGRATION", b"GITHUB_ACTIONS", b"GITLAB_CI", b"TF_BUILD"];

/// What a program may write to the terminal.
pub const TERMINAL: &[&[u8]] =
    &[b"TERM", b"COLORTERM", b"NO_COLOR", b"FORCE_COLOR", b"CLICOLOR", b"CLICOLOR_FORCE"];

/// Whether a variable of this name is in any group.
pub fn contain(name: &[u8]) -> bool {
    [PROXY, CI, TERMINAL].into_iter().flatten().any(|known| *known == name)
}
