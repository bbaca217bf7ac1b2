//! What the metrics of whole loops have in common: a configuration as a firm would write it, folders that vanish, and
//! the two ends of a shared segment in one process.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::sandbox;
use tern_config::Config;
use tern_hw::pin;
use tern_hw::segment::{DaemonSegment, DataPlaneSegment, SegmentSpec};

const PREFIX: &str = "tern-bench-";

/// A folder of this process under `base`, removed when dropped; those of killed processes are removed first.
#[derive(Debug)]
pub struct Scratch(PathBuf);

impl Scratch {
    /// In `/dev/shm`, where a shared segment belongs.
    pub fn shared_memory() -> Self {
        Self::new(Path::new("/dev/shm"))
    }

    /// On the disk that holds temporary files, where a journal belongs; in a sandbox, in the folder of the process that
    /// made it.
    pub fn disk() -> Self {
        let base = std::env::var_os(sandbox::INSIDE).map_or_else(std::env::temp_dir, PathBuf::from);
        Self::new(&base)
    }

    fn new(base: &Path) -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        sweep(base);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{PREFIX}{}-{serial}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()).map(str::to_owned);
        if let Some(pid) = owner.filter(|pid| pid.parse::<u32>().is_ok())
            && !Path::new("/proc").join(pid).exists()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Both roles of a segment of its own; nothing of it is left in the file system.
pub fn segment(config: &Config) -> (DataPlaneSegment, DaemonSegment) {
    let scratch = Scratch::shared_memory();
    let spec = SegmentSpec {
        path: Some(scratch.path().join("segment")),
        sizes: config.rings.sizes(),
        ..SegmentSpec::new(config.instance.name.clone())
    };
    let data_plane = DataPlaneSegment::open(&spec).expect("a segment of its own can be made");
    let daemon = DaemonSegment::open(&spec).expect("the segment was just made");
    (data_plane, daemon)
}

/// Two cores to pin a pair of threads to, or `None` and a loud word when there is only one.
pub fn two_cores(metric: &str) -> Option<[usize; 2]> {
    match pin::allowed_cores()[..] {
        [first, .., last] => Some([first, last]),
        _ => {
            eprintln!("SKIP: {metric}: needs two cores");
            None
        }
    }
}

/// Pins the calling thread.
pub fn pin_to(core: usize) {
    pin::pin_current_thread(core).expect("an allowed core");
}

/// The configuration of every loop measured here: a maker and a taker on every symbol, default rings and tables, limits
/// wide enough for a venue that never pauses.
pub const CONFIGURATION: &str = r#"
[instance]
name = "bench"
[port]
interface = "tern0"
address = "10.77.0.3/24"
mac = "02:54:00:00:00:03"
[capacity]
instruments = 12500
orders = 6000000
[[feed]]
venue = "itch_ouch"
stream = 1
group = "239.77.1.1"
port = 26400
[session]
venue = "itch_ouch"
address = "10.77.0.2:9000"
user = "BENCH"
password = "secret"
account = 1
[[strategy]]
name = "maker"
id = 1
params = { instruments = 12500 }
[[strategy]]
name = "taker"
id = 2
params = { instruments = 12500 }
[limits]
order_quantity_max = 10000
order_notional_max = 5_000_000_0000
position_max = 20000
strategy_position_max = 20000
messages_per_day_max = 1_000_000_000
executions_max = 1_000_000_000
orders_per_second_max = 1000000
order_burst_max = 100000
cancel_reserve = 100000
open_orders_max = 60000
gross_max = 1_000_000_000_000_0000
net_max = 1_000_000_000_000_0000
strategy_gross_max = 1_000_000_000_000_0000
strategy_net_max = 1_000_000_000_000_0000
daily_loss_max = 1_000_000_000_000_0000
strategy_daily_loss_max = 1_000_000_000_000_0000
drawdown_max = 1_000_000_000_000_0000
"#;

/// [`CONFIGURATION`], read as the product reads it.
pub fn configuration() -> Config {
    Config::parse(Path::new("bench.toml"), CONFIGURATION).expect("the configuration is right")
}
