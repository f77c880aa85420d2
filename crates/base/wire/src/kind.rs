//! What a message is, and how long it may be.

use core::fmt;

/// Most bytes a message may have, header included; more is an error on both sides.
pub const MAX_MESSAGE: u32 = 16 << 20;

/// The number that says what a message is, at offset 0 of the header.
///
/// Any number can be held; those with a name are the associated constants. Numbers from
/// 0x5749_0000 are Winterop's own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(pub u32);

macro_rules! message_types {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        impl MessageType {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// The name in the protocol's description, for numbers that have one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

message_types! {
    /// Create a process, one kernel; both directions, with different layouts.
    CREATE_PROCESS = 1, "LxInitMessageCreateProcess";
    /// Create a session.
    CREATE_SESSION = 2, "LxInitMessageCreateSession";
    /// Answer to create session: the session leader's port.
    CREATE_SESSION_RESPONSE = 3, "LxInitMessageCreateSessionResponse";
    /// Network information.
    NETWORK_INFORMATION = 4, "LxInitMessageNetworkInformation";
    /// Settings of an instance, sent to its init.
    INITIALIZE = 5, "LxInitMessageInitialize";
    /// Answer to initialize.
    INITIALIZE_RESPONSE = 6, "LxInitMessageInitializeResponse";
    /// Time zone.
    TIMEZONE_INFORMATION = 7, "LxInitMessageTimezoneInformation";
    /// Create a process across a VM border; both directions, with different layouts.
    CREATE_PROCESS_UTILITY_VM = 8, "LxInitMessageCreateProcessUtilityVm";
    /// Exit status of a process.
    EXIT_STATUS = 9, "LxInitMessageExitStatus";
    /// The terminal has another size.
    WINDOW_SIZE_CHANGED = 10, "LxInitMessageWindowSizeChanged";
    /// Answer to create process (Linux to Windows).
    CREATE_PROCESS_RESPONSE = 11, "LxInitMessageCreateProcessResponse";
    /// Ask whether drives are mounted for an elevated user.
    QUERY_DRVFS_ELEVATED = 12, "LxInitMessageQueryDrvfsElevated";
    /// Mount the drives anew.
    REMOUNT_DRVFS = 13, "LxInitMessageRemountDrvfs";
    /// End an instance.
    TERMINATE_INSTANCE = 14, "LxInitMessageTerminateInstance";
    /// Ask for a Windows environment variable.
    QUERY_ENVIRONMENT_VARIABLE = 16, "LxInitMessageQueryEnvironmentVariable";
    /// Ask for the feature flags.
    QUERY_FEATURE_FLAGS = 17, "LxInitMessageQueryFeatureFlags";
    /// Create a login session.
    CREATE_LOGIN_SESSION = 23, "LxInitMessageCreateLoginSession";
    /// Stop the file server.
    STOP_PLAN9_SERVER = 24, "LxInitMessageStopPlan9Server";
    /// Ask for the networking mode.
    QUERY_NETWORKING_MODE = 25, "LxInitMessageQueryNetworkingMode";
    /// Ask for the VM's id.
    QUERY_VM_ID = 26, "LxInitMessageQueryVmId";
    /// Start a distribution's init.
    LAUNCH_INIT = 29, "LxMiniInitMessageLaunchInit";
    /// Whether an instance could be created.
    CREATE_INSTANCE_RESULT = 33, "LxMiniInitMessageCreateInstanceResult";
    /// First part of a VM's configuration.
    EARLY_CONFIG = 36, "LxMiniInitMessageEarlyConfig";
    /// Second part of a VM's configuration.
    INITIAL_CONFIG = 37, "LxMiniInitMessageInitialConfig";
    /// What the guest's kernel can do.
    GUEST_CAPABILITIES = 43, "LxMiniInitMessageGuestCapabilities";
    /// A child of mini_init has ended.
    CHILD_EXIT = 45, "LxMiniInitMessageChildExit";
    /// Result of a transaction: a truth value.
    RESULT_BOOL = 76, "transaction result (bool)";
    /// Result of a transaction: a signed number.
    RESULT_I32 = 77, "transaction result (i32)";
    /// Result of a transaction: an unsigned number.
    RESULT_U32 = 78, "transaction result (u32)";
    /// Result of a transaction: a byte.
    RESULT_U8 = 79, "transaction result (u8)";
    /// Winterop: a signal for a running program.
    SIGNAL = 0x5749_0001, "WinteropSignal";
    /// Winterop: an error in words.
    ERROR_NOTICE = 0x5749_0002, "WinteropErrorNotice";
    /// Winterop: a client, passed from an interop server to a host.
    HAND_OFF = 0x5749_0006, "WinteropHandOff";
    /// Winterop: how many more bytes of a stream the receiver takes.
    CREDIT = 0x5749_0004, "WinteropCredit";
    /// Winterop: an instance of the user's, named to a host.
    INSTANCE = 0x5749_0007, "WinteropInstance";
    /// Winterop: a wish to have the Windows side ready.
    PREPARE = 0x5749_0008, "WinteropPrepare";
    /// Winterop: what a host or server understands.
    HOST_HELLO = 0x5749_0005, "WinteropHostHello";
}

impl fmt::Display for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "message of unknown type {}", self.0),
        }
    }
}

impl fmt::Debug for MessageType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Most entries of a list that an empty string ends. Other lists carry a `u16` count, so this is the
/// same limit; it keeps what a list of one-byte strings takes in memory within bounds.
pub(crate) const MAX_LIST: usize = u16::MAX as usize;
