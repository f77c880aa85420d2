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
    /// `winterop run --env` is given something that is no assignment.
    "no-assignment" NoAssignment(CannotRun) { given } {
        "starting", "a Windows program", "--env {given}: this is no NAME=VALUE",
        "write it as `--env NAME=VALUE`",
    }
    /// `winterop run --env` is given a value without a name.
    "variable-without-name" VariableWithoutName(CannotRun) { given } {
        "starting", "a Windows program", "--env {given}: there is no name before the =",
        "write it as `--env NAME=VALUE`",
    }
    /// `winterop run --unset` is given what no variable can be called.
    "no-variable-name" NoVariableName(CannotRun) { given } {
        "starting", "a Windows program", "--unset {given}: this is no variable's name",
        "write the name alone, without = and value",
    }
    /// `winterop run --detach` cannot leave the terminal's input to others.
    "terminal-not-left" TerminalNotLeft(CannotRun) { error } {
        "starting", "a Windows program", "standard input cannot become /dev/null: {error}",
        "redirect it by `< /dev/null`",
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
    /// The directory of a distribution is not there, or cannot be opened.
    "instance-root" InstanceRoot(CannotRun) { path, error } {
        "starting", "the distribution", "{path} cannot be its root: {error}",
        "see whether it is there, and yours",
    }
    /// A distribution's own file asks for systemd, which is not installed in it.
    "no-systemd" NoSystemd(CannotRun) {} {
        "starting", "the distribution",
        "[boot] systemd is set in /etc/wsl.conf, and the distribution has no systemd",
        "install it there, or take the setting out",
    }
    /// systemd needs a cgroup that it may change.
    "no-cgroup" NoCgroup(CannotRun) { error } {
        "starting", "systemd", "[boot] systemd: it needs a cgroup of its own: {error}",
        "the distribution runs without it meanwhile",
    }
    /// A process of an instance was ended, by a signal or for want of memory, before the instance served.
    "instance-ended" InstanceEnded(Broken) { who } {
        "starting", "the distribution", "{who} ended without a word",
        "start it again; the log of the distribution may say more",
    }
    /// A plain user's distribution has one id where the system has given no more.
    "no-subordinate-ids" NoSubordinateIds(CannotRun) { why } {
        "mapping", "the ids of other users",
        "{why}, so this distribution has one user, root: other users, owners of files and groups cannot be \
         preserved, and no process can become anybody else",
        "root can give you ids in /etc/subuid and /etc/subgid, and install newuidmap",
    }
    /// The name that was given to a guest has something in it that names of files must not have.
    "guest-name" GuestName(Invalid) { name } {
        "naming", "a guest", "{name} cannot be a guest's name",
        "take 1 to 64 letters, digits, '-', '_' and '.', and neither '.' nor '-' first",
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

    // ---- Distributions: names, what is known of them, import and export.

    /// A text is no distribution's name.
    "distribution-name" DistributionName(CannotRun) { why } {
        "naming", "a distribution", "{why}",
        "a distribution's name is made of up to 64 letters, digits, '.', '_' and '-'",
    }
    /// The name of this machine is given to what is imported.
    "machine-name" MachineName(CannotRun) { name } {
        "importing", "{name}", "{name} is this machine's own name", "choose another one",
    }
    /// There is no distribution of this name.
    "no-distribution" NoDistribution(CannotRun) { name } {
        "looking for", "{name}", "there is no distribution {name}",
        "`wsl --list` shows those there are",
    }
    /// A distribution has this name already.
    "distribution-there" DistributionThere(CannotRun) { name } {
        "importing", "{name}", "there is a distribution {name} already",
        "choose another name, or unregister it first",
    }
    /// The directory is another distribution's, or holds one, or lies in one.
    "directory-taken" DirectoryTaken(CannotRun) { path, name } {
        "importing into", "{path}", "it belongs to the distribution {name}", "choose another directory",
    }
    /// A distribution is being imported or removed.
    "distribution-busy" DistributionBusy(CannotRun) { name, state } {
        "using", "{name}", "the distribution {name} is {state}",
        "wait for the end of that; what was interrupted the next `wsl` takes away",
    }
    /// The file that says which distributions there are cannot be read or written.
    "distributions-file" DistributionsFile(CannotRun) { step, path, error } {
        "keeping", "the list of distributions", "{step} {path}: {error}",
        "make its directory yours to write, or set another one in XDG_DATA_HOME",
    }
    /// The file that says which distributions there are says nothing clear.
    "distributions-unclear" DistributionsUnclear(CannotRun) { path, problem } {
        "reading", "the list of distributions", "{path} cannot be used: {problem}",
        "put it right, or move it away",
    }
    /// Another `wsl` changes the list of distributions, and does not come to an end.
    "distributions-locked" DistributionsLocked(CannotRun) { path } {
        "changing", "the list of distributions",
        "another `wsl` of yours has held {path} for ten seconds", "end it, and try again",
    }
    /// Version 2 of a distribution is asked for.
    "no-virtual-machine" NoVirtualMachine(CannotRun) {} {
        "importing", "a distribution", "version 2, a virtual machine, is not built yet",
        "import with --version 1",
    }
    /// A version of distributions is asked for that nobody knows.
    "no-version" NoVersion(CannotRun) { version } {
        "importing", "a distribution", "there is no version {version}",
        "1 is this kernel; 2, a virtual machine, is not built yet",
    }
    /// The archive or disk image cannot be opened.
    "archive-not-opened" ArchiveNotOpened(CannotRun) { path, error } {
        "opening", "{path}", "{error}", "check its name, and whether you may read it",
    }
    /// A directory is to be imported.
    "directory-not-imported" DirectoryNotImported(CannotRun) { path } {
        "importing", "{path}", "it is a directory", "`wsl -d NAME --root {path}` runs it as it is",
    }
    /// The directory that is named for a distribution has one's files.
    "root-there" RootThere(CannotRun) { path } {
        "importing into", "{path}", "it is there already", "choose an empty directory",
    }
    /// A file with `--vhd`, or one that looked like an image, is none.
    "not-an-image" NotAnImage(CannotRun) {} {
        "reading", "the disk image", "this is no disk image: neither ext4, nor VHD, nor VHDX",
        "import it without --vhd if it is an archive",
    }
    /// A disk image is damaged, or of a kind that is not understood.
    "image-unusable" ImageUnusable(CannotRun) { problem } {
        "reading", "the disk image", "{problem}",
        "where that cannot be mended, import a tar archive of its files",
    }
    /// The system does not give a disk image's content.
    "image-not-read" ImageNotRead(CannotRun) { error } {
        "reading", "the disk image", "{error}", "an image that was cut off has to be got again",
    }
    /// An archive ends too early.
    "archive-cut-off" ArchiveCutOff(CannotRun) { at } {
        "reading", "the archive", "it is cut off after {at} bytes",
        "it was not copied or downloaded completely: get it again",
    }
    /// A file is no archive.
    "not-an-archive" NotAnArchive(CannotRun) {} {
        "reading", "the archive", "this is no tar archive (nor a tar.gz, tar.xz or tar.zst)",
        "name one, or a disk image",
    }
    /// An archive is damaged.
    "archive-damaged" ArchiveDamaged(CannotRun) { at, problem } {
        "reading", "the archive", "it is damaged at byte {at}: {problem}", "get it again",
    }
    /// An archive has something larger than any Linux system has.
    "archive-too-large" ArchiveTooLarge(CannotRun) { at, problem } {
        "reading", "the archive", "it has, at byte {at}, {problem}",
        "nothing on Linux makes such a thing: get it from elsewhere",
    }
    /// The system does not give an archive's content, or it cannot be unpacked.
    "archive-not-read" ArchiveNotRead(CannotRun) { error } {
        "reading", "the archive", "{error}", "get it again where it is damaged",
    }
    /// An archive or the file system in an image holds nothing.
    "archive-empty" ArchiveEmpty(CannotRun) {} {
        "reading", "the archive", "it holds nothing", "name one with a system's files",
    }
    /// What is imported does not fit on the disk.
    "no-room" NoRoom(CannotRun) { name, size, free } {
        "writing", "{name}",
        "No space left on the disk: it takes {size} bytes, and {free} may be used",
        "make room, or choose a directory on another disk",
    }
    /// What is imported has more directories than can be remembered.
    "too-many-directories" TooManyDirectories(CannotRun) { name } {
        "writing", "{name}",
        "down to it there are more directories, or more attributes of them, than a Linux system has",
        "256 MiB of names and 64 MiB of attributes are the most",
    }
    /// An entry of an archive would lead out of the distribution, or cannot be there.
    "entry-refused" EntryRefused(CannotRun) { name, problem } {
        "writing", "the archive's entry \"{name}\"", "it is refused: {problem}",
        "no system has such a file: get the archive from somebody whom you trust",
    }
    /// A file of a distribution cannot be written.
    "file-not-written" FileNotWritten(CannotRun) { step, name, error } {
        "importing", "\"{name}\"", "{step}: {error}", "see that the disk works, and import again",
    }
    /// A distribution was not imported. What was written is gone again.
    "import-failed" ImportFailed(CannotRun) { name, what } {
        "importing", "{name}", "the {what} cannot be imported, and nothing of it is left",
        "the line above says why",
    }
    /// An import was interrupted. What was written is gone again.
    "import-interrupted" ImportInterrupted(CannotRun) { name } {
        "importing", "{name}", "the import was interrupted, and nothing of it is left",
        "begin it again if it is still wanted",
    }
    /// Nobody can work on a distribution's files with the ids that it has.
    "no-ids" NoIds(CannotRun) { error } {
        "working on", "a distribution's files", "{error}",
        "docs/distributions.md says what user namespaces and subordinate ids it takes",
    }
    /// The flags that hold for all users cannot be written.
    "flags-not-written" FlagsNotWritten(CannotRun) { path, error } {
        "setting flags", "{path}", "{error}", "make room there; what was set before holds on",
    }
    /// A program cannot keep to itself what whoever started it had open.
    "inherited-kept" InheritedKept(CannotRun) { error } {
        "keeping", "inherited files to this program", "{error}", "run it on Linux 5.11 or newer",
    }
    /// Files of a distribution cannot be brought to the disk.
    "not-synced" NotSynced(CannotRun) { error } {
        "writing", "everything to the disk", "{error}", "see that the disk works, and try again",
    }
    /// A file of a distribution cannot be read.
    "file-not-read" FileNotRead(CannotRun) { step, name, error } {
        "exporting", "{name}", "{step}: {error}", "see that the disk works, and export again",
    }
    /// A directory was moved while a distribution was exported.
    "moved-while-read" MovedWhileRead(CannotRun) { name } {
        "exporting", "{name}", "it was moved while it was read", "end what works there, and export again",
    }
    /// An archive cannot be written.
    "archive-not-written" ArchiveNotWritten(CannotRun) { error } {
        "writing", "the archive", "{error}", "make room, or name a file on another disk",
    }
    /// An archive is to be written to a terminal.
    "archive-to-terminal" ArchiveToTerminal(CannotRun) {} {
        "exporting", "a distribution", "an archive is nothing for a terminal",
        "name a file, or use a pipe",
    }
    /// An archive is to be written over a directory.
    "archive-to-directory" ArchiveToDirectory(CannotRun) { path } {
        "exporting to", "{path}", "it is a directory", "name the file that is to be written",
    }
    /// The file of an archive cannot be made.
    "archive-not-made" ArchiveNotMade(CannotRun) { path, error } {
        "exporting to", "{path}", "{error}", "name a file in a directory that you may write to",
    }
    /// A distribution was not exported. No file is left of it.
    "export-failed" ExportFailed(CannotRun) { name } {
        "exporting", "{name}", "it is not exported", "the line above says why",
    }
    /// An export was interrupted. No file is left of it.
    "export-interrupted" ExportInterrupted(CannotRun) { name } {
        "exporting", "{name}", "the export was interrupted", "begin it again if it is still wanted",
    }
    /// A distribution is to be removed, and nobody is there who could be asked.
    "removal-not-agreed" RemovalNotAgreed(CannotRun) { name } {
        "removing", "{name}", "this removes {name} with all its files",
        "say `--yes` if that is meant",
    }
    /// Whoever was asked did not agree.
    "removal-refused" RemovalRefused(CannotRun) { name } {
        "removing", "{name}", "it was not agreed to: {name} stays", "answer y to remove it",
    }
    /// Files of a distribution could not all be removed. It is listed on.
    "not-removed" NotRemoved(CannotRun) { path } {
        "removing", "{path}", "it is not removed completely", "the line above says why; the next `wsl` goes on",
    }
    /// A file of a distribution cannot be removed.
    "file-not-removed" FileNotRemoved(CannotRun) { step, name, error } {
        "removing", "{name}", "{step}: {error}", "see what keeps it, and call it again",
    }
    /// Something is mounted in what is to be removed. Its files stay.
    "mounted-inside" MountedInside(CannotRun) { name } {
        "removing", "{name}", "a file system is mounted on {name}, whose files stay", "unmount it first",
    }
    /// Somebody works in what is being removed.
    "changed-while-removed" ChangedWhileRemoved(CannotRun) { name, what } {
        "removing", "{name}", "{what} while it was removed", "end what works there, and call it again",
    }
    /// A distribution knows no user of this name.
    "no-user-inside" NoUserInside(CannotRun) { user, root } {
        "looking for", "{user}", "there is no user {user} in {root}/etc/passwd",
        "add the user there first, as the distribution's root",
    }
    /// An option says only half of what is wanted.
    "half-an-option" HalfAnOption(CannotRun) { option, wanted } {
        "reading", "the command line", "{option} wants {wanted}", "`wsl --help` shows the options",
    }
    /// `wsl` is given an option that it does not have. It is never taken for a command.
    "no-such-option" NoSuchOption(CannotRun) { option } {
        "reading", "the command line", "wsl has no option {option}",
        "`wsl --help` shows the options; what is to be run may stand behind `--`",
    }
    /// `wsl` is given an option of WSL's that means nothing here, or is not built yet.
    "option-not-built" OptionNotBuilt(CannotRun) { option, instead } {
        "reading", "the command line", "{option} is not built here", "{instead}",
    }
    /// The machine's own distribution is to be ended.
    "machine-not-ended" MachineNotEnded(CannotRun) { name } {
        "ending", "{name}", "{name} is this machine; it is not ended by wsl",
        "name an imported distribution",
    }
    /// A disk is to be attached to a virtual machine.
    "no-disks" NoDisks(CannotRun) {} {
        "mounting", "a disk",
        "--mount attaches it to a virtual machine, and distributions share this kernel",
        "`mount` it here, and it is there below the distribution's directory",
    }
    /// Somebody else's commands are to be started on this machine, by who may not become them.
    "only-root-becomes" OnlyRootBecomes(CannotRun) { user } {
        "becoming", "{user}", "-u on this machine is root's", "use `sudo -u {user} wsl`",
    }
    /// The directory to start in cannot be entered.
    "directory-not-entered" DirectoryNotEntered(CannotRun) { path, error } {
        "going to", "{path}", "{error}", "name another one with --cd",
    }

    // ---- Distributions that run, or are to.

    /// What keeps a distribution's instance cannot be started.
    "keeper-not-started" KeeperNotStarted(CannotRun) { program, error } {
        "starting", "the distribution", "{program} cannot be started: {error}",
        "is Winterop installed completely? `winterop doctor` looks",
    }
    /// A distribution's instance could not be made.
    "no-instance" NoInstance(CannotRun) { reason } {
        "starting", "the distribution", "{reason}",
        "distributions.log in the runtime directory may say more",
    }
    /// Nobody serves the distribution's instance.
    "instance-not-running" InstanceNotRunning(Broken) { socket } {
        "asking", "the distribution", "it does not run: nobody listens on {socket}",
        "try again: the next command starts it",
    }
    /// A distribution takes a request and does not answer, or has ended meanwhile.
    "distribution-silent" DistributionSilent(Broken) { error } {
        "waiting for", "the distribution", "no answer: {error}",
        "`wsl --terminate` ends it; the next command starts it again",
    }
    /// A distribution's own part refuses.
    "distribution-refuses" DistributionRefuses(Broken) { text } {
        "asking", "the distribution", "{text}", "distributions.log in the runtime directory may say more",
    }
    /// A distribution's answer is none.
    "distribution-unclear" DistributionUnclear(Broken) { error } {
        "asking", "the distribution", "its answer is not understood: {error}",
        "`wsl --terminate` ends it, and the next command starts it with this version",
    }
    /// The connection to a distribution broke.
    "distribution-lost" DistributionLost(Broken) { error } {
        "asking", "the distribution", "the connection to it broke: {error}",
        "distributions.log in the runtime directory may say why",
    }
    /// What is to be started in a distribution has no room in a message.
    "process-too-long" ProcessTooLong(Broken) { error } {
        "starting", "the command", "it cannot be put into a request: {error}",
        "pass fewer or shorter arguments and variables",
    }
    /// A distribution was told to end, and goes on.
    "instance-does-not-end" InstanceDoesNotEnd(CannotRun) { name } {
        "ending", "{name}", "it does not end within ten seconds",
        "distributions.log in the runtime directory may say why; try again",
    }
    /// A distribution of this name runs with the files of another directory than the one that is named.
    "other-root" OtherRoot(CannotRun) { name, root } {
        "starting", "{name}", "{name} runs already, with the files of another directory than {root}",
        "give this one another name, or end that one with `wsl --terminate {name}`",
    }
    /// The directory that is named as a distribution's root is not there.
    "root-not-there" RootNotThere(CannotRun) { root, error } {
        "opening", "{root}", "{error}", "name a directory that has a system's files",
    }
    /// The directory of running distributions cannot be made or locked.
    "instance-file" InstanceFile(CannotRun) { path, error } {
        "using", "{path}", "{error}", "`winterop doctor` looks at the runtime directory",
    }
    /// `wsl` is told that a Windows program has started it, and cannot find out which.
    "windows-caller" WindowsCaller(CannotRun) { error } {
        "starting", "wsl for a Windows program", "{error}",
        "start it by `wsl.exe` on the Windows side, or unset WINTEROP_WINDOWS_CALLER",
    }
    /// The Windows `wsl.exe` waits for the end of its Linux program, and cannot be told of it.
    "windows-side-lost" WindowsSideLost(CannotRun) { port, error } {
        "telling", "Windows' wsl.exe at port {port}", "{error}", "it may have been ended; try again",
    }

    // ---- The user's own host, for whoever asks for it.

    /// The host's socket is there, and nobody can connect to it.
    "host-unreachable" HostUnreachable(CannotRun) { socket, error } {
        "connecting to", "{socket}", "{error}", "remove it, if nothing that runs needs it",
    }
    /// The host is to be started by a process with so low a limit that it would serve nobody, and would
    /// keep it. A host that runs already serves such processes.
    "host-confined" HostConfined(CannotRun) { files, wanted } {
        "starting", "the host",
        "it could have no more than {files} files open (`ulimit -n`), and wants {wanted} for all programs to come",
        "start it from another shell: `winterop host start`",
    }
    /// The first session of a user begins, and the host cannot get the Windows side ready.
    "windows-not-ready" WindowsNotReady(CannotRun) { error } {
        "preparing", "the Windows side", "{error}",
        "until that is mended this session finds no Windows programs by name",
    }
    /// Somebody else serves the host's socket.
    "host-of-another" HostOfAnother(CannotRun) { socket, user } {
        "ending", "the host", "{socket} is served by uid {user}, not by you; nothing was ended",
        "have root remove the socket, if that user has no business there",
    }
    /// Which process serves the host's socket cannot be found out.
    "host-unseen" HostUnseen(CannotRun) { socket, pid } {
        "ending", "the host",
        "the process that made {socket} ({pid}) has ended, or cannot be seen from here; nothing was ended",
        "if others hold its socket, remove it: rm {socket}",
    }
    /// The host lives where no signal from here reaches.
    "host-elsewhere" HostElsewhere(CannotRun) {} {
        "ending", "the host", "it lives in another pid namespace than this",
        "end it where it was started: winterop host stop",
    }
    /// The system does not let the host be told to end.
    "host-not-told" HostNotTold(CannotRun) { pid, error } {
        "ending", "the host (process {pid})", "it cannot be told to end: {error}",
        "`winterop doctor` says what it is",
    }
    /// The host was told to end, and goes on.
    "host-does-not-end" HostDoesNotEnd(CannotRun) { pid } {
        "ending", "the host (process {pid})", "it does not end",
        "`kill -9 {pid}` ends it, and leaves Wine running",
    }

    /// `winterop explain` is asked for what is no error's identifier.
    "no-identifier" NoIdentifier(CannotRun) { id } {
        "explaining", "an error", "{id} is no identifier of one",
        "`winterop explain` lists them all",
    }

    /// The user's host cannot begin to serve.
    "host-not-set-up" HostNotSetUp(CannotRun) { step, error } {
        "serving", "Windows programs", "{step}: {error}", "`winterop doctor` looks for the reason",
    }

    // ---- Where things are.

    /// The system does not say where this program lies.
    "own-program-lost" OwnProgramLost(CannotRun) { error } {
        "looking for", "this program's own file", "{error}",
        "it needs /proc, and must not be replaced while it starts",
    }

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
