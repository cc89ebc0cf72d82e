//! `demo`: the whole thing on embedded parts.

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Stop after the tour
    #[arg(long)]
    once: bool,
}

pub fn run(arguments: &Arguments) -> u8 {
    let _ = arguments.once;
    crate::cli::exit::FAILED
}
