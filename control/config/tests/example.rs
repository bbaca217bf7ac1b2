//! The example is the reference: it parses, it names every key, and what it becomes can be read back.

use std::path::Path;

use tern_config::{Config, Core, PortKind, Secret, UntrustedBook, fields::FIELDS};

const EXAMPLE: &str = include_str!("../example.toml");
const MINIMAL: &str = "[instance]\nname = \"m\"\n[port]\nkind = \"socket\"\ninterface = \"lo\"\n";

fn parse(text: &str) -> Config {
    Config::parse(Path::new("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_example_is_right() {
    let config = parse(EXAMPLE);
    assert_eq!(config.instance.name, "demo");
    assert_eq!(config.port.kind, PortKind::Xdp);
    assert_eq!(config.run_loop.core, Core::Auto);
    assert_eq!(config.feed[0].line.index(), 0);
    let session = config.session.as_ref().unwrap();
    assert_eq!((session.address.port(), session.password.reveal()), (9000, "secret"));
    assert_eq!(config.strategy[0].params["half_spread"], 100);
    assert_eq!(config.limits.order_notional_max, 5_000_000 * 10_000);
}

#[test]
fn a_minimal_file_gets_every_default() {
    let config = parse(MINIMAL);
    assert_eq!(config.paths.segment_file(), None);
    assert_eq!(config.paths.control_socket(), Path::new("/run/tern/m/tern.sock"));
    assert_eq!(config.paths.journal, Path::new("/var/lib/tern/m/journal"));
    assert!(config.session.is_none() && config.feed.is_empty());
    assert!(config.limits.position_max <= 2000, "defaults are conservative");
}

#[test]
fn orders_on_an_untrusted_book_are_pulled_unless_the_file_says_hold() {
    assert_eq!(parse(MINIMAL).run_loop.on_untrusted_book, UntrustedBook::Pull);
    let effective = parse(&format!("{MINIMAL}[loop]\non_untrusted_book = \"hold\"\n")).effective_toml();
    assert!(effective.contains("on_untrusted_book = \"hold\""), "{effective}");
    assert_eq!(parse(&effective).run_loop.on_untrusted_book, UntrustedBook::Hold);
}

#[test]
fn the_effective_configuration_reads_back_without_its_secrets() {
    let config = parse(EXAMPLE);
    let effective = config.effective_toml();
    assert!(!effective.contains("\"secret\""), "{effective}");
    assert!(effective.contains(Secret::HIDDEN));
    assert_eq!(parse(&effective).effective_toml(), effective);
    assert!(!format!("{config:?}").contains("password: \"secret\""));
}

#[test]
fn every_key_has_its_advice_and_every_advice_its_key() {
    let effective: toml::Table = toml::from_str(&parse(EXAMPLE).effective_toml()).unwrap();
    let mut keys = Vec::new();
    collect("", &toml::Value::Table(effective), &mut keys);
    for key in &keys {
        assert!(tern_config::fields::find(key).is_some(), "no entry in FIELDS for {key}");
    }
    // A file's keys take the place of its name, and what a position cost that of its price.
    let stays = |path: &str| path != "include" && !path.ends_with("file") && path != "opening.position[].price";
    for field in FIELDS.iter().filter(|field| stays(field.path)) {
        let plain: Vec<String> = keys.iter().map(|key| key.replace("[0]", "[]")).collect();
        assert!(plain.iter().any(|key| key.starts_with(field.path)), "FIELDS has {}, the example not", field.path);
    }
}

fn collect(path: &str, value: &toml::Value, keys: &mut Vec<String>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        toml::Value::Table(table) if !path.ends_with("params") => {
            table.iter().for_each(|(key, value)| collect(&join(key), value, keys));
        }
        toml::Value::Array(entries) if entries.iter().any(toml::Value::is_table) => {
            entries.iter().enumerate().for_each(|(index, entry)| collect(&format!("{path}[{index}]"), entry, keys));
        }
        _ => keys.push(path.to_owned()),
    }
}

#[test]
fn a_password_file_is_read_from_beside_the_configuration() {
    let folder = std::env::temp_dir().join(format!("tern-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("pw"), "from-file\nrest\n").unwrap();
    std::fs::write(folder.join("c.toml"), EXAMPLE.replace("password = \"secret\"", "password_file = \"pw\"")).unwrap();
    let config = Config::load(folder.join("c.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.session.as_ref().unwrap().password.reveal(), "from-file");
    assert_eq!(parse(&config.effective_toml()).session.unwrap().password.reveal(), Secret::HIDDEN);
    std::fs::remove_dir_all(folder).unwrap();
}
