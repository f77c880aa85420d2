//! What whoever has started this program left open for the program that it becomes.

use std::sync::OnceLock;
use winterop_sys::Inherited;

static INHERITED: OnceLock<Inherited> = OnceLock::new();

/// Keeps it from whatever is started by this program, such as the host.
///
/// # Errors
/// The system's.
pub fn withhold() -> rustix::io::Result<()> {
    let inherited = Inherited::withhold()?;
    INHERITED.get_or_init(|| inherited);
    Ok(())
}

/// Gives it to the program that this one becomes next.
pub(crate) fn give_back() {
    if let Some(inherited) = INHERITED.get() {
        inherited.give_back();
    }
}
