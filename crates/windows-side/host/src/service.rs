//! The host's service: who connects, whom they hand over, and what they want.
//!
//! [`launch`] takes a launch from its request to its record, [`follow`] the program to its end;
//! [`reading`] has what clients send, and [`answer`] what they are told on their own connection.

mod answer;
mod follow;
mod launch;
mod reading;

pub use reading::{HandedOver, handed_over};

use crate::admission::Admission;
use crate::build::Build;
use crate::client::{Client, Places};
use crate::entrance::{Entrance, Residence, Standing, Unserved, is_guest, residence_of_client};
use crate::instances::Instances;
use crate::launcher::{Launcher, RefusedLaunch};
use crate::lookout::{Lookout, Outlook};
use answer::{refusal_message, refuse, too_many, wrong_request};
use launch::Launches;
use reading::{REQUEST_DEADLINE, kind_of, next_request, tell_presence};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::ioctl_fionbio;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};
use winterop_audit::Audit;
use winterop_channel::Frame;
use winterop_channel::asynchronous::Channel;
use winterop_channel::unix::send_some;
use winterop_serve::{Backlog, Listener, Peer};
use winterop_settings::Settings;
use winterop_sys::peer_credentials;
use winterop_wire::{Instance, Message, MessageType};

/// How many connections to the host's own socket, of which none has a place, may hang while they are
/// closed. Whoever can reach it is the user, or sees the user's own directory.
const MOST_AT_OWN_SOCKET: usize = 512;

/// How often a host that is to give way looks whether it can: what a program leaves has no other end.
const AGAIN: Duration = Duration::from_secs(1);

/// How long servers may take to leave that are told to.
const LEAVING: Duration = Duration::from_secs(1);

/// A user's host.
#[derive(Debug)]
pub struct Host {
    launches: Arc<Launches>,
    /// Whether the user wants to be served in other namespaces, too.
    sandboxes: bool,
    places: Arc<Places>,
    instances: Instances,
    /// Told when a client has gone.
    gone: Notify,
    /// Changed when the servers that are kept are to leave; each of them listens.
    leave: watch::Sender<()>,
}

/// Why a host serves no more.
#[derive(Debug)]
pub enum Served {
    /// It was told to end.
    ToTheEnd,
    /// Its program was replaced, and nothing depends on it: another build is to go on.
    Outdated {
        /// Its program.
        successor: OwnedFd,
        /// Who has connected already; nothing of it was read.
        waiting: Option<OwnedFd>,
    },
}

/// How far a connection to the host's own socket has come.
enum Stage {
    /// It has said nothing, for which there is a deadline.
    First(Instant),
    /// It is kept for what a server may say next.
    Kept,
    /// It can say nothing more: what lies there is still served.
    Last(Instant),
}

impl Host {
    /// A host that starts programs with `launcher` whatever is admitted, and writes it down. A runtime of
    /// tokio's must be there.
    ///
    /// # Errors
    /// The system's, where it has no threads for it.
    pub fn new(
        launcher: Arc<dyn Launcher>,
        settings: &Settings,
        admission: Admission,
        audit: Audit,
    ) -> io::Result<Arc<Self>> {
        let places = Arc::new(Places::new()?);
        let sandboxes = admission.sandboxes;
        let own = Arc::clone(&places);
        let launches = Launches::new(launcher, settings.grace(), admission, audit, own);
        let (launches, instances) = (Arc::new(launches), Instances::default());
        let (gone, leave) = (Notify::new(), watch::Sender::new(()));
        Ok(Arc::new(Self { launches, sandboxes, places, instances, gone, leave }))
    }

    /// Serves connections until `until` is done, or until another build than `build` is to go on; first the
    /// one that `waiting` is, which another build has left.
    ///
    /// Whether another is to go on is looked at when somebody has connected, who is served by that one then,
    /// and when a client has gone; from then on again and again until nothing depends on this one. Where
    /// that one is not to be started from here, this one ends when nothing depends on it: whoever comes then
    /// starts it.
    ///
    /// # Errors
    /// The system's, where the listener itself is broken; never for what a peer did.
    pub async fn serve(
        self: Arc<Self>,
        listener: &Listener,
        build: Build,
        waiting: Option<OwnedFd>,
        until: impl Future<Output = ()>,
    ) -> io::Result<Served> {
        tokio::pin!(until);
        let backlog = Backlog::new(MOST_AT_OWN_SOCKET);
        let mut lookout = Lookout::new(build, Arc::clone(&self.places));
        let mut is_outdated = false;
        if let Some(waiting) = waiting {
            self.welcome(Channel::new(waiting)?, &backlog).await;
        }
        loop {
            let connection = tokio::select! {
                connection = listener.accept() => Some(connection?),
                () = self.gone.notified() => None,
                () = tokio::time::sleep(AGAIN), if is_outdated => None,
                () = &mut until => return Ok(Served::ToTheEnd),
            };
            let outlook = lookout.look().await;
            is_outdated = !matches!(outlook, Outlook::Current);
            if let Outlook::Replaced { successor } = outlook
                && self.may_give_way(successor.as_ref(), connection.as_ref()).await
            {
                let waiting = connection.map(UnixStream::into_std).transpose()?.map(Into::into);
                return Ok(match successor {
                    Some(successor) => Served::Outdated { successor, waiting },
                    None => {
                        tracing::info!(
                            "the host's program was replaced, and is not started by this one"
                        );
                        Served::ToTheEnd
                    }
                });
            }
            if let Some(connection) = connection {
                self.welcome(connection.into(), &backlog).await;
            }
        }
    }

    /// Whether this host, on which nothing depends, may leave, to a successor, where there is one, with
    /// whoever has connected. Servers are told to leave before; what they have sent is taken.
    async fn may_give_way(
        &self,
        successor: Option<&OwnedFd>,
        connection: Option<&UnixStream>,
    ) -> bool {
        let can_pass = |connection: &UnixStream| {
            // That an instance is the user's its keeper says again only when it is asked to: to the
            // successor it would be a guest.
            let standing = Peer::of(connection.as_fd()).map_err(Unserved::from);
            let standing =
                standing.and_then(|peer| Standing::of(&peer, &self.instances, self.sandboxes));
            successor.is_some() && !matches!(standing, Ok(Standing::Instance(_)))
        };
        if !connection.is_none_or(can_pass) {
            return false;
        }
        self.leave.send_replace(());
        // Whoever takes longer has sent what cannot be closed.
        let _ = tokio::time::timeout(LEAVING, self.leave.closed()).await;
        self.places.are_free()
    }

    /// Does what a client takes, and tells that it has gone.
    fn serve_aside(self: &Arc<Self>, serving: impl Future<Output = ()> + Send + 'static) {
        let host = Arc::clone(self);
        tokio::spawn(async move {
            serving.await;
            host.gone.notify_one();
        });
    }

    /// Looks at who has connected to the host's own socket.
    async fn welcome(self: &Arc<Self>, channel: Channel, backlog: &Backlog) {
        let known = Peer::of(channel.as_fd()).map_err(Unserved::from).and_then(|peer| {
            let standing = Standing::of(&peer, &self.instances, self.sandboxes)?;
            Ok((peer, standing))
        });
        match known {
            Ok((peer, standing)) => {
                let residence = standing.residence();
                if let Some(client) = self.let_in(channel, peer, residence, backlog).await {
                    self.serve_aside(Arc::clone(self).attend(client, standing));
                }
            }
            Err(unserved) => self.turn_away(channel, &unserved.words().into(), backlog).await,
        }
    }

    /// Gives whoever has connected a place.
    async fn let_in(
        &self,
        channel: Channel,
        peer: Peer,
        residence: Residence,
        backlog: &Backlog,
    ) -> Option<Client> {
        let is_guest = is_guest(&peer, residence);
        match self.places.enter(&peer, is_guest) {
            Ok(place) => Some(Client::new(channel, peer, residence, place, self.places.closer())),
            Err(crowded) => {
                self.turn_away(channel, &too_many(crowded), backlog).await;
                None
            }
        }
    }

    /// Refuses a connection of which nothing was read; it does not block. Where too many such cannot be
    /// closed, whoever comes by the same way waits: for guests the machine's init has a way of their own.
    async fn turn_away(
        &self,
        connection: impl AsFd + Send + 'static,
        refusal: &RefusedLaunch,
        backlog: &Backlog,
    ) {
        let uid = peer_credentials(connection.as_fd()).map_or(u32::MAX, |peer| peer.uid);
        if let Some(before) = winterop_audit::may_log(uid) {
            let left_out = before.left_out;
            tracing::info!(text = refusal.text, uid, left_out, "a connection is refused");
        }
        // Nothing was sent on it, so there is room.
        let _ = send_some(&connection, &refusal_message(refusal), &[]);
        backlog.close(connection).await;
    }

    /// Serves a connection to the host's own socket: one launch, or any number of hand-overs.
    async fn attend(self: Arc<Self>, mut client: Client, standing: Standing) {
        let mut stage = Stage::First(Instant::now() + REQUEST_DEADLINE);
        let mut leave = self.leave.subscribe();
        let backlog = Backlog::default();
        loop {
            let frame = match next(&mut client, &mut stage, &mut leave).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(refusal) => return refuse(&client, &refusal).await,
            };
            let kind = kind_of(&frame);
            let done = match (kind, standing.of_direct()) {
                (MessageType::CREATE_PROCESS, Some(entrance)) => {
                    return Arc::clone(&self.launches).launch(client, frame, entrance).await;
                }
                (MessageType::PREPARE, Some(_)) => {
                    client.close_aside(frame.descriptors);
                    return self.launches.prepare(client).await;
                }
                (MessageType::HAND_OFF, _) if standing.hands_over() => {
                    let entrance = standing.of_handed_over(client.peer.credentials.pid);
                    if matches!(entrance, Entrance::Server(_)) && !client.peer.lives() {
                        // Its pid may be another's by now.
                        return client.close_aside(frame.descriptors);
                    }
                    self.take_over(frame, entrance, &client, &backlog).await
                }
                (MessageType::INSTANCE, _) if standing.names_instances() => {
                    let known = self.know_instance(&frame);
                    // It may be anything else than a process.
                    client.close_aside(frame.descriptors);
                    known.map(|()| tell_presence(&client))
                }
                _ => {
                    client.close_aside(frame.descriptors);
                    Err(io::Error::other(format!("{kind} is not served here")))
                }
            };
            if let Err(error) = done {
                return refuse(&client, &wrong_request(&error)).await;
            }
            // A server may keep its connection for the next client, as one of so many. Else it connects
            // again when it has something to say that does not lie here yet.
            if let Stage::First(_) = stage {
                stage = match self.places.keep(&client.peer, standing) {
                    Ok(place) => {
                        client.move_to(place);
                        Stage::Kept
                    }
                    Err(_) => Stage::Last(last(&client)),
                };
            }
        }
    }

    /// Takes a client over that `server` hands over: nothing of its connection was read.
    ///
    /// # Errors
    /// It is no hand-over, and what came with it cannot be closed soon.
    async fn take_over(
        self: &Arc<Self>,
        frame: Frame,
        entrance: Entrance,
        server: &Client,
        backlog: &Backlog,
    ) -> io::Result<()> {
        let (connection, variables) = match handed_over(frame) {
            Ok(taken) => taken,
            Err((error, left)) => {
                tracing::warn!(error, "a client cannot be taken over");
                server.close_aside(left);
                // It may have better ones, unless that was to hold something up.
                return match server.closes_soon().await {
                    true => Ok(()),
                    false => Err(io::Error::other(error)),
                };
            }
        };
        // A refusal must not wait for whoever has filled it; it is nobody's word that this is a connection.
        let _ = ioctl_fionbio(&connection, true);
        let known = Peer::of(connection.as_fd()).map_err(Unserved::from).and_then(|peer| {
            let residence = residence_of_client(&peer, entrance.compared())?;
            Ok((peer, residence))
        });
        match known {
            // Only a socket has a peer: what may not be closable does not get this far.
            Ok((peer, residence)) => match Channel::new(connection) {
                Ok(channel) => {
                    if let Some(client) = self.let_in(channel, peer, residence, backlog).await {
                        self.serve_aside(
                            Arc::clone(self).serve_client(client, variables, entrance),
                        );
                    }
                }
                Err(error) => tracing::warn!(%error, "a client cannot be waited for"),
            },
            Err(unserved) => self.turn_away(connection, &unserved.words().into(), backlog).await,
        }
        Ok(())
    }

    /// Serves a client that was handed over.
    async fn serve_client(
        self: Arc<Self>,
        mut client: Client,
        variables: Vec<Vec<u8>>,
        entrance: Entrance,
    ) {
        let deadline = Some(Instant::now() + REQUEST_DEADLINE);
        let refusal = match next_request(&mut client, deadline, &variables).await {
            Ok(None) => return,
            Ok(Some(frame)) if kind_of(&frame) == MessageType::CREATE_PROCESS => {
                return Arc::clone(&self.launches).launch(client, frame, entrance).await;
            }
            Ok(Some(frame)) => {
                let error = format!("{} is not served here", kind_of(&frame));
                client.close_aside(frame.descriptors);
                wrong_request(&error)
            }
            Err(refusal) => refusal,
        };
        refuse(&client, &refusal).await;
    }

    /// Notes an instance that the user's own process has named.
    fn know_instance(&self, frame: &Frame) -> io::Result<()> {
        let message = Message::parse(&frame.bytes).map_err(io::Error::other)?;
        Instance::decode(&message).map_err(io::Error::other)?;
        let process = frame.descriptors.first();
        let process = process.ok_or_else(|| io::Error::other("an instance without its process"))?;
        self.instances.add(process)
    }
}

/// The next message on a connection to the host's own socket that is no query. None where nothing more
/// comes.
async fn next(
    client: &mut Client,
    stage: &mut Stage,
    leave: &mut watch::Receiver<()>,
) -> Result<Option<Frame>, RefusedLaunch> {
    let deadline = match stage {
        Stage::First(deadline) => return next_request(client, Some(*deadline), &[]).await,
        Stage::Last(deadline) => *deadline,
        Stage::Kept => {
            tokio::select! {
                next = next_request(client, None, &[]) => return next,
                // Whoever tells is there for as long as this host.
                _ = leave.changed() => {}
            }
            let deadline = last(client);
            *stage = Stage::Last(deadline);
            deadline
        }
    };
    let next = tokio::time::timeout_at(deadline.into(), client.receive()).await;
    Ok(next.ok().and_then(Result::ok).flatten())
}

/// Takes nothing more from a client but what lies there already, until the moment that is returned.
fn last(client: &Client) -> Instant {
    client.shut_out();
    Instant::now() + REQUEST_DEADLINE
}
