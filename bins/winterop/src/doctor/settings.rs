//! Checks of what people have set: the files, the two switches, the policy.

use super::context::Context;
use super::finding::Finding;
use crate::places;
use rustix::process::{getegid, getgroups};
use std::path::Path;
use winterop_settings::policy::{Asked, Digest, Verdict};
use winterop_settings::switches::examine;
use winterop_settings::{MachineSettings, Policy, Settings, Switches, machine, wsl_conf};

pub fn files(_: &Context) -> Finding {
    let file = match places::settings() {
        Ok(file) => file,
        Err(error) => return Finding::error(&error.words()),
    };
    let mut warnings = Vec::new();
    let user = file.map(|file| {
        Settings::read(&file).map(|settings| warnings.extend(settings.warnings(&file)))
    });
    let machine = MachineSettings::read(Path::new(machine::DIRECTORY)).map(drop);
    let wrong = [user, Some(machine)].into_iter().flatten().find_map(Result::err);
    match wrong {
        Some(error) => Finding::error(&error.words()),
        None => match warnings.first() {
            Some(warning) => Finding::note(warning.error.clone()).with_mend(warning.advice.clone()),
            None => Finding::good("the user's and the machine's can be read"),
        },
    }
}

pub fn distribution(_: &Context) -> Finding {
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

pub fn switches(_: &Context) -> Finding {
    match Switches::new(places::switches()).check() {
        Ok(()) => Finding::good("Windows programs are switched on"),
        Err(off) => Finding::error(&off.words()),
    }
}

/// Whether the policy lets this user run the program from here.
pub fn policy(context: &Context) -> Finding {
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

fn digest(program: &Path) -> Result<Digest, String> {
    winterop_host::admission::digest_of(program)
        .map_err(|error| format!("it cannot be read: {error}"))
}
