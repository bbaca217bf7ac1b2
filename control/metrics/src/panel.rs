//! Where a family is shown: the panels of the dashboard, and its sections.

macro_rules! panels {
    ($($name:ident = $section:literal, $title:literal, $unit:literal;)+) => {
        /// A panel of the dashboard, which is a section of docs/METRICS.md too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Panel { $(#[doc = $title] $name,)+ }

        impl Panel {
            /// Every panel, in the order of the dashboard.
            pub const ALL: &'static [Panel] = &[$(Panel::$name,)+];
            /// Row of the dashboard.
            pub const fn section(self) -> &'static str { match self { $(Panel::$name => $section,)+ } }
            /// What stands above it.
            pub const fn title(self) -> &'static str { match self { $(Panel::$name => $title,)+ } }
            /// Grafana's name of the unit.
            pub const fn unit(self) -> &'static str { match self { $(Panel::$name => $unit,)+ } }
        }
    };
}

panels! {
    State = "Trading", "State", "short";
    Stops = "Trading", "Stops", "short";
    Alerts = "Trading", "Alerts", "short";
    Profit = "Risk", "Profit, currency units", "short";
    LimitUse = "Risk", "Use of limits", "percentunit";
    Limits = "Risk", "Limits and what uses them", "short";
    Positions = "Risk", "Largest positions, shares", "short";
    Refusals = "Risk", "Refusals of the gate", "cps";
    Orders = "Orders", "Orders sent", "cps";
    Answers = "Orders", "Answers of the venue", "cps";
    OpenOrders = "Orders", "Open orders", "short";
    OrderFaults = "Orders", "Order faults", "cps";
    Latency = "Latency", "Latency of the loop", "s";
    FeedTraffic = "Feed and book", "Feed", "cps";
    FeedFaults = "Feed and book", "Feed faults", "cps";
    Trust = "Feed and book", "Trust", "short";
    Book = "Feed and book", "Book faults", "cps";
    Steering = "Port", "Outcomes of the XDP program", "cps";
    Port = "Port", "XDP_STATISTICS and sockets", "cps";
    Frames = "Port", "Frames", "cps";
    Session = "Session", "Order sessions", "short";
    Tcp = "Session", "TCP of the order connection", "cps";
    Rings = "Record", "Rings", "percentunit";
    Journal = "Record", "Journal", "short";
    Disk = "Record", "Disk", "bytes";
    Sinks = "Record", "Databases and message stores", "short";
    Processes = "Host", "Processes", "short";
    Loop = "Host", "Turns of the loop", "cps";
    Memory = "Host", "Memory", "bytes";
    Clock = "Host", "Clock", "s";
    Audit = "Host", "Second opinion and drop copy", "short";
    Scrapes = "Host", "Scrapes", "cps";
}
