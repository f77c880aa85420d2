//! One launch: whether it may be, what its caller is told, and what is written down of it.

use super::answer::{self, notify, refuse};
use super::follow::{self, Lifetime};
use super::reading::tell_presence;
use crate::admission::{Admission, Caller};
use crate::client::{Client, Places};
use crate::entrance::Entrance;
use crate::execution::Interface;
use crate::launcher::{Launched, Launcher, Placed, RefusedLaunch, RunningProgram};
use crate::mark::Mark;
use crate::request::LaunchRequest;
use crate::unix::as_descriptor;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use winterop_audit::{Audit, Record};
use winterop_channel::Frame;
use winterop_serve::HeldShare;
use winterop_settings::machine::AuditSetting;
use winterop_sys::PeerCredentials;
use winterop_wire::Features;
use winterop_words::Failure;

/// After how long a client is told that its launch is still being prepared, and how often then.
const NOTICE_INTERVAL: Duration = Duration::from_secs(3);

/// What launches go through.
#[derive(Debug)]
pub(super) struct Launches {
    launcher: Arc<dyn Launcher>,
    grace: Duration,
    admission: Admission,
    audit: Audit,
    places: Arc<Places>,
    counter: AtomicU64,
}

impl Launches {
    /// Launches whatever `admission` lets pass with `launcher`; a program that was told to end has
    /// `grace` for it.
    pub(super) fn new(
        launcher: Arc<dyn Launcher>,
        grace: Duration,
        admission: Admission,
        audit: Audit,
        places: Arc<Places>,
    ) -> Self {
        Self { launcher, grace, admission, audit, places, counter: AtomicU64::new(0) }
    }

    /// Carries one launch from its request to the program's end.
    pub(super) async fn launch(
        self: Arc<Self>,
        mut client: Client,
        mut frame: Frame,
        entrance: Entrance,
    ) {
        let peer = client.peer.credentials;
        let read = LaunchRequest::read(&mut frame, peer);
        client.close_aside(frame.descriptors);
        let request = match read {
            Ok(request) => request,
            Err(error) => return refuse(&client, &answer::wrong_request(&error)).await,
        };
        let mark = Mark::new(self.counter.fetch_add(1, Ordering::Relaxed) + 1);
        let note = Note {
            since: Instant::now(),
            peer,
            program: request.shown(),
            audit: self.audit_setting(),
        };
        let (detach, features) = (request.detach, request.features);
        let decided = match self.decide(&mut client, request, mark, entrance).await {
            Ok(decided) => decided,
            Err(refusal) => {
                refuse(&client, &refusal).await;
                return self.record(note.audit, || note.ended("refused").refused(&refusal.text));
            }
        };
        let Decided { launched, response, running } = decided;
        client.move_to(running);
        let outlives = detach || launched.interface == Interface::Graphical;
        let lifetime = if outlives { Lifetime::Own } else { Lifetime::Callers };
        match launched.placed {
            Placed::InPlace { remains, .. } => {
                if client.send(&response, &[]).await.is_ok() {
                    let code = follow::in_place(&mut client, remains, lifetime).await;
                    self.record(note.audit, || Record { code, ..note.ended("in place") });
                }
            }
            Placed::Running(mut program) => {
                answer_running(&client, &response, features, &mut *program).await;
                let code = Some(follow::running(&mut client, program, lifetime).await);
                self.record(note.audit, || Record { code, ..note.ended("hosted") });
            }
        }
    }

    /// Has the launcher get ready, and tells a client when it is, or why it is not.
    pub(super) async fn prepare(&self, client: Client) {
        let (launcher, switches) =
            (Arc::clone(&self.launcher), Arc::clone(&self.admission.switches));
        let preparing = tokio::task::spawn_blocking(move || {
            switches.check_users().map_err(|off| RefusedLaunch::from(off.words()))?;
            launcher.warm_up(&mut |step| tracing::info!(step))
        });
        let text = self.launcher.still_preparing();
        match wait_with_notices(&client, text, Features::IN_PLACE, preparing).await {
            Ok(()) => tell_presence(&client),
            Err(refusal) => answer::tell_error(&client, &refusal).await,
        }
    }

    /// Finds out whether and how a launch starts, on a thread of its own. Whoever loses their place
    /// meanwhile is told at once, and the thread is done when it can be.
    async fn decide(
        self: &Arc<Self>,
        client: &mut Client,
        request: LaunchRequest,
        mark: Mark,
        entrance: Entrance,
    ) -> Result<Decided, RefusedLaunch> {
        let features = request.features;
        let asking =
            Asking { caller: client.caller(entrance), request, mark, place: client.place() };
        let launches = Arc::clone(self);
        let (decide, mut decided) = oneshot::channel();
        tokio::task::spawn_blocking(move || tell(decide, launches.start(asking)));
        let (place, text) = (client.place(), self.launcher.still_preparing());
        let outcome = tokio::select! {
            outcome = wait_with_notices(client, text, features, &mut decided) => outcome,
            () = Client::is_turned_away(place) => {
                give_up(decided);
                return Err(answer::crowded_out());
            }
        };
        let decided = outcome?;
        for warning in &decided.launched.warnings {
            notify(client, features, warning).await;
        }
        Ok(decided)
    }

    /// Everything about a launch that may block: looking at files, waiting for what the launcher starts.
    /// Ends with the caller's descriptors closed here, on this launch's own thread, and its place free.
    fn start(&self, asking: Asking) -> Result<Decided, RefusedLaunch> {
        let Asking { caller, mut request, mark, place } = asking;
        self.admission.admit(&mut request, &caller, &*self.launcher)?;
        let running = self.places.run(&caller.peer, request.is_guest).map_err(answer::too_many)?;
        let launched = self.launcher.launch(request, &mark)?;
        let response =
            answer::of(&launched, &mark, self.grace).inspect_err(|_| launched.give_up())?;
        drop(place);
        Ok(Decided { launched, response, running })
    }

    /// Where the machine's settings want records of launches that begin now; nowhere while they
    /// cannot be read.
    fn audit_setting(&self) -> AuditSetting {
        self.admission.switches.settings().map_or(AuditSetting::Off, |settings| settings.audit)
    }

    /// Writes a record where it is wanted; aside, since a file may block.
    fn record(&self, setting: AuditSetting, record: impl FnOnce() -> Record) {
        if setting != AuditSetting::Off {
            let audit = self.audit.clone();
            let Some(lines) = audit.take(&record()) else { return };
            tokio::task::spawn_blocking(move || audit.put(setting, &lines));
        }
    }
}

/// Tells the caller that its program runs.
async fn answer_running(
    client: &Client,
    response: &[u8],
    features: Features,
    program: &mut dyn RunningProgram,
) {
    // WSL's interpreter expects no descriptor.
    let report = program.take_report().filter(|_| features != Features::NONE);
    let attached: Vec<_> = report.iter().map(as_descriptor).collect();
    if client.send(response, &attached).await.is_err() {
        tracing::info!("the caller went away during its launch");
    }
}

/// What a record of a launch begins with.
#[derive(Debug)]
struct Note {
    since: Instant,
    peer: PeerCredentials,
    program: String,
    /// As the setting was when the launch began: what ends after it was changed began before that.
    audit: AuditSetting,
}

impl Note {
    fn ended(&self, placement: &'static str) -> Record {
        let Self { since, peer, program, .. } = self;
        Record::ended(peer.uid, peer.pid, program, placement, since.elapsed())
    }
}

/// A launch that is to be decided.
struct Asking {
    caller: Caller,
    request: LaunchRequest,
    mark: Mark,
    /// Its place, taken as long as it is decided on.
    place: Option<Arc<HeldShare>>,
}

/// A launch that was decided, and has come to something.
#[derive(Debug)]
struct Decided {
    launched: Launched,
    /// The answer to its caller.
    response: Vec<u8>,
    /// Its place among those whose programs run.
    running: HeldShare,
}

/// What comes of a launch.
type Outcome = Result<Decided, RefusedLaunch>;

/// Tells what has come of a launch; one that nobody wants any more is given up. May block.
fn tell(decide: oneshot::Sender<Outcome>, outcome: Outcome) {
    if let Err(Ok(unwanted)) = decide.send(outcome) {
        unwanted.launched.give_up();
    }
}

/// Gives up a launch that is being decided, whatever becomes of it.
fn give_up(mut deciding: oneshot::Receiver<Outcome>) {
    // From here on whoever decides sees that nobody wants it.
    deciding.close();
    if let Ok(Ok(unwanted)) = deciding.try_recv() {
        tokio::task::spawn_blocking(move || unwanted.launched.give_up());
    }
}

/// Waits for what is being prepared and tells the client now and then that it goes on.
async fn wait_with_notices<T, E: Display>(
    client: &Client,
    text: &str,
    features: Features,
    mut deciding: impl Future<Output = Result<Result<T, RefusedLaunch>, E>> + Unpin,
) -> Result<T, RefusedLaunch> {
    loop {
        match tokio::time::timeout(NOTICE_INTERVAL, &mut deciding).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(error)) => {
                return Err(Failure::HostFailed { error: &error }.into());
            }
            Err(_) => notify(client, features, text).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::{Act, Ended, Work};
    use crate::unix::ExitReport;
    use std::sync::mpsc;
    use winterop_serve::Shares;

    /// A program that says when it is ended.
    #[derive(Debug)]
    struct Tells(mpsc::Sender<Act>);

    impl RunningProgram for Tells {
        fn ended(&mut self) -> Ended<'_> {
            Box::pin(std::future::pending())
        }

        fn act(&self, act: Act) -> Work {
            let told = self.0.clone();
            Box::new(move || told.send(act).unwrap())
        }

        fn take_report(&mut self) -> Option<ExitReport> {
            None
        }
    }

    fn decided(told: &mpsc::Sender<Act>) -> Result<Decided, RefusedLaunch> {
        let placed = Placed::Running(Box::new(Tells(told.clone())));
        let launched = Launched { placed, interface: Interface::Console, warnings: Vec::new() };
        let running = Shares::new(1, 1).enter(7).unwrap();
        Ok(Decided { launched, response: Vec::new(), running })
    }

    #[tokio::test]
    async fn a_program_of_who_was_turned_away_is_ended_whenever_it_was_started() {
        let (told, hears) = mpsc::channel();
        // It has started just before.
        let (decide, deciding) = oneshot::channel();
        decide.send(decided(&told)).unwrap();
        give_up(deciding);
        assert_eq!(hears.recv(), Ok(Act::End));
        // It starts afterwards.
        let (decide, deciding) = oneshot::channel();
        give_up(deciding);
        tell(decide, decided(&told));
        assert_eq!(hears.recv(), Ok(Act::End));
    }
}
