//! The control daemon: configuration, XDP, supervision, journal drain.
