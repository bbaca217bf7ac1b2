//! What the data plane shuts itself into once it has its sockets, its memory and its place in the scheduler: it has no
//! capability, opens no file (Landlock) and makes no system call but those of its loop (seccomp). See docs/adr/0040.

mod calls;
mod filter;
mod landlock;
mod seccomp;
#[cfg(test)]
mod tests;

use crate::privilege;
use std::io;
use tern_abi::segment::KillWord;

pub use seccomp::KillOnForbidden;

/// What a process still opens after its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing: it uses what is open.
    Open,
    /// TCP connections over IPv4 to this port, again and again.
    Tcp(u16),
}

/// What this kernel has of it, for a process of this reach.
#[derive(Clone, Debug)]
pub struct Sandbox {
    reach: Reach,
    landlock: Option<u32>,
    seccomp: bool,
    fallbacks: Vec<String>,
}

impl Sandbox {
    /// Asks the kernel what it has. Nothing is restricted yet.
    pub fn of_this_kernel(reach: Reach) -> Self {
        let mut fallbacks = Vec::new();
        let landlock = landlock::version();
        match (&landlock, reach) {
            (Err(error), _) => fallbacks.push(format!(
                "sandbox without Landlock: {error} (it takes Linux 5.13 and `landlock` in /sys/kernel/security/lsm); \
                 opening files is forbidden by seccomp alone"
            )),
            (Ok(version @ ..4), Reach::Tcp(_)) => fallbacks.push(format!(
                "sandbox without Landlock's rules for TCP: the kernel has version {version}, Linux 6.7 has 4; where the order \
                 connection leads is not restricted"
            )),
            _ => {}
        }
        let seccomp = if cfg!(target_arch = "x86_64") {
            seccomp::available().map_err(|error| error.to_string())
        } else {
            Err("no list of system calls was made for this processor".into())
        };
        if let Err(why) = &seccomp {
            fallbacks.push(format!("sandbox without seccomp: {why}; system calls are not restricted"));
        }
        Self { reach, landlock: landlock.ok(), seccomp: seccomp.is_ok(), fallbacks }
    }

    /// Version of the kernel's Landlock that is used; `None` = none.
    pub fn landlock(&self) -> Option<u32> {
        self.landlock
    }

    /// How many system calls are left, of those whose outcome is not fixed; `None` = all, there is no filter.
    pub fn calls(&self) -> Option<usize> {
        let made = calls::calls(self.reach).filter(|(_, rule)| *rule != calls::Rule::Refuse).count();
        self.seccomp.then_some(made)
    }

    /// What the kernel lacks, each with what follows from it.
    pub fn fallbacks(&self) -> &[String] {
        &self.fallbacks
    }

    /// Takes every capability and every file from the calling thread. Each thread has to do it for itself, and before
    /// [`confine_calls`](Self::confine_calls).
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn confine_thread(&self) -> io::Result<()> {
        privilege::drop_capabilities()?;
        match self.landlock {
            Some(version) => landlock::restrict(version, self.reach).map_err(said("Landlock")),
            None => Ok(()),
        }
    }

    /// Forbids the whole process every system call but those of its loop. From then on a forbidden one sets `word`, names itself on
    /// stderr and ends the process by SIGSYS, so that whoever waits for it sees why; `word` is watched until the value that is
    /// returned is dropped.
    ///
    /// # Errors
    /// What the kernel reported.
    pub fn confine_calls<'w>(&self, word: &'w KillWord) -> io::Result<Option<KillOnForbidden<'w>>> {
        if !self.seccomp {
            return Ok(None);
        }
        // The handler first: the filter forbids to change it.
        let watch = seccomp::watch(word)?;
        seccomp::restrict(self.reach).map_err(said("seccomp"))?;
        Ok(Some(watch))
    }
}

fn said(what: &'static str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}
