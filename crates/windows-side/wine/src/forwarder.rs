//! Writes a Windows library that has no code and only forwards functions to another library.
//!
//! Layout (Microsoft's *PE Format*): headers in the first 512 bytes of the file, one read-only
//! section behind them that holds the export directory, its three tables and all names. An export
//! whose address lies inside the export directory is a forward: the address names
//! `library.function`.

use object::pe;

/// Where the section lies in memory, and in the file.
const SECTION_ADDRESS: u32 = 0x1000;
const SECTION_OFFSET: usize = 0x200;

/// One forwarded function.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forward {
    /// The name under which programs look for it.
    pub(crate) name: &'static str,
    /// What it is: `library.function`, the library without `.dll`.
    pub(crate) target: &'static str,
}

/// The content of a 64-bit library called `library` with these exports, sorted by name.
pub(crate) fn build(library: &str, exports: &[Forward]) -> Vec<u8> {
    let section = export_section(library, exports);
    let mut file = headers(section.len() as u32);
    file.resize(SECTION_OFFSET, 0);
    file.extend_from_slice(&section);
    file.resize(SECTION_OFFSET + section.len().next_multiple_of(SECTION_OFFSET), 0);
    file
}

fn export_section(library: &str, exports: &[Forward]) -> Vec<u8> {
    const DIRECTORY: u32 = size_of::<pe::ImageExportDirectory>() as u32;
    let count = exports.len() as u32;
    let functions = SECTION_ADDRESS + DIRECTORY;
    let names = functions + 4 * count;
    let ordinals = names + 4 * count;
    let mut strings = Strings { at: ordinals + 2 * count, bytes: Vec::new() };
    let library = strings.add(library);
    let targets: Vec<u32> = exports.iter().map(|export| strings.add(export.target)).collect();
    let named: Vec<u32> = exports.iter().map(|export| strings.add(export.name)).collect();
    let mut section = Vec::new();
    // Characteristics, time stamp, version, name, ordinal base, the two counts, the three tables.
    for field in [0, 0, 0, library, 1, count, count, functions, names, ordinals] {
        section.extend_from_slice(&field.to_le_bytes());
    }
    for address in targets.into_iter().chain(named) {
        section.extend_from_slice(&address.to_le_bytes());
    }
    for ordinal in 0..exports.len() as u16 {
        section.extend_from_slice(&ordinal.to_le_bytes());
    }
    section.extend_from_slice(&strings.bytes);
    section
}

/// NUL-terminated strings behind each other, and the address of the next.
struct Strings {
    at: u32,
    bytes: Vec<u8>,
}

impl Strings {
    fn add(&mut self, text: &str) -> u32 {
        let address = self.at + self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        address
    }
}

fn headers(section_length: u32) -> Vec<u8> {
    let mut bytes = vec![0u8; 0x40];
    bytes.splice(..2, *b"MZ");
    bytes.splice(0x3c.., 0x40u32.to_le_bytes());
    bytes.extend_from_slice(b"PE\0\0");
    put16(&mut bytes, &[pe::IMAGE_FILE_MACHINE_AMD64, 1]);
    put32(&mut bytes, &[0, 0, 0]);
    let kind =
        pe::IMAGE_FILE_EXECUTABLE_IMAGE | pe::IMAGE_FILE_LARGE_ADDRESS_AWARE | pe::IMAGE_FILE_DLL;
    put16(&mut bytes, &[240, kind]);
    optional_header(&mut bytes, section_length);
    section_header(&mut bytes, section_length);
    bytes
}

fn optional_header(bytes: &mut Vec<u8>, section_length: u32) {
    put16(bytes, &[pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC, 0]);
    // Sizes of code, data and zeroed data; no entry point; no code.
    put32(bytes, &[0, section_length, 0, 0, 0]);
    // An address in memory that nothing else of Wine's prefers.
    bytes.extend_from_slice(&0x6_7ab0_0000u64.to_le_bytes());
    put32(bytes, &[0x1000, 0x200]);
    // Versions of the system, the image and the subsystem.
    put16(bytes, &[6, 0, 0, 0, 6, 0]);
    let image = SECTION_ADDRESS + section_length.next_multiple_of(0x1000);
    put32(bytes, &[0, image, SECTION_OFFSET as u32, 0]);
    let traits = pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE
        | pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT
        | pe::IMAGE_DLLCHARACTERISTICS_HIGH_ENTROPY_VA;
    put16(bytes, &[pe::IMAGE_SUBSYSTEM_WINDOWS_CUI, traits]);
    for size in [0x10_0000u64, 0x1000, 0x10_0000, 0x1000] {
        bytes.extend_from_slice(&size.to_le_bytes());
    }
    put32(bytes, &[0, 16]);
    // The first of the sixteen directories is the exports'.
    put32(bytes, &[SECTION_ADDRESS, section_length]);
    bytes.extend_from_slice(&[0; 15 * 8]);
}

fn section_header(bytes: &mut Vec<u8>, section_length: u32) {
    bytes.extend_from_slice(b".rdata\0\0");
    let stored = section_length.next_multiple_of(SECTION_OFFSET as u32);
    put32(bytes, &[section_length, SECTION_ADDRESS, stored, SECTION_OFFSET as u32, 0, 0, 0]);
    put32(bytes, &[pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ]);
}

fn put16(bytes: &mut Vec<u8>, fields: &[u16]) {
    bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
}

fn put32(bytes: &mut Vec<u8>, fields: &[u32]) {
    bytes.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use object::read::pe::{ExportTarget, PeFile64};

    use super::*;

    #[test]
    fn another_reader_finds_the_forwards() {
        let exports = [
            Forward { name: "A", target: "kernel32.B" },
            Forward { name: "ProcessPrng", target: "advapi32.SystemFunction036" },
        ];
        let bytes = build("bcryptprimitives.dll", &exports);
        let file = PeFile64::parse(bytes.as_slice()).unwrap();
        let table = file.export_table().unwrap().unwrap();
        let found = table.exports().unwrap();
        assert_eq!(found.len(), 2);
        for (export, expected) in found.iter().zip(exports) {
            assert_eq!(export.name, Some(expected.name.as_bytes()));
            let (library, function) = expected.target.split_once('.').unwrap();
            let ExportTarget::ForwardByName(l, f) = export.target else { panic!("no forward") };
            assert_eq!((l, f), (library.as_bytes(), function.as_bytes()));
        }
        assert_eq!(
            crate::pe::diagnose(&bytes),
            crate::pe::Diagnosis::Library(crate::pe::Machine::X86_64)
        );
    }
}
