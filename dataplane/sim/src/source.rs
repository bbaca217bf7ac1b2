//! Where the flow comes from: the generator, or an ITCH file.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tern_venues::itch_ouch::itch_file::ItchFile;
use tern_venues::itch_ouch::wire::itch::Header;
use zerocopy::FromBytes;

use crate::generate::Generator;

/// A stream of ITCH messages with a look at the next one.
pub struct Source {
    from: From,
    next: Vec<u8>,
    next_ns: u64,
    is_over: bool,
    expected: u64,
}

enum From {
    Generator(Box<Generator>),
    File { bytes: Vec<u8>, at: usize, path: String },
}

impl Source {
    /// The generator's day.
    ///
    /// # Errors
    /// Never in fact: the generator's messages have times.
    pub fn generator(generator: Generator) -> Result<Self> {
        let expected = generator.messages();
        Self::start(From::Generator(Box::new(generator)), expected)
    }

    /// A file, with length prefixes as Nasdaq publishes, or with zero ones.
    ///
    /// # Errors
    /// When the file cannot be read, or is no ITCH file to its end.
    pub fn file(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("read the ITCH file {}", path.display()))?;
        let mut expected = 0;
        for message in ItchFile::new(&bytes) {
            message.with_context(|| format!("{}", path.display()))?;
            expected += 1;
        }
        if expected == 0 {
            bail!("{} holds no message", path.display());
        }
        Self::start(From::File { bytes, at: 0, path: path.display().to_string() }, expected)
    }

    fn start(from: From, expected: u64) -> Result<Self> {
        let mut source = Self { from, next: Vec::with_capacity(64), next_ns: 0, is_over: false, expected };
        source.step()?;
        Ok(source)
    }

    /// Messages in all.
    pub const fn expected(&self) -> u64 {
        self.expected
    }

    /// Time of the next message, ns since midnight; `None` after the last.
    pub const fn next_ns(&self) -> Option<u64> {
        if self.is_over { None } else { Some(self.next_ns) }
    }

    /// The next message; [`Source::step`] moves on.
    pub fn next(&self) -> Option<&[u8]> {
        (!self.is_over).then_some(self.next.as_slice())
    }

    /// Moves to the message after the next.
    ///
    /// # Errors
    /// When a file ends in the middle of a message, which was checked before.
    pub fn step(&mut self) -> Result<()> {
        let message = match &mut self.from {
            From::Generator(generator) => generator.next_message(),
            From::File { bytes, at, path } => {
                let rest = bytes.get(*at..).unwrap_or_default();
                let mut file = ItchFile::new(rest);
                let message = file.next().transpose().with_context(|| path.clone())?;
                *at += file.offset_bytes();
                message
            }
        };
        match message {
            Some(message) => {
                self.next.clear();
                self.next.extend_from_slice(message);
                // Too short for a time: it comes with the one before it.
                if let Ok((header, _)) = Header::ref_from_prefix(message) {
                    self.next_ns = self.next_ns.max(header.timestamp.get());
                }
            }
            None => self.is_over = true,
        }
        Ok(())
    }
}
