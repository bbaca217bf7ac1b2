//! `tern order`.

/// What is done with orders by hand.
#[derive(Debug, clap::Subcommand)]
pub enum OrderVerb {
    /// Sends a new order. It belongs to the strategy `manual`, which has to be configured.
    Send {
        /// Symbol.
        #[arg(long, value_name = "SYMBOL")]
        symbol: String,
        /// To buy or to sell; whether a sale is short, the gate says.
        #[arg(long, value_enum)]
        side: OrderSide,
        /// How many.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        shares: u32,
        /// Limit price, in the currency unit, for example 12.34.
        #[arg(long, value_name = "PRICE", value_parser = price)]
        price: i64,
        /// How long it stands.
        #[arg(long, value_enum, default_value_t = Tif::Day)]
        tif: Tif,
        /// Only if it does not trade at once.
        #[arg(long)]
        post_only: bool,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Only says what the gate would.
        #[arg(long)]
        dry_run: bool,
    },
    /// Cancels any open order of the account, whosever it is.
    Cancel {
        /// The order, by any id that it has (`tern orders`).
        id: u32,
        /// Why; it is journaled.
        #[arg(long, value_name = "TEXT")]
        why: String,
        /// Only says whether it is open.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Side of an order.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderSide {
    /// Buy.
    Buy,
    /// Sell.
    Sell,
}

/// How long an order stands.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tif {
    /// Until the end of the day.
    Day,
    /// What does not trade at once is cancelled.
    Ioc,
    /// For the opening cross.
    Open,
    /// For the closing cross.
    Close,
}

/// A price in the currency unit as 1/10000 of it.
pub(super) fn price(text: &str) -> Result<i64, String> {
    let wrong = || "a price above 0 with at most four decimals is needed, for example 12.34".to_owned();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 4 {
        return Err(wrong());
    }
    let decimals: i64 = format!("{part:0<4}").parse().map_err(|_| wrong())?;
    let value = whole.parse::<i64>().ok().and_then(|whole| whole.checked_mul(10_000)?.checked_add(decimals));
    value.filter(|value| *value > 0).ok_or_else(wrong)
}
