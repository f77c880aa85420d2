//! The table of failures.

use crate::{Entry, Kind, Words, visible};
use alloc::format;
use alloc::string::String;
use core::fmt::Display;

/// Makes [`Failure`], its words and [`CATALOGUE`] of one table. A name in braces within a text is the
/// variant's field of that name.
macro_rules! failures {
    ($(
        $(#[doc = $doc:literal])+
        $id:literal $name:ident($kind:ident) { $($field:ident),* } {
            $tried:literal, $on:literal, $error:literal, $advice:literal $(, more $more:literal)? $(,)?
        }
    )+) => {
        /// Something that went wrong, with what is particular about it.
        #[derive(Clone, Copy)]
        #[expect(missing_docs, reason = "a field is named after what its text shows")]
        pub enum Failure<'a> {
            $($(#[doc = $doc])+ $name { $($field: &'a dyn Display),* },)+
        }

        impl Failure<'_> {
            /// The failure in words.
            #[must_use]
            pub fn words(&self) -> Words {
                match self {
                    $(Self::$name { $($field),* } => Words {
                        id: $id,
                        kind: Kind::$kind,
                        tried: $tried,
                        on: visible::line(&format!($on)),
                        error: visible::line(&format!($error)),
                        advice: visible::line(&format!($advice)),
                        more: failures!(@more $($more)?),
                    },)+
                }
            }
        }

        /// Every kind of failure, in the order of a launch.
        pub const CATALOGUE: &[Entry] = &[
            $(Entry {
                id: $id,
                kind: Kind::$kind,
                tried: $tried,
                on: $on,
                error: $error,
                advice: $advice,
                about: concat!($($doc, "\n"),+),
            },)+
        ];

        /// One of each, with the fields' names for their values.
        #[cfg(test)]
        pub(crate) fn samples() -> alloc::vec::Vec<Words> {
            alloc::vec![$(Failure::$name { $($field: &stringify!($field)),* }.words()),+]
        }
    };
    (@more) => { String::new() };
    (@more $more:literal) => { visible::lines(&format!($more)) };
}

failures! {
    // ---- The interpreter, before it has found anybody.

    /// The interpreter was started without the name of a program.
    "no-program" NoProgram(CannotRun) {} {
        "starting", "a Windows program", "no program is named",
        "`/init PROGRAM ARGUMENTS…` runs a Windows program by hand",
    }
    /// A set-uid program, or one with changed ids, has started a Windows program. Whose Wine prefix
    /// and whose variables it would get is not defined.
    "changed-rights" ChangedRights(CannotRun) { program, uid, effective } {
        "starting", "{program}",
        "a Windows program is not started with changed rights (uid {uid}, effective uid {effective})",
        "let the set-uid program take one of the two for good before it runs this",
    }
    /// The program's file is not there.
    "program-not-there" ProgramNotThere(NotFound) { program, error } {
        "opening", "{program}", "{error}", "check its name, and the directory that you are in",
    }
    /// The program's file is there and cannot be read.
    "program-not-readable" ProgramNotReadable(CannotRun) { program, error } {
        "opening", "{program}", "{error}", "a Windows program must be a file that you may read",
    }
    /// No interop server answers. The sockets that were tried follow, each with the reason.
    "no-server" NoServer(CannotRun) { program, attempts } {
        "starting", "{program}", "no interop server was found",
        "`winterop shell` starts an instance with one, `winterop run` needs none, and \
         `winterop doctor` looks for the reason. Tried:",
        more "{attempts}",
    }
    /// What is to be started has more arguments or variables than a message can hold.
    "request-too-long" RequestTooLong(TooBig) { program, error } {
        "starting", "{program}", "the launch cannot be put into a request: {error}",
        "pass fewer or shorter arguments and variables",
    }
    /// The server that was found does not take the request.
    "request-not-sent" RequestNotSent(Broken) { program, socket, error } {
        "starting", "{program}", "the request could not be sent to {socket}: {error}",
        "try again; `winterop doctor` says whether the server lives",
    }
    /// The server or the host has taken the request and says nothing, or has ended.
    "no-answer" NoAnswer(Broken) { program, error } {
        "starting", "{program}", "the launch was not answered: {error}",
        "the host's log, host.log beside its socket, may say why",
    }
    /// What the server or the host has sent is no answer to a launch.
    "wrong-answer" WrongAnswer(Broken) { program, error } {
        "starting", "{program}", "the server sent {error}",
        "`winterop host stop` ends a host of another version; `winterop doctor` compares them",
    }
    /// The Windows side refuses, with an error number and without a text. Its status is 127 where
    /// the number means that something is not there, 126 where it means that it may not or cannot
    /// run, else 1.
    "windows-side" WindowsSide(CannotRun) { program, error } {
        "starting", "{program}", "the Windows side: {error}",
        "a host that is not Winterop's says no more; see its own messages",
    }
    /// The process cannot watch its signals.
    "no-signals" NoSignals(Broken) { program, error } {
        "starting", "{program}", "signals cannot be watched: {error}",
        "close some files, or raise the limit of open files (`ulimit -n`)",
    }

    // ---- The program runs.

    /// The host has ended while a program ran below it.
    "host-ended" HostEnded(Broken) { program } {
        "waiting for the end of", "{program}",
        "the host ended before it told the program's exit status",
        "the next launch starts a new one",
    }
    /// The connection to the host broke while a program ran below it.
    "host-lost" HostLost(Broken) { program, error } {
        "waiting for the end of", "{program}", "the connection to the host broke: {error}",
        "the host's log, host.log beside its socket, may say why",
    }
    /// The host has sent what does not belong there.
    "wrong-word" WrongWord(Broken) { program, error } {
        "waiting for the end of", "{program}", "the host sent {error}",
        "`winterop host stop` ends a host of another version; `winterop doctor` compares them",
    }
    /// The kernel does not tell how the program has ended.
    "end-lost" EndLost(Broken) { program, error } {
        "waiting for the end of", "{program}", "the program's end was lost: {error}",
        "start it again",
    }

    // ---- Starting the loader.

    /// The program that starts Windows programs cannot be executed.
    "loader-not-started" LoaderNotStarted(CannotRun) { program, error } {
        "starting", "{program}", "it could not be executed: {error}",
        "is Wine still installed? `winterop doctor` looks for it",
    }
    /// Arguments and variables are more than Linux gives a program at its start.
    "arguments-too-long" ArgumentsTooLong(TooBig) { program, arguments, count, variables, longest } {
        "starting", "{program}",
        "it could not be started: its arguments have {arguments} bytes and its {count} variables {variables} bytes, {longest} \
         the most, and that is more than Linux allows here",
        "pass fewer variables, or allow more with `ulimit -s` (hosted: before the host starts)",
    }

    // ---- The interop server.

    /// Another user's interop server was asked.
    "foreign-server" ForeignServer(CannotRun) { own, peer } {
        "asking", "an interop server", "the interop server refused the launch: this server serves \
         uid {own}; you are uid {peer}",
        "unset WSL_INTEROP, so that your own is found",
    }
    /// The socket where a user's host should be is served by somebody else.
    "squatted-host" SquattedHost(CannotRun) { socket, owner, user } {
        "asking", "the host", "{socket} is served by uid {owner}, not by uid {user}",
        "remove it as root, and look who has put it there",
    }
    /// The machine's init cannot start a user's host, because the machine does not know the user.
    "unknown-user" UnknownUser(CannotRun) { user } {
        "starting", "the host", "nobody has the uid {user} in /etc/passwd",
        "map the caller to a user with a rule's host in the policy, or create the user",
    }
    /// So many of a user's launches are being taken that the server takes no more.
    "too-many" TooMany(CannotRun) { most } {
        "asking", "an interop server", "{most} launches of yours are being handed over already",
        "start fewer at the same time",
    }
    /// A user connects to the machine's server all the time.
    "too-fast" TooFast(CannotRun) { each_second } {
        "asking", "an interop server", "you connect more than {each_second} times a second",
        "start fewer at the same time; for a moment you cannot connect",
    }
    /// Whoever has connected has ended, or given its connection to somebody else.
    "caller-gone" CallerGone(CannotRun) {} {
        "asking", "an interop server", "the process that has connected has ended",
        "a launch must be asked for by the process that connects, and it must wait for the answer",
    }
    /// It cannot be found out who has connected.
    "caller-unknown" CallerUnknown(CannotRun) { error } {
        "asking", "an interop server", "who has connected cannot be found out: {error}",
        "/proc must be mounted and readable for the server, and its limit of open files not used up",
    }
    /// A client's connection cannot be passed on to the host.
    "not-passed-on" NotPassedOn(CannotRun) { error } {
        "asking", "the host", "the connection cannot be passed on to the host: {error}",
        "try again; sockets that were sent through others too often cannot be passed on",
    }
    /// The host does not take the launches that wait for it.
    "host-busy" HostBusy(CannotRun) { seconds } {
        "asking", "the host", "the host took no launch for {seconds} s",
        "it was stopped, or hangs: `winterop doctor` looks, `winterop host stop` ends it",
    }
    /// The host has left launches on connections that it has shut down and not closed.
    "host-keeps" HostKeeps(CannotRun) { socket } {
        "asking", "the host", "whatever serves {socket} keeps launches that it does not take",
        "it is no host of Winterop's, or it hangs: end it, and the next launch starts one",
    }
    /// A connection to a server or a host brought no whole request.
    "no-request" NoRequest(CannotRun) { seconds } {
        "taking", "a request", "no whole request came within {seconds} s",
        "whoever connects must send one at once",
    }
    /// What a server or a host was sent is no launch.
    "wrong-request" WrongRequest(CannotRun) { error } {
        "taking", "a request", "{error}",
        "the interpreter may be of another version: register again with `winterop shell` or \
         `winterop enable`",
    }
    /// The interop server's connection fails.
    "server-failed" ServerFailed(CannotRun) { error } {
        "serving", "a launch", "the connection cannot be served: {error}",
        "try again; raise the server's limit of open files (`ulimit -n`) if it stays so",
    }

    // ---- The way to the host.

    /// No host listens, and how to start it is not known.
    "host-not-running" HostNotRunning(CannotRun) { socket } {
        "asking", "the host", "the host is not running (nobody listens on {socket})",
        "`winterop host start` starts it",
    }
    /// The host's program cannot be executed.
    "host-not-started" HostNotStarted(CannotRun) { program, error } {
        "starting", "the host", "the host could not be started: {program}: {error}",
        "is Winterop installed completely? `winterop doctor` looks",
    }
    /// The host was started and has ended, or says nothing.
    "host-silent" HostSilent(CannotRun) { socket } {
        "starting", "the host", "no host answers on {socket}",
        "its log says why: host.log beside the socket; `winterop doctor` names a host that hangs",
    }
    /// The connection from the server to the host broke.
    "host-connection" HostConnection(CannotRun) { error } {
        "asking", "the host", "the connection to the host broke: {error}",
        "try again: the next launch starts a host where none runs",
    }

    // ---- The two switches.

    /// Windows programs are switched off for all users of this machine.
    "off-for-all-users" OffForAllUsers(CannotRun) { program, flags, path, on } {
        "starting", "{program}",
        "Windows programs are switched off for all users: DistributionFlags is {flags} in {path}",
        "`winterop config set-flags {on}` as root switches them on",
    }
    /// Windows programs are switched off in the registry of this user's Wine prefix.
    "off-in-prefix" OffInPrefix(CannotRun) { program, flags, path, key, on } {
        "starting", "{program}",
        "Windows programs are switched off in this Wine prefix: DistributionFlags is {flags} in \
         {path}, key {key}",
        "set it to {on} with `reg add`, or remove it",
    }
    /// Windows programs are switched off in the distribution's `wsl.conf`.
    "off-in-distribution" OffInDistribution(CannotRun) { program, path, line } {
        "starting", "{program}",
        "Windows programs are switched off for this distribution: [interop] enabled is false in \
         {path}:{line}",
        "remove that line as root, or set it to true",
    }
    /// A file with a switch is there and cannot be understood. That counts as off.
    "switch-unclear" SwitchUnclear(CannotRun) { program, problem } {
        "starting", "{program}",
        "Windows programs are switched off, because it cannot be told whether they are on: {problem}",
        "`winterop config check` reads every file again",
    }
    /// A registry file with `DistributionFlags` cannot be understood.
    "registry-unreadable" RegistryUnreadable(CannotRun) { path, problem } {
        "reading", "the registry",
        "{path} cannot be read as a registry file: {problem}",
        "restore it, or write it anew with `winterop config set-flags`",
    }

    // ---- The policy.

    /// A rule of root's policy refuses the program.
    "policy-refuses" PolicyRefuses(CannotRun) { program, rule, path } {
        "starting", "{program}", "the policy refuses it: {rule} in {path}",
        "ask whoever administers this machine, or change the rule as root",
    }
    /// A rule of root's policy sends the program to somebody else's host.
    "policy-other-host" PolicyOtherHost(CannotRun) { program, rule, path, host } {
        "starting", "{program}", "the policy sends it to the host of {host}: {rule} in {path}",
        "start it as {host}, or change the rule as root",
    }
    /// A caller in a container, or another user, came to the machine's server, and no rule is about
    /// it.
    "policy-no-rule" PolicyNoRule(CannotRun) { program, caller, path } {
        "starting", "{program}", "no rule lets {caller} run Windows programs here",
        "root can write one in {path}: namespace = \"other\", and host for whose programs they are; \
         for sandboxes of your own `sandboxes = true` in your config.toml is enough",
    }
    /// A rule names the program by its path, and the caller lives in another namespace, a container
    /// for example. There a path counts only where the machine has the same file at it, and where
    /// nobody but root and the host's user can change that file or a directory on the way to it:
    /// what a container calls its files says nothing of what is in them.
    "policy-changeable" PolicyChangeable(CannotRun) { program, rule, path } {
        "starting", "{program}",
        "its path is not enough for {rule} in {path}: others than root and the host's user can \
         change what is there",
        "give the rule the program's sha256, or put the program where only root writes",
    }
    /// A container, or another user, asks for a program by its path alone. What is at that path it
    /// could change, so it has to bring the program open, as the interpreter does.
    "guest-without-program" GuestWithoutProgram(CannotRun) { program } {
        "starting", "{program}", "a guest's request came without the open program",
        "start it by its path, or ask for it by its bare name",
    }
    /// The policy has an error. Nothing runs then.
    "policy-unusable" PolicyUnusable(CannotRun) { program, problem } {
        "starting", "{program}", "nothing runs until the policy is mended: {problem}",
        "`winterop config check` reads it again",
    }
    /// The policy asks for the program's SHA-256, and it cannot be had.
    "policy-digest" PolicyDigest(CannotRun) { program, problem } {
        "starting", "{program}", "the policy asks for the program's SHA-256, and {problem}",
        "make the program readable, or change the rule as root",
    }

    // ---- The settings' files.

    /// A settings file is there and the system does not give it.
    "settings-unreadable" SettingsUnreadable(CannotRun) { path, error } {
        "reading", "the settings", "{path} cannot be read: {error}",
        "make it readable for everybody it concerns, or remove it",
    }
    /// Where a settings file should be is a directory, a pipe, a device.
    "settings-no-file" SettingsNoFile(CannotRun) { path, kind } {
        "reading", "the settings", "{path} is {kind} and not a file", "remove it",
    }
    /// A settings file is larger than any such file.
    "settings-too-large" SettingsTooLarge(CannotRun) { path, size, limit } {
        "reading", "the settings", "{path} has {size} bytes; no such file has more than {limit}",
        "put the right file there, or remove it",
    }
    /// A settings file of root's could have been written by somebody else.
    "settings-not-roots" SettingsNotRoots(CannotRun) { path, owner, mode } {
        "reading", "the settings",
        "{path} must belong to root and be writable by nobody else (it belongs to uid {owner}, mode \
         {mode})",
        "`chown root: {path}; chmod 644 {path}` as root",
    }
    /// A settings file has an error.
    "settings-wrong" SettingsWrong(CannotRun) { path, problem } {
        "reading", "the settings", "the settings in {path} are wrong: {problem}",
        "mend them; docs/settings.md has every key",
    }
    /// A settings file has a key that is no setting any more. Everything else in it is obeyed.
    "setting-gone" SettingGone(CannotRun) { path, key } {
        "reading", "the settings", "{path} has `{key}`, which is no setting any more; it is passed over",
        "remove the line",
    }

    // ---- The host.

    /// The host that was asked is another user's.
    "foreign-host" ForeignHost(CannotRun) { own, peer } {
        "asking", "a host", "this host belongs to uid {own}; you are uid {peer}",
        "unset WSL_INTEROP and XDG_RUNTIME_DIR, so that your own is found",
    }
    /// The host failed at a launch in a way that it does not know.
    "host-failed" HostFailed(CannotRun) { error } {
        "starting", "the program", "the host failed at the launch: {error}",
        "this is a fault of Winterop's; host.log beside the host's socket has more",
    }
    /// The host is ending while a launch comes.
    "host-ending" HostEnding(CannotRun) {} {
        "starting", "the program", "the host is about to end", "try again",
    }
    /// The answer to a launch is longer than a message can be.
    "answer-too-long" AnswerTooLong(TooBig) { error } {
        "answering", "the launch", "the answer to the launch is too long: {error}",
        "pass fewer variables",
    }
    /// The request says neither what to start nor brings it.
    "no-executable" NoExecutable(CannotRun) {} {
        "starting", "the program",
        "the request came without an executable: neither open nor by name",
        "the interpreter may be of another version: register again",
    }
    /// The settings say to start programs with a command, and name none.
    "no-command" NoCommand(CannotRun) {} {
        "starting", "the program", "the settings name no command to start programs with",
        "set `command` in config.toml, or `launcher = \"wine\"`",
    }
    /// A raw command line was given to a launcher that takes arguments.
    "no-raw-line" NoRawLine(Invalid) { program, command } {
        "starting", "{program}",
        "the settings start programs with the command {command}, which takes arguments and cannot \
         take a raw command line",
        "leave --verbatim out",
    }
    /// A bare name was given, and no such program is known.
    "program-unknown" ProgramUnknown(NotFound) { program, places } {
        "starting", "{program}",
        "there is no such program here, on PATH, or in Windows' directories ({places})",
        "check the name, or give its path",
    }
    /// With `--strict-cwd`: the program cannot start where its caller is.
    "directory-lost" DirectoryLost(CannotRun) { program, loss } {
        "starting", "{program}", "{loss}", "change to another one, or leave out --strict-cwd",
    }
    /// The program's file has no name under which Wine could open it.
    "no-name-for-wine" NoNameForWine(CannotRun) { program, error } {
        "starting", "{program}", "it gets no name that Wine can open: {error}",
        "copy it to a directory with a plain name",
    }
    /// None of the drives leads to the program.
    "no-windows-name" NoWindowsName(CannotRun) { program, error } {
        "starting", "{program}", "{error}", "copy it to below a drive, such as Z: for /",
    }
    /// An argument, or all of them, cannot be said to a Windows program.
    "argument-not-passable" ArgumentNotPassable(Invalid) { program, error } {
        "starting", "{program}", "{error}", "docs/command-lines.md says what can be passed",
    }
    /// The command line or a variable is longer than Windows allows.
    "too-long-for-windows" TooLongForWindows(TooBig) { program, error } {
        "starting", "{program}", "{error}",
        "pass less; many programs take a file with their arguments, as `@file`",
    }
    /// The program needs real Windows pipes, and the helper that makes them is not there.
    "no-helper" NoHelper(CannotRun) { program } {
        "starting", "{program}",
        "this program needs real Windows pipes, and winterop-helper.exe, which makes them, is not \
         installed",
        "`cargo xtask windows` builds it; without it the program runs with files or a terminal as \
         its input and output",
    }

    // ---- What the program's file is.

    /// The executable is a library.
    "library" Library(CannotRun) { program, machine } {
        "starting", "{program}", "it is a Windows library (DLL, {machine}), not a program",
        "run the program that uses it, or rundll32.exe with an entry point",
    }
    /// The executable has no bytes.
    "empty-file" EmptyFile(CannotRun) { program } {
        "starting", "{program}", "it is an empty file", "was it copied or downloaded completely?",
    }
    /// The executable does not begin with `MZ`.
    "not-a-program" NotAProgram(CannotRun) { program } {
        "starting", "{program}", "it is not a Windows program (it does not begin with MZ)",
        "check that it is the file you meant",
    }
    /// The executable is for DOS.
    "dos-program" DosProgram(CannotRun) { program } {
        "starting", "{program}", "it is a program for DOS", "it needs an emulator such as DOSBox",
    }
    /// The executable is for 16-bit Windows or OS/2.
    "16-bit-program" SixteenBitProgram(CannotRun) { program } {
        "starting", "{program}", "it is a program for 16-bit Windows or OS/2",
        "64-bit Windows cannot run it either",
    }
    /// The executable has a header of Windows 9x drivers or of OS/2.
    "linear-program" LinearProgram(CannotRun) { program } {
        "starting", "{program}", "it is a driver for Windows 9x or a program for OS/2",
        "no current Windows can run it",
    }
    /// The executable ends where it should go on.
    "cut-off" CutOff(CannotRun) { program } {
        "starting", "{program}", "it is a Windows program that ends inside its headers",
        "it was not copied or downloaded completely; get it again",
    }
    /// The executable's headers contradict themselves.
    "damaged" Damaged(CannotRun) { program, which } {
        "starting", "{program}", "it is a damaged Windows program ({which})",
        "get it again from where it came from",
    }
    /// The executable is a driver or a boot program.
    "driver" Driver(CannotRun) { program, subsystem } {
        "starting", "{program}",
        "it is a Windows driver or boot program (subsystem {subsystem}), not a program",
        "it can be loaded by Windows itself only",
    }
    /// The executable is a .NET program, and the prefix has no Mono.
    "dot-net" DotNet(CannotRun) { program } {
        "starting", "{program}", "it is a .NET program",
        "Wine runs it with Wine Mono only: install it into the prefix (wine-mono*.msi)",
    }
    /// The executable is a 32-bit program, and Wine is 64-bit only.
    "32-bit-program" ThirtyTwoBit(CannotRun) { program } {
        "starting", "{program}", "it is a 32-bit Windows program, and this Wine is 64-bit only",
        "use the program's 64-bit version, or install 32-bit Wine (dpkg --add-architecture i386 && \
         apt-get update && apt-get install wine32:i386)",
    }
    /// The executable is for another machine.
    "other-machine" OtherMachine(CannotRun) { program, machine } {
        "starting", "{program}", "it is a Windows program for another machine ({machine})",
        "use the program's version for 64-bit x86 (x64, amd64)",
    }

    // ---- Wine.

    /// There is no Wine that can be used. What was looked at follows.
    "no-wine" NoWine(CannotRun) { candidates } {
        "looking for", "Wine", "no usable 64-bit Wine found",
        "install it (Debian and Ubuntu: apt-get install --no-install-recommends wine64), or name its \
         loader in WINELOADER",
        more "{candidates}",
    }
    /// A file or folder of the Wine prefix cannot be made, read or changed.
    "prefix-file" PrefixFile(CannotRun) { what, path, error } {
        "preparing", "the Wine prefix", "cannot {what} {path}: {error}",
        "make the folder writable, or set another one in XDG_DATA_HOME",
    }
    /// There is no room for the Wine prefix.
    "prefix-no-room" PrefixNoRoom(CannotRun) { what, path, error } {
        "preparing", "the Wine prefix", "cannot {what} {path}: {error}",
        "800 MB must be free while a prefix is made, 92 MB are kept",
    }
    /// A part of Wine cannot be started.
    "wine-part-not-started" WinePartNotStarted(CannotRun) { program, error } {
        "starting", "Wine", "cannot start {program}: {error}", "is Wine installed completely?",
    }
    /// `wineboot` failed at making the prefix.
    "wineboot-failed" WinebootFailed(CannotRun) { path, status, output } {
        "preparing", "the Wine prefix", "wineboot could not make it in {path} ({status}): {output}",
        "is Wine installed completely? `wine64 wineboot` by hand may say more",
    }
    /// The Wine server was started and does not answer.
    "wine-server-silent" WineServerSilent(CannotRun) { program, prefix, state } {
        "starting", "the Wine server",
        "{program} was started for {prefix} and does not answer ({state})",
        "run it by hand to see why: WINEPREFIX={prefix} {program} -f -d1",
    }
    /// The Wine server runs, and no program does.
    "wine-boot-failed" WineBootFailed(CannotRun) { program, prefix, state } {
        "starting", "Wine", "Wine's first program fails in {prefix} ({state})",
        "run it by hand to see why: WINEPREFIX={prefix} {program} hostname.exe",
    }
    /// The Wine server has ended, and starting another takes too long.
    "wine-server-gone" WineServerGone(CannotRun) { prefix, seconds } {
        "starting", "the program",
        "the Wine server of {prefix} has ended, and no other runs after {seconds} s",
        "the host's log says why: host.log beside its socket",
    }
    /// The system gives no descriptor or thread for looking after the Wine server.
    "wine-server-unwatched" WineServerUnwatched(CannotRun) { error } {
        "starting", "the Wine server", "it cannot be watched: {error}",
        "raise the limit of open files (`ulimit -n`)",
    }
    /// The prefix's drives cannot be read or made.
    "drives-unusable" DrivesUnusable(CannotRun) { error } {
        "reading", "the drives of Wine", "{error}",
        "`winterop doctor` says whether the prefix is one; removed, it is made anew",
    }

    // ---- Instances.

    /// The kernel denies user namespaces.
    "no-user-namespaces" NoUserNamespaces(CannotRun) { error } {
        "making", "an instance", "this system denies user namespaces ({error})",
        "see `sysctl user.max_user_namespaces kernel.unprivileged_userns_clone`; `winterop run \
         PROGRAM` works without them",
    }
    /// The kernel has one table of executables for the whole machine.
    "no-private-table" NoPrivateTable(CannotRun) { error } {
        "making", "an instance", "binfmt_misc cannot be mounted in a namespace of its own ({error})",
        "Linux 6.7 and later can do that; `winterop run PROGRAM` works without it",
    }
    /// A step of making an instance fails.
    "instance-step" InstanceStep(CannotRun) { step, on, error } {
        "making", "the instance", "making the instance failed: {step} {on}: {error}",
        "`winterop run PROGRAM` works without an instance",
    }
    /// What only root may do on a machine.
    "not-root" NotRoot(CannotRun) { what } {
        "changing", "this machine", "only root can {what}", "call it with sudo",
    }
    /// A file that Winterop would install is there and is not Winterop's.
    "foreign-file" ForeignFile(CannotRun) { path } {
        "installing", "{path}", "it is there and is not Winterop's",
        "move it away if nothing needs it; another interop system may be installed",
    }
    /// Every user of the machine is to run this program, and somebody who is not root could put another
    /// one in its place.
    "changeable-program" ChangeableProgram(CannotRun) { path, why } {
        "installing", "{path}", "others than root can change it: {why}",
        "copy Winterop to where only root can write, such as /opt/winterop, as root, and call \
         `winterop enable` there",
    }
    /// A step of installing or removing fails. What was done is noted: the next call goes on.
    "installation-step" InstallationStep(CannotRun) { step, place, error } {
        "installing", "{place}", "{step} failed: {error}", "mend that, and call it again: it goes on where it stopped",
    }
    /// binfmt_misc is not mounted.
    "no-table" NoTable(CannotRun) { table, error } {
        "registering", "Windows programs", "binfmt_misc is not mounted at {table}: {error}",
        "`mount -t binfmt_misc none {table}` as root mounts it",
    }
    /// An entry with our name starts something else.
    "entry-taken" EntryTaken(CannotRun) { entry, interpreter, table } {
        "registering", "Windows programs",
        "another program holds the binfmt_misc entry {entry} (its interpreter is {interpreter})",
        "`echo -1 > {table}/{entry}` as root removes it",
    }
    /// The kernel refuses the registration.
    "registration-refused" RegistrationRefused(CannotRun) { entry, interpreter, error } {
        "registering", "Windows programs",
        "registering {interpreter} with binfmt_misc as {entry} failed: {error}",
        "the interpreter must be there, and only root may register on the whole machine",
    }
    /// Another server has the socket.
    "socket-in-use" SocketInUse(CannotRun) { path } {
        "listening on", "{path}", "another server already listens on it",
        "end that one first, if it is not wanted",
    }
    /// Something that is no socket has the socket's name.
    "not-a-socket" NotASocket(CannotRun) { path } {
        "listening on", "{path}", "it is there and is not a socket", "remove it",
    }
    /// The system does not give the socket.
    "socket-refused" SocketRefused(CannotRun) { path, error } {
        "listening on", "{path}", "a socket could not be made: {error}",
        "its folder must be there and writable for whoever serves",
    }
    /// The instance's init cannot be started, or ends at once.
    "init-not-started" InitNotStarted(CannotRun) { error } {
        "starting", "the instance's init", "{error}",
        "is Winterop installed completely? `winterop doctor` looks",
    }
    /// A session's command is not there.
    "command-not-there" CommandNotThere(NotFound) { command, error } {
        "starting", "{command}", "{error}", "check its name, and PATH",
    }
    /// A session's command is there and cannot run.
    "command-not-started" CommandNotStarted(CannotRun) { command, error } {
        "starting", "{command}", "{error}", "it must be an executable file",
    }

    // ---- Where things are.

    /// The parts of Winterop are not where its program lies.
    "parts-missing" PartsMissing(CannotRun) { program } {
        "looking for", "the parts of Winterop", "they are not in ../lib/winterop from {program}",
        "copy or install the whole directory, bin and lib together",
    }
    /// The user has no place for data.
    "no-home" NoHome(CannotRun) {} {
        "looking for", "the user's data",
        "neither XDG_DATA_HOME nor HOME is set: where is the Wine prefix to be?",
        "set HOME to your directory",
    }
    /// The user's runtime directory cannot be made.
    "runtime-not-made" RuntimeNotMade(CannotRun) { path, error } {
        "making", "the runtime directory", "cannot make {path}: {error}",
        "set XDG_RUNTIME_DIR to a directory of your own",
    }
    /// The user's runtime directory is not the user's alone.
    "runtime-not-private" RuntimeNotPrivate(CannotRun) { path } {
        "using", "the runtime directory",
        "{path} does not belong to you alone (mode 0700 is needed)",
        "remove it, or set XDG_RUNTIME_DIR",
    }

    /// A directory that the environment names is somebody else's: `sudo` may keep variables of whoever
    /// called it.
    "directory-foreign" DirectoryForeign(CannotRun) { variable, path, owner } {
        "using", "the directory that {variable} names, {path}",
        "it belongs to uid {owner}, who could have anything written or removed there",
        "unset {variable}, or set it to a directory of your own; `sudo -H` sets HOME to root's",
    }
    /// A directory on the way to one that the environment names can be changed by others.
    "directory-way-open" DirectoryWayOpen(CannotRun) { variable, path, part } {
        "using", "the directory that {variable} names, {path}",
        "others can put anything in the place of {part}, which leads there",
        "set {variable} to a directory that only you and root can change",
    }
    /// A directory that the environment names cannot be looked at.
    "directory-unreachable" DirectoryUnreachable(CannotRun) { variable, path, error } {
        "using", "the directory that {variable} names, {path}", "{error}",
        "set {variable} to a directory of your own",
    }
    /// The directory that holds a distribution's root cannot be opened.
    "holder-unreachable" HolderUnreachable(CannotRun) { path, error } {
        "opening", "the directory of a distribution, {path}", "{error}",
        "it is opened by this name, no part of which may be a link: put it back there",
    }
    /// The directory that holds a distribution's root is somebody else's.
    "holder-foreign" HolderForeign(CannotRun) { path, owner } {
        "opening", "the directory of a distribution, {path}",
        "it belongs to uid {owner}, who could put anything in the place of the distribution",
        "use it as its owner, or import into a directory of your own",
    }
    /// Others can enter the directory that holds a distribution's root, and use its set-uid programs and
    /// devices, or can even write there.
    "holder-open" HolderOpen(CannotRun) { path, mode } {
        "using", "the directory of a distribution, {path}",
        "others reach into it (mode {mode}), where set-uid programs and devices would work for them",
        "close it by `chmod 700 {path}` if nothing in it is for others, or name another one",
    }

    // ---- The program has run.

    /// Windows' loader could not bring the program's parts together. A shell sees SIGABRT.
    "dll-trouble" DllTrouble(CannotRun) { program, name, code } {
        "loading", "{program}", "{name} ({code})",
        "put the program's DLLs beside it; `WINEDEBUG=err+module` in front names the one",
    }
}
