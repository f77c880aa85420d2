//! What stays the same for every launch in one prefix.

use std::path::PathBuf;
use std::sync::Arc;

use winterop_serve::Starter;

use crate::environment::{CHILDREN_VARIABLE, ProcessEnvironment, SERVER_LAUNCHES_VARIABLE};
use crate::installation::Installation;
use crate::user::WineUser;

/// What stays the same for every launch in one prefix.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The Wine to use.
    pub installation: Installation,
    /// The prefix.
    pub prefix: PathBuf,
    /// Who the programs run as.
    pub user: WineUser,
    /// The library to preload, where there is one.
    pub preload: Option<PathBuf>,
    /// The page with the launches in flight, where starts are to be made faster.
    pub launches: Option<PathBuf>,
    /// What starts the server and Wine's own programs; this process itself where there is none.
    pub starter: Option<Arc<Starter>>,
}

impl Surroundings {
    /// The environment that every process of this prefix gets; nothing of the caller's.
    pub fn environment(&self) -> ProcessEnvironment {
        let mut environment = ProcessEnvironment::default();
        environment.set("WINEPREFIX", &self.prefix);
        environment.set("WINEDEBUG", "-all");
        environment.set("WINEDLLOVERRIDES", "mscoree,mshtml=");
        environment.set("WINELOADERNOEXEC", "1");
        environment.set("LC_ALL", "C.UTF-8");
        environment.set("HOME", &self.user.home);
        environment.set("USER", &self.user.name);
        // For Wine's own look-up of helpers; the Windows program has a PATH of its own.
        environment.set("PATH", "/usr/local/bin:/usr/bin:/bin");
        environment
    }

    /// The environment of a Windows process: the base, and the preloaded library where there is one.
    pub fn program_environment(&self) -> ProcessEnvironment {
        let mut environment = self.environment();
        if let Some(preload) = &self.preload {
            environment.set("LD_PRELOAD", preload);
            // A 32-bit loader cannot load the library, and the dynamic linker would say so.
            if !self.installation.runs_32_bit {
                environment.set(CHILDREN_VARIABLE, "1");
            }
        }
        environment
    }

    /// The environment of the server: the base, and the preloaded library, which keeps what links
    /// lead to and, where there is the page of launches, makes starts faster.
    pub fn server_environment(&self) -> ProcessEnvironment {
        let mut environment = self.environment();
        if let Some(preload) = &self.preload {
            environment.set("LD_PRELOAD", preload);
            // Without a page, too: it says that this is the server.
            environment.set(SERVER_LAUNCHES_VARIABLE, self.launches.clone().unwrap_or_default());
        }
        environment
    }
}
