//! Distributions: which there are, where their files are, and how far each has come; and what imports,
//! exports, lists and removes them.
//!
//! [`registry`] is what is known of them, by [`name`], and [`store`] keeps that on disk. [`care`] keeps it
//! in order, [`choice`] says which one is meant and [`listing`] which there are, [`import`], [`export`] and
//! [`removal`] work on their files. Those come from archives ([`archive`]) and disk images ([`image`]), and
//! are trees ([`tree`]). What whoever calls has to bring is in [`attendance`].
#![forbid(unsafe_code)]

pub mod archive;
pub mod attendance;
pub mod care;
pub mod choice;
pub mod export;
mod files;
pub mod image;
pub mod import;
pub mod listing;
pub mod name;
pub mod registry;
pub mod removal;
pub mod store;
pub mod tree;

pub use attendance::{Instances, Listener, Work};
pub use name::DistributionName;
