//! The simulated exchange: matching engine, feed publisher, order entry server, flow generator.
