//! `exit-with CODE`: ends with CODE, all 32 bits of it: decimal, negative, or hexadecimal after 0x.
#![no_std]
#![no_main]

use winterop_testprogs_bare::{arguments, print_error};

winterop_testprogs_bare::program!(main);

fn main() -> u32 {
    parse(arguments()).unwrap_or_else(|| {
        print_error(b"usage: exit-with CODE, a number of 32 bits: 300, -1 or 0xC0000005\n");
        64
    })
}

fn parse(text: impl Iterator<Item = u16>) -> Option<u32> {
    let mut text = text
        .map(|unit| char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER))
        .filter(|letter| *letter != '"' && *letter != ' ')
        .peekable();
    let negative = text.next_if_eq(&'-').is_some();
    let mut digits = text.peek().map(|_| 0)?;
    let mut radix = 10;
    for letter in text {
        if digits == 0 && radix == 10 && matches!(letter, 'x' | 'X') {
            radix = 16;
            continue;
        }
        digits = letter.to_digit(radix)?.checked_add(u32::checked_mul(digits, radix)?)?;
    }
    Some(if negative { digits.wrapping_neg() } else { digits })
}
