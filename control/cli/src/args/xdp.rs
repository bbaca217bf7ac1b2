//! `tern xdp`.

use std::path::PathBuf;

use clap::Subcommand;

/// What can be asked of a packet's way.
#[derive(Subcommand, Debug)]
pub enum XdpVerb {
    /// Program, attach mode, link, whose it is; interface, queues, levels of the rings; subscriptions, joins, last packets;
    /// counters. Exit code 3 when something keeps packets from the loop.
    Status {
        /// Over how long rates are taken.
        #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = crate::xdp::seconds)]
        seconds: f64,
        /// Also counters that are zero.
        #[arg(long)]
        all: bool,
        /// Also draws what it says as a picture in this file.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// What the loop is given now, as a pcap file with arrival times in nanoseconds, out of the journal as it grows: the loop
    /// is not touched. Exit code 3 when nothing came.
    Capture {
        /// How long.
        #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = crate::xdp::seconds)]
        seconds: f64,
        /// At most so many datagrams.
        #[arg(long, value_name = "N")]
        count: Option<u64>,
        /// Only of this group and port.
        #[arg(long, value_name = "GROUP:PORT", value_parser = crate::xdp::group_and_port)]
        group: Option<(std::net::Ipv4Addr, u16)>,
        /// The file; it is written anew.
        #[arg(short, long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Why a stream is silent: walks a packet's way from the wire to the book, and names the first thing that explains it,
    /// with what to do. Exit code 3 when it found one, 0 when the stream arrives.
    Why {
        /// Which stream.
        #[arg(value_name = "GROUP:PORT", value_parser = crate::xdp::group_and_port)]
        stream: (std::net::Ipv4Addr, u16),
        /// How long to look.
        #[arg(long, default_value = "2", value_name = "SECONDS", value_parser = crate::xdp::seconds)]
        seconds: f64,
        /// Also draws what it says as a picture in this file.
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
}
