//! Compiles `steer.bpf.c` against a header generated from tern-abi, so that the counters and the layouts of the two
//! sides cannot part, and generates the skeleton that the loader uses.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;
use tern_abi::steer::{
    self, FrameRecord, QueueClaim, SteerCounter, SteerFacts, SubscriptionKey, SubscriptionValue, names,
};

const SOURCE: &str = "src/steer.bpf.c";
/// Debian and Ubuntu keep `asm/types.h` in the multiarch folder, which clang does not search for the BPF target.
const MULTIARCH_INCLUDE: &str = "/usr/include/x86_64-linux-gnu";

fn main() {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("steer_abi.h"), abi_header()).expect("OUT_DIR is writable");

    let mut arguments = vec!["-Wall".into(), "-Werror".into(), "-I".into(), out.clone().into_os_string()];
    if Path::new(MULTIARCH_INCLUDE).is_dir() {
        arguments.push(format!("-I{MULTIARCH_INCLUDE}").into());
    }
    let mut builder = SkeletonBuilder::new();
    if let Some(clang) = env::var_os("CLANG") {
        builder.clang(clang);
    }
    if let Err(error) = builder.source(SOURCE).clang_args(arguments).build_and_generate(out.join("steer.skel.rs")) {
        panic!(
            "compiling {SOURCE} failed: {error:#}\nclang 14 or newer and the kernel's UAPI headers (linux-libc-dev) are \
             needed; scripts/setup installs both"
        );
    }
}

/// `steer_abi.h`: constants, `enum steer_counter` and an assertion for each field.
fn abi_header() -> String {
    let mut header = String::from("/* Generated from tern-abi by build.rs. */\n#pragma once\n");
    for (name, value) in [
        ("STEER_VERSION", steer::STEER_VERSION),
        ("FRAME_UDP", steer::FRAME_UDP),
        ("FRAME_TCP", steer::FRAME_TCP),
        ("FRAME_ARP", steer::FRAME_ARP),
    ] {
        define(&mut header, name, value.into());
    }
    define(&mut header, "STEER_COUNTER_COUNT", SteerCounter::COUNT);
    define(&mut header, "STEER_QUEUES", steer::STEER_QUEUES);
    define(&mut header, "COUNTERS_OF_NOBODY", steer::COUNTERS_OF_NOBODY as usize);
    define(&mut header, "CLAIM_BYTES", size_of::<QueueClaim>());
    header.push_str("enum steer_counter {\n");
    for counter in SteerCounter::ALL {
        writeln!(header, "\tSTEER_{} = {},", counter.name().to_uppercase(), counter.index()).expect("String takes all");
    }
    header.push_str("};\n");

    macro_rules! layout {
        ($c:literal, $rust:ident, $($field:ident)+) => {{
            assert_that(&mut header, &format!("sizeof(struct {})", $c), size_of::<$rust>());
            $(
                let offset = format!("__builtin_offsetof(struct {}, {})", $c, stringify!($field));
                assert_that(&mut header, &offset, offset_of!($rust, $field));
            )+
        }};
    }
    layout!("frame_record", FrameRecord, version kind stream payload_offset payload_bytes queue line reserved arrival_tai_ns nic_ns);
    layout!("subscription_key", SubscriptionKey, group port padding);
    layout!("subscription_value", SubscriptionValue, stream line wanted);
    layout!("steer_facts", SteerFacts, version attach_mode nic_stamp clock interface_index program_id tai_minus_monotonic_ns netns_inode);
    assert_that(&mut header, "sizeof(struct frame_record)", steer::FRAME_RECORD_BYTES);
    for name in
        [names::PROGRAM, names::PROGRAM_NIC, names::SUBSCRIPTIONS, names::OWN_ADDRESSES, names::COUNTERS, names::CLAIMS]
    {
        assert!(name.len() <= 15, "the kernel truncates `{name}` to 15 characters");
    }
    header
}

fn define(header: &mut String, name: &str, value: usize) {
    writeln!(header, "#define {name} {value}").expect("String takes all");
}

fn assert_that(header: &mut String, expression: &str, value: usize) {
    writeln!(header, "_Static_assert({expression} == {value}, \"{expression} differs from tern-abi\");")
        .expect("String takes all");
}
