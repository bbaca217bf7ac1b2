//! `tern day`.

use std::path::PathBuf;

/// The steps of a trading day. Each needs ternd and the role operator, where nothing else is said, and is journaled.
#[derive(Debug, clap::Subcommand)]
pub enum DayVerb {
    /// How far the day is, every check of readiness, who did what, and what is next. Exit code 3 while a check is neither green nor waived.
    Status {
        /// Also files with their hashes, and what was refused.
        #[arg(long)]
        all: bool,
    },
    /// The day's data are there, of today, and what the data plane runs with; the hashes of their files are journaled.
    Prepare {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT", default_value = "start of day")]
        why: String,
    },
    /// Every check is green, or waived by name.
    Ready {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT", default_value = "start of day")]
        why: String,
    },
    /// Lets orders leave, if every check is green or waived still.
    Arm {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Lets only leave what lowers a position.
    WindDown {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT", default_value = "end of day")]
        why: String,
    },
    /// Cancels what is open and lets nothing leave any more. Exit code 5 while something is open at the venue.
    Close {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT", default_value = "end of day")]
        why: String,
    },
    /// Journal, venue's log, drop copy and second opinion agree; positions are written for the next day where that is asked for.
    Reconcile {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT", default_value = "end of day")]
        why: String,
        /// Writes the next day's opening positions into this file, as `tern positions roll` does.
        #[arg(long, value_name = "FILE")]
        roll_to: Option<PathBuf>,
        /// A TOML file of splits, for that.
        #[arg(long, value_name = "FILE", requires = "roll_to")]
        splits: Option<PathBuf>,
        /// The trading day that they are for, if it is not the next weekday.
        #[arg(long, value_name = "YYYY-MM-DD", requires = "roll_to")]
        date: Option<tern_config::Date>,
    },
    /// Ends the day, and seals its journal.
    Seal {
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT", default_value = "end of day")]
        why: String,
    },
    /// Has a check that is not green count as green for a time. Needs the role risk officer.
    Waive {
        /// Which, as `tern day status` names it.
        check: String,
        /// For so long; at most 24 hours.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
    /// Lets limits be loosened before the open (`day.freeze_minutes`) for a time. Needs the role risk officer.
    Unfreeze {
        /// For so long; at most 24 hours.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1440))]
        minutes: u32,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}
