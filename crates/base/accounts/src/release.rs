//! What a system says of itself, in `/etc/os-release`.

use winterop_places::inside::Directory;

/// The fields of `/etc/os-release` that are of use here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// `NAME`.
    pub name: Option<String>,
    /// `ID`.
    pub id: Option<String>,
    /// `VERSION_ID`.
    pub version: Option<String>,
}

impl Release {
    /// Reads the file of a system; its links lead nowhere else. What cannot be read says nothing.
    #[must_use]
    pub fn in_root(root: &Directory) -> Self {
        Self::parse(&root.text("/etc/os-release"))
    }

    /// The name that this machine has as a distribution: the first word of its own, in which nothing
    /// leads elsewhere.
    #[must_use]
    pub fn distribution_of_machine() -> String {
        let release = Directory::root().map(|root| Self::in_root(&root)).unwrap_or_default();
        let word = release.name.as_deref().and_then(|name| name.split_whitespace().next());
        let kept = |c: &char| !matches!(c, '/' | '\\') && !c.is_control();
        word.unwrap_or("Linux").chars().filter(kept).collect()
    }

    /// Reads the file's text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches(['"', '\'']).to_owned())
        };
        Self { name: field("NAME"), id: field("ID"), version: field("VERSION_ID") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_says_its_name_with_quotes_or_without() {
        let text = "PRETTY_NAME=\"Odd 1\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\nID=debian\n";
        let release = Release::parse(text);
        assert_eq!(release.name.as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(
            (release.id.as_deref(), release.version.as_deref()),
            (Some("debian"), Some("12"))
        );
        assert_eq!(Release::parse("ID_LIKE=debian\n"), Release::default());
    }
}
