//! The connection to the drop copy: made again when it is lost, and read on from the message that is next.

use std::time::{Duration, Instant};

use tern_audit::Copy;
use tern_config::DropCopy;
use tern_soup::Answer;
use tern_soup::line::{ANY_SESSION, CopyLine, Login};

/// The longest that an attempt to connect may hold up the rest.
const CONNECT_PATIENCE: Duration = Duration::from_millis(500);

/// The drop copy as it is read.
pub(crate) struct Reader {
    config: DropCopy,
    line: Option<CopyLine>,
    logged_in: bool,
    session: [u8; 10],
    pub(crate) next_seq: u64,
    pub(crate) logins: u64,
    pub(crate) trouble: String,
    due: Instant,
    said: Vec<Answer>,
}

impl Reader {
    /// Nothing is read yet; the first connection is made at once.
    pub(crate) fn new(config: &DropCopy) -> Self {
        Self {
            config: config.clone(),
            line: None,
            logged_in: false,
            session: ANY_SESSION,
            next_seq: 1,
            logins: 0,
            trouble: "not connected yet".into(),
            due: Instant::now(),
            said: Vec::new(),
        }
    }

    /// From the first message of the venue's present session on.
    pub(crate) fn begin_anew(&mut self) {
        *self = Self { logins: self.logins, ..Self::new(&self.config) };
    }

    /// Whether the venue tells us what it has.
    pub(crate) const fn is_connected(&self) -> bool {
        self.logged_in
    }

    /// Takes what has come. Says whether all of it is taken.
    pub(crate) fn read(&mut self, copy: &mut Copy) -> bool {
        if self.line.is_none() && Instant::now() >= self.due {
            self.connect();
        }
        let Some(line) = &mut self.line else { return true };
        let heard = line.hear(&mut self.said);
        for answer in std::mem::take(&mut self.said) {
            if let Err(why) = self.take(&answer, copy) {
                self.lose(why);
                return true;
            }
        }
        match heard {
            Ok(more) => !more,
            Err(error) => {
                self.lose(error.to_string());
                true
            }
        }
    }

    fn connect(&mut self) {
        let (user, password) = (self.config.user.as_str(), self.config.password.reveal());
        let (address, session, next_seq) = (self.config.address, self.session, self.next_seq);
        match CopyLine::open(&Login { address, user, password, session, next_seq }, CONNECT_PATIENCE) {
            Ok(line) => self.line = Some(line),
            Err(error) => self.lose(error.to_string()),
        }
    }

    fn take(&mut self, answer: &Answer, copy: &mut Copy) -> Result<(), String> {
        match *answer {
            Answer::Login { session, next_seq } => {
                if self.session != session {
                    if self.session != ANY_SESSION {
                        self.session = ANY_SESSION;
                        self.next_seq = 1;
                        return Err("the venue's session is another one: it is read from its start".into());
                    }
                    self.session = session;
                }
                if next_seq > self.next_seq {
                    return Err(format!("it begins at message {next_seq}, {} is the next", self.next_seq));
                }
                if next_seq < self.next_seq {
                    return Err(format!(
                        "it ends before message {}, up to which it was read: the venue lost its log",
                        self.next_seq
                    ));
                }
                self.logged_in = true;
                self.logins += 1;
                self.trouble.clear();
            }
            Answer::Message { seq, said } if seq >= self.next_seq => {
                self.next_seq = seq + 1;
                if let Some(said) = said {
                    copy.there(&said);
                }
            }
            Answer::Message { .. } => {}
            Answer::Refused(letter) => return Err(format!("login refused ({})", char::from(letter).escape_default())),
            Answer::End => return Err("the venue has ended its session".into()),
        }
        Ok(())
    }

    fn lose(&mut self, why: String) {
        if self.trouble != why {
            eprintln!("tern-audit: drop copy {}: {why}", self.config.address);
        }
        self.trouble = why;
        self.line = None;
        self.logged_in = false;
        self.due = Instant::now() + Duration::from_millis(self.config.reconnect_ms);
    }
}
