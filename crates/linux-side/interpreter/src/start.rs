//! What a process was started with: arguments, environment and the kernel's own words.

use alloc::vec::Vec;
use rustix::fd::RawFd;

/// Bit of AT_FLAGS that says: binfmt_misc passed the original `argv[0]` (flag `P`).
pub const PRESERVED_ARGV0: usize = 1;

/// The caller's environment: `NAME=value` entries, as they came.
#[derive(Clone, Debug, Default)]
pub struct CallerEnvironment<'a> {
    entries: Vec<&'a [u8]>,
}

impl<'a> CallerEnvironment<'a> {
    /// Takes entries in their order; of a name that stands twice, the first counts, as in libc.
    pub fn new(entries: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    /// The value of the variable `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.entries.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
    }

    /// The value of the variable `name`, where one that is set and empty counts as unset.
    #[must_use]
    pub fn non_empty(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// All entries, `NAME=value`.
    pub fn entries(&self) -> impl Iterator<Item = &'a [u8]> {
        self.entries.iter().copied()
    }
}

/// What the kernel says about how it started this process, from the auxiliary vector.
#[derive(Clone, Copy, Debug, Default)]
pub struct Auxiliary {
    /// AT_FLAGS; bit 0 is [`PRESERVED_ARGV0`].
    pub flags: usize,
    /// AT_EXECFD: the executable, opened for reading (binfmt_misc flag `O`).
    pub executable: Option<RawFd>,
    /// AT_SECURE: the program has more rights than its caller.
    pub secure: bool,
}

/// Everything that the interpreter knows when it begins.
#[derive(Clone, Debug, Default)]
pub struct Start<'a> {
    /// argv, the interpreter's own name first.
    pub arguments: Vec<&'a [u8]>,
    /// The environment.
    pub environment: CallerEnvironment<'a>,
    /// The kernel's words.
    pub auxiliary: Auxiliary,
}

/// The last component of a path, without trailing slashes.
#[must_use]
pub fn base_name(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let path = path.get(..end).unwrap_or_default();
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

impl<'a> Start<'a> {
    /// Whether the kernel started the interpreter for an executable, with the original `argv[0]`
    /// behind its path; everything else was started by hand.
    #[must_use]
    pub fn is_by_kernel(&self) -> bool {
        self.auxiliary.flags & PRESERVED_ARGV0 != 0
    }

    /// The program to run, its `argv[0]` and its arguments; `None` where no program is named.
    #[must_use]
    pub fn invocation(&self) -> Option<Invocation<'a>> {
        let program = *self.arguments.get(1)?;
        let (name, rest) =
            if self.is_by_kernel() { (self.arguments.get(2).copied(), 3) } else { (None, 2) };
        let arguments = self.arguments.get(rest..).unwrap_or_default().to_vec();
        Some(Invocation { program, name: name.unwrap_or(program), arguments })
    }
}

/// A program as the caller named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation<'a> {
    /// The path that was given to execve, relative or not.
    pub program: &'a [u8],
    /// The program's `argv[0]`.
    pub name: &'a [u8],
    /// Its arguments, without `argv[0]`.
    pub arguments: Vec<&'a [u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn b2_the_kernel_passes_path_and_argv0_apart() {
        let start = Start {
            arguments: vec![b"/init", b"./x.exe", b"x", b"a"],
            auxiliary: Auxiliary { flags: PRESERVED_ARGV0, ..Auxiliary::default() },
            ..Start::default()
        };
        let invocation = start.invocation().unwrap();
        assert_eq!(invocation.program, b"./x.exe");
        assert_eq!(invocation.name, b"x");
        assert_eq!(invocation.arguments, [b"a"]);
    }

    #[test]
    fn by_hand_the_program_is_its_own_argv0() {
        let start = Start { arguments: vec![b"/init", b"x.exe", b"a", b""], ..Start::default() };
        let invocation = start.invocation().unwrap();
        assert_eq!((invocation.program, invocation.name), (&b"x.exe"[..], &b"x.exe"[..]));
        assert_eq!(invocation.arguments, [&b"a"[..], b""]);
        assert_eq!(Start { arguments: vec![b"/init"], ..Start::default() }.invocation(), None);
    }

    #[test]
    fn f1_an_empty_variable_counts_as_unset() {
        let environment =
            CallerEnvironment::new([&b"WSL_INTEROP="[..], b"A=b=c", b"WSL_INTEROP=x"]);
        assert_eq!(environment.get(b"WSL_INTEROP"), Some(&b""[..]));
        assert_eq!(environment.non_empty(b"WSL_INTEROP"), None);
        assert_eq!(environment.get(b"A"), Some(&b"b=c"[..]));
        assert_eq!(environment.get(b"WSL_INTERO"), None);
    }

    #[test]
    fn base_names() {
        assert_eq!(base_name(b"/usr/bin/wslpath"), b"wslpath");
        assert_eq!(base_name(b"init"), b"init");
        assert_eq!(base_name(b"a/b//"), b"b");
        assert_eq!(base_name(b"/"), b"");
        assert_eq!(base_name(b""), b"");
    }
}
