//! Bytes and descriptors over a unix stream socket, blocking or not as the socket is.

use crate::inbox::{Frame, FrameError, Inbox, MAX_DESCRIPTORS};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use core::time::Duration;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::sockopt::{Timeout, set_socket_oobinline, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg,
    sendmsg, socket_with,
};

/// The most descriptors that the kernel lets travel with one write, `SCM_MAX_FD`.
const MOST_AT_ONCE: usize = 253;

/// How much one read takes at most.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// What one read of a stream brought: the one place that tells data, end and error apart.
#[derive(Debug, PartialEq, Eq)]
pub enum Read {
    /// This many bytes, more than 0.
    Data(usize),
    /// The peer closed the stream, or is gone.
    End,
    /// Nothing is there yet (only on a descriptor that does not block).
    NotYet,
}

/// Why a message could not be received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The bytes do not make messages.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The system refused the read.
    #[error("reading from the peer failed: {}", winterop_sys::system_error(*.0))]
    System(Errno),
    /// The peer closed the connection where a message was due.
    #[error("the peer closed the connection without an answer")]
    Closed,
    /// The deadline passed first.
    #[error("the peer did not answer in time")]
    Timeout,
}

impl From<Errno> for ReceiveError {
    fn from(error: Errno) -> Self {
        Self::System(error)
    }
}

/// How long a server may leave a connection unaccepted whose queue is full, and how long it may read
/// nothing of what is being sent to it.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Connects to the unix socket at `path`, within [`CONNECT_PATIENCE`].
///
/// # Errors
/// Those of [`connect_within`].
pub fn connect_path(path: &[u8]) -> rustix::io::Result<OwnedFd> {
    connect_within(path, CONNECT_PATIENCE)
}

/// Connects to the unix socket at `path`, within `patience`. What is sent on it waits no longer
/// either, as long as it blocks.
///
/// # Errors
/// The system's: `ENOENT`, `ECONNREFUSED` (nobody listens any more), `EACCES`, `ENAMETOOLONG`
/// (more than 107 bytes) and so on; `ETIMEDOUT` where as many wait for the server as can.
pub fn connect_within(path: &[u8], patience: Duration) -> rustix::io::Result<OwnedFd> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    match retry(|| connect(&socket, &address)) {
        Err(Errno::AGAIN) => Err(Errno::TIMEDOUT),
        connected => connected.map(|()| socket),
    }
}

/// Calls `operation` again as long as a signal interrupts it.
pub(crate) fn retry<T>(
    mut operation: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// Sends what it can of `bytes`, with `descriptors` attached to the first of them.
///
/// Returns how many bytes went out. Never raises SIGPIPE.
///
/// # Errors
/// The system's; `EINVAL` for more descriptors than a message carries.
pub fn send_some(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let flags = SendFlags::NOSIGNAL;
    retry(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut ancillary, flags))
}

/// Sends all of `bytes` on a blocking socket, with `descriptors` attached to the first of them.
///
/// # Errors
/// The system's, `ETIMEDOUT` where the peer reads nothing for too long; part of the message may have
/// gone out then and the stream is of no further use.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<()> {
    // A blocking socket says so only when its time is over.
    let late = |error| if error == Errno::AGAIN { Errno::TIMEDOUT } else { error };
    let mut sent = send_some(&socket, bytes, descriptors).map_err(late)?;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        sent += send_some(&socket, rest, &[]).map_err(late)?;
    }
    Ok(())
}

/// Makes an urgent byte (`MSG_OOB`) of a connection one like any other, whether it has come or will.
///
/// Otherwise a look does not see it and a read drops it, in the kernel, which closes the descriptors that came
/// with it: that may take as long as their sender likes.
pub fn keep_urgent_in_line(socket: impl AsFd) {
    // What is no socket, or of a kind without urgent bytes, cannot lose one.
    let _ = set_socket_oobinline(socket, true);
}

/// Reads once into `inbox`, descriptors included.
///
/// Received descriptors are close-on-exec. A peer that reset the connection counts as its end.
///
/// # Errors
/// [`ReceiveError::System`], and [`FrameError::TooManyDescriptors`] with all of them closed.
pub fn read_into(socket: impl AsFd, inbox: &mut Inbox) -> Result<Read, ReceiveError> {
    // Here, where no connection can be forgotten: it costs a tenth of a read.
    keep_urgent_in_line(&socket);
    let mut bytes = alloc::vec![0; inbox.read_size().min(READ_SIZE)];
    // As many as one message of the kernel's can have: what did not fit would be closed here, and that may
    // never end. Whoever has the inbox closes too many where it does no harm.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_AT_ONCE))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = retry(|| {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        recvmsg(&socket, &mut slices, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    });
    let count = match received {
        Ok(message) => message.bytes,
        Err(Errno::AGAIN) => return Ok(Read::NotYet),
        Err(Errno::CONNRESET) => return Ok(Read::End),
        Err(error) => return Err(error.into()),
    };
    let descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<OwnedFd>>(),
        _ => Vec::new(),
    });
    inbox.push(bytes.get(..count).unwrap_or_default(), descriptors)?;
    Ok(if count == 0 { Read::End } else { Read::Data(count) })
}

/// Receives one message, waiting for it at most `patience` between two reads (`None`: for ever, for
/// callers whose wait has a reason).
///
/// # Errors
/// [`ReceiveError`]: closed, timed out, not a message, or the system's.
pub fn receive(
    socket: impl AsFd,
    inbox: &mut Inbox,
    patience: Option<Timespec>,
) -> Result<Frame, ReceiveError> {
    receive_with(&socket, inbox, patience, |inbox| read_into(&socket, inbox))
}

/// Receives one message by `read`, which reads once from `stream`.
pub(crate) fn receive_with<B>(
    stream: impl AsFd,
    inbox: &mut Inbox<B>,
    patience: Option<Timespec>,
    mut read: impl FnMut(&mut Inbox<B>) -> Result<Read, ReceiveError>,
) -> Result<Frame<B>, ReceiveError> {
    loop {
        if let Some(frame) = inbox.next_frame()? {
            return Ok(frame);
        }
        wait_readable(&stream, patience)?;
        if read(inbox)? == Read::End {
            inbox.end()?;
            return Err(ReceiveError::Closed);
        }
    }
}

/// Waits until `socket` can be read or has ended, at most `patience`.
fn wait_readable(socket: impl AsFd, patience: Option<Timespec>) -> Result<(), ReceiveError> {
    let Some(patience) = patience else { return Ok(()) };
    let mut interest = [PollFd::new(&socket, PollFlags::IN)];
    match retry(|| poll(&mut interest, Some(&patience)))? {
        0 => Err(ReceiveError::Timeout),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::socketpair;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
    }

    fn exit_status(code: u32) -> [u8; 20] {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&9_u32.to_le_bytes());
        bytes[4..8].copy_from_slice(&20_u32.to_le_bytes());
        bytes[16..].copy_from_slice(&code.to_le_bytes());
        bytes
    }

    #[test]
    fn descriptors_stay_with_their_message() {
        let (ours, theirs) = pair();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        send(&ours, &exit_status(1), &[reader.as_fd()]).unwrap();
        send(&ours, &exit_status(2), &[]).unwrap();
        send(&ours, &exit_status(3), &[reader.as_fd(), writer.as_fd()]).unwrap();
        let mut inbox = Inbox::default();
        for count in [1, 0, 2] {
            let frame = receive(&theirs, &mut inbox, None).unwrap();
            assert_eq!(frame.descriptors.len(), count);
        }
    }

    #[test]
    fn an_urgent_byte_is_one_like_any_other_and_keeps_its_descriptor() {
        let (ours, theirs) = pair();
        rustix::io::ioctl_fionbio(&theirs, true).unwrap();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        let held = [writer.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&held)));
        sendmsg(&ours, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::OOB).unwrap();
        drop(writer);
        let mut inbox = Inbox::default();
        assert_eq!(read_into(&theirs, &mut inbox).unwrap(), Read::Data(1));
        // It is open: nobody has written, and somebody still may.
        assert_eq!(rustix::io::read(&reader, &mut [0]), Err(Errno::AGAIN));
    }

    #[test]
    fn a_reset_peer_is_an_end_and_silence_is_a_timeout() {
        let (ours, theirs) = pair();
        let mut inbox = Inbox::default();
        let patience = Some(Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
        assert!(matches!(receive(&theirs, &mut inbox, patience), Err(ReceiveError::Timeout)));
        drop(ours);
        assert!(matches!(receive(&theirs, &mut inbox, patience), Err(ReceiveError::Closed)));
    }

    #[test]
    fn a_server_that_accepts_nobody_is_not_waited_for() {
        use rustix::net::{SocketAddrUnix, bind, listen};
        let name =
            std::format!("/tmp/winterop-full-{}", rustix::process::getpid().as_raw_nonzero());
        let server =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .unwrap();
        bind(&server, &SocketAddrUnix::new(&*name).unwrap()).unwrap();
        listen(&server, 0).unwrap();
        let waiting = connect_path(name.as_bytes());
        let full = connect_within(name.as_bytes(), Duration::from_millis(20));
        std::fs::remove_file(&name).unwrap();
        assert!(waiting.is_ok());
        assert_eq!(full.unwrap_err(), Errno::TIMEDOUT);
    }

    #[test]
    fn a_large_message_arrives_whole() {
        let (ours, theirs) = pair();
        let size = 3 << 20;
        let mut message = alloc::vec![7_u8; size];
        message[..4].copy_from_slice(&8_u32.to_le_bytes());
        message[4..8].copy_from_slice(&(size as u32).to_le_bytes());
        std::thread::scope(|scope| {
            scope.spawn(|| send(&ours, &message, &[]).unwrap());
            let frame = receive(&theirs, &mut Inbox::default(), None).unwrap();
            assert!(frame.bytes == message);
        });
    }

    #[test]
    fn as_many_descriptors_as_the_kernel_carries_are_all_taken_and_closed_with_the_inbox() {
        use rustix::fs::fstat;
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
        let (ours, theirs) = pair();
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let pipe = fstat(&reader).unwrap().st_ino;
        // Others of this process's descriptors may come and go meanwhile.
        let is_of_pipe = |entry: &std::fs::DirEntry| {
            std::fs::read_link(entry.path())
                .is_ok_and(|name| name.as_os_str() == &*std::format!("pipe:[{pipe}]"))
        };
        let open = || {
            let entries = std::fs::read_dir("/proc/self/fd").unwrap();
            entries.map_while(Result::ok).filter(is_of_pipe).count()
        };
        let before = open();
        let many = [writer.as_fd(); MOST_AT_ONCE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_AT_ONCE))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&many)));
        sendmsg(&ours, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
        let mut inbox = Inbox::default();
        let refused = read_into(&theirs, &mut inbox);
        assert!(matches!(refused, Err(ReceiveError::Frame(FrameError::TooManyDescriptors))));
        // The reader has closed none: that is for whoever has the inbox.
        assert_eq!(open(), before + MOST_AT_ONCE);
        drop(inbox);
        assert_eq!(open(), before);
        drop(writer);
        assert_eq!(rustix::io::read(&reader, &mut [0]).unwrap(), 0, "a writer is still open");
    }
}
