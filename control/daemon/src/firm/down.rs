//! What an instance still uses of its allotment whose data plane stays down. Nobody can tighten a limit there, and nobody has
//! to: the ledger is asked before a data plane starts. But what it holds, and what it left open at the venue, is there.

use std::collections::BTreeMap;

use tern_abi::event::SIDE_SELL;
use tern_config::ledger::Move;
use tern_hw::segment::SegmentView;
use tern_journal::recovered::{Recovered, RecoveredOrder, last_day_begins, recovered};

use super::{index_of, used, used::is_within};
use crate::shared::Shared;

/// Whether the data plane is down, and this daemon starts none again: from here on it is another daemon that asks the ledger.
pub(super) fn stays_down(shared: &Shared<'_>) -> bool {
    let facts = shared.facts();
    facts.gave_up && facts.dataplane_pid == 0
}

/// Whether what the instance uses fits into what would be left to it.
///
/// # Errors
/// It does not, or nobody can say what it uses, and what to do.
pub(super) fn fits(shared: &Shared<'_>, moving: &Move, left: i64) -> Result<(), String> {
    nobody_runs(shared)?;
    let used = match moving.limit.as_str() {
        "orders_per_second_max" => 0,
        "open_orders_max" => open_orders(&day(shared)?),
        "position_max" => worst_position(&day(shared)?),
        // Money at today's prices, losses and messages are not in the journal as the gate counts them.
        limit => {
            day(shared)?;
            as_said_last(shared, limit)?
        }
    };
    is_within(&moving.limit, used, left)
}

/// One that somebody started by hand asks no ledger.
fn nobody_runs(shared: &Shared<'_>) -> Result<(), String> {
    let config = shared.config;
    let view = SegmentView::open(&config.instance.name, config.paths.segment_file());
    let holder = view.map_err(|error| error.to_string())?.data_plane().map_err(|error| error.to_string())?;
    holder.map_or(Ok(()), |pid| {
        Err(format!("process {pid} has the data plane's part, which ternd did not start: end it"))
    })
}

/// What was used under the limit that was in force last, and no less than that limit: after the last look as much may have
/// been used. More was used where the limit was set below it, or a loss ran past it. A look from before the limit held says
/// nothing: it may have been wider then, and more used after the look.
fn as_said_last(shared: &Shared<'_>, limit: &str) -> Result<i64, String> {
    let words = shared.segment.words();
    let limits = words.limits.read();
    let in_force = limits.zip(index_of(shared, limit).ok()).and_then(|(limits, index)| {
        let value = limits.values().get(index).copied()?;
        Some((value, index, limits.since_ns))
    });
    let (value, index, since_ns) = in_force.ok_or_else(|| {
        format!("no data plane has said which {limit} was in force here, so nobody knows what is used: ask when one runs here")
    })?;
    let used = used::known_since(words, limit, index, since_ns).ok_or_else(|| {
        format!("the last data plane has not said what it used of {limit} = {value}, so nobody knows: ask when one runs here")
    })?;
    Ok(used.max(value))
}

/// The last day of the journal, if it has everything and agreed with the venue's log.
fn day(shared: &Shared<'_>) -> Result<Recovered, String> {
    let words = shared.segment.words();
    let journaled = words.journaled_seq.get();
    let missing = words.next_seq.get().saturating_sub(1).saturating_sub(journaled);
    if missing > 0 {
        return Err(format!("{missing} records of the last run are not in the journal yet: ask again"));
    }
    let folder = &shared.config.paths.journal;
    let (day, _) = last_day_begins(folder)
        .and_then(|begins| recovered(folder, begins..=u64::MAX))
        .map_err(|error| format!("what is held and open here is not known: {error}"))?;
    // A folder that is empty or another one reads as a day on which nothing was done.
    if day.last_seq < journaled {
        return Err(format!(
            "what is held and open here is not known: the journal in {} ends with record {}, and {journaled} were written: put it back",
            folder.display(),
            day.last_seq
        ));
    }
    if day.unreconciled || day.unreadable > 0 {
        return Err(
            "what is held and open here is not known: the last run has not agreed with the venue's log (`tern \
                    recover` says in what)"
                .into(),
        );
    }
    Ok(day)
}

/// Orders that may still trade: sent, and not over by the venue's word. One with a replace on its way is one order.
fn open_orders(day: &Recovered) -> i64 {
    let open: BTreeMap<u32, &RecoveredOrder> = day.orders().filter(|(_, order)| order.open).collect();
    let is_on_its_way = |order: &RecoveredOrder| !order.acknowledged && open.contains_key(&order.replaces);
    open.values().filter(|order| !is_on_its_way(order)).count().try_into().unwrap_or(i64::MAX)
}

/// The largest position of a symbol, long or short, with all open orders of the worse side filled; of a replace on its way
/// both count.
fn worst_position(day: &Recovered) -> i64 {
    // Held, open to buy, open to sell.
    let mut of_symbols = BTreeMap::<[u8; 8], [i64; 3]>::new();
    for ((_, symbol), position) in day.positions() {
        let held = &mut of_symbols.entry(symbol).or_default()[0];
        *held = held.saturating_add(position.shares);
    }
    for (_, order) in day.orders().filter(|(_, order)| order.open) {
        let place = 1 + usize::from(order.side == SIDE_SELL);
        let open = &mut of_symbols.entry(day.symbol(order.instrument)).or_default()[place];
        *open = open.saturating_add(order.leaves.into());
    }
    let worst =
        of_symbols.values().map(|[held, buys, sales]| held.saturating_add(*buys).max(sales.saturating_sub(*held)));
    worst.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tern_abi::event::SIDE_BUY;
    use tern_abi::record::{ACTION_NEW, ACTION_REPLACE, Kind, OrderRecord, RecordHeader};
    use zerocopy::IntoBytes;

    #[test]
    fn a_replace_on_its_way_is_one_order_and_both_its_shares() {
        let mut day = Recovered::default();
        let order = |action, order, replaces, side, quantity| OrderRecord {
            action,
            order,
            replaces,
            side,
            quantity,
            instrument: 3,
            symbol: *b"TERN    ",
            ..OrderRecord::default()
        };
        let sent = [
            order(ACTION_NEW, 1, 0, SIDE_BUY, 100),
            order(ACTION_REPLACE, 2, 1, SIDE_BUY, 150),
            order(ACTION_NEW, 3, 0, SIDE_SELL, 40),
        ];
        for (seq, order) in (1..).zip(&sent) {
            let body_bytes = order.as_bytes().len() as u32;
            let header = RecordHeader { seq, tai_ns: seq, kind: Kind::Order as u16, flags: 0, body_bytes };
            day.apply(&header, order.as_bytes());
        }
        assert_eq!((open_orders(&day), worst_position(&day)), (2, 250));
        assert_eq!((open_orders(&Recovered::default()), worst_position(&Recovered::default())), (0, 0));
    }
}
