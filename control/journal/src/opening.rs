//! The lines of a start record that say what was held when the day began: the configuration in it says the same, and these
//! spare whoever adds up a journal from knowing configurations.

/// What such a line begins with.
const LINE: &str = "#opening ";

/// A position of an earlier day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Account id.
    pub account: u16,
    /// Strategy id.
    pub strategy: u16,
    /// Symbol, space padded.
    pub symbol: [u8; 8],
    /// Signed shares.
    pub shares: i64,
    /// What they cost, signed like them, 1/10000.
    pub cost: i64,
}

impl Opening {
    /// As a line behind the effective configuration.
    pub fn to_line(&self) -> String {
        let Self { account, strategy, symbol, shares, cost } = self;
        let symbol = String::from_utf8_lossy(symbol);
        format!("{LINE}{account} {strategy} {} {shares} {cost}\n", symbol.trim_end())
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix(LINE)?.split_whitespace();
        let (account, strategy) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let name = words.next().filter(|name| name.len() <= 8)?;
        let mut symbol = [b' '; 8];
        symbol.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
        let (shares, cost) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { account, strategy, symbol, shares, cost })
    }

    /// Those that the text of a start record says; `None` when one of its lines cannot be read.
    pub fn of_start(text: &str) -> Option<Vec<Self>> {
        text.lines().filter(|line| line.starts_with(LINE)).map(Self::from_line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_cannot_be_read_is_not_left_out() {
        let one = Opening { account: 2, strategy: 7, symbol: *b"A#B     ", shares: -300, cost: -3000_0000 };
        let other = Opening { symbol: *b"LONGNAME", shares: i64::MAX, cost: 1, ..one };
        let text = format!("x = 1\n#run day=7\n{}{}#names {{}}\n", one.to_line(), other.to_line());
        assert_eq!(Opening::of_start(&text), Some(vec![one, other]));
        assert_eq!(Opening::of_start("x = 1\n"), Some(vec![]));
        for bad in ["#opening 1 1 TERN 5", "#opening 1 1 TOOLONGNAME 5 5", "#opening 1 x TERN 5 5"] {
            assert_eq!(Opening::of_start(&format!("{}{bad}\n", one.to_line())), None, "{bad}");
        }
    }
}
