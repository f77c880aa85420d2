//! Says what an executable is, from its own header, before anything is started.
//!
//! Wine reports a file that it cannot run with a window, a line on stderr or nothing at all, and
//! always late. The header says it in a few hundred bytes: whether it is a Windows program at all,
//! for which machine, with or without .NET, a program or a library, for a console or a desktop.
//!
//! Layout: Microsoft's *PE Format* (DOS header, `e_lfanew`, COFF header, optional header, data
//! directories, section table).

use std::fmt;
use std::io;

use object::LittleEndian as LE;
use object::pe;
use winterop_words::{Failure, Words};

/// Exit status for what is there and cannot run, as shells use it.
pub const CANNOT_RUN: u8 = 126;

/// How many bytes at the start of a file are enough for nearly every executable.
pub const HEAD: usize = 4096;

/// The most that is read at `e_lfanew`: signature, COFF header, optional header, section table.
const HEADERS: usize = 64 * 1024;

/// The kind of machine a PE file was built for (`IMAGE_FILE_HEADER.Machine`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit Arm, in any of its three ABIs (ARM64, ARM64EC, ARM64X).
    Arm64,
    /// 32-bit Arm.
    Arm,
    /// Any other value.
    Other(u16),
}

impl Machine {
    fn from_field(value: u16) -> Self {
        match value {
            pe::IMAGE_FILE_MACHINE_AMD64 => Self::X86_64,
            pe::IMAGE_FILE_MACHINE_I386 => Self::X86,
            pe::IMAGE_FILE_MACHINE_ARM64
            | pe::IMAGE_FILE_MACHINE_ARM64EC
            | pe::IMAGE_FILE_MACHINE_ARM64X => Self::Arm64,
            pe::IMAGE_FILE_MACHINE_ARM
            | pe::IMAGE_FILE_MACHINE_ARMNT
            | pe::IMAGE_FILE_MACHINE_THUMB => Self::Arm,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86_64 => f.write_str("64-bit x86"),
            Self::X86 => f.write_str("32-bit x86"),
            Self::Arm64 => f.write_str("64-bit Arm"),
            Self::Arm => f.write_str("32-bit Arm"),
            Self::Other(value) => write!(f, "machine type 0x{value:04x}"),
        }
    }
}

/// What a program expects to be shown on (`IMAGE_OPTIONAL_HEADER.Subsystem`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsystem {
    /// A program for a console.
    Console,
    /// A program with windows.
    Graphical,
    /// Drivers, boot programs and the like, which no launcher can start.
    Other(u16),
}

/// A PE executable that names a program, as far as the header tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// The machine it was built for.
    pub machine: Machine,
    /// Console or graphical.
    pub subsystem: Subsystem,
    /// Whether it is a .NET assembly (it has a CLR header).
    pub dot_net: bool,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Diagnosis {
    /// A Windows program.
    Program(Program),
    /// A PE file that is a library, not a program.
    Library(Machine),
    /// No bytes at all.
    Empty,
    /// Does not begin with `MZ`.
    NotMz,
    /// `MZ` with nothing newer behind it: a program for DOS.
    Dos,
    /// A program for 16-bit Windows or OS/2 (`NE`).
    SixteenBit,
    /// A driver for Windows 9x or a program for OS/2 (`LE`, `LX`).
    Linear,
    /// Begins as PE and ends before its headers do.
    Truncated,
    /// Headers that contradict themselves.
    Malformed(&'static str),
}

/// What a launcher can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Runs 64-bit x86 programs.
    pub x86_64: bool,
    /// Runs 32-bit x86 programs.
    pub x86: bool,
    /// Runs .NET programs (Wine: with Mono installed in the prefix).
    pub dot_net: bool,
}

/// A program that this launcher cannot run, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unfit(Box<Words>);

impl Unfit {
    /// The exit status that says so: 126.
    pub fn exit_status(&self) -> u8 {
        self.0.kind.status()
    }

    /// What is said of `program`.
    pub fn words(self, program: impl fmt::Display) -> Words {
        self.0.on(program)
    }
}

impl From<Failure<'_>> for Unfit {
    fn from(failure: Failure<'_>) -> Self {
        Self(Box::new(failure.words()))
    }
}

/// What stands for the program's name, which is not known here.
const PROGRAM: &&str = &"the program";

impl Diagnosis {
    /// Says whether a launcher with these abilities can run the file, and why not.
    pub fn check(self, abilities: Abilities) -> Result<Program, Unfit> {
        let program = PROGRAM;
        let unfit = match &self {
            Self::Program(program) => return program.check(abilities),
            Self::Library(machine) => Failure::Library { program, machine },
            Self::Empty => Failure::EmptyFile { program },
            Self::NotMz => Failure::NotAProgram { program },
            Self::Dos => Failure::DosProgram { program },
            Self::SixteenBit => Failure::SixteenBitProgram { program },
            Self::Linear => Failure::LinearProgram { program },
            Self::Truncated => Failure::CutOff { program },
            Self::Malformed(which) => Failure::Damaged { program, which },
        };
        Err(unfit.into())
    }
}

impl Program {
    fn check(self, abilities: Abilities) -> Result<Self, Unfit> {
        let program = PROGRAM;
        let unfit = match (&self.machine, &self.subsystem) {
            (_, Subsystem::Other(subsystem)) => Failure::Driver { program, subsystem },
            // An assembly for any machine is marked 32-bit x86, and runs where .NET does.
            (_, _) if self.dot_net && !abilities.dot_net => Failure::DotNet { program },
            (Machine::X86_64, _) if abilities.x86_64 => return Ok(self),
            (Machine::X86, _) if abilities.x86 || self.dot_net => return Ok(self),
            (Machine::X86, _) => Failure::ThirtyTwoBit { program },
            (machine, _) => Failure::OtherMachine { program, machine },
        };
        Err(unfit.into())
    }
}

/// Diagnoses a file whose first bytes are `head`, reading further with `read_at` where needed.
///
/// `read_at(offset, buffer)` fills as much of `buffer` as the file has from `offset` on and says
/// how much that was. Its errors are passed on.
pub fn diagnose_with(
    mut read_at: impl FnMut(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<Diagnosis> {
    let mut head = vec![0u8; HEAD];
    let got = read_at(0, &mut head)?;
    head.truncate(got);
    let Some(offset) = pe_offset(&head) else { return Ok(without_pe_offset(&head)) };
    if head.len() < HEAD {
        return Ok(diagnose(&head));
    }
    let mut headers = vec![0u8; HEADERS];
    let got = read_at(u64::from(offset), &mut headers)?;
    headers.truncate(got);
    Ok(diagnose_headers(&headers))
}

/// Diagnoses a file from its whole content, or from its first bytes if its headers are in there.
pub fn diagnose(bytes: &[u8]) -> Diagnosis {
    match pe_offset(bytes) {
        None => without_pe_offset(bytes),
        Some(offset) => match bytes.get(offset as usize..) {
            Some(headers) => diagnose_headers(headers),
            // A DOS program need not have anything sensible at 0x3c.
            None if bytes.len() < HEAD => Diagnosis::Truncated,
            None => Diagnosis::Dos,
        },
    }
}

/// The offset of the new header, if this is an MZ file long enough to say.
fn pe_offset(bytes: &[u8]) -> Option<u32> {
    let dos: &pe::ImageDosHeader = object::pod::from_bytes(bytes).ok()?.0;
    let offset = dos.e_lfanew.get(LE);
    (dos.e_magic.get(LE) == pe::IMAGE_DOS_SIGNATURE && offset >= 4).then_some(offset)
}

fn without_pe_offset(bytes: &[u8]) -> Diagnosis {
    match bytes {
        [] => Diagnosis::Empty,
        [b'M', b'Z', rest @ ..] if rest.len() + 2 < size_of::<pe::ImageDosHeader>() => {
            // 28 bytes are the whole header of a DOS program; one that small is one.
            if rest.len() + 2 < 28 { Diagnosis::Truncated } else { Diagnosis::Dos }
        }
        [b'M', b'Z', ..] => Diagnosis::Dos,
        _ => Diagnosis::NotMz,
    }
}

/// Diagnoses the headers that begin at `e_lfanew`.
fn diagnose_headers(headers: &[u8]) -> Diagnosis {
    match headers {
        [b'P', b'E', 0, 0, rest @ ..] => diagnose_coff(rest),
        [b'N', b'E', ..] => Diagnosis::SixteenBit,
        [b'L', b'E' | b'X', ..] => Diagnosis::Linear,
        bytes if bytes.len() < 4 => Diagnosis::Truncated,
        _ => Diagnosis::Dos,
    }
}

fn diagnose_coff(bytes: &[u8]) -> Diagnosis {
    let Ok((coff, rest)) = object::pod::from_bytes::<pe::ImageFileHeader>(bytes) else {
        return Diagnosis::Truncated;
    };
    let machine = Machine::from_field(coff.machine.get(LE));
    let length = usize::from(coff.size_of_optional_header.get(LE));
    let Some((optional, sections)) = rest.split_at_checked(length) else {
        return Diagnosis::Truncated;
    };
    let sections_length = usize::from(coff.number_of_sections.get(LE)) * SECTION;
    if sections.len() < sections_length {
        return Diagnosis::Truncated;
    }
    let characteristics = coff.characteristics.get(LE);
    if characteristics & pe::IMAGE_FILE_EXECUTABLE_IMAGE == 0 {
        return Diagnosis::Malformed("not marked as executable");
    }
    match optional_header(optional) {
        Err(which) => Diagnosis::Malformed(which),
        Ok(_) if characteristics & pe::IMAGE_FILE_DLL != 0 => Diagnosis::Library(machine),
        Ok((subsystem, dot_net)) => Diagnosis::Program(Program { machine, subsystem, dot_net }),
    }
}

/// The size of one entry of the section table.
const SECTION: usize = size_of::<pe::ImageSectionHeader>();

/// Reads subsystem and the presence of a CLR header from an optional header of either size.
fn optional_header(bytes: &[u8]) -> Result<(Subsystem, bool), &'static str> {
    const SHORT: &str = "optional header too short";
    let word = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let long = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    // Behind the subsystem the two sizes differ: four fields are pointers.
    let count_at = match word(0).ok_or(SHORT)? {
        pe::IMAGE_NT_OPTIONAL_HDR32_MAGIC => 92,
        pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC => 108,
        _ => return Err("unknown kind of optional header"),
    };
    let subsystem = match word(68).ok_or(SHORT)? {
        pe::IMAGE_SUBSYSTEM_WINDOWS_CUI => Subsystem::Console,
        pe::IMAGE_SUBSYSTEM_WINDOWS_GUI => Subsystem::Graphical,
        other => Subsystem::Other(other),
    };
    let count = long(count_at).ok_or(SHORT)? as usize;
    let clr = pe::IMAGE_DIRECTORY_ENTRY_COM_DESCRIPTOR;
    let entry = long(count_at + 4 + clr * 8).filter(|_| count > clr);
    Ok((subsystem, entry.is_some_and(|address| address != 0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: Abilities = Abilities { x86_64: true, x86: true, dot_net: true };
    const WINE64: Abilities = Abilities { x86_64: true, x86: false, dot_net: false };

    /// A file with the headers of a PE program and nothing else.
    fn image(machine: u16, subsystem: u16, characteristics: u16, clr: bool) -> Vec<u8> {
        let mut bytes = vec![0u8; 0x80];
        bytes[..2].copy_from_slice(b"MZ");
        bytes[0x3c] = 0x80;
        bytes.extend_from_slice(b"PE\0\0");
        bytes.extend_from_slice(&machine.to_le_bytes());
        bytes.extend_from_slice(&[0; 14]);
        bytes.extend_from_slice(&240u16.to_le_bytes());
        bytes.extend_from_slice(&characteristics.to_le_bytes());
        let mut optional = vec![0u8; 240];
        optional[..2].copy_from_slice(&0x20bu16.to_le_bytes());
        optional[68..70].copy_from_slice(&subsystem.to_le_bytes());
        optional[108..112].copy_from_slice(&16u32.to_le_bytes());
        optional[224] = u8::from(clr);
        bytes.extend_from_slice(&optional);
        bytes
    }

    #[test]
    fn a_console_program_is_fit() {
        let program = diagnose(&image(0x8664, 3, 0x22, false)).check(WINE64).unwrap();
        assert_eq!(program.subsystem, Subsystem::Console);
        assert_eq!(program.machine, Machine::X86_64);
    }

    #[test]
    fn what_cannot_run_says_why() {
        let cases: [(Vec<u8>, Diagnosis, &str); 10] = [
            (vec![], Diagnosis::Empty, "empty"),
            (b"#!/bin/sh\n".to_vec(), Diagnosis::NotMz, "MZ"),
            (b"MZ".to_vec(), Diagnosis::Truncated, "ends inside"),
            ([b"MZ".as_slice(), &[0; 62]].concat(), Diagnosis::Dos, "DOS"),
            (image(0x8664, 3, 0x2022, false), Diagnosis::Library(Machine::X86_64), "DLL"),
            (image(0x8664, 3, 0x22, false)[..0x90].to_vec(), Diagnosis::Truncated, "ends inside"),
            (image(0x8664, 3, 0x22, false)[..0x40].to_vec(), Diagnosis::Truncated, "ends inside"),
            (
                image(0x8664, 3, 0x20, false),
                Diagnosis::Malformed("not marked as executable"),
                "damaged",
            ),
            (with_signature(*b"NE\0\0"), Diagnosis::SixteenBit, "16-bit"),
            (with_signature(*b"LE\0\0"), Diagnosis::Linear, "9x"),
        ];
        for (bytes, expected, words) in cases {
            let diagnosis = diagnose(&bytes);
            assert_eq!(diagnosis, expected);
            let unfit = diagnosis.check(ALL).unwrap_err();
            assert!(unfit.to_string().contains(words), "{unfit}");
            assert_eq!(unfit.exit_status(), 126);
        }
    }

    fn with_signature(signature: [u8; 4]) -> Vec<u8> {
        let mut bytes = image(0x8664, 3, 0x22, false);
        bytes[0x80..0x84].copy_from_slice(&signature);
        bytes
    }

    #[test]
    fn a_launcher_refuses_what_it_lacks() {
        let cases = [
            (image(0x14c, 3, 0x22, false), "32-bit"),
            (image(0xaa64, 3, 0x22, false), "64-bit Arm"),
            (image(0x1c4, 3, 0x22, false), "32-bit Arm"),
            (image(0x8664, 3, 0x22, true), ".NET"),
            (image(0x8664, 1, 0x22, false), "driver"),
        ];
        for (bytes, words) in cases {
            let unfit = diagnose(&bytes).check(WINE64).unwrap_err();
            assert!(unfit.to_string().contains(words), "{unfit}");
        }
    }

    #[test]
    fn headers_far_into_the_file_are_found() {
        let near = image(0x8664, 2, 0x22, false);
        let mut far = vec![0u8; 0x2_0000];
        far[..0x80].copy_from_slice(&near[..0x80]);
        far[0x3c..0x40].copy_from_slice(&0x1_f000u32.to_le_bytes());
        far.truncate(0x1_f000);
        far.extend_from_slice(&near[0x80..]);
        let read_at = |offset: u64, buffer: &mut [u8]| {
            let rest = far.get(offset as usize..).unwrap_or(&[]);
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        };
        let program = diagnose_with(read_at).unwrap().check(WINE64).unwrap();
        assert_eq!(program.subsystem, Subsystem::Graphical);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = diagnose(&bytes).check(ALL);
        }

        #[test]
        fn no_damage_to_a_program_makes_it_panic(
            at in 0usize..0x188, value in any::<u8>(), length in 0usize..0x200
        ) {
            let mut bytes = image(0x8664, 3, 0x22, true);
            bytes[at] = value;
            bytes.truncate(length);
            let _ = diagnose(&bytes).check(WINE64);
            let read = |offset: u64, buffer: &mut [u8]| {
                let rest = bytes.get(offset as usize..).unwrap_or(&[]);
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                Ok(length)
            };
            let _ = diagnose_with(read).unwrap();
        }
    }
}
