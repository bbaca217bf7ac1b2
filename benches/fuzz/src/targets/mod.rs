//! The targets: each takes any bytes, must not panic, and asserts what must hold of what was accepted.

mod codec;
mod files;
mod market;
mod memory;
mod records;
mod session;
mod tcp;
mod text;

/// A target.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What an execution costs, in those of the cheapest: it runs so many times fewer.
    pub cost: u32,
    /// One execution.
    pub run: fn(&[u8]),
}

const fn target(name: &'static str, cost: u32, run: fn(&[u8])) -> Target {
    Target { name, cost, run }
}

/// Every target.
pub const ALL: &[Target] = &[
    target("mold", 1, codec::mold_packet),
    target("itch", 1, codec::itch_message),
    target("itch_file", 1, codec::itch_file),
    target("soup", 2, codec::soup_stream),
    target("ouch_inbound", 1, codec::ouch_inbound),
    target("ouch_outbound", 1, codec::ouch_outbound),
    target("classify", 1, memory::classify_frame),
    target("steer_record", 1, memory::steer_record),
    target("command_ring", 1, memory::command_ring),
    target("record_rings", 1, memory::record_rings),
    target("segment", 60, memory::segment),
    target("ouch_session", 4, session::ouch_session),
    target("tcp_ingress", 20, tcp::ingress),
    target("itch_feed", 10, market::itch_feed),
    target("pipeline", 25, market::pipeline),
    target("exchange", 5, market::exchange),
    target("record_input", 2, records::record_input),
    target("start_record", 2, records::start_record),
    target("recovered_day", 5, records::recovered_day),
    target("journal_recover", 25, files::journal_recover),
    target("journal_read", 25, files::journal_read),
    target("itch_source", 10, files::itch_source),
    target("lobster", 5, text::lobster),
    target("config", 40, text::config),
    target("control_request", 2, text::control_request),
    #[cfg(feature = "planted")]
    target("planted", 1, codec::planted),
];
