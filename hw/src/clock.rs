//! The clock: TAI in ns, read from the CPU's time stamp counter in about the time that reading the counter takes.
//!
//! The counter is calibrated against `CLOCK_TAI` at start and re-anchored off the hot path ([`Anchorer`]), because
//! neither its rate nor the kernel's clock is exact. A new anchor continues where the old one is and changes the rate a
//! little, so that time never steps back; only a kernel clock that jumped ahead makes it jump too.
//!
//! `CLOCK_TAI` is UTC plus the offset that the host's time daemon told the kernel. Where none did, that offset is 0 and
//! TAI reads as UTC: every stamp of the host then agrees on that, XDP's included ([`tai_offset_s`]).

#![allow(unsafe_code, reason = "reads the counter and the kernel's clocks")]

use std::cell::Cell;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// How long the counter is watched at start, ns.
const CALIBRATION_NS: u64 = 20_000_000;
/// Behind the kernel by more than this, the clock jumps instead of catching up, ns.
const JUMP_NS: i64 = 1_000_000;
/// Most by which the rate may differ from the true one in order to catch up or fall back: one in so many.
const SLEW_ONE_IN: i64 = 200;
/// The rate is ns per tick in units of 2^-32.
const RATE_SHIFT: u32 = 32;

/// Where time comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The time stamp counter.
    Tsc,
    /// `clock_gettime`, and why not the counter.
    Kernel(String),
}

/// A clock for one thread. Clones go to other threads and read the same time.
#[derive(Debug)]
pub struct Clock {
    shared: Option<Arc<Anchor>>,
    source: Arc<Source>,
    /// The last time given out by this clone: none is given out after a later one.
    last_ns: Cell<u64>,
}

/// Corrects the clock, off the hot path.
#[derive(Debug)]
pub struct Anchorer {
    shared: Option<Arc<Anchor>>,
    /// What the true rate was measured from.
    first: Reading,
    /// The true rate as measured last.
    true_rate: u64,
}

/// `tai_ns` at `ticks`, and the rate from there on. Readers take it while it is rewritten: `version` is odd meanwhile.
#[derive(Debug)]
#[repr(align(128))]
struct Anchor {
    version: AtomicU64,
    ticks: AtomicU64,
    tai_ns: AtomicU64,
    rate: AtomicU64,
}

/// Counter and kernel clock at one moment.
#[derive(Clone, Copy, Debug)]
struct Reading {
    ticks: u64,
    tai_ns: u64,
}

/// What a correction found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Correction {
    /// Kernel's time minus ours before it, ns.
    pub offset_ns: i64,
    /// Whether the clock jumped ahead.
    pub jumped: bool,
}

/// Makes the clock: from the counter if it is invariant and the kernel trusts it, else from the kernel. Takes 20 ms.
pub fn calibrate() -> (Clock, Anchorer) {
    match trust() {
        Ok(()) => {
            let first = read_both();
            while kernel_tai_ns().wrapping_sub(first.tai_ns) < CALIBRATION_NS {
                std::hint::spin_loop();
            }
            let second = read_both();
            let true_rate = rate_between(first, second);
            let shared = Arc::new(Anchor {
                version: AtomicU64::new(0),
                ticks: AtomicU64::new(second.ticks),
                tai_ns: AtomicU64::new(second.tai_ns),
                rate: AtomicU64::new(true_rate),
            });
            let anchorer = Anchorer { shared: Some(shared.clone()), first, true_rate };
            (Clock { shared: Some(shared), source: Source::Tsc.into(), last_ns: Cell::new(0) }, anchorer)
        }
        Err(why) => from_kernel(why),
    }
}

/// A clock that asks the kernel each time; `why` says why the counter is not used.
pub fn from_kernel(why: impl Into<String>) -> (Clock, Anchorer) {
    let clock = Clock { shared: None, source: Source::Kernel(why.into()).into(), last_ns: Cell::new(0) };
    (clock, Anchorer { shared: None, first: Reading { ticks: 0, tai_ns: 0 }, true_rate: 0 })
}

impl Clock {
    /// TAI ns; never less than this clone said before.
    #[inline]
    pub fn now(&self) -> u64 {
        let now = match &self.shared {
            Some(anchor) => anchor.at(ticks()),
            None => kernel_tai_ns(),
        };
        let now = now.max(self.last_ns.get());
        self.last_ns.set(now);
        now
    }

    /// Where time comes from.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl Clone for Clock {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), source: self.source.clone(), last_ns: self.last_ns.clone() }
    }
}

impl Anchorer {
    /// Compares the clock with the kernel's and aims it to agree after another `period_ns`. Call it every `period_ns`,
    /// a tenth of a second to some seconds; `None` if the clock is the kernel's anyway.
    pub fn correct(&mut self, period_ns: u64) -> Option<Correction> {
        let anchor = self.shared.as_ref()?;
        let now = read_both();
        let ours = anchor.at(now.ticks);
        let offset_ns = now.tai_ns.wrapping_sub(ours) as i64;
        let jumped = offset_ns > JUMP_NS;
        // Watched for as long as possible, the rate gets better; a kernel clock that was set spoils the old reading.
        if jumped || offset_ns < -JUMP_NS {
            self.first = Reading { ticks: now.ticks, tai_ns: now.tai_ns };
        }
        // Not the anchor's rate, which is slewed: while a clock that was set back is waited for, slews would add up.
        if now.tai_ns.wrapping_sub(self.first.tai_ns) >= CALIBRATION_NS {
            self.true_rate = rate_between(self.first, now);
        }
        let true_rate = self.true_rate;
        let tai_ns = if jumped { now.tai_ns } else { ours };
        let behind = if jumped { 0 } else { offset_ns };
        let most = true_rate as i64 / SLEW_ONE_IN;
        let slew = i128::from(true_rate) * i128::from(behind) / i128::from(period_ns.max(1));
        let slew = slew.clamp(-i128::from(most), i128::from(most)) as i64;
        anchor.set(now.ticks, tai_ns, true_rate.saturating_add_signed(slew));
        Some(Correction { offset_ns, jumped })
    }
}

impl Anchor {
    #[inline]
    fn at(&self, ticks: u64) -> u64 {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let base = self.ticks.load(Ordering::Relaxed);
            let tai_ns = self.tai_ns.load(Ordering::Relaxed);
            let rate = self.rate.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if version & 1 == 0 && self.version.load(Ordering::Relaxed) == version {
                // A reading from just before the anchor was set counts as the anchor's.
                let passed = ticks.saturating_sub(base);
                return tai_ns + ((u128::from(passed) * u128::from(rate)) >> RATE_SHIFT) as u64;
            }
            std::hint::spin_loop();
        }
    }

    fn set(&self, ticks: u64, tai_ns: u64, rate: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.ticks.store(ticks, Ordering::Relaxed);
        self.tai_ns.store(tai_ns, Ordering::Relaxed);
        self.rate.store(rate, Ordering::Relaxed);
        self.version.store(version + 2, Ordering::Release);
    }
}

fn rate_between(first: Reading, second: Reading) -> u64 {
    let ns = u128::from(second.tai_ns.wrapping_sub(first.tai_ns));
    let ticks = u128::from(second.ticks.wrapping_sub(first.ticks)).max(1);
    ((ns << RATE_SHIFT) / ticks) as u64
}

/// Counter and kernel clock as close together as a few tries get them.
fn read_both() -> Reading {
    let one = || {
        let before = ticks();
        let tai_ns = kernel_tai_ns();
        let gap = ticks().wrapping_sub(before);
        (gap, Reading { ticks: before + gap / 2, tai_ns })
    };
    (0..32).map(|_| one()).min_by_key(|(gap, _)| *gap).map_or_else(|| one().1, |(_, reading)| reading)
}

/// `CLOCK_TAI`, ns.
pub fn kernel_tai_ns() -> u64 {
    clock_ns(libc::CLOCK_TAI)
}

/// TAI minus UTC as the kernel has it, seconds: 37 since 2017; 0 where nobody told the kernel, and TAI reads as UTC.
pub fn tai_offset_s() -> i64 {
    let difference = clock_ns(libc::CLOCK_TAI) as i64 - clock_ns(libc::CLOCK_REALTIME) as i64;
    (difference + difference.signum() * 500_000_000) / 1_000_000_000
}

/// What the kernel says of its clock, as the host's time daemon keeps it (adjtimex(2), read only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelClock {
    /// A time daemon keeps it.
    pub is_synchronized: bool,
    /// What is still to be corrected, ns.
    pub offset_ns: i64,
    /// Bound of its error, as the time daemon said and as it grows since, ns.
    pub max_error_ns: i64,
    /// CLOCK_TAI minus CLOCK_REALTIME; 0 where nobody told the kernel the leap seconds.
    pub tai_offset_ns: i64,
}

/// The kernel's clock now.
pub fn kernel_clock() -> KernelClock {
    crate::sys::kernel_clock()
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a struct of the right type; these clocks exist on every kernel that Tern runs on.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline]
fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads a register; `trust` refuses CPUs without it.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}

/// Whether the counter can be used; why not.
fn trust() -> Result<(), String> {
    if !is_invariant() {
        return Err("the CPU has no invariant time stamp counter".into());
    }
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = fs::read_to_string(path).unwrap_or_default();
    match source.trim() {
        // Kernels fall back to these when they find the counters of the cores apart.
        distrust @ ("hpet" | "acpi_pm" | "jiffies" | "refined-jiffies") => {
            Err(format!("the kernel does not trust the time stamp counter (it uses {distrust})"))
        }
        _ => Ok(()),
    }
}

fn is_invariant() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::__cpuid;
        const POWER_LEAF: u32 = 0x8000_0007;
        __cpuid(0x8000_0000).eax >= POWER_LEAF && __cpuid(POWER_LEAF).edx & 1 << 8 != 0
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock may be this far from the kernel's right after calibration, ns: preemption included.
    const CLOSE_NS: i64 = 200_000;

    fn offset_ns(clock: &Clock) -> i64 {
        (0..20).map(|_| clock.now().wrapping_sub(kernel_tai_ns()) as i64).min_by_key(|offset| offset.abs()).unwrap_or(0)
    }

    #[test]
    fn it_agrees_with_the_kernel_and_keeps_agreeing() {
        let (clock, mut anchorer) = calibrate();
        assert!(offset_ns(&clock).abs() < CLOSE_NS);
        for _ in 0..10 {
            let until = kernel_tai_ns() + 20_000_000;
            while kernel_tai_ns() < until {}
            let found = anchorer.correct(20_000_000);
            assert_eq!(found.is_some(), *clock.source() == Source::Tsc);
            assert!(offset_ns(&clock).abs() < CLOSE_NS, "{found:?}");
        }
    }

    #[test]
    fn it_never_steps_back_whatever_the_kernel_clock_does() {
        let (clock, mut anchorer) = calibrate();
        let Some(anchor) = anchorer.shared.clone() else {
            eprintln!("SKIP: no invariant time stamp counter on this host");
            return;
        };
        let mut last = clock.now();
        for shift_ns in [0_i64, 50_000, -50_000, 5_000_000, -5_000_000] {
            // As if the kernel's clock had been moved the other way.
            anchor.tai_ns.store(anchor.tai_ns.load(Ordering::Relaxed).wrapping_add_signed(shift_ns), Ordering::Relaxed);
            let found = anchorer.correct(10_000_000).expect("the counter");
            assert_eq!(found.jumped, found.offset_ns > JUMP_NS, "{found:?}");
            for _ in 0..1000 {
                let now = clock.now();
                assert!(now >= last);
                last = now;
            }
        }
    }

    #[test]
    fn however_long_a_clock_that_was_set_back_is_waited_for_time_runs_half_a_percent_slower_at_most() {
        let (_, mut anchorer) = calibrate();
        let Some(anchor) = anchorer.shared.clone() else {
            eprintln!("SKIP: no invariant time stamp counter on this host");
            return;
        };
        let before = anchor.rate.load(Ordering::Relaxed);
        anchor.tai_ns.fetch_add(1_000_000_000, Ordering::Relaxed);
        for _ in 0..20 {
            anchorer.correct(100_000_000);
        }
        let rate = anchor.rate.load(Ordering::Relaxed);
        let slowest = before - before / SLEW_ONE_IN as u64 - 1;
        assert!((slowest..before).contains(&rate), "{before} {rate}");
    }

    #[test]
    fn an_offset_is_worked_off_within_a_period() {
        let (clock, mut anchorer) = calibrate();
        let Some(anchor) = anchorer.shared.clone() else {
            eprintln!("SKIP: no invariant time stamp counter on this host");
            return;
        };
        anchor.tai_ns.fetch_add(60_000, Ordering::Relaxed);
        let period_ns = 20_000_000;
        for _ in 0..3 {
            anchorer.correct(period_ns);
            let until = kernel_tai_ns() + period_ns;
            while kernel_tai_ns() < until {}
        }
        assert!(offset_ns(&clock).abs() < 30_000, "{} ns off", offset_ns(&clock));
    }

    #[test]
    fn the_kernel_is_the_fallback() {
        let (clock, mut anchorer) = from_kernel("asked for");
        assert_eq!(clock.source(), &Source::Kernel("asked for".into()));
        assert_eq!(anchorer.correct(1), None);
        assert!(offset_ns(&clock).abs() < CLOSE_NS);
        assert!((0..=60).contains(&tai_offset_s()));
        let kernel = kernel_clock();
        assert!(kernel.max_error_ns >= 0 && kernel.tai_offset_ns >= 0, "{kernel:?}");
        assert!(!kernel.is_synchronized || kernel.offset_ns.abs() < 1_000_000_000, "{kernel:?}");
    }
}
