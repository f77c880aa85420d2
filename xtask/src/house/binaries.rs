//! How much is in the binaries, which parse, call and print: what they do belongs into crates.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The most lines of all files of theirs together, without their tests.
const MOST: usize = 1_500;

/// Prints how many lines there are in `bins`, the folder of all binaries, and says so where they are too
/// many.
///
/// # Errors
/// If a folder or file cannot be read.
pub(super) fn check(bins: &Path) -> Result<Option<String>> {
    let mut lines = 0;
    for folder in fs::read_dir(bins).with_context(|| bins.display().to_string())? {
        let sources = folder?.path().join("src");
        if sources.is_dir() {
            lines += lines_below(&sources)?;
        }
    }
    println!("{:34} {lines} lines without tests, of at most {MOST}", "bins");
    Ok((lines >= MOST).then(|| format!("the binaries have {lines} lines; {MOST} are too many")))
}

fn lines_below(folder: &Path) -> Result<usize> {
    let mut lines = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            lines += lines_below(&path)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            lines += lines_of(&text);
        }
    }
    Ok(lines)
}

/// The lines of a file without its module of tests, which rustfmt lets begin and end at a line's
/// beginning.
fn lines_of(text: &str) -> usize {
    let mut lines = 0;
    let mut is_test = false;
    for line in text.lines() {
        is_test |= line == "#[cfg(test)]";
        if !is_test {
            lines += 1;
        }
        is_test &= line != "}";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count() {
        let code = "use a;\n\nfn b() {\n}\n";
        assert_eq!(lines_of(code), 4);
        let tests = "#[cfg(test)]\nmod tests {\n    fn c() {\n    }\n}\n";
        assert_eq!(lines_of(&format!("{code}{tests}")), 4);
        assert_eq!(lines_of(&format!("{tests}{code}")), 4);
    }

    #[test]
    fn too_many_are_said() {
        let folder = tempfile::tempdir().unwrap();
        let sources = folder.path().join("one/src/below");
        fs::create_dir_all(&sources).unwrap();
        fs::write(sources.join("few.rs"), "//\n".repeat(MOST - 1)).unwrap();
        assert_eq!(check(folder.path()).unwrap(), None);
        fs::write(sources.join("more.rs"), "//\n").unwrap();
        assert!(check(folder.path()).unwrap().unwrap().contains("1500 lines"));
    }
}
