//! Checks of what people have set: the files, the two switches, the policy.

use crate::context::Context;
use crate::finding::Finding;
use rustix::process::{getegid, getgroups};
use std::path::Path;
use winterop_settings::policy::{Asked, Digest, NoDigest, Verdict};
use winterop_settings::switches::examine;
use winterop_settings::{
    MachineSettings, Off, Policy, Settings, SwitchPlaces, Switches, machine, wsl_conf,
};

pub(crate) fn files(_: &Context) -> Finding {
    let machine = MachineSettings::read(Path::new(machine::DIRECTORY));
    let machine = machine.map_err(|error| error.words());
    let user = Settings::of_user_with_warnings();
    let warnings = user.as_ref().map(|(_, warnings)| warnings.clone()).unwrap_or_default();
    match (user.err().or(machine.err()), warnings.first()) {
        (Some(words), _) => Finding::error(&words),
        (None, Some(warning)) => {
            Finding::note(warning.error.clone()).with_mend(warning.advice.clone())
        }
        (None, None) => Finding::good("the user's and the machine's can be read"),
    }
}

pub(crate) fn distribution(_: &Context) -> Finding {
    match examine(Path::new(wsl_conf::PATH)) {
        Err(error) => Finding::error(&error.words()),
        Ok(diagnostics) if diagnostics.is_empty() => {
            Finding::good(format!("{} has nothing wrong", wsl_conf::PATH))
        }
        Ok(diagnostics) => {
            let says = format!("{} has lines that are passed over", wsl_conf::PATH);
            let details = diagnostics.iter().map(ToString::to_string);
            Finding::wrong(says, format!("mend {} as root", wsl_conf::PATH)).with_details(details)
        }
    }
}

pub(crate) fn switches(_: &Context) -> Finding {
    match Switches::new(SwitchPlaces::of_user()).check() {
        Ok(()) => Finding::good("Windows programs are switched on"),
        Err(off) => Finding::error(&off.words()),
    }
}

/// Whether the policy lets this user run the program from here.
pub(crate) fn policy(context: &Context) -> Finding {
    let directory = Path::new(machine::DIRECTORY);
    if let Err(error) = Policy::examine(directory) {
        let words = error.words();
        let finding = Finding::error(&words);
        return finding.with_details(["nothing runs until it is mended".to_owned()]);
    }
    let rules = Policy::new(directory).rules();
    if !rules.say_anything() {
        return Finding::good("there is none: every user's programs run");
    }
    let Some(program) = &context.program else {
        return Finding::good("it can be read; name a program to see what it says of that");
    };
    let absolute = program.canonicalize().unwrap_or_else(|_| program.clone());
    let mut digest = || digest(&absolute);
    match rules.decide(context.uid, &asked(context, &absolute), &mut digest) {
        Verdict::Allowed(None) => Finding::good(format!("no rule is about {}", program.display())),
        Verdict::Allowed(Some(by)) => {
            Finding::good(format!("{} may run: {}", program.display(), by.rule))
        }
        Verdict::Refused(denied) => Finding::error(&denied.words().on(program.display())),
    }
}

fn asked(context: &Context, program: &Path) -> Asked {
    let groups = getgroups().unwrap_or_default().into_iter().map(|group| group.as_raw());
    Asked {
        uid: context.uid,
        groups: groups.chain([getegid().as_raw()]).collect(),
        program: Some(program.to_owned()),
        names: context.program.iter().cloned().collect(),
        ..Asked::default()
    }
}

fn digest(program: &Path) -> Result<Digest, NoDigest> {
    Ok(winterop_host::admission::digest_of(program)?)
}

/// What is wrong in the files that people write, a line each, and what switches Windows programs off.
#[must_use]
pub fn problems() -> (Vec<String>, Option<Off>) {
    let directory = Path::new(machine::DIRECTORY);
    let user = Settings::of_user().err().map(|words| words.fault());
    let machine = MachineSettings::read(directory).err().map(|error| error.to_string());
    let policy = Policy::examine(directory).err().map(|error| error.to_string());
    let distribution = match examine(Path::new(wsl_conf::PATH)) {
        Ok(diagnostics) => diagnostics.iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    };
    let files = user.into_iter().chain(machine).chain(policy).chain(distribution);
    (files.collect(), Switches::new(SwitchPlaces::of_user()).check().err())
}
