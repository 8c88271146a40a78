//! The program: hands the command line to [`runner::cli::main`] and turns its result into an exit code.

fn main() -> std::process::ExitCode {
    runner::cli::main()
}
