//! What a terminal is told, and what is wanted of it, while a Windows program has it.
//!
//! Wine's console host (`conhost.exe --unix`) stands between a Windows program and its terminal. The
//! preloaded library looks on and steers it; the interpreter and the host put the terminal back.
//! What both sides need to know is here, apart from all I/O:
//! - [`screen`] follows what is written to a terminal, and knows what undoes it;
//! - [`demand`] follows what the program asks of its console, and so which keys it wants;
//! - [`keys`] tells where in a stream of bytes a key ends;
//! - [`shared`] is the layout of the file in which the two sides tell each other of it.
//!
//! Nothing here allocates, and nothing panics whatever it is given.
#![no_std]
#![forbid(unsafe_code)]

pub mod demand;
pub mod keys;
pub mod screen;
pub mod shared;

#[cfg(test)]
extern crate std;
