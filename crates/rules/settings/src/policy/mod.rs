//! `/etc/winterop/policy.toml`: root's rules about who may run which program.
//!
//! Rules are asked in their order and the first that matches decides. What none matches is served
//! as without a policy: users by their own hosts. A file with an error lets nothing run.
mod file;
mod rule;

pub use rule::{Asked, Digest};

use crate::SettingsError;
use crate::file::{Cached, FileError, Limits};
use file::{ACCOUNTS, parse};
use rule::{Action, Namespace, Rule};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use winterop_words::{Failure, Words};

/// The most bytes of a policy: 1 MiB.
const LARGEST: u64 = 1 << 20;

/// What the policy says of a launch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run. By which rule, where one says so.
    Allowed(Option<Allowance>),
    /// It may not.
    Refused(Denied),
}

/// What a rule allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowance {
    /// The rule, quoted.
    pub rule: String,
    /// The variables that a guest may set, besides those that every guest may: names, or beginnings
    /// of names with `*` behind.
    pub variables: Vec<String>,
}

/// A refusal with the rule that it comes from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words().plain())]
pub enum Denied {
    /// A rule refuses it.
    Rule {
        /// The file.
        path: PathBuf,
        /// The rule, quoted.
        rule: String,
    },
    /// A rule sends it to somebody else's host.
    OtherHost {
        /// The file.
        path: PathBuf,
        /// The rule, quoted.
        rule: String,
        /// Whose host.
        host: String,
    },
    /// The caller is another user or lives elsewhere, and no rule lets it in.
    NoRule {
        /// The file.
        path: PathBuf,
        /// Who asks, in words.
        caller: String,
    },
    /// The caller lives elsewhere, and the rule that names the program's path does not count for it.
    Changeable {
        /// The file.
        path: PathBuf,
        /// The rule, quoted.
        rule: String,
    },
    /// The policy cannot be used.
    Unusable(String),
    /// The program could not be hashed.
    Digest(String),
}

impl Denied {
    /// The refusal in words, of whichever program.
    #[must_use]
    pub fn words(&self) -> Words {
        let program: &dyn Display = &"the program";
        match self {
            Self::Rule { path, rule } => {
                Failure::PolicyRefuses { program, rule, path: &path.display() }.words()
            }
            Self::OtherHost { path, rule, host } => {
                Failure::PolicyOtherHost { program, rule, path: &path.display(), host }.words()
            }
            Self::NoRule { path, caller } => {
                Failure::PolicyNoRule { program, caller, path: &path.display() }.words()
            }
            Self::Changeable { path, rule } => {
                Failure::PolicyChangeable { program, rule, path: &path.display() }.words()
            }
            Self::Unusable(problem) => Failure::PolicyUnusable { program, problem }.words(),
            Self::Digest(problem) => Failure::PolicyDigest { program, problem }.words(),
        }
    }
}

/// Why the SHA-256 of a program cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum NoDigest {
    /// Nobody has the program's file.
    #[error("the request came without the open program")]
    NoProgram,
    /// The system does not give it.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
}

/// The policy, as its file has it now.
#[derive(Debug)]
pub struct Policy {
    rules: Cached<Result<Vec<Rule>, SettingsError>>,
}

impl Policy {
    /// The policy in this directory of root's.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        let limits = Limits::up_to(LARGEST).of_root();
        let path = directory.join("policy.toml");
        // Names of users and groups may come to mean others, or somebody at all.
        Self { rules: Cached::new(path, limits, parse).with(&ACCOUNTS) }
    }

    /// What is wrong with the file.
    ///
    /// # Errors
    /// A [`SettingsError`].
    pub fn examine(directory: &Path) -> Result<(), SettingsError> {
        let path = directory.join("policy.toml");
        let content = crate::file::read(&path, Limits::up_to(LARGEST).of_root())?;
        parse(content.as_ref().map(|content| &*content.bytes), &path).map(drop)
    }

    /// What is wrong with the text of such a file.
    ///
    /// # Errors
    /// A [`SettingsError`].
    pub fn examine_text(text: &[u8]) -> Result<(), SettingsError> {
        parse(Some(text), Path::new("policy.toml")).map(drop)
    }

    /// The rules as they are now, for one decision.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules { path: self.rules.path().to_owned(), rules: self.rules.get() }
    }
}

/// The rules of a policy at one moment.
#[derive(Clone, Debug)]
pub struct Rules {
    path: PathBuf,
    rules: Result<Arc<Result<Vec<Rule>, SettingsError>>, FileError>,
}

impl Rules {
    /// The rules, or why there are none: then nothing runs.
    fn list(&self) -> Result<&[Rule], Denied> {
        let rules = self.rules.as_ref().map_err(|error| Denied::Unusable(error.to_string()))?;
        let rules = rules.as_ref().as_ref().map(Vec::as_slice);
        rules.map_err(|error| Denied::Unusable(error.to_string()))
    }

    /// Whether the policy has anything to say: a rule, or an error.
    #[must_use]
    pub fn say_anything(&self) -> bool {
        self.list().map_or(true, |rules| !rules.is_empty())
    }

    /// Whether a rule asks for the caller's groups.
    #[must_use]
    pub fn ask_for_groups(&self) -> bool {
        self.list().is_ok_and(|rules| rules.iter().any(|rule| !rule.groups.is_empty()))
    }

    /// Whether a rule asks for the program's path.
    #[must_use]
    pub fn ask_for_programs(&self) -> bool {
        self.list().is_ok_and(|rules| rules.iter().any(|rule| rule.programs.is_some()))
    }

    /// Whether a rule refuses programs by their path: then all their names matter.
    #[must_use]
    pub fn refuse_by_path(&self) -> bool {
        let refuses = |rule: &Rule| rule.action == Action::Refuse && rule.programs.is_some();
        self.list().is_ok_and(|rules| rules.iter().any(refuses))
    }

    /// Decides for one launch by the host of uid `own`. `digest` is only called where a rule wants
    /// to know the program's.
    pub fn decide(
        &self,
        own: u32,
        asked: &Asked,
        digest: &mut dyn FnMut() -> Result<Digest, NoDigest>,
    ) -> Verdict {
        let rules = match self.list() {
            Ok(rules) => rules,
            Err(denied) => return Verdict::Refused(denied),
        };
        let mut known: Option<Digest> = None;
        for rule in rules.iter().filter(|rule| rule.covers(asked)) {
            if !rule.digests.is_empty() {
                let found = match known.map_or_else(&mut *digest, Ok) {
                    Ok(found) => found,
                    Err(problem) => return Verdict::Refused(Denied::Digest(problem.to_string())),
                };
                known = Some(found);
                if !rule.digests.contains(&found) {
                    continue;
                }
            }
            return self.obey(rule, own);
        }
        Verdict::Allowed(None)
    }

    /// Whose host serves a caller of the machine's init, as far as that can be told without the
    /// program: the user that the first rule for it names, else the caller's own. Root's host is
    /// only root's.
    ///
    /// # Errors
    /// [`Denied`]: nobody serves a caller who lives elsewhere without a rule for such.
    pub fn host_for(&self, asked: &Asked) -> Result<u32, Denied> {
        let mut allowing = self
            .list()?
            .iter()
            .filter(|rule| rule.action == Action::Allow && rule.covers_caller(asked));
        if let Some((host, _)) = allowing.clone().find_map(|rule| rule.host.as_ref()) {
            return Ok(*host);
        }
        let is_let_in = allowing.any(|rule| rule.namespace == Namespace::Other) && asked.uid != 0;
        if asked.elsewhere && !is_let_in {
            return Err(self.no_rule(asked));
        }
        Ok(asked.uid)
    }

    /// The refusal of a caller whom no rule lets in.
    #[must_use]
    pub fn no_rule(&self, asked: &Asked) -> Denied {
        let mut rules = self.list().unwrap_or_default().iter();
        if let Some(rule) = rules.find(|rule| rule.would_cover(asked)) {
            return Denied::Changeable { path: self.path.clone(), rule: rule.quoted.clone() };
        }
        let place = if asked.elsewhere { " in another namespace" } else { "" };
        let caller = format!("uid {}{place}", asked.uid);
        Denied::NoRule { path: self.path.clone(), caller }
    }

    fn obey(&self, rule: &Rule, own: u32) -> Verdict {
        let (path, quoted) = (self.path.clone(), rule.quoted.clone());
        match (rule.action, &rule.host) {
            (Action::Refuse, _) => Verdict::Refused(Denied::Rule { path, rule: quoted }),
            (Action::Allow, Some((host, name))) if *host != own => {
                let host = name.clone();
                Verdict::Refused(Denied::OtherHost { path, rule: quoted, host })
            }
            (Action::Allow, _) => {
                let variables = rule.variables.clone();
                Verdict::Allowed(Some(Allowance { rule: quoted, variables }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(text: &str, asked: &Asked, digest: Digest) -> Result<Verdict, String> {
        let path = PathBuf::from("/etc/winterop/policy.toml");
        let rules = parse(Some(text.as_bytes()), &path)?;
        let rules = Rules { path, rules: Ok(Arc::new(Ok(rules))) };
        Ok(rules.decide(1000, asked, &mut || Ok(digest)))
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let asked = Asked {
            uid: 1000,
            groups: vec![100, 7],
            elsewhere: false,
            program: Some("/opt/a/x.exe".into()),
            names: vec!["/claimed/y.exe".into()],
            ..Asked::default()
        };
        let hex = "ab".repeat(32);
        for (rule, matches) in [
            (String::new(), true),
            ("user = [1000]".into(), true),
            ("user = [\"root\", 1]".into(), false),
            ("group = [7]".into(), true),
            ("group = [\"root\"]".into(), false),
            ("namespace = \"own\"".into(), true),
            ("namespace = \"other\"".into(), false),
            ("program = [\"/opt/*/x.exe\"]".into(), true),
            ("program = [\"/opt/*\"]".into(), false),
            ("program = [\"/opt/**\"]".into(), true),
            (format!("sha256 = [\"{hex}\"]"), true),
            (format!("sha256 = [\"{}\"]", "cd".repeat(32)), false),
            ("program = [\"/claimed/*\"]".into(), true),
        ] {
            let text = format!(
                "[[rule]]\nname = \"the one\"\naction = \"refuse\"\n{rule}\n[[rule]]\naction = \"allow\"\n"
            );
            let verdict = decide(&text, &asked, [0xAB; 32]).unwrap();
            match verdict {
                Verdict::Refused(denied) => {
                    assert!(matches, "{rule}");
                    assert!(denied.to_string().contains("rule 1 “the one”"), "{denied}");
                }
                Verdict::Allowed(by) => {
                    assert!(!matches, "{rule}");
                    assert_eq!(by.map(|by| by.rule).as_deref(), Some("rule 2"));
                }
            }
        }
        // What a caller only claims is no reason to let it run.
        let text = "[[rule]]\naction = \"allow\"\nprogram = [\"/claimed/*\"]\n[[rule]]\naction = \"refuse\"\n";
        assert!(matches!(decide(text, &asked, [0; 32]), Ok(Verdict::Refused(_))));
        let text = "[[rule]]\naction = \"allow\"\nhost = 1001\n";
        let Ok(Verdict::Refused(denied)) = decide(text, &asked, [0; 32]) else { panic!("allowed") };
        assert!(denied.to_string().contains("host of uid 1001"), "{denied}");
    }

    #[test]
    fn whom_nobody_knows_for_certain_only_a_rule_with_its_uid_lets_in() {
        let doubtful = Asked { uid: 1000, elsewhere: true, doubtful: true, ..Asked::default() };
        let certain = Asked { doubtful: false, ..doubtful.clone() };
        let is_allowed = |text: &str, asked: &Asked| {
            matches!(decide(text, asked, [0; 32]), Ok(Verdict::Allowed(Some(_))))
        };
        let anybody = "[[rule]]\naction = \"allow\"\nnamespace = \"other\"\n";
        let named = format!("{anybody}user = [1000]\n");
        assert!(is_allowed(anybody, &certain) && !is_allowed(anybody, &doubtful));
        assert!(is_allowed(&named, &doubtful));
        let refused = "[[rule]]\naction = \"refuse\"\n";
        let verdict = decide(refused, &doubtful, [0; 32]);
        assert!(matches!(verdict, Ok(Verdict::Refused(_))));
    }

    #[test]
    fn a_refusal_holds_however_the_program_is_called() {
        let text = "[[rule]]\naction = \"refuse\"\nprogram = [\"/opt/tools/Bad.exe\"]\n";
        for name in [
            "/opt/tools/Bad.exe",
            "/opt/tools/bad.EXE",
            "/OPT/tools/bad.exe",
            "/opt/tools/bad.exe. .",
            "/opt/./tools//Bad.exe",
            "/opt/x/../tools/Bad.exe",
            "/opt/tools./Bad.exe",
        ] {
            for named in [
                Asked { program: Some(name.into()), ..Asked::default() },
                Asked { inside: Some(name.into()), ..Asked::default() },
                Asked { names: vec!["/x".into(), name.into()], ..Asked::default() },
            ] {
                let verdict = decide(text, &named, [0; 32]).unwrap();
                assert!(matches!(verdict, Verdict::Refused(_)), "{named:?}");
            }
        }
        let other = Asked { program: Some("/opt/tools/good.exe".into()), ..Asked::default() };
        assert_eq!(decide(text, &other, [0; 32]), Ok(Verdict::Allowed(None)));
    }

    #[test]
    fn a_path_allows_only_as_it_is_written() {
        let text = "[[rule]]\naction = \"allow\"\nprogram = [\"/opt/tools/*.exe\"]\n\
                    [[rule]]\naction = \"refuse\"\n";
        for (name, allowed) in [
            ("/opt/tools/x.exe", true),
            ("/opt/tools/X.EXE", false),
            ("/opt/tools/../x.exe", false),
            ("/opt/tools/a/x.exe", false),
        ] {
            let asked = Asked { program: Some(name.into()), ..Asked::default() };
            let verdict = decide(text, &asked, [0; 32]).unwrap();
            assert_eq!(matches!(verdict, Verdict::Allowed(_)), allowed, "{name}");
        }
    }

    #[test]
    fn a_path_counts_for_who_lives_elsewhere_only_where_it_is_settled_or_with_a_hash() {
        let path = "[[rule]]\naction = \"allow\"\nhost = 1000\nprogram = [\"/opt/x.exe\"]\n";
        let with_hash = format!("{path}sha256 = [\"{}\"]\n", "ab".repeat(32));
        let here = Some(PathBuf::from("/opt/x.exe"));
        let asked = Asked { elsewhere: true, program: here.clone(), ..Asked::default() };
        let inside = Asked { program: None, inside: here, ..asked.clone() };
        let settled = Asked { settled: true, ..asked.clone() };
        let is_allowed = |text: &str, asked: &Asked, digest| {
            matches!(decide(text, asked, digest), Ok(Verdict::Allowed(Some(_))))
        };
        assert!(is_allowed(path, &settled, [0; 32]));
        for unsettled in [&asked, &inside] {
            assert!(!is_allowed(path, unsettled, [0; 32]));
            assert!(is_allowed(&with_hash, unsettled, [0xAB; 32]));
            assert!(!is_allowed(&with_hash, unsettled, [0; 32]));
            let path_of = PathBuf::from("/etc/winterop/policy.toml");
            let rules = parse(Some(path.as_bytes()), &path_of).unwrap();
            let rules = Rules { path: path_of, rules: Ok(Arc::new(Ok(rules))) };
            let said = rules.no_rule(unsettled).to_string();
            assert!(said.contains("rule 1") && said.contains("sha256"), "{said}");
        }
    }

    #[test]
    fn errors_name_the_file_and_the_rule() {
        for (text, words) in [
            ("[[rule]]\n", "action"),
            ("[[rule]]\naction = \"maybe\"\n", "line 2"),
            ("[[rule]]\naction = \"allow\"\nodd = 1\n", "odd"),
            ("[[rule]]\naction = \"allow\"\nuser = [\"no such user\"]\n", "rule 1: user"),
            ("[[rule]]\naction = \"allow\"\nprogram = [\"x/[\"]\n", "rule 1: program"),
            ("[[rule]]\naction = \"allow\"\nprogram = [\"/[\"]\n", "rule 1: program"),
            ("[[rule]]\naction = \"allow\"\nsha256 = [\"12\"]\n", "rule 1: sha256"),
            ("[[rule]]\naction = \"allow\"\nhost = \"root\"\n", "never go to root"),
            ("[[rule]]\naction = \"allow\"\nvariables = [\"*\"]\n", "rule 1: variables"),
            ("[[rule]]\naction = \"allow\"\nvariables = [\"A B\"]\n", "rule 1: variables"),
        ] {
            let error = decide(text, &Asked::default(), [0; 32]).unwrap_err();
            assert!(
                error.contains("/etc/winterop/policy.toml") && error.contains(words),
                "{error}"
            );
        }
    }
}
