//! What can go wrong while steering is set up or changed.

use std::io;
use std::path::PathBuf;

/// Why an operation on the steering program failed, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SteerError {
    /// The interface does not exist in this network namespace.
    #[error("interface `{0}` does not exist in this network namespace; `ip link` lists those that do")]
    NoInterface(String),
    /// Another XDP program holds the interface.
    #[error(
        "interface `{interface}` already carries the XDP program `{program}` (id {program_id}, {mode}), which was not \
         attached from {pins}; nothing was replaced. Detach it with `{remedy}`",
        pins = .pins.display()
    )]
    ForeignProgram {
        /// The interface.
        interface: String,
        /// Name of the program that is attached.
        program: String,
        /// The kernel's id of that program.
        program_id: u32,
        /// `native`, `generic` or `offloaded`.
        mode: &'static str,
        /// Where our own pins would be.
        pins: PathBuf,
        /// A command that detaches it.
        remedy: String,
    },
    /// The kernel refused to load the program.
    #[error("loading the XDP program for `{interface}` failed: {source}{log}")]
    Load {
        /// The interface.
        interface: String,
        /// What libbpf returned.
        source: libbpf_rs::Error,
        /// The end of libbpf's log, preceded by a line break, or nothing.
        log: String,
    },
    /// No allowed attach mode worked.
    #[error("attaching the XDP program to `{interface}` failed: {attempts}")]
    Attach {
        /// The interface.
        interface: String,
        /// Each attempt with its reason.
        attempts: String,
    },
    /// The pins were made by another version.
    #[error(
        "the pins in {} have layout version {found}, this program knows {expected}; restart ternd with the same release",
        .dir.display()
    )]
    Version {
        /// Where the pins are.
        dir: PathBuf,
        /// Version found; 0 when the loader had not finished.
        found: u16,
        /// Version of this program.
        expected: u16,
    },
    /// A pin is missing or cannot be opened.
    #[error(
        "cannot open the pin {}: {source}; is ternd running with this instance, and does this process have CAP_BPF?",
        .path.display()
    )]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel reported.
        source: libbpf_rs::Error,
    },
    /// A map refused an operation.
    #[error("{operation} failed: {source}")]
    Map {
        /// What was tried.
        operation: String,
        /// What the kernel reported.
        source: libbpf_rs::Error,
    },
    /// A file-system operation on the bpffs failed.
    #[error("{operation} {} failed: {source}", .path.display())]
    Path {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel reported.
        source: io::Error,
    },
    /// Another system call failed.
    #[error("{operation} failed: {source}")]
    System {
        /// What was tried.
        operation: String,
        /// What the kernel reported.
        source: io::Error,
    },
}
