//! Ports (AF_XDP and sockets), huge pages, pinning, clocks.
