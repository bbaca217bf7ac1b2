//! `tern xdp status`: the program, its sockets, what it is subscribed to, and every counter on the way.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tern_abi::steer::{ATTACH_GENERIC, ATTACH_NATIVE, CLOCK_TAI};
use tern_hw::xdp::SocketLook;

use super::counters;
use super::look::{Look, Moment, Program, STUCK_NS};
use super::tail::Tail;
use crate::outcome::{Failure, Outcome, exit};
use crate::pins::{Pins, Subscription};
use crate::status::tai_ns;
use crate::table::{Align, Table, duration, grouped, utc_time};
use crate::target::Target;

/// Pause between two looks at the journal.
const LOOK: Duration = Duration::from_millis(20);

/// # Errors
/// Exit code 2: no interface is known.
pub(crate) fn status(target: &Target, seconds: f64, all: bool) -> Result<Outcome, Failure> {
    let look = Look::take(target).map_err(Failure::usage)?;
    let since_ns = tai_ns();
    let mut tail = Tail::open(&target.paths.journal);
    let before = Moment::take(target, &look);
    let mut tail_trouble = tail.as_ref().err().cloned();
    while before.at.elapsed().as_secs_f64() < seconds {
        sleep(LOOK.min(Duration::from_secs_f64(seconds)));
        if let Ok(tail) = &mut tail
            && let Err(why) = tail.read(since_ns, |_| true)
        {
            tail_trouble = Some(why);
        }
    }
    let after = Moment::take(target, &look);
    let seconds = (after.at - before.at).as_secs_f64();
    let groups = counters::groups(&before, &after);
    let problems = problems(target, &look, &after);

    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12} {value}\n"));
    line("interface", interface_text(&look, &after));
    line("port", if look.is_xdp { "xdp".into() } else { "socket: no XDP program is used".into() });
    match &look.programs {
        Ok(programs) if programs.is_empty() => line("program", "none is attached".into()),
        Ok(programs) => programs.iter().for_each(|program| line("program", program_text(program))),
        Err(why) => line("program", why.clone()),
    }
    match &look.pins {
        Ok(pins) => {
            line("pins", facts_text(pins.facts));
            line("queues", queues_text(pins));
        }
        Err(why) if look.is_xdp => line("pins", format!("not read: {why}")),
        Err(_) => {}
    }
    line("sockets", sockets_text(&look));
    problems.iter().for_each(|problem| line("PROBLEM", problem.clone()));
    if let Ok(sockets) = &after.sockets {
        text.push_str(&rings_text(target, &look, sockets));
    } else if let (Err(why), true) = (&after.sockets, look.is_xdp) {
        text.push_str(&format!("\nrings: not read: {why}\n"));
    }
    let rows = subscriptions(target, &look);
    text.push_str(&subscriptions_text(&look, &rows, tail.as_ref().ok(), seconds));
    if let Some(why) = &tail_trouble {
        text.push_str(&format!("packets: not read: {why}\n"));
    }
    text.push_str(&counters::text(&groups, seconds, all));
    text.push_str(&format!("\nover {seconds:.1} s; counters that are 0 are left out without --all\n"));

    let (counts, mut absent) = counters::json(&groups, seconds);
    if let Some(absent) = absent.as_object_mut() {
        let trouble = [("packets", tail_trouble.as_ref()), ("pins", look.pins.as_ref().err())];
        absent.extend(trouble.into_iter().filter_map(|(name, why)| Some((name.to_owned(), json!(why?)))));
    }
    let json = json!({
        "interface": look.interface,
        "port": if look.is_xdp { "xdp" } else { "socket" },
        "healthy": problems.is_empty(),
        "problems": problems,
        "link": after.link.as_ref().ok().map(|link| json!({ "index": link.index, "up": link.is_up,
            "carrier": link.has_carrier, "mtu_bytes": link.mtu_bytes, "rx_queues": look.rx_queues })),
        "programs": look.programs.as_ref().map(|all| all.iter().map(program_json).collect::<Vec<_>>()).unwrap_or_default(),
        "attach_mode": look.pins.as_ref().ok().map(|pins| mode(pins.facts.attach_mode)),
        "nic_stamp": look.pins.as_ref().ok().map(|pins| pins.facts.nic_stamp == 1),
        "data_plane": look.data_plane,
        "queues": look.queues,
        "claims": look.pins.as_ref().map(|pins| claims_json(pins, &after)).unwrap_or_default(),
        "sockets": after.sockets.as_ref().map(|all| sockets_json(&look, all)).unwrap_or_default(),
        "subscriptions": rows.iter().map(|row| row_json(&look, row, tail.as_ref().ok())).collect::<Vec<_>>(),
        "seconds": seconds,
        "shed_datagrams": tail.as_ref().map_or(0, |tail| tail.shed),
        "counters": counts,
        "absent": absent,
    });
    let code = if problems.is_empty() { exit::OK } else { exit::UNHEALTHY };
    Ok(Outcome { text, json, code })
}

/// Whose the queues are.
fn queues_text(pins: &Pins) -> String {
    if pins.claims.is_empty() {
        return "nobody has one".into();
    }
    let whose = |(queue, owner): (&u32, &std::path::PathBuf)| match pins.queues.contains(queue) {
        true => format!("{queue} ours"),
        false => format!("{queue} of {}", owner.display()),
    };
    pins.claims.iter().map(whose).collect::<Vec<_>>().join(", ")
}

fn claims_json(pins: &Pins, now: &Moment) -> Vec<Value> {
    let astray = |queue: &u32| now.steer.as_ref().ok().map(|found| found.astray.get(queue).copied().unwrap_or(0));
    let one = |(queue, owner): (&u32, &std::path::PathBuf)| json!({ "queue": queue, "owner": owner, "ours": pins.queues.contains(queue), "astray": astray(queue) });
    pins.claims.iter().map(one).collect()
}

/// What keeps packets from the loop, whatever the stream.
fn problems(target: &Target, look: &Look, now: &Moment) -> Vec<String> {
    let mut found = Vec::new();
    match &now.link {
        Err(why) => found.push(why.clone()),
        Ok(link) if !link.is_up => found.push(format!("`{0}` is down: `ip link set {0} up`", look.interface)),
        Ok(link) if !link.has_carrier => {
            found.push(format!("`{}` has no carrier: cable, optics, switch port", look.interface))
        }
        Ok(_) => {}
    }
    if look.is_xdp
        && let Ok(programs) = &look.programs
        && !programs.iter().any(|program| program.is_ours)
    {
        found.push(match programs.first() {
            None => "no XDP program is attached: ternd attaches it at its start".into(),
            Some(_) if look.has_pins && look.pins.is_err() => {
                "whose program is attached cannot be said without the pins".into()
            }
            Some(other) if look.pins.as_ref().is_ok_and(|pins| pins.facts.program_id == other.id) => {
                "the program attached serves other instances, and none of its queues is this one's: ternd joins it at its start".into()
            }
            Some(other) => format!("the program attached is another one: {} (id {})", other.name, other.id),
        });
    }
    if let Some(age) = look.beat_age_ns.filter(|age| look.data_plane.is_some() && *age > STUCK_NS) {
        found.push(format!("the loop gave no sign of life for {}: see what its core does", duration(age)));
    }
    let joined = look.joined.as_deref().unwrap_or_default();
    let wanted = target.feeds.iter().filter(|feed| feed.group.is_multicast() && look.joined.is_ok());
    for feed in wanted.filter(|feed| !joined.contains(&feed.group)) {
        found.push(format!("{} is not joined on `{}`: the data plane joins at its start", feed.group, look.interface));
    }
    if look.data_plane.is_none() {
        found.push("no data plane runs: no socket takes what is redirected; ternd starts it".into());
    }
    found
}

/// A line of a stream, as wanted and as it is.
struct Row {
    group: std::net::Ipv4Addr,
    port: u16,
    stream: u16,
    line: u8,
    configured: bool,
    subscribed: bool,
}

fn subscriptions(target: &Target, look: &Look) -> Vec<Row> {
    let known: &[Subscription] = look.pins.as_ref().map_or(&[], |pins| &pins.subscriptions);
    let mut rows: Vec<Row> = (known.iter())
        .map(|known| {
            let Subscription { group, port, stream, line } = *known;
            let configured = target.feeds.iter().any(|feed| (feed.group, feed.port) == (group, port));
            Row { group, port, stream, line, configured, subscribed: true }
        })
        .collect();
    for feed in &target.feeds {
        if !rows.iter().any(|row| (row.group, row.port) == (feed.group, feed.port)) {
            let (group, port, stream, line) = (feed.group, feed.port, feed.stream, feed.line.index());
            rows.push(Row { group, port, stream, line, configured: true, subscribed: false });
        }
    }
    rows
}

fn is_joined(look: &Look, row: &Row) -> Option<bool> {
    row.group.is_multicast().then(|| look.joined.as_ref().ok().map(|joined| joined.contains(&row.group)))?
}

fn row_json(look: &Look, row: &Row, tail: Option<&Tail>) -> Value {
    let line = tail.and_then(|tail| tail.lines.get(&(row.stream, row.line.into())));
    json!({ "group": row.group, "port": row.port, "stream": row.stream, "line": row.line, "configured": row.configured,
        "subscribed": row.subscribed, "joined": is_joined(look, row), "trusted": look.trusted.contains(&row.stream),
        "distrust": look.distrusted.get(&row.stream).map(|(reason, _)| reason),
        "datagrams": tail.map(|_| line.map_or(0, |line| line.datagrams)), "last_ns": line.map(|line| line.last_ns) })
}

fn subscriptions_text(look: &Look, rows: &[Row], tail: Option<&Tail>, seconds: f64) -> String {
    if rows.is_empty() {
        return "\nsubscriptions: none\n".into();
    }
    let mut table = Table::new(&[
        ("group:port", Align::Left),
        ("stream", Align::Right),
        ("line", Align::Left),
        ("map", Align::Left),
        ("joined", Align::Left),
        ("books", Align::Left),
        ("datagrams", Align::Right),
        ("last packet", Align::Left),
    ]);
    let now = tai_ns();
    for row in rows {
        let line = tail.and_then(|tail| tail.lines.get(&(row.stream, row.line.into())));
        let books = match look.distrusted.get(&row.stream) {
            Some((reason, _)) => reason.clone(),
            None if look.trusted.contains(&row.stream) => "trusted".into(),
            None => "-".into(),
        };
        let last = match (tail, line) {
            (None, _) => "not read".into(),
            (Some(_), Some(line)) => format!("{} ago", duration(now.saturating_sub(line.last_ns))),
            (Some(_), None) => format!("none in {seconds:.1} s"),
        };
        table.row(vec![
            format!("{}:{}", row.group, row.port),
            row.stream.to_string(),
            if row.line == 0 { "A" } else { "B" }.into(),
            match (row.subscribed, row.configured) {
                (true, true) => "yes".into(),
                (true, false) => "not in the file".into(),
                (false, _) => if look.is_xdp { "NO" } else { "-" }.into(),
            },
            match is_joined(look, row) {
                Some(true) => format!("on {}", look.interface),
                Some(false) => "NO".into(),
                None => "-".into(),
            },
            books,
            tail.map_or_else(|| "-".into(), |_| grouped(line.map_or(0, |line| line.datagrams))),
            last,
        ]);
    }
    format!("\n{}", table.render())
}

fn interface_text(look: &Look, now: &Moment) -> String {
    match &now.link {
        Err(why) => why.clone(),
        Ok(link) => format!(
            "{} (index {}), {}, {}, MTU {}, {} RX queues",
            look.interface,
            link.index,
            if link.is_up { "up" } else { "DOWN" },
            if link.has_carrier { "carrier" } else { "NO CARRIER" },
            link.mtu_bytes,
            look.rx_queues.map_or_else(|| format!("up to {}", link.rx_queues), |queues| queues.to_string()),
        ),
    }
}

fn program_text(program: &Program) -> String {
    let Program { id, hook, name, tag, .. } = program;
    let loaded = program.loaded_s.map_or_else(String::new, |at| format!(", loaded {}", utc_time(at)));
    let by = program.uid.map_or_else(String::new, |uid| format!(" by uid {uid}"));
    let link = program.link.map_or_else(|| "no link".into(), |link| format!("link {link}"));
    let whose = if program.is_ours { "ours" } else { "NOT OURS" };
    format!("{name} (id {id}, tag {tag}), {hook}, {link}, {whose}{loaded}{by}")
}

fn program_json(program: &Program) -> Value {
    json!({ "id": program.id, "name": program.name, "tag": program.tag, "mode": program.hook,
        "loaded_s": program.loaded_s, "uid": program.uid, "link": program.link, "ours": program.is_ours })
}

fn mode(attach_mode: u16) -> &'static str {
    match attach_mode {
        ATTACH_NATIVE => "native",
        ATTACH_GENERIC => "generic",
        _ => "unknown",
    }
}

fn facts_text(facts: tern_abi::steer::SteerFacts) -> String {
    let stamps = if facts.nic_stamp == 1 { "asked for" } else { "off" };
    let clock = if facts.clock == CLOCK_TAI { "CLOCK_TAI" } else { "CLOCK_MONOTONIC and an offset" };
    format!("program {}, {}, NIC stamps {stamps}, arrival by {clock}", facts.program_id, mode(facts.attach_mode))
}

fn sockets_text(look: &Look) -> String {
    match look.data_plane {
        None => "none: no data plane runs".into(),
        Some(pid) => format!("process {pid}, queues {:?}", look.queues),
    }
}

/// The rings of a socket: name, level, and what it means when it is at an end.
fn rings(socket: &SocketLook) -> [(&'static str, u32, &'static str); 4] {
    [
        ("fill", socket.fill.used, "buffers offered to the kernel; at 0 what arrives is dropped"),
        ("rx", socket.rx.used, "frames that wait for the loop; when full what arrives is dropped"),
        ("tx", socket.tx.used, "frames that wait for the kernel to send them"),
        ("completion", socket.completion.used, "buffers sent that the loop has not taken back"),
    ]
}

fn rings_text(target: &Target, look: &Look, sockets: &[SocketLook]) -> String {
    if sockets.is_empty() {
        return String::new();
    }
    let size = target.port_wanted.as_ref().map(|port| port.ring_frames);
    let mut table = Table::new(&[
        ("queue", Align::Right),
        ("ring", Align::Left),
        ("level", Align::Right),
        ("of", Align::Right),
        ("meaning", Align::Left),
    ]);
    for (index, socket) in sockets.iter().enumerate() {
        let queue = look.queues.get(index).map_or_else(|| "?".into(), u32::to_string);
        for (name, used, meaning) in rings(socket) {
            let of = size.filter(|_| matches!(name, "fill" | "rx")).map_or_else(|| "-".into(), grouped);
            table.row(vec![queue.clone(), name.into(), grouped(used), of, meaning.into()]);
        }
    }
    let copies: Vec<String> = (sockets.iter().enumerate())
        .map(|(index, socket)| {
            let queue = look.queues.get(index).map_or_else(|| "?".into(), u32::to_string);
            format!("queue {queue} {}", if socket.zero_copy { "zero-copy" } else { "copy" })
        })
        .collect();
    format!("{:<12} {}\n\n{}", "frames", copies.join(", "), table.render())
}

fn sockets_json(look: &Look, sockets: &[SocketLook]) -> Vec<Value> {
    let one = |(index, socket): (usize, &SocketLook)| {
        let levels: serde_json::Map<String, Value> =
            rings(socket).into_iter().map(|(name, used, _)| (name.to_owned(), json!(used))).collect();
        json!({ "queue": look.queues.get(index), "zero_copy": socket.zero_copy, "rings": levels })
    };
    sockets.iter().enumerate().map(one).collect()
}
