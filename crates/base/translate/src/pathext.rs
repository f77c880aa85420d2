//! Finds the file behind a program's bare name as Windows does: directories in an order, and in
//! each the extensions that `PATHEXT` lists.
//!
//! `cmd` becomes `C:\windows\system32\cmd.exe`. The order is the one of CreateProcess: the
//! directory of the calling program, the working directory, the system directories, then `PATH`.
//! Nothing is looked up here: a closure says whether a file is there.

use alloc::vec::Vec;

use crate::bytes::eq_ignore_case;
use crate::paths::{WindowsPath, is_separator};

/// What `PATHEXT` is where it is not set.
pub const DEFAULT_PATHEXT: &[u8] = b".COM;.EXE;.BAT;.CMD;.VBS;.VBE;.JS;.JSE;.WSF;.WSH;.MSC";

/// Where to search. All directories are Windows paths; what is `None` is left out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Places<'a> {
    /// The directory of the program that starts another.
    pub application: Option<&'a [u8]>,
    /// The working directory. Leave it out where a file lying about must not be run
    /// (`NoDefaultCurrentDirectoryInExePath`).
    pub current: Option<&'a [u8]>,
    /// The Windows directory, `C:\windows`; its `system32` and `system` are searched before it.
    pub windows: Option<&'a [u8]>,
    /// The value of `PATH`: directories separated by `;`, in quotes if they hold one.
    pub path: Option<&'a [u8]>,
    /// The value of `PATHEXT`; [`DEFAULT_PATHEXT`] if it is not set or empty.
    pub pathext: Option<&'a [u8]>,
}

/// Directories and extensions in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchOrder {
    directories: Vec<Vec<u8>>,
    extensions: Vec<Vec<u8>>,
}

impl SearchOrder {
    /// Puts the places in order; a directory that comes twice is searched once.
    pub fn new(places: &Places) -> Self {
        let mut order = Self::default();
        order.push(places.application.unwrap_or_default());
        order.push(places.current.unwrap_or_default());
        if let Some(windows) = places.windows {
            order.push(&below(windows, b"system32"));
            order.push(&below(windows, b"system"));
            order.push(windows);
        }
        for directory in split_path(places.path.unwrap_or_default()) {
            order.push(&directory);
        }
        let pathext = places.pathext.filter(|list| list.iter().any(|&byte| byte != b';'));
        order.extensions = pathext
            .unwrap_or(DEFAULT_PATHEXT)
            .split(|&byte| byte == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|extension| extension.len() > 1 && extension.first() == Some(&b'.'))
            .map(<[u8]>::to_ascii_lowercase)
            .collect();
        order
    }

    fn push(&mut self, directory: &[u8]) {
        let directory = match directory {
            [_, b':', b'\\'] => directory,
            _ => directory.strip_suffix(b"\\").unwrap_or(directory),
        };
        let known = self.directories.iter().any(|each| eq_ignore_case(each, directory));
        if !directory.is_empty() && !known {
            self.directories.push(directory.to_vec());
        }
    }

    /// The directories that are searched for a bare name, in order.
    pub fn directories(&self) -> impl Iterator<Item = &[u8]> {
        self.directories.iter().map(Vec::as_slice)
    }

    /// Finds a program. A name with a slash, a backslash or a colon is looked for there and nowhere
    /// else; a name with an extension is tried as it is first. `exists` is asked for regular files
    /// and has to ignore case as the file system does.
    pub fn find(
        &self,
        name: &[u8],
        mut exists: impl FnMut(&WindowsPath) -> bool,
    ) -> Option<WindowsPath> {
        if name.is_empty() || name.contains(&0) {
            return None;
        }
        let bare = !name.iter().any(|&byte| is_separator(byte) || byte == b':');
        if !bare {
            return self.in_place(name, &mut exists);
        }
        self.directories
            .iter()
            .find_map(|directory| self.in_place(&below(directory, name), &mut exists))
    }

    /// Tries a path as it is if it has an extension, then with each extension behind it.
    fn in_place(
        &self,
        path: &[u8],
        exists: &mut impl FnMut(&WindowsPath) -> bool,
    ) -> Option<WindowsPath> {
        let file = path.rsplit(|&byte| is_separator(byte)).next().unwrap_or_default();
        if matches!(file, b"" | b"." | b"..") {
            return None;
        }
        let as_it_is = file.contains(&b'.').then(|| path.to_vec());
        let with_extension = self.extensions.iter().map(|extension| [path, extension].concat());
        as_it_is.into_iter().chain(with_extension).map(WindowsPath::from_bytes).find(exists)
    }
}

/// Puts the values of variables in the place of `%NAME%`, as Windows does with the `PATH` of its
/// registry. `lookup` gets the name; what it does not know stays as it is.
///
/// ```
/// use winterop_translate::pathext::expand;
///
/// let root = |name: &[u8]| (name == b"SystemRoot").then(|| b"C:\\windows".to_vec());
/// assert_eq!(expand(b"%SystemRoot%\\x;%NO%;5%", root), b"C:\\windows\\x;%NO%;5%");
/// ```
pub fn expand(text: &[u8], lookup: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.iter().position(|&byte| byte == b'%') {
        let (before, named) = rest.split_at(start);
        expanded.extend_from_slice(before);
        let inner = named.get(1..).unwrap_or_default();
        let value = inner.iter().position(|&byte| byte == b'%').and_then(|end| {
            let value = lookup(inner.get(..end)?)?;
            Some((value, inner.get(end + 1..)?))
        });
        rest = match value {
            Some((value, behind)) => {
                expanded.extend_from_slice(&value);
                behind
            }
            // This one begins no name; the next one may.
            None => {
                expanded.push(b'%');
                inner
            }
        };
    }
    expanded.extend_from_slice(rest);
    expanded
}

fn below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let directory = directory.strip_suffix(b"\\").unwrap_or(directory);
    [directory, b"\\", name].concat()
}

/// Splits a `PATH`: quotes protect semicolons and are not part of the name.
fn split_path(path: &[u8]) -> Vec<Vec<u8>> {
    let mut directories = Vec::new();
    let mut directory = Vec::new();
    let mut quoted = false;
    for &byte in path {
        match byte {
            b'"' => quoted = !quoted,
            b';' if !quoted => directories.push(core::mem::take(&mut directory)),
            _ => directory.push(byte),
        }
    }
    directories.push(directory);
    directories
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    fn order() -> SearchOrder {
        SearchOrder::new(&Places {
            current: Some(b"Z:\\work"),
            windows: Some(b"C:\\windows\\"),
            path: Some(b"C:\\WINDOWS\\system32;;\"C:\\a;b\";D:\\tools\\"),
            pathext: Some(b".COM;.EXE; .Bat ;;CMD;."),
            ..Places::default()
        })
    }

    fn find(name: &str, files: &[&str]) -> Option<String> {
        let found = order().find(name.as_bytes(), |path| {
            files.iter().any(|file| eq_ignore_case(file.as_bytes(), path.as_bytes()))
        });
        found.map(|path| path.to_string())
    }

    #[test]
    fn directories_come_in_order_and_once() {
        let order = order();
        let names: Vec<_> = order.directories().map(String::from_utf8_lossy).collect();
        let expected = [
            "Z:\\work",
            "C:\\windows\\system32",
            "C:\\windows\\system",
            "C:\\windows",
            "C:\\a;b",
            "D:\\tools",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn finds_bare_names() {
        let system = "C:\\windows\\system32\\cmd.exe";
        assert_eq!(find("cmd", &[system]).as_deref(), Some(system));
        assert_eq!(find("CMD.EXE", &[system]).as_deref(), Some("C:\\windows\\system32\\CMD.EXE"));
        assert_eq!(find("cmd", &["D:\\tools\\cmd.bat", system]).as_deref(), Some(system));
        let here = "Z:\\work\\cmd.bat";
        assert_eq!(find("cmd", &[here, system]).as_deref(), Some(here));
        assert_eq!(find("tool", &["D:\\tools\\tool.bat"]).as_deref(), Some("D:\\tools\\tool.bat"));
        assert_eq!(find("tool", &["D:\\tools\\tool", "D:\\tools\\tool.cmd"]), None);
        assert_eq!(find("a.b", &["C:\\a;b\\a.b.exe"]).as_deref(), Some("C:\\a;b\\a.b.exe"));
        assert_eq!(
            find("a.b", &["Z:\\work\\a.b", "Z:\\work\\a.b.com"]).as_deref(),
            Some("Z:\\work\\a.b")
        );
    }

    #[test]
    fn names_with_a_place_are_not_searched_for() {
        let files = &["C:\\windows\\system32\\cmd.exe", ".\\x.exe"];
        assert_eq!(find(".\\x", files).as_deref(), Some(".\\x.exe"));
        assert_eq!(find("C:\\windows\\system32\\cmd", files).as_deref(), Some(files[0]));
        assert_eq!(find(".\\cmd", files), None);
        for none in ["", ".", "..", "a\0b", "C:\\", "\\.."] {
            assert_eq!(order().find(none.as_bytes(), |_| true), None, "{none:?}");
        }
    }

    #[test]
    fn an_empty_pathext_is_the_default() {
        for pathext in [None, Some(&b""[..]), Some(b";;")] {
            let order =
                SearchOrder::new(&Places { pathext, path: Some(b"C:\\"), ..Places::default() });
            let mut tried = Vec::new();
            order.find(b"x", |path| {
                tried.push(path.to_string());
                false
            });
            assert_eq!(tried.first().map(String::as_str), Some("C:\\x.com"));
            assert_eq!(tried.len(), 11);
        }
    }

    #[test]
    fn variables_are_put_in_once() {
        let lookup = |name: &[u8]| match name {
            b"A" => Some(b"%B%".to_vec()),
            b"B" => Some(b"b".to_vec()),
            _ => None,
        };
        for (text, expected) in [
            ("%A%%B%", "%B%b"),
            ("%", "%"),
            ("%%", "%%"),
            ("%%B%%", "%b%"),
            ("x%B", "x%B"),
            ("%no%B%", "%nob"),
            ("", ""),
        ] {
            let expanded = expand(text.as_bytes(), lookup);
            assert_eq!(String::from_utf8(expanded).unwrap(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_expanded(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert_eq!(expand(&text, |_| None), text.clone());
            expand(&text, |name| Some(name.to_vec()));
        }

        #[test]
        fn any_bytes_can_be_searched(
            name in proptest::collection::vec(any::<u8>(), 0..12),
            path in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let places = Places { path: Some(&path), pathext: Some(&path), ..Places::default() };
            SearchOrder::new(&places).find(&name, |_| false);
        }
    }
}
