//! Where a program is to start: the caller's working directory under a name of the host's.

use crate::launcher::RefusedLaunch;
use crate::located::{Name, is_same_in};
use crate::request::LaunchRequest;
use rustix::fd::AsFd as _;
use rustix::fs::{Access, AtFlags, accessat, fstat};
use std::path::{Path, PathBuf};
use winterop_words::Failure;

/// Why a program cannot start where its caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// It has been removed.
    #[error("the working directory has been removed")]
    Gone,
    /// Its permissions keep the program out.
    #[error("the working directory cannot be read")]
    Unreadable,
    /// It is in a guest's own file system. What lies there the guest chooses, and Windows programs load
    /// libraries from where they start.
    #[error("the host does not see a guest's working directory")]
    Unseen,
    /// None of the host's drives leads there.
    #[error("the working directory has no Windows name")]
    NoWindowsName,
}

impl Loss {
    /// The line for the caller, where the program starts in `instead`; a refusal where the caller
    /// wants the program in its own directory or not at all.
    ///
    /// # Errors
    /// The [`RefusedLaunch`].
    pub fn accept(self, request: &LaunchRequest, instead: &str) -> Result<String, RefusedLaunch> {
        let shown = request.shown();
        if request.strict_directory {
            return Err(Failure::DirectoryLost { program: &shown, loss: &self }.into());
        }
        Ok(format!("{shown}: {self}; the program starts in {instead}"))
    }

    /// The same for where [`Loss::program_directory`] says. Whoever is in its root directory is not
    /// told: nobody who is there means a place.
    ///
    /// # Errors
    /// The [`RefusedLaunch`].
    pub fn accept_there(
        self,
        request: &LaunchRequest,
        instead: &Path,
    ) -> Result<Option<String>, RefusedLaunch> {
        let warning = self.accept(request, &instead.display().to_string())?;
        Ok((request.linux_directory.as_deref() != Some(b"/")).then_some(warning))
    }

    /// Where the program starts instead: for a guest whose directory the host does not see, where the
    /// program itself is.
    #[must_use]
    pub fn program_directory(self, program: &Name) -> Option<Name> {
        match (self, program) {
            (Self::Unseen, Name::Own(path)) => path.parent().map(|it| Name::Own(it.to_owned())),
            _ => None,
        }
    }
}

/// The host's name for the directory that the caller is in.
///
/// `needs` are the launcher's files: a caller that sees them, and is in a root directory of its own,
/// is in an instance, whose root shows everything that is in the machine's.
///
/// # Errors
/// A [`Loss`]; never [`Loss::NoWindowsName`], which only a launcher can know.
pub fn find(request: &LaunchRequest, needs: &[&Path]) -> Result<Name, Loss> {
    let Some(directory) = &request.endpoints.directory else {
        // Nobody could open it; where it had no name any more either it is gone.
        let named = request.linux_directory.is_some();
        return Err(if named { Loss::Unreadable } else { Loss::Gone });
    };
    if fstat(directory).is_ok_and(|status| status.st_nlink == 0) {
        return Err(Loss::Gone);
    }
    if accessat(directory, ".", Access::READ_OK | Access::EXEC_OK, AtFlags::empty()).is_err() {
        return Err(Loss::Unreadable);
    }
    let claimed = request.linux_directory.as_deref();
    let found = request.caller().name_of(directory.as_fd(), claimed);
    let sees_all = |root| needs.iter().all(|path| is_same_in(root, path));
    let root = request.endpoints.root.as_ref().map(|root| root.as_fd());
    if found.is_through_descriptor() && claimed == Some(b"/") && root.is_some_and(sees_all) {
        return Ok(Name::Own(PathBuf::from("/")));
    }
    if request.is_guest && found.is_through_descriptor() {
        return Err(Loss::Unseen);
    }
    Ok(found)
}
