//! Which names may be links that are somebody's own.
//!
//! The library itself is one for the dynamic linker alone: this takes in its file.

#[path = "../src/link_names.rs"]
mod link_names;

use link_names::may_be_own;

#[test]
fn files_may_be_links_of_somebodys_own() {
    for path in [
        "/a/b/c",
        "/a/b/c//",
        "/c",
        "c",
        "./c",
        "/p/dosdevices/z:/tmp/c",
        "/p/dosdevices/unc/server/share/c",
        "/p/dosdevices2/c",
        "/p/dosdevices/z:/p/dosdevices/unc/a/b/c",
    ] {
        assert!(may_be_own(path.as_bytes()), "{path}");
    }
}

#[test]
fn drives_shares_and_the_folder_itself_are_nobodys() {
    for path in [
        "",
        "/",
        "//",
        ".",
        "/a/..",
        "/a/./",
        "/p/dosdevices/c:",
        "/p/dosdevices/c:/",
        "/p/dosdevices/unc",
        "/p/dosdevices/unc/server",
        "/p/dosdevices/unc/server/share",
        "/p/dosdevices/z:/p/dosdevices/c:",
    ] {
        assert!(!may_be_own(path.as_bytes()), "{path}");
    }
}
