//! Ways round the gate that do not compile. Each file is one of them, and each has the error that stops it beside it.

#[test]
fn no_way_round_the_gate_compiles() {
    trybuild::TestCases::new().compile_fail("tests/bypass/*.rs");
}
