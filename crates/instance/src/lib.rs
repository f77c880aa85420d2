//! Instances: the top process of a running distribution, its interop server, and its namespaces.

pub mod role;
