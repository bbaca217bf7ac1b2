//! What the writer asks of a file system; a trait, so that tests can make every call fail in turn.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// The calls that change a journal.
pub trait Storage {
    /// An open file.
    type File;

    /// Makes the file, or empties it.
    ///
    /// # Errors
    /// As the system call says.
    fn create(&mut self, path: &Path) -> io::Result<Self::File>;

    /// Opens the file to write at its end.
    ///
    /// # Errors
    /// As the system call says.
    fn open(&mut self, path: &Path) -> io::Result<Self::File>;

    /// Writes some of `bytes` at `offset`; how many.
    ///
    /// # Errors
    /// As the system call says.
    fn write_at(&mut self, file: &mut Self::File, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// Forces the file's bytes to the disk.
    ///
    /// # Errors
    /// As the system call says; then nobody knows which bytes are there.
    fn sync(&mut self, file: &mut Self::File) -> io::Result<()>;

    /// Cuts the file.
    ///
    /// # Errors
    /// As the system call says.
    fn set_len(&mut self, file: &mut Self::File, bytes: u64) -> io::Result<()>;

    /// Gives the file another name.
    ///
    /// # Errors
    /// As the system call says.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes the file.
    ///
    /// # Errors
    /// As the system call says.
    fn remove(&mut self, path: &Path) -> io::Result<()>;

    /// Forces the folder's names to the disk.
    ///
    /// # Errors
    /// As the system call says.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;
}

/// The file system of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Storage for Disk {
    type File = File;

    fn create(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)
    }

    fn open(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).open(path)
    }

    fn write_at(&mut self, file: &mut File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(file, bytes, offset)
    }

    fn sync(&mut self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn set_len(&mut self, file: &mut File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }
}

/// Writes all of `bytes`; on an error, how many are written all the same.
pub(crate) fn write_all<S: Storage>(
    storage: &mut S,
    file: &mut S::File,
    bytes: &[u8],
    offset: u64,
) -> Result<(), (usize, io::Error)> {
    let mut written = 0;
    while written < bytes.len() {
        match storage.write_at(file, &bytes[written..], offset + written as u64) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(some) => written += some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}
