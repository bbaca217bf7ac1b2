//! What the kernel does to a thread, as seen from another one: a thread that turns in a loop makes no system call to ask.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Larger than what the kernel says in any of the files.
const TEXT_BYTES: usize = 4096;

/// Counted since the thread began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadCounts {
    /// Times that the kernel took its core (involuntary context switches).
    pub switches: u64,
    /// Page faults, those that waited for a disk included.
    pub faults: u64,
    /// It was ready to run and had no core, ns; 0 where the kernel does not count it.
    pub stood_ns: u64,
}

/// Reads a thread's counts, from whichever thread.
#[derive(Debug)]
pub struct ThreadWatch {
    stat: File,
    status: File,
    schedstat: Option<File>,
}

impl ThreadWatch {
    /// Of the thread that calls.
    ///
    /// # Errors
    /// When /proc is not there, or hides it.
    pub fn of_this_thread() -> io::Result<Self> {
        let open = |name: &str| File::open(format!("/proc/thread-self/{name}"));
        Ok(Self { stat: open("stat")?, status: open("status")?, schedstat: open("schedstat").ok() })
    }

    /// The counts now.
    ///
    /// # Errors
    /// When the thread is gone, or the kernel's text is not as expected.
    pub fn read(&self) -> io::Result<ThreadCounts> {
        let mut buffer = [0; TEXT_BYTES];
        let faults = faults_of(text(&self.stat, &mut buffer)?).ok_or_else(|| unlike("stat"))?;
        let switches = switches_of(text(&self.status, &mut buffer)?).ok_or_else(|| unlike("status"))?;
        let stood_ns = match &self.schedstat {
            Some(file) => number_at(text(file, &mut buffer)?, 1).ok_or_else(|| unlike("schedstat"))?,
            None => 0,
        };
        Ok(ThreadCounts { switches, faults, stood_ns })
    }
}

fn unlike(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/thread-self/{name} is not as proc(5) has it"))
}

fn text<'b>(file: &File, buffer: &'b mut [u8]) -> io::Result<&'b str> {
    let length = file.read_at(buffer, 0)?;
    std::str::from_utf8(buffer.get(..length).unwrap_or_default())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn number_at(text: &str, index: usize) -> Option<u64> {
    text.split_ascii_whitespace().nth(index)?.parse().ok()
}

/// Minor and major faults: the 10th and 12th field. The second, a name in parentheses, may hold anything.
fn faults_of(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    Some(number_at(after_name, 7)? + number_at(after_name, 9)?)
}

fn switches_of(status: &str) -> Option<u64> {
    number_at(status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"))?, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn the_kernels_text_is_read_where_the_numbers_are() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 131 5 3 0 0 0 0 0 20 0 1 0";
        assert_eq!(faults_of(stat), Some(134));
        assert_eq!(switches_of("Name:\tx\nvoluntary_ctxt_switches:\t9\nnonvoluntary_ctxt_switches:\t4\n"), Some(4));
        assert_eq!((faults_of("7 no name"), switches_of("Name:\tx\n"), number_at("1 x", 1)), (None, None, None));
    }

    #[test]
    fn faults_of_this_thread_are_seen_from_another() {
        let watch = ThreadWatch::of_this_thread().expect("there is /proc");
        let before = watch.read().expect("counts");
        // Fresh memory: each page of it is a fault.
        let pages = vec![1_u8; 4 << 20];
        assert_eq!(black_box(&pages).len(), 4 << 20);
        let after = std::thread::scope(|scope| scope.spawn(|| watch.read()).join().expect("no panic")).expect("counts");
        assert!(after.faults > before.faults, "{before:?} {after:?}");
        assert!(after.switches >= before.switches && after.stood_ns >= before.stood_ns, "{before:?} {after:?}");
    }
}
