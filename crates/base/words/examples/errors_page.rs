//! Prints `docs/errors.md`: `cargo run --release -p winterop-words --example errors_page > docs/errors.md`.

fn main() {
    print!("{}", winterop_words::page());
}
