//! Where a graphical program shows its windows.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Where a graphical program shows its windows, as the caller's variables say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Display {
    /// `DISPLAY`.
    pub display: Option<OsString>,
    /// `WAYLAND_DISPLAY`.
    pub wayland_display: Option<OsString>,
    /// `XAUTHORITY`.
    pub xauthority: Option<OsString>,
    /// `XDG_RUNTIME_DIR`.
    pub xdg_runtime_dir: Option<OsString>,
}

impl Display {
    /// Picks the four variables out of an environment; empty ones count as unset.
    pub fn from_variables<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Self {
        let mut display = Self::default();
        for (name, value) in variables {
            let field = match name.as_bytes() {
                b"DISPLAY" => &mut display.display,
                b"WAYLAND_DISPLAY" => &mut display.wayland_display,
                b"XAUTHORITY" => &mut display.xauthority,
                b"XDG_RUNTIME_DIR" => &mut display.xdg_runtime_dir,
                _ => continue,
            };
            *field = (!value.is_empty()).then(|| value.to_owned());
        }
        display
    }

    /// Whether there is anything to show windows on.
    pub fn is_there(&self) -> bool {
        self.display.is_some() || self.wayland_display.is_some()
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, &OsStr)> {
        [
            ("DISPLAY", &self.display),
            ("WAYLAND_DISPLAY", &self.wayland_display),
            ("XAUTHORITY", &self.xauthority),
            ("XDG_RUNTIME_DIR", &self.xdg_runtime_dir),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}
