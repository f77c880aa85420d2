//! Programs on this machine: in the caller's place, or below the host.

use crate::execution::{Execution, Interface};
use crate::hosted::HostedProgram;
use crate::kept_terminal::KeptTerminal;
use crate::launcher::{Launched, Placed, RefusedLaunch, Remains};
use crate::mark::Mark;
use crate::placement::{Decision, decide};
use crate::request::LaunchRequest;
use crate::tree;
use rustix::io::Errno;
use std::sync::Arc;
use winterop_serve::Starter;
use winterop_settings::PlacementSetting;
use winterop_words::Failure;

/// What launchers whose programs run on this machine start them with.
#[derive(Clone, Debug)]
pub struct Local {
    placement: PlacementSetting,
    starter: Option<Arc<Starter>>,
}

impl Local {
    /// Programs run where `placement` lets them. Hosted ones are started by `starter`, where there is
    /// one.
    #[must_use]
    pub fn new(placement: PlacementSetting, starter: Option<Arc<Starter>>) -> Self {
        Self { placement, starter }
    }

    /// What starts programs; this process itself where there is none.
    #[must_use]
    pub fn starter(&self) -> Option<&Arc<Starter>> {
        self.starter.as_ref()
    }

    /// Starts what a request has become, or leaves that to its caller.
    ///
    /// # Errors
    /// A [`RefusedLaunch`]: it cannot be started.
    pub fn launch(
        &self,
        mut request: LaunchRequest,
        mut execution: Execution,
        mark: &Mark,
    ) -> Result<Launched, RefusedLaunch> {
        let interface = execution.interface;
        let terminal = KeptTerminal::of(&mut request).filter(|_| interface == Interface::Console);
        let warnings = std::mem::take(&mut execution.warnings);
        let (launch, program) = (mark.launch, request.shown());
        let placed = match decide(&request, &execution, self.placement) {
            Decision::InPlace => {
                tracing::debug!(launch, program, "in place");
                let remains = Box::new(Abandoned { mark: mark.clone(), terminal });
                Placed::InPlace { execution, remains }
            }
            Decision::Hosted(reason) => {
                tracing::debug!(launch, program, reason, "hosted");
                let started = self.host(request, execution, mark.clone(), terminal)?;
                Placed::Running(Box::new(started))
            }
        };
        Ok(Launched { placed, interface, warnings })
    }

    /// Starts a program below the host.
    fn host(
        &self,
        request: LaunchRequest,
        mut execution: Execution,
        mark: Mark,
        terminal: Option<KeptTerminal>,
    ) -> Result<HostedProgram, RefusedLaunch> {
        if let Some((name, terminal)) = execution.console.zip(terminal.as_ref()) {
            let path = terminal.path_for_hosted(request.peer.pid);
            execution.environment.push((name.into(), path.into()));
        }
        HostedProgram::start(&execution, request, mark, terminal, self.starter.as_deref())
            .map_err(|error| cannot_start(&execution, error))
    }
}

/// What is left of a launch whose interpreter was killed.
#[derive(Debug)]
struct Abandoned {
    mark: Mark,
    terminal: Option<KeptTerminal>,
}

impl Remains for Abandoned {
    fn end(&self) {
        tracing::info!(launch = self.mark.launch, "the interpreter was ended; so is its program");
        tree::end(&self.mark);
        if let Some(terminal) = &self.terminal {
            terminal.put_back();
        }
    }
}

fn cannot_start(execution: &Execution, error: Errno) -> RefusedLaunch {
    if error == Errno::TOOBIG {
        let arguments: usize = execution.arguments.iter().map(|argument| argument.len() + 1).sum();
        let variables: usize =
            execution.environment.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
        let longest =
            execution.environment.iter().max_by_key(|(name, value)| name.len() + value.len());
        let longest = longest.map(|(name, _)| name.to_string_lossy()).unwrap_or_default();
        let too_long = Failure::ArgumentsTooLong {
            program: &execution.program.display(),
            arguments: &arguments,
            count: &execution.environment.len(),
            variables: &variables,
            longest: &longest,
        };
        return too_long.into();
    }
    let error = winterop_sys::system_error(error);
    Failure::LoaderNotStarted { program: &execution.program.display(), error: &error }.into()
}
