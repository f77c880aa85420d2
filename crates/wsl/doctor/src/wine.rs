//! Checks of the Windows side: Wine, its prefix, its server.

use crate::context::Context;
use crate::finding::{Finding, command};
use std::ffi::OsString;
use winterop_host::tree::is_any_left;
use winterop_places::user;
use winterop_serve::own_host;
use winterop_wine::installation::{Installation, Search};
use winterop_wine::prefix::{self, Flaw};
use winterop_wine::server;
use winterop_wine::user::WineUser;

fn found() -> Option<Installation> {
    Search::from_env().run().ok().map(|found| found.installation)
}

pub(crate) fn installation(context: &Context) -> Finding {
    if !context.uses_wine() {
        return Finding::skipped("the settings start programs with a command");
    }
    match Search::from_env().run() {
        Err(error) => Finding::error(&error.words()),
        Ok(found) => {
            let Installation { loader, version, .. } = &found.installation;
            let others = found.candidates.iter().map(ToString::to_string);
            let finding = Finding::good(format!("{version}: {}", loader.display()));
            finding.with_details(others.filter(|candidate| !candidate.ends_with(": taken")))
        }
    }
}

pub(crate) fn prefix(context: &Context) -> Finding {
    if !context.uses_wine() {
        return Finding::skipped("the settings start programs with a command");
    }
    let Some(wine) = found() else { return Finding::skipped("there is no Wine to ask") };
    let data = match user::data() {
        Ok(data) => data,
        Err(error) => return Finding::error(&error.words()),
    };
    let shown = data.join("prefix").display().to_string();
    let flaws = match prefix::examine(&wine, &data) {
        Ok(flaws) => flaws,
        Err(error) => return Finding::error(&error.words()),
    };
    let again = format!("winterop host stop; rm -f {shown}/.winterop; winterop run cmd /c ver");
    let worst = flaws.iter().find(|flaw| matches!(flaw, Flaw::Registry | Flaw::Library));
    match worst.or(flaws.first()) {
        None => Finding::good(format!("{shown}, with its repairs")),
        Some(Flaw::NotMade) => {
            Finding::note("there is none yet; the first launch makes it, in some seconds")
                .with_mend("winterop host start")
        }
        Some(Flaw::Outdated) => {
            Finding::note(format!("{shown} is of another Wine; the host's next start renews it"))
                .with_mend("winterop host stop; winterop host start")
        }
        Some(Flaw::Registry) => {
            let says =
                format!("{shown}: the registry does not say Windows 10 without a crash debugger");
            renewed(Finding::wrong(says, again), wine)
        }
        Some(Flaw::Library) => {
            let says =
                format!("{shown}: bcryptprimitives.dll is missing, which Rust programs need");
            renewed(Finding::wrong(says, again), wine)
        }
    }
}

/// Offers to prepare the prefix again, where no program runs in it.
fn renewed(finding: Finding, wine: Installation) -> Finding {
    let running = own_host::running().ok().flatten().map(|pid| pid.as_raw_nonzero().get());
    if running.is_some_and(|pid| is_any_left(pid.unsigned_abs())) {
        return finding;
    }
    finding.with_fix("prepared the prefix again; no Windows program was running", move |_| {
        own_host::stop()?;
        let data = user::data()?;
        let stamp = data.join("prefix/.winterop");
        match std::fs::remove_file(&stamp) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        prefix::prepare(&wine, &WineUser::current(), &data, None, &mut |_| {})
            .map_err(|e| e.words())?;
        Ok(own_host::ensure()?)
    })
}

pub(crate) fn server(context: &Context) -> Finding {
    if !context.uses_wine() {
        return Finding::skipped("the settings start programs with a command");
    }
    let Ok(data) = user::data() else { return Finding::skipped("there is no prefix") };
    let Some(pid) = server::running(&data.join("prefix")) else {
        return Finding::note("it does not run; the host starts it");
    };
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let Some(wine) = found() else {
        return Finding::good(format!("process {pid}: {}", program.display()));
    };
    let same = program.canonicalize().ok() == wine.server.canonicalize().ok();
    if same || program.as_os_str().is_empty() {
        return Finding::good(format!("process {pid}"));
    }
    let says = format!("process {pid} is {}, not {}", program.display(), wine.server.display());
    let mut prefix = OsString::from("WINEPREFIX=");
    prefix.push(data.join("prefix"));
    let mend = command(["env".as_ref(), &prefix, program.as_ref(), "-k".as_ref()]);
    Finding::wrong(says, format!("{mend} (ends the Windows programs that run)"))
}
