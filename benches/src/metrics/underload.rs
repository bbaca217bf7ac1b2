//! `loop_under_load`: tick to order of a loop beside which the host does all that it may have to do at once (see
//! [`load`](crate::load)), in turns with the same loop alone. The loop has one core, as the product pins it; everything else
//! has the other one, the drain of the loop's own journal included.

use std::path::Path;
use std::time::{Duration, Instant};

use tern_config::Config;
use tern_hw::pin;
use tern_hw::segment::{DaemonSegment, DataPlaneSegment, SegmentSpec};
use tern_sim::generate::Shape;

use super::tick::Rig;
use crate::flow::{self, Packing, generate};
use crate::harness::{Plan, RUNS_MIN, Row, RowBuilder};
use crate::journaler::{Progress, journaling_in};
use crate::load::Load;
use crate::setting::{CONFIGURATION, Scratch, pin_to, two_cores};

/// Live orders before the open.
const OPENING_ORDERS: u32 = 200_000;
/// Datagrams that are not measured, and those of a run.
const WARM: usize = 20_000;
const RUN: usize = 8_000;
/// Runs from one change of the load to the next. Many short ones: what other guests of the host do moves a run by a fifth, and is another
/// thing in the next.
const RUNS: usize = 5;
/// From the load's begin to the first run, so that queries are at all their stages, and from its end.
const BEGIN: Duration = Duration::from_millis(1_200);
const END: Duration = Duration::from_millis(300);
/// Nobody else on this host listens there.
const METRICS_PORT: u16 = 29_464;
/// As the product's loop, where it may.
const FIFO_PRIORITY: u8 = 50;

/// What runs of one kind came to.
#[derive(Default)]
struct Figures {
    /// p50 and p99 of each run, ns.
    of: [Vec<f64>; 2],
    /// How long the runs took, and how much of it the flow waited for the journal.
    took: Duration,
    waited: Duration,
}

/// Runs in turns: with the load, and alone.
fn measure(config: &Config, load: &Load, turns: usize, own_core: usize, disk: &Path) -> (Figures, Figures) {
    let steady = ((WARM + (2 * turns + 1) * RUNS * RUN) * 4) as u64;
    let plan = flow::Plan {
        shape: Shape::RealDay,
        opening_orders: OPENING_ORDERS,
        steady,
        packing: Packing::Recorded,
        burst: false,
    };
    let flow = generate(plan);
    load.symbol.set(flow.busiest_symbol().expect("a day begins with the directory")).expect("it is set once");
    let spec = SegmentSpec {
        path: config.paths.segment_file().map(Into::into),
        sizes: config.rings.sizes(),
        ..SegmentSpec::new(config.instance.name.clone())
    };
    let mut data_plane = DataPlaneSegment::open(&spec).expect("a segment of its own can be made");
    let mut daemon = DaemonSegment::open(&spec).expect("the segment was just made");
    let ends = data_plane.ends().expect("rings of our own");
    let words = ends.segment;
    let (clock, _anchorer) = tern_hw::clock::calibrate();
    let work = move |journal: &Progress| {
        pin_to(own_core);
        // Where it is not granted the loop runs without, as the product's.
        let _ = pin::set_fifo(config.run_loop.sched_fifo.then_some(FIFO_PRIORITY));
        let mut rig = Rig::new(config, words.words(), ends.recorder, &clock);
        let (opening, rest) = flow.datagrams.split_at(flow.steady_from);
        let (warm, rest) = rest.split_at(WARM);
        rig.ticks(opening, Some(journal));
        rig.ticks(warm, Some(journal));
        rig.log_in();
        let (mut loaded, mut alone) = (Figures::default(), Figures::default());
        for (number, part) in rest.chunks_exact(RUNS * RUN).take(2 * turns).enumerate() {
            // Who begins a pair changes.
            let is_loaded = (number % 2 == 0) == (number / 2 % 2 == 0);
            let figures = if is_loaded { &mut loaded } else { &mut alone };
            load.set(is_loaded);
            std::thread::sleep(if is_loaded { BEGIN } else { END });
            journal.take_waited();
            let began = Instant::now();
            for run in part.chunks_exact(RUN) {
                let run = rig.run(run, Some(journal)).figures;
                figures.of.iter_mut().zip(run).for_each(|(all, figure)| all.push(figure));
            }
            figures.took += began.elapsed();
            figures.waited += journal.take_waited();
        }
        (loaded, alone)
    };
    journaling_in(&disk.join("journal"), &mut daemon, work).0
}

/// Ends the load when dropped: a panic ends it too, so that it shows.
struct End<'a>(&'a Load);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// See the module.
pub fn loop_under_load(plan: Plan) -> Vec<Row> {
    let Some([other_core, own_core]) = two_cores("loop_under_load") else { return Vec::new() };
    let (disk, shared) = (Scratch::disk(), Scratch::shared_memory());
    let path = |folder: &Scratch, name: &str| folder.path().join(name).display().to_string();
    let text = format!(
        "{CONFIGURATION}\n[paths]\nsegment = {:?}\njournal = {:?}\nrun = {:?}\n[metrics]\nlisten = \"127.0.0.1:{METRICS_PORT}\"\n",
        path(&shared, "segment"),
        path(&disk, "journal"),
        path(&disk, "run"),
    );
    let file = disk.path().join("tern.toml");
    std::fs::write(&file, &text).expect("the disk is not full");
    std::fs::create_dir_all(disk.path().join("run")).expect("the disk is not full");
    let config = Config::parse(&file, &text).expect("the configuration is right");
    let Some(load) = Load::new("loop_under_load", &file, &config.paths.journal, METRICS_PORT) else {
        return Vec::new();
    };
    let turns = plan.runs.max(RUNS_MIN) * plan.scale;
    let (loaded, alone) = std::thread::scope(|scope| {
        // A thread of its own: where it is pinned, the others of this process are not.
        let begun = scope.spawn(|| {
            pin_to(other_core);
            std::thread::scope(|inner| {
                load.begin(inner);
                let _end = End(&load);
                measure(&config, &load, turns, own_core, disk.path())
            })
        });
        begun.join().expect("both are measured")
    });
    let done = [&load.done.records, &load.done.queries, &load.done.scrapes, &load.done.exports]
        .map(|count| count.load(std::sync::atomic::Ordering::Relaxed));
    assert!(done.iter().all(|count| *count > 0), "the load was there: {done:?}");
    let waited = |figures: &Figures| 100.0 * figures.waited.as_secs_f64() / figures.took.as_secs_f64();
    let note = format!(
        "beside it, on the other core: {} records journaled at full rate, {} scrapes, {} queries answered and {} exports begun; the flow \
         waited {:.0} % of the time for its own journal, {:.0} % alone",
        done[0],
        done[2],
        done[1],
        done[3],
        waited(&loaded),
        waited(&alone),
    );
    let row = |metric, index: usize, ratio| {
        RowBuilder::new(metric, "ns", loaded.of[index].clone())
            .peer("the same loop alone", alone.of[index].clone())
            .target_ratio(ratio)
            .note(note.clone())
            .build()
    };
    vec![row("loop_under_load_p50", 0, 1.05), row("loop_under_load_p99", 1, 1.5)]
}
