//! Distributions: which there are, where their files are, and how far each has come.
//!
//! [`registry`] is what is known of them, [`store`] keeps that on disk.
#![forbid(unsafe_code)]

pub mod archive;
pub mod image;
pub mod name;
pub mod registry;
pub mod store;
pub mod tree;

pub use name::DistributionName;
