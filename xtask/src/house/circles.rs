//! Circles between the files of a crate, as far as their paths tell: `use` lines, and what is named by
//! `crate::`, `super::` or a module of the file's own. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// A file of a crate, as a module.
#[derive(Debug)]
struct File {
    /// The file, below `src`.
    name: String,
    /// What it says, without comments and tests.
    text: String,
}

/// A name that a file brings into its own module: from where, and whether it gives it on.
#[derive(Debug)]
struct Import {
    path: Vec<String>,
    name: String,
    is_public: bool,
}

type Modules = BTreeMap<Vec<String>, File>;

/// The files below `sources` that use each other, each circle in order.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn of(sources: &Path) -> Result<Vec<Vec<String>>> {
    let mut modules = Modules::new();
    read(sources, sources, &mut modules)?;
    let imports: BTreeMap<_, _> =
        modules.iter().map(|(module, file)| (module.clone(), imports(&file.text))).collect();
    let mut edges: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, file) in &modules {
        let used = used(module, file, &modules, &imports);
        edges.insert(module, used.into_iter().filter(|it| it != module).collect());
    }
    let reached: BTreeMap<_, _> =
        edges.keys().map(|module| (*module, reachable(module, &edges))).collect();
    let mut circles = BTreeSet::new();
    for (module, reaches) in &reached {
        let circle: BTreeSet<_> = reaches
            .iter()
            .filter(|it| reached.get(it).is_some_and(|it| it.contains(*module)))
            .collect();
        if circle.len() > 1 {
            let names = circle.iter().filter_map(|it| Some(modules.get(*it)?.name.clone()));
            let mut names: Vec<_> = names.collect();
            names.sort();
            circles.insert(names);
        }
    }
    Ok(circles.into_iter().collect())
}

fn read(folder: &Path, sources: &Path, modules: &mut Modules) -> Result<()> {
    let shown = || folder.display().to_string();
    for entry in fs::read_dir(folder).with_context(shown)? {
        let path = entry.with_context(shown)?.path();
        if path.is_dir() {
            read(&path, sources, modules)?;
            continue;
        }
        if path.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let name = path.strip_prefix(sources).unwrap_or(&path).to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut module: Vec<_> =
            name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("lib" | "main" | "mod")) {
            module.pop();
        }
        modules.insert(module, File { name, text: plain(&text) });
    }
    Ok(())
}

/// A source without comments and tests.
fn plain(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The `use` declarations of a file, one for each name.
fn imports(text: &str) -> Vec<Import> {
    let mut imports = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("use ") {
        let before = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        rest = &rest[at + 4..];
        let is_declaration = before.is_empty() || before.starts_with("pub");
        let Some((declared, after)) = rest.split_once(';').filter(|_| is_declaration) else {
            continue;
        };
        for (path, name) in expand(declared) {
            imports.push(Import { path, name, is_public: !before.is_empty() });
        }
        rest = after;
    }
    imports
}

/// The paths of one declaration, each with the name that it gets.
fn expand(declared: &str) -> Vec<(Vec<String>, String)> {
    let declared = declared.trim();
    if let Some((prefix, group)) = declared.split_once('{') {
        let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
        let prefix: Vec<_> = segments(prefix);
        let inner = split_group(group).into_iter().flat_map(expand);
        return inner
            .map(|(path, name)| match path.first().map(String::as_str) {
                Some("self") => {
                    let own = prefix.last().cloned().unwrap_or_default();
                    (prefix.clone(), if name == "self" { own } else { name })
                }
                _ => (prefix.iter().cloned().chain(path).collect(), name),
            })
            .collect();
    }
    let (path, name) = declared.split_once(" as ").unwrap_or((declared, ""));
    let path = segments(path);
    let name = match name.trim() {
        "" => path.last().cloned().unwrap_or_default(),
        name => name.to_owned(),
    };
    vec![(path, name)]
}

/// The members of a group, which may have groups.
fn split_group(group: &str) -> Vec<&str> {
    let (mut depth, mut begin, mut members) = (0_usize, 0, Vec::new());
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                members.push(&group[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    members.push(&group[begin..]);
    members.retain(|member| !member.trim().is_empty());
    members
}

fn segments(path: &str) -> Vec<String> {
    path.split("::").map(str::trim).filter(|it| !it.is_empty()).map(str::to_owned).collect()
}

/// The modules that a file uses. What it only gives on, of modules below it, it does not use.
fn used(
    module: &[String],
    file: &File,
    modules: &Modules,
    imports: &BTreeMap<Vec<String>, Vec<Import>>,
) -> BTreeSet<Vec<String>> {
    let own = imports.get(module).map(Vec::as_slice).unwrap_or_default();
    let brought = own.iter().filter(|import| !import.is_public).map(|import| import.path.clone());
    let named = paths(&file.text);
    brought.chain(named).filter_map(|path| resolve(module, &path, modules, imports, 8)).collect()
}

/// The paths of two parts and more outside of `use` declarations.
fn paths(text: &str) -> Vec<Vec<String>> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut found = Vec::new();
    let mut in_use = false;
    for line in text.lines() {
        let begins = line.trim_start();
        let is_use = begins.strip_prefix("pub ").unwrap_or(begins);
        let is_use = is_use.strip_prefix("pub(crate) ").unwrap_or(is_use).starts_with("use ");
        in_use |= is_use;
        if !in_use {
            let words = line.split(|c: char| !is_part(c)).filter(|word| word.contains("::"));
            found.extend(words.map(segments));
        }
        in_use &= !line.contains(';');
    }
    found
}

/// The module whose file has what `path` names, seen from `module`; none outside of the crate.
fn resolve(
    module: &[String],
    path: &[String],
    modules: &Modules,
    imports: &BTreeMap<Vec<String>, Vec<Import>>,
    patience: usize,
) -> Option<Vec<String>> {
    let mut rest = path;
    let mut here = match rest.first()?.as_str() {
        "crate" => Vec::new(),
        "super" | "self" => module.to_vec(),
        child => {
            // A module of this file's own; anything else is another crate's, or was brought by a `use`.
            let below: Vec<_> = module.iter().cloned().chain([child.to_owned()]).collect();
            return modules.contains_key(&below).then(|| {
                let path: Vec<_> = ["self".to_owned()].into_iter().chain(path.to_vec()).collect();
                resolve(module, &path, modules, imports, patience)
            })?;
        }
    };
    while let Some((first, others)) = rest.split_first() {
        match first.as_str() {
            "super" => drop(here.pop()),
            "crate" | "self" => {}
            _ => break,
        }
        rest = others;
    }
    while let Some((first, others)) = rest.split_first() {
        let below: Vec<_> = here.iter().cloned().chain([first.clone()]).collect();
        if !modules.contains_key(&below) {
            break;
        }
        (here, rest) = (below, others);
    }
    // What a module only gives on is where it comes from.
    if let Some(name) = rest.first()
        && patience > 0
        && let Some(given) = imports.get(&here)?.iter().find(|import| import.name == *name)
        && let Some(source) = resolve(&here, &given.path, modules, imports, patience - 1)
    {
        return Some(source);
    }
    modules.contains_key(&here).then_some(here)
}

fn reachable(
    from: &Vec<String>,
    edges: &BTreeMap<&Vec<String>, BTreeSet<Vec<String>>>,
) -> BTreeSet<Vec<String>> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<&Vec<String>> = edges.get(from).into_iter().flatten().collect();
    while let Some(module) = left.pop() {
        if reached.insert(module.clone()) {
            left.extend(edges.get(module).into_iter().flatten());
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn circles_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        of(folder.path()).unwrap()
    }

    #[test]
    fn files_that_use_each_other_are_found_however_they_say_it() {
        for second in [
            "use super::one::A;",
            "use crate::{one::{A, B}, C};",
            "fn f() {\n    crate::one::f();\n}",
            "pub use crate::one;\nuse crate::three;",
        ] {
            let three = ("three.rs", "use crate::one::{\n    A,\n    B,\n};");
            let files = [
                ("lib.rs", "mod one;\nmod two;\nmod three;"),
                ("one.rs", "use crate::two::X;"),
                ("two.rs", second),
                three,
            ];
            assert!(!circles_of(&files).is_empty(), "{second}");
        }
        let parent =
            [("a/mod.rs", "mod b;\nuse b::X;\nconst C: u8 = 0;"), ("a/b.rs", "use super::C;")];
        assert_eq!(circles_of(&parent), [["a/b.rs", "a/mod.rs"]]);
    }

    #[test]
    fn what_is_given_on_tests_and_words_about_it_are_no_use() {
        let files = [
            ("lib.rs", "mod one;\nmod two;\npub use one::{A, Other as B};"),
            (
                "one.rs",
                "//! See [`crate::two`].\n\n#[cfg(test)]\nmod tests {\n    use crate::two::X;\n}",
            ),
            ("two.rs", "use crate::{A, B};"),
        ];
        assert_eq!(circles_of(&files), Vec::<Vec<String>>::new());
    }
}
