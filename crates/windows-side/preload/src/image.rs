//! Reads what a loaded Windows library exports and imports.
//!
//! The layouts are those of Microsoft's "PE Format" for 64-bit images, as they lie in memory: what the
//! format calls an address is an offset here. A program brings its own tables, so nothing in them is
//! believed: what leads out of the image, or does not end, is not there.

/// More libraries, or functions of one, than any image has: where a table does not end.
const MOST: usize = 100_000;

/// Where the table of directories stands behind the header's begin, and its entries that are read here.
const DIRECTORIES: usize = 24 + 112;
const EXPORTS: usize = 0;
const IMPORTS: usize = 1;

/// The length of one library's entry among the imports.
const LIBRARY: usize = 20;
/// What a 64-bit image's optional header begins with.
const PE32_PLUS: u16 = 0x20b;
/// A function that is imported by its number has this bit, and no name.
const BY_NUMBER: u64 = 1 << 63;

/// What Wine writes behind the DOS header of its own programs and libraries, and where.
const BUILTIN: &[u8] = b"Wine builtin DLL\0";
const BUILTIN_AT: usize = 0x40;

/// An image, from its first byte to its last.
#[derive(Clone, Copy)]
pub(crate) struct Image<'a>(&'a [u8]);

/// Something that an image exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    /// Where its name stands.
    pub(crate) name: usize,
    /// Where it is.
    pub(crate) place: usize,
}

impl<'a> Image<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether it is one of Wine's own.
    pub(crate) fn is_builtin(self) -> bool {
        self.bytes_at(BUILTIN_AT, BUILTIN.len()) == Some(BUILTIN)
    }

    /// What it exports under `name`. What it has from another library is not found.
    pub(crate) fn export(self, name: &[u8]) -> Option<Export> {
        let directory = self.directory(EXPORTS)?;
        let part = |offset| self.offset(plus(directory, offset)?);
        let (count, functions, names, ordinals) =
            (part(0x18)?, part(0x1c)?, part(0x20)?, part(0x24)?);
        for index in 0..count.min(MOST) {
            let text = self.offset(element(names, index, 4)?)?;
            if self.is_text(text, name) {
                let ordinal = self.u16(element(ordinals, index, 2)?)?;
                let place = self.offset(element(functions, ordinal.into(), 4)?)?;
                // In the table itself stands the name of the other library.
                return (!self.is_in(EXPORTS, place)).then_some(Export { name: text, place });
            }
        }
        None
    }

    /// Where the address stands that it calls `function` of `library` by. The library's name may be
    /// written in capitals.
    pub(crate) fn import(self, library: &[u8], function: &[u8]) -> Option<usize> {
        let directory = self.directory(IMPORTS)?;
        (0..MOST)
            .map_while(|index| self.imported_library(element(directory, index, LIBRARY)?))
            .filter(|imported| self.is_library(imported.name, library))
            .find_map(|imported| self.imported_function(imported, function))
    }

    fn imported_library(self, entry: usize) -> Option<Library> {
        let part = |offset| self.offset(plus(entry, offset)?);
        let (functions, name, addresses) = (part(0)?, part(12)?, part(16)?);
        // The last entry is all zeros.
        (name != 0).then_some(Library { functions, name, addresses })
    }

    fn imported_function(self, library: Library, wanted: &[u8]) -> Option<usize> {
        // Without its own table of names, the addresses have replaced them.
        if library.functions == 0 {
            return None;
        }
        for index in 0..MOST {
            let function = self.u64(element(library.functions, index, 8)?)?;
            if function == 0 {
                return None;
            }
            // In front of the name stands a hint, two bytes.
            let is_wanted = function & BY_NUMBER == 0
                && usize::try_from(function)
                    .ok()
                    .and_then(|at| plus(at, 2))
                    .is_some_and(|name| self.is_text(name, wanted));
            if is_wanted {
                let place = element(library.addresses, index, 8)?;
                return self.bytes_at(place, 8).map(|_| place);
            }
        }
        None
    }

    /// Where a directory lies, if there is one.
    fn directory(self, number: usize) -> Option<usize> {
        let directories = self.directories()?;
        // How many there are stands right in front of them.
        let count = self.offset(directories.checked_sub(4)?)?;
        let place = self.offset(element(directories, number, 8)?)?;
        (number < count && place != 0).then_some(place)
    }

    /// Where the table of directories lies: for each its place and its size.
    fn directories(self) -> Option<usize> {
        let header = self.offset(0x3c)?;
        let is_one =
            self.bytes_at(header, 4)? == b"PE\0\0" && self.u16(plus(header, 24)?)? == PE32_PLUS;
        is_one.then(|| plus(header, DIRECTORIES)).flatten()
    }

    /// Whether a place is in a directory.
    fn is_in(self, number: usize, place: usize) -> bool {
        let size = || self.offset(element(plus(self.directories()?, 4)?, number, 8)?);
        let begin = self.directory(number);
        let end = begin.and_then(|begin| plus(begin, size()?));
        begin.zip(end).is_some_and(|(begin, end)| (begin..end).contains(&place))
    }

    fn is_text(self, at: usize, wanted: &[u8]) -> bool {
        self.ends_there(at, wanted.len()) && self.bytes_at(at, wanted.len()) == Some(wanted)
    }

    fn is_library(self, at: usize, wanted: &[u8]) -> bool {
        self.ends_there(at, wanted.len())
            && self.bytes_at(at, wanted.len()).is_some_and(|it| it.eq_ignore_ascii_case(wanted))
    }

    /// Whether a text that begins at `at` has a NUL behind so many bytes.
    fn ends_there(self, at: usize, length: usize) -> bool {
        plus(at, length).and_then(|end| self.0.get(end)) == Some(&0)
    }

    fn offset(self, at: usize) -> Option<usize> {
        let bytes = self.bytes_at(at, 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    }

    fn u16(self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes_at(at, 2)?.try_into().ok()?))
    }

    fn u64(self, at: usize) -> Option<u64> {
        Some(u64::from_le_bytes(self.bytes_at(at, 8)?.try_into().ok()?))
    }

    fn bytes_at(self, at: usize, length: usize) -> Option<&'a [u8]> {
        self.0.get(at..plus(at, length)?)
    }
}

/// One library's entry among the imports.
#[derive(Clone, Copy)]
struct Library {
    functions: usize,
    name: usize,
    addresses: usize,
}

fn plus(at: usize, offset: usize) -> Option<usize> {
    at.checked_add(offset)
}

/// Where an element of a table stands.
fn element(table: usize, index: usize, size: usize) -> Option<usize> {
    plus(table, index.checked_mul(size)?)
}
