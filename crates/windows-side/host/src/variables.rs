//! Which variables a launch gives to the Windows side.
//!
//! From four places, where what comes later replaces what came before: the groups that the settings
//! pass, WSLENV, what the caller sets, and what the caller removes. Windows takes names that differ
//! in case only for one.

use crate::located::{Caller, Known, Name};
use crate::request::LaunchRequest;
use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use winterop_settings::VariableGroup;
use winterop_translate::Translator;
use winterop_translate::wslenv::{self, Direction};

/// `NAME=value`.
#[must_use]
pub fn entry(name: &OsStr, value: &OsStr) -> Vec<u8> {
    [name.as_bytes(), b"=", value.as_bytes()].concat()
}

/// Splits `NAME=value`; none where there is no `=`.
#[must_use]
pub fn split(entry: &[u8]) -> Option<(&OsStr, &OsStr)> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    let (name, value) = entry.split_at(at);
    Some((OsStr::from_bytes(name), OsStr::from_bytes(value.get(1..)?)))
}

/// Whether a variable of this name can be in the environment without steering the loader, the C
/// library or what the Windows side is made of, instead of the program. The mark of a launch
/// ([`crate::Mark`]) is none of these either.
#[must_use]
pub fn may_be_passed(name: &[u8]) -> bool {
    const STEERING: [&[u8]; 9] =
        [b"WINE", b"WINTEROP_", b"LD_", b"LC_", b"MALLOC_", b"GLIBC_", b"GCONV_", b"GST_", b"XDG_"];
    const NAMES: [&[u8]; 12] = [
        b"",
        b"TEMP",
        b"TMP",
        b"LANG",
        b"LANGUAGE",
        b"LOCPATH",
        b"TMPDIR",
        b"USER",
        b"DISPLAY",
        b"WAYLAND_DISPLAY",
        b"XAUTHORITY",
        b"NLSPATH",
    ];
    !NAMES.contains(&name)
        && !STEERING.iter().any(|start| name.starts_with(start))
        && !name.iter().any(|byte| matches!(byte, b'=' | 0))
}

/// What the host calls a caller's files.
#[derive(Debug)]
pub struct HostNames<'a> {
    /// Knows the host's drives.
    pub translator: &'a Translator,
    /// Whose paths they are.
    pub caller: Caller<'a>,
    /// Whether files that only the caller has are named through its root directory: for a caller
    /// whose program cannot run in its place, where its own names would do.
    pub through_root: bool,
}

impl HostNames<'_> {
    /// One path of a variable's value as Windows hears it.
    fn windows_value(&self, path: &[u8], known: &mut Known) -> Option<Vec<u8>> {
        wslenv::windows_value(self.translator, &self.host_path(path, known))
    }

    /// The host's name for a path; the path itself where it is relative or has none.
    fn host_path<'p>(&self, path: &'p [u8], known: &mut Known) -> Cow<'p, [u8]> {
        if !path.starts_with(b"/") {
            return Cow::Borrowed(path);
        }
        let mut name = match self.caller.host_path(Path::new(OsStr::from_bytes(path)), known) {
            Some(Name::Own(name)) => name.into_os_string().into_vec(),
            Some(Name::ThroughDescriptor(name)) if self.through_root => {
                name.into_os_string().into_vec()
            }
            _ => return Cow::Borrowed(path),
        };
        if path.ends_with(b"/") && !name.ends_with(b"/") {
            name.push(b'/');
        }
        Cow::Owned(name)
    }
}

/// The variables for the Windows side, each name once, in the order in which they came.
///
/// With the host's own names the paths that WSLENV lists are translated anew.
#[must_use]
pub fn chosen(
    request: &LaunchRequest,
    groups: &[VariableGroup],
    names: Option<&HostNames<'_>>,
) -> Vec<(OsString, OsString)> {
    let mut variables = Variables::default();
    for (name, value) in in_groups(request, groups) {
        variables.add(name, value);
    }
    for entry in from_wslenv(request, names) {
        match split(&entry) {
            // As in WSL: what is empty is removed on the Windows side.
            Some((name, value)) if value.is_empty() => variables.remove(name.as_bytes()),
            Some((name, value)) => variables.set(name, value),
            None => {}
        }
    }
    for (name, value) in request.set.iter().filter_map(|entry| split(entry)) {
        variables.set(name, value);
    }
    for name in &request.unset {
        variables.remove(name);
    }
    variables.list.into_iter().flatten().collect()
}

/// What the interpreter sent of the groups, in their order.
fn in_groups<'a>(
    request: &'a LaunchRequest,
    groups: &'a [VariableGroup],
) -> impl Iterator<Item = (&'a OsStr, &'a OsStr)> {
    let sent = |wanted: &&[u8]| {
        let mut variables = request.linux_variables.iter().filter_map(|entry| split(entry));
        variables.find(|(name, value)| name.as_bytes() == *wanted && !value.is_empty())
    };
    groups.iter().flat_map(|group| group.names()).filter_map(sent)
}

/// WSLENV's variables. The caller's mount table does not know the host's drives: what the host can
/// translate itself counts, what it cannot stays as it came.
fn from_wslenv(request: &LaunchRequest, names: Option<&HostNames<'_>>) -> Vec<Vec<u8>> {
    let Some(names) = names.filter(|_| !request.raw_wslenv.is_empty()) else {
        return request.environment.clone();
    };
    let (raw, sent) = (by_name(&request.raw_wslenv), by_name(&request.environment));
    let listed = sent.get(&b"WSLENV"[..]).copied();
    let known = RefCell::default();
    let mut translated = wslenv::translate(
        listed,
        Direction::ToWindows,
        |name| raw.get(name).or_else(|| sent.get(name)).copied(),
        |path| names.windows_value(path, &mut known.borrow_mut()),
    );
    // A path without its Linux value has been translated already.
    let only_sent = |entry: &wslenv::Listed<'_>| entry.is_path && !raw.contains_key(entry.name);
    let done: Vec<&[u8]> = wslenv::entries(listed.unwrap_or_default())
        .filter(only_sent)
        .map(|entry| entry.name)
        .collect();
    translated.retain(|entry| name_of(entry).is_some_and(|name| !done.contains(&name)));
    let own = by_name(&translated);
    let is_new = |entry: &&Vec<u8>| name_of(entry).is_some_and(|name| !own.contains_key(name));
    let rest = request.environment.iter().filter(is_new);
    translated.iter().chain(rest).cloned().collect()
}

fn name_of(entry: &[u8]) -> Option<&[u8]> {
    split(entry).map(|(name, _)| name.as_bytes())
}

/// The values by their names; of a name that stands twice the first counts.
fn by_name(entries: &[Vec<u8>]) -> BTreeMap<&[u8], &[u8]> {
    let pairs = entries.iter().rev().filter_map(|entry| split(entry));
    pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
}

/// Variables in order, found by their names without regard to case.
#[derive(Debug, Default)]
struct Variables {
    list: Vec<Option<(OsString, OsString)>>,
    places: BTreeMap<Vec<u8>, usize>,
}

impl Variables {
    /// Adds one where none of that name is.
    fn add(&mut self, name: &OsStr, value: &OsStr) {
        if !self.places.contains_key(&name.as_bytes().to_ascii_uppercase()) {
            self.set(name, value);
        }
    }

    fn set(&mut self, name: &OsStr, value: &OsStr) {
        self.remove(name.as_bytes());
        self.places.insert(name.as_bytes().to_ascii_uppercase(), self.list.len());
        self.list.push(Some((name.to_owned(), value.to_owned())));
    }

    fn remove(&mut self, name: &[u8]) {
        let place = self.places.remove(&name.to_ascii_uppercase());
        if let Some(variable) = place.and_then(|place| self.list.get_mut(place)) {
            *variable = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use winterop_translate::{Drives, MountTable};

    fn list(entries: &[&str]) -> Vec<Vec<u8>> {
        entries.iter().map(|entry| entry.as_bytes().to_vec()).collect()
    }

    fn chosen_of(request: &LaunchRequest, groups: &[VariableGroup]) -> Vec<String> {
        let mut drives = Drives::default();
        drives.offer(b'Z', b"/");
        let translator = Translator::new(MountTable::default()).with_drives(drives);
        let caller = request.caller();
        let names = HostNames { translator: &translator, caller, through_root: false };
        let variables = chosen(request, groups, Some(&names));
        let text =
            |(name, value): (OsString, OsString)| format!("{}={}", name.display(), value.display());
        variables.into_iter().map(text).filter(|entry| !entry.starts_with("WSLENV")).collect()
    }

    #[test]
    fn later_places_replace_earlier_ones() {
        let request = LaunchRequest {
            environment: list(&["WSLENV=A:B:C", "A=1", "B=2", "C="]),
            set: list(&["b=set", "D=", "E=e", "e=last"]),
            unset: list(&["A", "gone"]),
            linux_variables: list(&["TERM=xterm", "CI=1", "DISPLAY=:0"]),
            ..LaunchRequest::default()
        };
        assert_eq!(chosen_of(&request, &[]), ["b=set", "D=", "e=last"]);
        let all = [VariableGroup::Term, VariableGroup::Ci];
        assert_eq!(chosen_of(&request, &all), ["TERM=xterm", "CI=1", "b=set", "D=", "e=last"]);
        let request = LaunchRequest { unset: list(&["ci", "E"]), ..request };
        assert_eq!(chosen_of(&request, &all), ["TERM=xterm", "A=1", "b=set", "D="]);
    }

    #[test]
    fn of_two_names_for_a_proxy_the_lower_case_one_counts() {
        let request = LaunchRequest {
            environment: list(&["WSLENV=NO_PROXY", "NO_PROXY=listed"]),
            linux_variables: list(&[
                "HTTP_PROXY=upper",
                "http_proxy=lower",
                "https_proxy=",
                "HTTPS_PROXY=https",
                "no_proxy=none",
            ]),
            ..LaunchRequest::default()
        };
        let expected = ["http_proxy=lower", "HTTPS_PROXY=https", "NO_PROXY=listed"];
        assert_eq!(chosen_of(&request, &[VariableGroup::Proxy]), expected);
    }

    #[test]
    fn the_host_translates_paths_with_its_own_drives() {
        let request = LaunchRequest {
            environment: list(&[
                "WSLENV=P/l:A:R/p:P2/p:KEPT/p",
                "P=\\\\wsl.localhost\\x\\usr;rel\\a",
                "A=/usr",
                "R=rel\\b",
                "KEPT=D:\\x",
            ]),
            raw_wslenv: list(&["P=/usr:rel/a", "R=rel/b", "P2="]),
            ..LaunchRequest::default()
        };
        let expected = ["P=Z:\\usr;rel\\a", "A=/usr", "R=rel\\b", "KEPT=D:\\x"];
        assert_eq!(chosen_of(&request, &[]), expected);
        let without = chosen(&request, &[], None);
        assert_eq!(without[1].1, "\\\\wsl.localhost\\x\\usr;rel\\a");
    }
}
