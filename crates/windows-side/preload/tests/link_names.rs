//! Which names may be links that are somebody's own.
//!
//! The library itself is one for the dynamic linker alone: this takes in its file.

#[path = "../src/link_names.rs"]
mod link_names;

use link_names::Name;

fn parts(path: &str) -> Option<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Name::of(path.as_bytes()).map(|name| (text(name.folder), text(name.last)))
}

#[test]
fn a_name_has_two_parts() {
    for (path, folder, last) in [
        ("/a/b/c", "/a/b", "c"),
        ("/a/b/c//", "/a/b", "c"),
        ("/c", "/", "c"),
        ("c", ".", "c"),
        ("./c", ".", "c"),
        ("/p/dosdevices/z:/tmp/c", "/p/dosdevices/z:/tmp", "c"),
        ("/p/dosdevices/unc/server/share/c", "/p/dosdevices/unc/server/share", "c"),
        ("/p/dosdevices2/c", "/p/dosdevices2", "c"),
    ] {
        assert_eq!(parts(path), Some((folder.to_owned(), last.to_owned())), "{path}");
    }
}

#[test]
fn some_names_are_nobodys_own_link() {
    for path in [
        "",
        "/",
        "//",
        ".",
        "/a/..",
        "/a/./",
        "/p/dosdevices/c:",
        "/p/dosdevices/c:/",
        "/p/dosdevices/unc/server",
        "/p/dosdevices/unc/server/share",
    ] {
        assert_eq!(parts(path), None, "{path}");
    }
}
