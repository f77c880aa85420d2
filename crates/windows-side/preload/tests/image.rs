//! What is read of libraries that are as they should be, and of such that are not.
//!
//! The library itself is one for the dynamic linker alone: this takes in its file.

#[path = "../src/image.rs"]
mod image;

use image::{Export, Image};

/// Where what lies in [`library`].
const HEADER: usize = 0x80;
const EXPORTS: usize = 0x200;
const IMPORTS: usize = 0x400;
const LENGTH: usize = 0x800;

/// An image in the making.
struct Library(Vec<u8>);

impl Library {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn word(&mut self, at: usize, value: usize) {
        self.put(at, &u32::try_from(value).expect("32 bits").to_le_bytes());
    }

    fn long(&mut self, at: usize, value: u64) {
        self.put(at, &value.to_le_bytes());
    }

    fn image(&self) -> Image<'_> {
        Image::new(&self.0)
    }
}

/// One that exports `Alpha` and `Beta`, the latter from the first place among the functions, and imports
/// from `KERNEL32.dll` the function 7, `ReadFile` and `WriteFile`; behind a library without names.
fn library() -> Library {
    let mut library = Library(vec![0; LENGTH]);
    library.put(0, b"MZ");
    library.put(0x40, b"Wine builtin DLL\0");
    library.word(0x3c, HEADER);
    library.put(HEADER, b"PE\0\0");
    library.put(HEADER + 24, &0x20b_u16.to_le_bytes());
    library.word(HEADER + 132, 16);
    library.word(HEADER + 136, EXPORTS);
    library.word(HEADER + 144, IMPORTS);
    for (offset, value) in [(0x18, 2), (0x1c, 0x240), (0x20, 0x250), (0x24, 0x260)] {
        library.word(EXPORTS + offset, value);
    }
    library.word(0x240, 0x111);
    library.word(0x244, 0x222);
    library.word(0x250, 0x280);
    library.word(0x254, 0x290);
    library.put(0x260, &[1, 0, 0, 0]);
    library.put(0x280, b"Alpha");
    library.put(0x290, b"Beta");
    let entries = [(0, 0x500, 0x600), (0x540, 0x510, 0x640)];
    for (index, (functions, name, addresses)) in entries.into_iter().enumerate() {
        let entry = IMPORTS + 20 * index;
        library.word(entry, functions);
        library.word(entry + 12, name);
        library.word(entry + 16, addresses);
    }
    library.put(0x500, b"other.dll");
    library.put(0x510, b"KERNEL32.dll");
    library.long(0x540, 1 << 63 | 7);
    library.long(0x548, 0x700);
    library.long(0x550, 0x710);
    library.put(0x702, b"ReadFile");
    library.put(0x712, b"WriteFile");
    library
}

#[test]
fn exports_are_found_by_their_whole_name() {
    let library = library();
    let image = library.image();
    assert_eq!(image.export(b"Alpha"), Some(Export { name: 0x280, place: 0x222 }));
    assert_eq!(image.export(b"Beta"), Some(Export { name: 0x290, place: 0x111 }));
    for name in [&b"Alph"[..], b"Alphas", b"alpha", b"", b"Gamma"] {
        assert_eq!(image.export(name), None, "{}", String::from_utf8_lossy(name));
    }
}

#[test]
fn what_is_another_librarys_is_not_found() {
    let mut library = library();
    library.word(HEADER + 140, 0x100);
    assert!(library.image().export(b"Beta").is_some());
    library.word(0x240, EXPORTS + 0xff);
    assert_eq!(library.image().export(b"Beta"), None);
}

#[test]
fn imports_are_found_by_library_and_name() {
    let library = library();
    let image = library.image();
    assert_eq!(image.import(b"kernel32.dll", b"ReadFile"), Some(0x648));
    assert_eq!(image.import(b"kernel32.dll", b"WriteFile"), Some(0x650));
    for (name, function) in [
        (&b"kernel32.dll"[..], &b"readfile"[..]),
        (b"kernel32.dll", b"ReadFileEx"),
        (b"kernel32.dll", b"Read"),
        (b"kernel32", b"ReadFile"),
        (b"other.dll", b"ReadFile"),
        (b"ntdll.dll", b"ReadFile"),
    ] {
        assert_eq!(image.import(name, function), None);
    }
}

#[test]
fn wines_own_are_known() {
    let mut library = library();
    assert!(library.image().is_builtin());
    library.put(0x40, b"Wine placeholder DLL");
    assert!(!library.image().is_builtin());
}

#[test]
fn an_image_without_tables_has_nothing() {
    let mut library = library();
    library.word(HEADER + 132, 1);
    assert_eq!(library.image().import(b"kernel32.dll", b"ReadFile"), None);
    assert!(library.image().export(b"Alpha").is_some());
    library.word(HEADER + 136, 0);
    assert_eq!(library.image().export(b"Alpha"), None);
}

#[test]
fn one_for_32_bits_or_none_at_all_has_nothing() {
    let mut library = library();
    library.put(HEADER + 24, &0x10b_u16.to_le_bytes());
    assert_eq!(library.image().export(b"Alpha"), None);
    library.put(HEADER + 24, &0x20b_u16.to_le_bytes());
    library.put(HEADER, b"NE");
    assert_eq!(library.image().export(b"Alpha"), None);
    assert_eq!(Image::new(&[]).export(b"Alpha"), None);
    assert!(!Image::new(&[]).is_builtin());
}

#[test]
fn what_leads_out_of_the_image_is_not_there() {
    let whole = library();
    let sound = |image: Image<'_>| {
        image.export(b"Beta").is_none_or(|export| export.name < LENGTH)
            && image.import(b"kernel32.dll", b"WriteFile").is_none_or(|place| place + 8 <= LENGTH)
    };
    for length in 0..LENGTH {
        assert!(sound(Image::new(&whole.0[..length])), "cut off after {length}");
    }
    for at in (0..LENGTH - 4).step_by(2) {
        for value in [u32::MAX, 0x8000_0000, 0x7ff] {
            let mut library = library();
            library.put(at, &value.to_le_bytes());
            assert!(sound(library.image()), "{value:#x} at {at:#x}");
        }
    }
}
