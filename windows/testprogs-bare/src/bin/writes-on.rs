//! `writes-on`: writes to stdout until that fails, and ends with Windows' number of the error.
#![no_std]
#![no_main]

winterop_testprogs_bare::program!(main);

fn main() -> u32 {
    loop {
        if let Err(error) = winterop_testprogs_bare::try_print(&[b'x'; 4096]) {
            return error;
        }
    }
}
