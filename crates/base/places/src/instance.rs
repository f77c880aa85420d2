//! What is in the directory of a running distribution, in its user's runtime directory.

/// The directory, in the runtime directory, with one for each running distribution.
pub const INSTANCES: &str = "instances";

/// The socket of an instance's init.
pub const CONTROL: &str = "control";

/// The socket of an instance's keeper.
pub const KEEPER: &str = "keeper";

/// A link to the distribution's root: by it the host knows from which distribution a launch comes.
pub const ROOT: &str = "root";

/// A file with the distribution's name.
pub const NAME: &str = "name";
