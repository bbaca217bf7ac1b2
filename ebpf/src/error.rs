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
         attached from {pins}; nothing was replaced. Where it is an instance's of yours, give both the same `paths.bpf`; else detach it \
         with `{remedy}`",
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
    /// Another instance has the queue.
    #[error(
        "queue {queue} of interface `{interface}` is that of the instance whose run folder is {}; give this one another queue \
         (`port.queues`), or stop that one",
        .holder.display()
    )]
    Taken {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// The run folder of the instance that has it.
        holder: PathBuf,
    },
    /// The program of the other instances on the interface cannot be shared.
    #[error(
        "the XDP program of `{interface}` cannot be shared: {why}; {holders} uses it and was left alone: stop what uses it, then start \
         this one first"
    )]
    Unfit {
        /// The interface.
        interface: String,
        /// What is in the way.
        why: String,
        /// The run folders of the instances that use it.
        holders: String,
    },
    /// No place is kept for the queue.
    #[error(
        "interface `{interface}`: queue {queue} cannot be steered to, {} is the highest; see `port.queues`",
        tern_abi::steer::STEER_QUEUES - 1
    )]
    Queue {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
    },
    /// The kernel refused to load the program.
    #[error("loading the XDP program for `{interface}` failed: {error:#}{log}")]
    Load {
        /// The interface.
        interface: String,
        /// What libbpf returned.
        error: libbpf_rs::Error,
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
        "cannot open the pin {}: {error:#}; is ternd running with this instance, and does this process have CAP_BPF?",
        .path.display()
    )]
    Pin {
        /// The pin.
        path: PathBuf,
        /// What the kernel reported.
        error: libbpf_rs::Error,
    },
    /// A map refused an operation.
    #[error("{operation} failed: {error:#}")]
    Map {
        /// What was tried.
        operation: String,
        /// What the kernel reported.
        error: libbpf_rs::Error,
    },
    /// A file-system operation on the bpffs failed.
    #[error("{operation} {} failed: {error}", .path.display())]
    Path {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel reported.
        error: io::Error,
    },
    /// Another system call failed.
    #[error("{operation} failed: {error}")]
    System {
        /// What was tried.
        operation: String,
        /// What the kernel reported.
        error: io::Error,
    },
}
