use super::*;
use crate::firm::tests::two;
use std::cell::RefCell;

/// What dies does so at one of these places, counted over a whole move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// Nothing of the write arrived.
    Before(usize),
    /// All of it arrived, and nobody was told.
    After(usize),
    /// The limit was not set.
    Tighten,
    /// It was set, and nobody was told.
    Tightened,
    Never,
}

/// Two daemons and their limits in force.
struct Host {
    written: Option<Ledger>,
    writes: usize,
    cut: Cut,
    in_force: BTreeMap<&'static str, i64>,
    firm: Firm,
}

const LIMIT: &str = "gross_max";

impl Host {
    fn new(cut: Cut) -> RefCell<Self> {
        let firm = Firm::parse(Path::new("firm.toml"), &two()).unwrap_or_else(|problems| panic!("{problems}"));
        let written = Some(Ledger::first(&firm));
        RefCell::new(Self { written, writes: 0, cut, in_force: [("a", 60), ("b", 30)].into(), firm })
    }

    /// What an instance has in force, or may at once set by what is written: that of all of them is no more than the total.
    fn check(&self) {
        let ledger = self.written.as_ref().expect("a ledger");
        let most = self.in_force.iter().map(|(instance, value)| {
            let ceiling = ledger.ceiling(instance, LIMIT).expect("it is allotted");
            ceiling.max(*value)
        });
        let most: i64 = most.sum();
        assert!(most <= self.firm.total_of(LIMIT), "{most} with {ledger:?} and {:?}", self.in_force);
        ledger.check(&self.firm).expect("what is written fits the firm");
    }
}

struct Shared<'a>(&'a RefCell<Host>);

impl Store for Shared<'_> {
    fn read(&mut self) -> io::Result<Option<Ledger>> {
        Ok(self.0.borrow().written.clone())
    }

    fn write(&mut self, ledger: &Ledger) -> io::Result<()> {
        let mut host = self.0.borrow_mut();
        let at = host.writes;
        host.writes += 1;
        if host.cut == Cut::Before(at) {
            return Err(io::Error::other("dead"));
        }
        host.written = Some(ledger.clone());
        host.check();
        if host.cut == Cut::After(at) { Err(io::Error::other("dead")) } else { Ok(()) }
    }
}

fn tighten(host: &RefCell<Host>) -> impl FnOnce(&Move, i64) -> Result<(), String> {
    |moving, most| {
        let mut host = host.borrow_mut();
        if host.cut == Cut::Tighten {
            return Err("dead".into());
        }
        let value = host.in_force.get_mut(moving.from.as_str()).expect("it is there");
        *value = most.min(*value);
        host.check();
        if host.cut == Cut::Tightened { Err("dead".into()) } else { Ok(()) }
    }
}

fn wanted(from: &str, to: &str, amount: i64) -> Move {
    Move { limit: LIMIT.into(), from: from.into(), to: to.into(), amount, why: "calm".into(), uid: 7 }
}

fn run(host: &RefCell<Host>, wanted: Option<Move>) -> Result<Ledger, MoveError> {
    let firm = host.borrow().firm.clone();
    carry_out(&mut Shared(host), &firm, wanted, tighten(host))
}

fn ceilings(host: &RefCell<Host>) -> (i64, i64) {
    let written = host.borrow().written.clone().expect("a ledger");
    (written.ceiling("a", LIMIT).expect("one"), written.ceiling("b", LIMIT).expect("one"))
}

const CUTS: [Cut; 6] = [Cut::Before(0), Cut::After(0), Cut::Tighten, Cut::Tightened, Cut::Before(1), Cut::After(1)];

#[test]
fn a_move_takes_before_it_gives() {
    let host = Host::new(Cut::Never);
    run(&host, Some(wanted("a", "b", 25))).expect("it is carried out");
    assert_eq!((ceilings(&host), host.borrow().in_force["a"], host.borrow().writes), ((35, 55), 35, 2));
    // The other way, what is in force being less already.
    run(&host, Some(wanted("b", "a", 5))).expect("it is carried out");
    assert_eq!((ceilings(&host), host.borrow().in_force["b"]), ((40, 50), 30));
}

#[test]
fn wherever_a_move_is_cut_no_more_than_the_total_may_be_used_and_it_is_finished_or_undone() {
    for cut in CUTS {
        for is_undone in [false, true] {
            let host = Host::new(cut);
            let error = run(&host, Some(wanted("a", "b", 25))).expect_err("it was cut");
            assert!(matches!(error, MoveError::Half(_)), "{cut:?}: {error:?}");
            host.borrow().check();
            host.borrow_mut().cut = Cut::Never;
            let is_half = host.borrow().written.as_ref().is_some_and(|ledger| ledger.moving.is_some());
            assert_eq!(is_half, !matches!(cut, Cut::Before(0) | Cut::After(1)), "{cut:?}");
            let firm = host.borrow().firm.clone();
            if is_half {
                // Whatever comes after: the one may not set what it gives away, the other not yet what it gets.
                assert_eq!(ceilings(&host), (35, 30), "{cut:?}");
                assert!(matches!(run(&host, Some(wanted("b", "a", 1))), Err(MoveError::Refused(_))), "{cut:?}");
            }
            match (is_half, is_undone) {
                (true, true) => assert_eq!(undo(&mut Shared(&host), &firm).map(|moving| moving.amount), Ok(25)),
                (true, false) => drop(run(&host, None).expect("it is finished")),
                (false, _) => assert!(undo(&mut Shared(&host), &firm).is_err(), "{cut:?}"),
            }
            host.borrow().check();
            let given = cut == Cut::After(1) || (is_half && !is_undone);
            assert_eq!(ceilings(&host), if given { (35, 55) } else { (60, 30) }, "{cut:?} {is_undone}");
        }
    }
}

#[test]
fn what_cannot_be_moved_changes_nothing() {
    let host = Host::new(Cut::Never);
    for (wanted, said) in [
        (wanted("a", "b", 60), "1 to 59 can"),
        (wanted("a", "b", 0), "1 to 59 can"),
        (wanted("a", "b", i64::MIN), "1 to 59 can"),
        (wanted("a", "a", 5), "no move"),
        (wanted("a", "c", 5), "no instance `c`"),
        (Move { limit: "equity".into(), ..wanted("a", "b", 5) }, "`equity` is not allotted"),
    ] {
        let error = run(&host, Some(wanted)).expect_err("refused");
        assert!(matches!(&error, MoveError::Refused(why) if why.contains(said)), "{error:?}");
    }
    assert_eq!(run(&host, None), Err(MoveError::Refused("no move is half done".into())));
    assert_eq!(host.borrow().writes, 0);
}

#[test]
fn a_ledger_that_does_not_fit_the_firm_is_said_to_by_how_much() {
    let host = Host::new(Cut::Never);
    let (firm, right) = (host.borrow().firm.clone(), host.borrow().written.clone().expect("one"));
    let changed = |change: fn(&mut Ledger)| {
        let mut ledger = right.clone();
        change(&mut ledger);
        ledger.check(&firm).expect_err("it does not fit")
    };
    let more = changed(|ledger| {
        ledger.held.entry("a".into()).or_default().insert(LIMIT.into(), 75);
    });
    assert!(more.starts_with("gross_max: the instances have 105 together, 5 more than the total 100;"), "{more}");
    let absent = changed(|ledger| {
        ledger.held.remove("a");
    });
    assert!(absent.contains("of the instances [\"b\"], and the firm file of"), "{absent}");
    let absent = changed(|ledger| {
        ledger.held.entry("b".into()).or_default().remove(LIMIT);
    });
    assert!(absent.contains("no gross_max for b"), "{absent}");
    assert!(changed(|ledger| ledger.firm = "other".into()).contains("of `other`"));
    assert!(changed(|ledger| ledger.moving = Some(wanted("a", "b", 60))).contains("1 to 59 can"));
    assert_eq!(right.left(&firm, LIMIT), 10);
}

#[test]
fn the_file_is_written_whole_under_its_lock() {
    let folder = std::env::temp_dir().join(format!("tern-ledger-{}", std::process::id()));
    let path = folder.join("firm").join("acme.json");
    let host = Host::new(Cut::Never);
    let ledger = host.borrow().written.clone().expect("one");
    let mut locked = Locked::take(&path).expect("its folder is made");
    assert_eq!(locked.read().expect("readable"), None);
    locked.write(&ledger).expect("written");
    let began = Instant::now();
    let second = Locked::take(&path).expect_err("it is held");
    assert!(second.kind() == io::ErrorKind::TimedOut && began.elapsed() >= LOCK_PATIENCE, "{second}");
    drop(locked);
    let mut locked = Locked::take(&path).expect("it is free");
    assert_eq!(locked.read().expect("readable"), Some(ledger));
    fs::write(&path, "{").expect("written");
    let firm = host.borrow().firm.clone();
    assert!(read_checked(&mut locked, &firm).expect_err("torn").contains("cannot be read"));
    fs::remove_dir_all(&folder).expect("removed");
}
