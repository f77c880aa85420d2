//! Keeping the registration: looks at the kernel's table, and does what [`Healer`] says.

use super::healing::{Action, Healer, Seen};
use crate::registration::{self, BINFMT_MISC, Entry};
use crate::starting::run_aside;
use crate::table::Table;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::inotify;
use std::io;
use std::path::Path;
use winterop_serve::Starter;
use winterop_settings::MachineSettings;
use winterop_settings::machine::{self, EntryName};

/// How often to look where no event tells of a change: not every one comes by a write here, such as
/// a table that is mounted over this one.
const PAUSE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Keeps the entry there that starts `interpreter`, for as long as this process runs. What helps with it
/// is started by `starter`, where there is one.
pub fn keep_registered(interpreter: &str, starter: Option<&Starter>) {
    let mut healer = Healer::new(interpreter);
    loop {
        let watch = watch();
        if let Some(entry) = wanted() {
            let action = healer.look(&look(&entry));
            if let Err(error) = act(&action, &entry, interpreter, starter) {
                tracing::error!(%error, %entry, "the registration cannot be kept");
            }
        }
        wait(watch.as_ref());
    }
}

/// The entry that root wants to be kept there, if any.
fn wanted() -> Option<EntryName> {
    match MachineSettings::read(Path::new(machine::DIRECTORY)) {
        Ok(settings) => settings.heal.then_some(settings.entry),
        Err(error) => {
            tracing::error!(%error, "the registration is not looked after");
            None
        }
    }
}

/// Events of the table's folder. It is watched before it is looked at, and anew each time, because
/// another table may be mounted there.
fn watch() -> Option<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
    let events = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::DELETE;
    inotify::add_watch(&watch, BINFMT_MISC, events).ok()?;
    Some(watch)
}

fn wait(watch: Option<&OwnedFd>) {
    let mut interest: Vec<_> =
        watch.map(|watch| PollFd::new(watch, PollFlags::IN)).into_iter().collect();
    // Whatever ends the wait, the table is looked at.
    let _ = poll(&mut interest, Some(&PAUSE));
}

fn look(entry: &EntryName) -> Seen {
    let Ok(table) = Table::read(Path::new(BINFMT_MISC)) else { return Seen::NoTable };
    let Some(ours) = table.entries.iter().find(|it| it.name == entry.as_str()) else {
        return Seen::Missing;
    };
    let first = table.matching(Path::new("x.exe"), b"MZ").take_while(|it| it.name != ours.name);
    let before = first.filter(|it| it.enabled).map(|it| it.name.clone()).collect();
    let entry = Entry {
        enabled: ours.enabled && table.enabled,
        interpreter: ours.interpreter.clone(),
        flags: ours.flags.clone(),
        magic: String::new(),
    };
    Seen::Present { entry, before }
}

/// Mounts the table where everybody sees it: under systemd this process has mounts of its own.
fn mount_table(starter: Option<&Starter>) -> io::Result<()> {
    if !crate::notify::systemd_runs_this_machine() {
        return registration::mount_table();
    }
    let options = ["--quiet", "--no-ask-password", "start", "proc-sys-fs-binfmt_misc.mount"];
    run_aside("/usr/bin/systemctl", options.map(|it| it.as_bytes().to_vec()).to_vec(), starter)
}

fn act(
    action: &Action,
    entry: &EntryName,
    interpreter: &str,
    starter: Option<&Starter>,
) -> io::Result<()> {
    match action {
        Action::Nothing => {}
        Action::Tell(trouble) => tracing::warn!(%entry, "{trouble}"),
        Action::Mount => {
            mount_table(starter)?;
            tracing::info!("binfmt_misc was not mounted, and is again");
        }
        Action::Register => {
            registration::register_as(entry.as_str(), interpreter).map_err(io::Error::other)?;
            tracing::info!(%entry, "the registration was gone, and is back");
        }
    }
    Ok(())
}
