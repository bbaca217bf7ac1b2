//! The command line of `tern-exchange`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::engine::{IntendedSize, Rules, SelfTrade, WhileHalted, WrongFill};
use crate::exchange::{DropCopy, Exchange, Pace, Settings, Withhold, WithholdFrom};
use crate::feed::Loss;
use crate::gateway::{Faults, User};
use crate::generate::{Config, Generator, Shape};
use crate::lobster::{self, UnknownOrders};
use crate::log::Totals;
use crate::rng::share_of_percent;
use crate::shim::{self, Direction};
use crate::source::Source;

/// Simulated exchange: ITCH 5.0 over MoldUDP64 out, OUCH 5.0 over SoupBinTCP in.
#[derive(Parser, Debug)]
#[command(name = "tern-exchange", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the exchange.
    Run(Box<RunArgs>),
    /// Write a generated day as a length-prefixed ITCH file.
    Generate(GenerateArgs),
    /// Convert a LOBSTER message file to a length-prefixed ITCH file.
    Lobster(LobsterArgs),
    /// Bridge two interfaces, losing and reordering TCP segments between them. SIGUSR1 cuts the link for TCP, SIGUSR2 mends it.
    Shim(ShimArgs),
}

/// How fast the flow's time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PaceArg {
    /// As recorded.
    Recorded,
    /// `--scale` times as fast.
    Scaled,
    /// As fast as it goes, or `--rate-max`.
    Flat,
}

#[derive(Args, Debug)]
struct RunArgs {
    /// Multicast group and port of the feed.
    #[arg(long, default_value = "239.77.1.1:26400")]
    feed: SocketAddrV4,
    /// Address of the interface that the feed leaves by.
    #[arg(long, default_value = "127.0.0.1")]
    interface: Ipv4Addr,
    /// Address and port for orders; port 0 takes any and prints it.
    #[arg(long, default_value = "127.0.0.1:9000")]
    orders: SocketAddr,
    /// A user and its password; may be repeated. Each has an account of its own.
    #[arg(long = "user", value_name = "NAME:PASSWORD", value_parser = user, default_value = "TERN01:secret")]
    users: Vec<User>,
    /// Address and port for the drop copy: what the accounts are told, read-only. [default: none]
    #[arg(long, value_name = "ADDRESS")]
    drop_copy: Option<SocketAddr>,
    /// Who may read the drop copy: the first of them the first user's, and so on; may be repeated.
    #[arg(long = "drop-copy-user", value_name = "NAME:PASSWORD", value_parser = user, default_value = "DROP01:secret")]
    drop_copy_users: Vec<User>,
    /// Close the drop copy's connections after so many messages, once.
    #[arg(long, value_name = "N")]
    cut_drop_copy_after: Option<u64>,
    /// Withhold one execution from the order session or from the drop copy.
    #[arg(long, value_enum)]
    withhold_execution: Option<WithholdFrom>,
    /// The first one after so many.
    #[arg(long, value_name = "N", default_value_t = 20)]
    withhold_after: u64,
    /// Name of the session, at most 10 characters.
    #[arg(long, default_value = "TERN000001")]
    session: String,
    /// Seed of flow, faults, breaks and dumps.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Take the flow from this ITCH file instead of the generator.
    #[arg(long, value_name = "FILE")]
    itch: Option<PathBuf>,
    /// Shape of the generated flow.
    #[arg(long, value_enum, default_value_t = Shape::Small)]
    shape: Shape,
    /// Symbols of the generated flow, instead of the shape's.
    #[arg(long)]
    symbols: Option<u16>,
    /// Mean messages a second of wall time of the generated flow.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Orders added before the open in the generated flow.
    #[arg(long)]
    opening_orders: Option<u32>,
    /// Halts of single symbols in the generated flow.
    #[arg(long, default_value_t = 1)]
    halts: u32,
    /// One stretch of the generated flow at the published peak: 20,490 messages in 10 ms.
    #[arg(long)]
    burst: bool,
    /// Pace of the flow.
    #[arg(long, value_enum, default_value_t = PaceArg::Recorded)]
    pace: PaceArg,
    /// Factor of the scaled pace; 180 is an hour in 20 seconds.
    #[arg(long, default_value_t = 180.0)]
    scale: f64,
    /// Most messages a second of the flat pace.
    #[arg(long)]
    rate_max: Option<u64>,
    /// Length of the day in wall time: the generated day is made to fit, a file is cut off. [default: 20 for generated
    /// flow, none for a file]
    #[arg(long)]
    seconds: Option<f64>,
    /// Publish nothing before so many logins.
    #[arg(long, default_value_t = 0)]
    wait_for_clients: u64,
    /// The longest wait for them, in seconds.
    #[arg(long, default_value_t = 30.0)]
    wait_max: f64,
    /// Wait before the first message, after the clients are there.
    #[arg(long, default_value_t = 200)]
    start_delay_ms: u64,
    /// The longest wait at the end for clients to read and log out.
    #[arg(long, default_value_t = 1_000)]
    linger_ms: u64,
    /// The exchange's own log, JSON lines.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// File for full-depth book dumps.
    #[arg(long, value_name = "FILE")]
    book_dump: Option<PathBuf>,
    /// Dump the book after these ITCH sequence numbers.
    #[arg(long, value_name = "SEQ", value_delimiter = ',', requires = "book_dump")]
    book_dump_at: Vec<u64>,
    /// Dump the book after so many random sequence numbers.
    #[arg(long, value_name = "N", default_value_t = 0)]
    book_dumps: u32,
    /// An account's orders that would trade with each other.
    #[arg(long, value_enum, default_value_t = SelfTrade::Allow)]
    self_trade: SelfTrade,
    /// Orders that arrive while their symbol is halted.
    #[arg(long, value_enum, default_value_t = WhileHalted::Reject)]
    while_halted: WhileHalted,
    /// What the quantity of a cancel bounds.
    #[arg(long, value_enum, default_value_t = IntendedSize::Chain)]
    intended_size: IntendedSize,
    /// Cancel an account's orders when its last connection ends.
    #[arg(long)]
    cancel_on_disconnect: bool,
    /// Break so many percent of clients' trades afterwards.
    #[arg(long, default_value_t = 0.0)]
    break_percent: f64,
    /// Most messages a datagram. [default: as many as fit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    datagram_messages: Option<u16>,
    /// Lose the datagrams that carry these sequence numbers.
    #[arg(long, value_name = "SEQ", value_delimiter = ',')]
    drop_datagram: Vec<u64>,
    /// Lose so many percent of datagrams.
    #[arg(long, default_value_t = 0.0)]
    drop_percent: f64,
    /// After so many order messages, stop reading orders, so that clients' windows close.
    #[arg(long, value_name = "N")]
    stall_orders_after: Option<u64>,
    /// For how long.
    #[arg(long, default_value_t = 2_000)]
    stall_ms: u64,
    /// After so many order messages, reset the connection in the middle of a message.
    #[arg(long, value_name = "N")]
    reset_after: Option<u64>,
    /// Plant a wrong fill, the first that completes an order, in the log or to the client.
    #[arg(long, value_enum)]
    wrong_fill: Option<WrongFill>,
}

#[derive(Args, Debug)]
struct GenerateArgs {
    /// Messages in all.
    #[arg(long)]
    messages: u64,
    /// Seed: the same arguments give the same file.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Shape of the day.
    #[arg(long, value_enum, default_value_t = Shape::Small)]
    shape: Shape,
    /// Symbols, instead of the shape's.
    #[arg(long)]
    symbols: Option<u16>,
    /// Orders added before the open, and about as many kept alive. [default: small 60 a symbol; real-day 5,240,000 if
    /// that is at most half of the messages, else a fiftieth of them]
    #[arg(long)]
    opening_orders: Option<u32>,
    /// File to write; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args, Debug)]
struct LobsterArgs {
    /// Message file, CSV; `.gz` is unpacked.
    #[arg(long, value_name = "FILE")]
    message: PathBuf,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Symbol of the file.
    #[arg(long)]
    symbol: String,
    /// Events that name orders that the file does not submit.
    #[arg(long, value_enum, default_value_t = UnknownOrders::Seed)]
    unknown_orders: UnknownOrders,
    /// File for the ITCH sequence number of each line's message, one a line; 0 where a line was left out.
    #[arg(long, value_name = "FILE")]
    map: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct ShimArgs {
    /// The two interfaces.
    #[arg(long, value_name = "NAME", num_args = 2, required = true)]
    interfaces: Vec<String>,
    /// Lose so many percent of TCP segments, in each direction.
    #[arg(long, default_value_t = 1.0)]
    loss_percent: f64,
    /// Let so many percent of TCP segments be overtaken.
    #[arg(long, default_value_t = 1.0)]
    reorder_percent: f64,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn user(text: &str) -> Result<User, String> {
    match text.split_once(':') {
        Some((name, password)) if (1..=6).contains(&name.len()) && (1..=10).contains(&password.len()) => {
            Ok(User { name: name.into(), password: password.into() })
        }
        _ => Err("give NAME:PASSWORD, at most 6 and 10 characters".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, where, and what to do.
pub fn main(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Run(args) => run(*args),
        Command::Generate(args) => generate(&args),
        Command::Lobster(args) => convert(&args),
        Command::Shim(args) => bridge(&args),
    }
}

fn run(args: RunArgs) -> Result<()> {
    if args.session.is_empty() || args.session.len() > 10 || !args.session.is_ascii() {
        bail!("--session {:?}: give 1 to 10 ASCII characters", args.session);
    }
    if args.book_dumps > 0 && args.book_dump.is_none() {
        bail!("--book-dumps needs --book-dump FILE");
    }
    if args.scale.is_nan() || args.scale <= 0.0 {
        bail!("--scale {}: give a number above 0", args.scale);
    }
    let (source, source_name) = source(&args)?;
    let pace = match args.pace {
        PaceArg::Recorded => Pace::Scaled(1.0),
        PaceArg::Scaled => Pace::Scaled(args.scale),
        PaceArg::Flat => Pace::Flat { rate_max: args.rate_max },
    };
    let settings = Settings {
        seed: args.seed,
        source_name: source_name.clone(),
        session: args.session,
        feed: args.feed,
        interface: args.interface,
        orders: args.orders,
        drop_copy: args.drop_copy.map(|address| DropCopy {
            address,
            users: args.drop_copy_users,
            cut_after: args.cut_drop_copy_after,
        }),
        withhold: args.withhold_execution.map(|from| Withhold { from, after: args.withhold_after }),
        users: args.users,
        pace,
        // The generated day ends by itself: it was made to fit.
        seconds: if args.itch.is_some() { args.seconds } else { None },
        wait_for_clients: args.wait_for_clients,
        wait_max: Duration::from_secs_f64(args.wait_max.max(0.0)),
        start_delay: Duration::from_millis(args.start_delay_ms),
        linger: Duration::from_millis(args.linger_ms),
        rules: Rules {
            seed: args.seed,
            self_trade: args.self_trade,
            while_halted: args.while_halted,
            intended_size: args.intended_size,
            break_share: share_of_percent(args.break_percent),
            wrong_fill: args.wrong_fill,
            cancel_on_disconnect: args.cancel_on_disconnect,
        },
        datagram_messages_max: args.datagram_messages.unwrap_or(u16::MAX),
        loss: Loss { sequences: args.drop_datagram, share: share_of_percent(args.drop_percent), seed: args.seed },
        faults: Faults {
            stall: args.stall_orders_after.map(|after| (after, Duration::from_millis(args.stall_ms))),
            reset_after: args.reset_after,
        },
        log: args.log,
        dump: args.book_dump,
        dump_at: args.book_dump_at,
        dump_random: args.book_dumps,
    };
    let (feed, interface) = (settings.feed, settings.interface);
    let exchange = Exchange::open(settings, source.expected())?;
    // One line that scripts wait for; it is the only one until the end.
    println!(
        "ready: orders {}, feed {feed} by {interface}, seed {}, flow {source_name}",
        exchange.order_address()?,
        args.seed
    );
    std::io::stdout().flush().context("print")?;
    let totals = exchange.run(source)?;
    report(&totals);
    Ok(())
}

fn source(args: &RunArgs) -> Result<(Source, String)> {
    if let Some(path) = &args.itch {
        return Ok((Source::file(path)?, path.display().to_string()));
    }
    let seconds = args.seconds.unwrap_or(20.0);
    if !(1.0..=86_400.0).contains(&seconds) {
        bail!("--seconds {seconds}: a generated day takes 1 to 86400");
    }
    let factor = if args.pace == PaceArg::Scaled { args.scale } else { 1.0 };
    let span_ns = (seconds * factor * 1e9) as u64;
    const OPEN_NS: u64 = 34_200_000_000_000;
    if span_ns > 12 * 3_600_000_000_000 {
        bail!("--seconds {seconds} at --scale {factor} is more than 12 hours: lower one of them");
    }
    let mut config = Config::day(args.shape, (args.rate as f64 * seconds) as u64, args.seed);
    // The opening at 9:30, a twentieth of the day before it.
    config.start_ns = OPEN_NS - span_ns / 20;
    config.open_ns = OPEN_NS;
    config.close_ns = OPEN_NS + span_ns - span_ns / 20;
    config.symbols = args.symbols;
    config.opening_orders = args.opening_orders;
    config.halts = args.halts;
    config.burst = args.burst;
    let name = format!("generator {:?}, {} messages", args.shape, config.messages);
    Ok((Source::generator(Generator::new(config)?)?, name))
}

fn report(totals: &Totals) {
    println!(
        "feed: {} messages in {} datagrams over {:.1} s ({} dropped on request, {} failed), {} heartbeats",
        totals.messages,
        totals.datagrams_sent,
        totals.elapsed_ms as f64 / 1000.0,
        totals.datagrams_dropped,
        totals.datagrams_failed,
        totals.heartbeats_sent
    );
    println!(
        "clients: {} order messages, {} executions ({} partial, {} broken) of {} shares in {} symbols",
        totals.received, totals.executions, totals.partial_fills, totals.breaks, totals.shares, totals.symbols_traded
    );
    if totals.flow_unknown > 0 {
        println!("flow: {} messages named orders that were never added, published as they are", totals.flow_unknown);
    }
    println!("book: {} live orders at the end, {} dumps; seed {}", totals.live_orders, totals.book_dumps, totals.seed);
}

fn generate(args: &GenerateArgs) -> Result<()> {
    let mut config = Config::day(args.shape, args.messages, args.seed);
    config.symbols = args.symbols;
    config.opening_orders = args.opening_orders;
    let mut generator = Generator::new(config)?;
    let start = Instant::now();
    let out: Box<dyn Write> = if args.out.as_os_str() == "-" {
        Box::new(std::io::stdout().lock())
    } else {
        Box::new(File::create(&args.out).with_context(|| format!("create {}", args.out.display()))?)
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    let mut counts = [0_u64; 256];
    while let Some(message) = generator.next_message() {
        counts[usize::from(message[0])] += 1;
        // At most 50 bytes.
        out.write_all(&(message.len() as u16).to_be_bytes()).context("write the file")?;
        out.write_all(message).context("write the file")?;
    }
    out.flush().context("write the file")?;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!(
        "{} messages in {seconds:.2} s ({:.1} million a second), seed {}, {} opening orders, {} live at the peak",
        generator.produced(),
        generator.produced() as f64 / seconds / 1e6,
        args.seed,
        generator.opening_orders(),
        generator.live_orders_peak()
    );
    for (kind, &count) in counts.iter().enumerate().filter(|&(_, &count)| count > 0) {
        eprintln!("  {} {count} ({:.2} %)", kind as u8 as char, count as f64 * 100.0 / generator.produced() as f64);
    }
    Ok(())
}

fn convert(args: &LobsterArgs) -> Result<()> {
    let file = File::open(&args.message).with_context(|| format!("open {}", args.message.display()))?;
    let input: Box<dyn Read> = if args.message.extension().is_some_and(|ending| ending == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let out = File::create(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    let converted = lobster::convert(BufReader::new(input), BufWriter::new(out), &args.symbol, args.unknown_orders);
    let (summary, sequences) = converted.with_context(|| format!("{}", args.message.display()))?;
    if let Some(path) = &args.map {
        let text: String = sequences.iter().map(|sequence| format!("{sequence}\n")).collect();
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    }
    eprintln!(
        "{} events, {} messages; {} orders that were never submitted ({} events, {:?}); {} events skipped",
        summary.events,
        summary.messages,
        summary.unknown_orders,
        summary.unknown_events,
        args.unknown_orders,
        summary.skipped
    );
    Ok(())
}

fn bridge(args: &ShimArgs) -> Result<()> {
    let [first, second] = args.interfaces.as_slice() else { bail!("--interfaces takes two names") };
    let (loss, reorder) = (share_of_percent(args.loss_percent), share_of_percent(args.reorder_percent));
    let directions = [Direction::new(loss, reorder, args.seed), Direction::new(loss, reorder, !args.seed)];
    let counts = shim::run([first, second], directions, || {
        println!("ready: {first} and {second}, seed {}", args.seed);
    })?;
    println!("{}", serde_json::to_string(&counts).context("print the counts")?);
    Ok(())
}
