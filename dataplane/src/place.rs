//! Where the loop runs: core, scheduling class, memory. What the host refuses is reported and done without.

use tern_config::{Config, Core};
use tern_hw::pin::{self, Outcome};

/// Priority under SCHED_FIFO: above ordinary real-time work, below the kernel's own threads.
const FIFO_PRIORITY: u8 = 50;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) core: Option<u32>,
    pub(crate) sched_fifo: bool,
    pub(crate) fallbacks: Vec<String>,
}

/// Puts the calling thread where the configuration wants it.
pub(crate) fn settle(config: &Config) -> Place {
    let mut place = Place::default();
    let core = match config.run_loop.core {
        Core::None => None,
        Core::Number(core) => Some(usize::from(core)),
        Core::Auto => pin::allowed_cores().last().copied(),
    };
    if let Some(core) = core {
        match pin::pin_current_thread(core) {
            Ok(pinned) => place.core = Some(pinned.core as u32),
            Err(error) => place.fallbacks.push(error.to_string()),
        }
    }
    match pin::set_fifo(config.run_loop.sched_fifo.then_some(FIFO_PRIORITY)) {
        Outcome::On => place.sched_fifo = true,
        Outcome::Off => {}
        Outcome::Denied(why) => place.fallbacks.push(why),
    }
    if let Outcome::Denied(why) = pin::lock_memory() {
        place.fallbacks.push(why);
    }
    place
}
