//! Options that `wsl` is given and does not have: those of WSL's that are not built, and what does the same
//! here, or why there is nothing to do.

use std::ffi::OsString;
use winterop_words::{Failure, Words};

const IMPORT: &str =
    "`wsl --import NAME DIRECTORY FILE` makes a distribution of an archive or an image";
const NO_MACHINE: &str = "it is a virtual machine's, and distributions share this kernel";

/// WSL's options, and what to do instead.
const NOT_BUILT: [(&str, &str); 18] = [
    ("--install", IMPORT),
    ("--online", IMPORT),
    ("-o", IMPORT),
    ("--import-in-place", IMPORT),
    ("--update", "upgrade Winterop's package, or build it anew"),
    ("--web-download", "upgrade Winterop's package, or build it anew"),
    ("--pre-release", "upgrade Winterop's package, or build it anew"),
    ("--uninstall", "`winterop disable` takes Winterop off this machine"),
    ("--set-default-version", "all distributions are version 1, which is this kernel"),
    ("--set-version", "all distributions are version 1, which is this kernel"),
    ("--system", NO_MACHINE),
    ("--debug-shell", NO_MACHINE),
    ("--unmount", "`umount` it here"),
    ("--distribution-id", "name the distribution with -d"),
    ("--move", "export the distribution, and import it where it is to be"),
    ("--resize", "a distribution is a directory, as large as the disk that it is on"),
    ("--set-sparse", "a distribution is a directory, and takes what its files take"),
    ("--force", "--shutdown ends everything without it"),
];

/// The words of a command line with `--cd ~` for a `~` among the options; none where there is no such. The
/// last `command` words are the command, as far as is known by now.
#[must_use]
pub fn home_as_option(words: &[OsString], command: usize) -> Option<Vec<OsString>> {
    let (options, command) = words.split_at_checked(words.len().checked_sub(command)?)?;
    let (first, rest) = command.split_first()?;
    // Behind `--` it is a program's name.
    if first != "~" || options.last().is_some_and(|last| last == "--") {
        return None;
    }
    Some([options, &["--cd".into(), "~".into()], rest].concat())
}

/// What is said of an option that `wsl` does not have.
#[must_use]
pub fn refusal(option: &str) -> Words {
    let name = option.split('=').next().unwrap_or_default();
    if name == "--mount" {
        return Failure::NoDisks {}.words();
    }
    match NOT_BUILT.into_iter().find(|(known, _)| *known == name) {
        Some((option, instead)) => {
            Failure::OptionNotBuilt { option: &option, instead: &instead }.words()
        }
        None => Failure::NoSuchOption { option: &option }.words(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wsls_has_something_in_its_place_and_what_is_nobodys_is_named() {
        let said = refusal("--set-default-version=2");
        assert_eq!(said.id, "option-not-built");
        assert!(said.error.starts_with("--set-default-version "), "{said}");
        let said = refusal("--bogus");
        assert_eq!(said.id, "no-such-option");
        assert!(said.error.ends_with("--bogus"), "{said}");
        assert_eq!(refusal("--mount").id, "no-disks");
    }

    #[test]
    fn home_is_an_option_where_options_stand() {
        let home = |words: &[&str], command| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let words = home_as_option(&words, command)?;
            Some(words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(home(&["~"], 1).as_deref(), Some("--cd ~"));
        assert_eq!(home(&["-u", "me", "~", "ls", "~"], 3).as_deref(), Some("-u me --cd ~ ls ~"));
        assert_eq!(home(&["ls", "~"], 2), None);
        assert_eq!(home(&["--", "~"], 1), None);
        assert_eq!(home(&["--cd", "~"], 0), None);
    }
}
