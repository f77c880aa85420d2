//! What admission costs a launch on a machine: the machine's init lets the caller in and looks at the
//! switches, and the user's host asks the policy for this program and looks at them again.

use std::fs;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context as _, Result};
use winterop_machine::users::Users;
use winterop_serve::Peer;
use winterop_settings::peer::{Compared, groups_of, lives_elsewhere};
use winterop_settings::policy::{Asked, Verdict};
use winterop_settings::{Policy, SwitchPlaces, Switches};

use super::figures::median_of_batches;

/// How many rules are asked before the one that matches.
const RULES: usize = 20;

/// Until the times of the files tell a change for sure.
const SETTLING: Duration = Duration::from_secs(4);

/// Launches per sample.
const BATCH: u32 = 20;

/// The median of one launch's questions in milliseconds, with files that are looked at anew each time.
///
/// # Errors
/// If the files cannot be written, or say no.
pub(super) fn measure(turns: usize) -> Result<f64> {
    let folder = tempfile::tempdir().context("make a folder")?;
    let rule = |number: usize| {
        format!(
            "[[rule]]\naction = \"refuse\"\nuser = [{number}]\nprogram = [\"/opt/{number}/**/*.exe\"]\n"
        )
    };
    let rules: String = (0..RULES).map(|number| rule(number + 70_000)).collect();
    let rules = rules + "[[rule]]\naction = \"allow\"\n";
    fs::write(folder.path().join("policy.toml"), rules).context("write a policy")?;
    let conf = folder.path().join("wsl.conf");
    fs::write(&conf, "[interop]\nenabled = true\n").context("write wsl.conf")?;
    let places = SwitchPlaces { directory: folder.path().to_owned(), wsl_conf: conf, prefix: None };
    let (switches, policy) = (Switches::new(places), Policy::new(folder.path()));
    let own = std::process::id().cast_signed();
    let (connection, _other_end) = UnixStream::pair().context("connect to ourselves")?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().context("a runtime")?;
    let users = Users::new(Policy::new(folder.path()), "winterop".into(), None);
    let launch = || {
        let Ok(peer) = Peer::of(connection.as_fd()) else { return false };
        std::hint::black_box(users.accountable(peer.credentials.uid));
        let is_let_in = runtime.block_on(users.admit(&peer, false)).is_ok();
        let rules = policy.rules();
        let Ok(elsewhere) = lives_elsewhere(own, Compared::Own) else { return false };
        let program = Some("/home/me/tools/x.exe".into());
        let asked = Asked {
            uid: 1000,
            groups: if rules.ask_for_groups() {
                groups_of(own).unwrap_or_default()
            } else {
                Vec::new()
            },
            elsewhere,
            program,
            ..Asked::default()
        };
        let verdict =
            rules.decide(1000, &asked, &mut || Err(winterop_settings::policy::NoDigest::NoProgram));
        is_let_in
            && switches.check().is_ok()
            && switches.check().is_ok()
            && matches!(verdict, Verdict::Allowed(_))
    };
    // A file that was changed a moment ago is read at each look; root's rarely are.
    std::thread::sleep(SETTLING);
    let wrong = "the policy says no; only root's files count";
    Ok(median_of_batches(turns, BATCH, wrong, launch)? * 1e3)
}
