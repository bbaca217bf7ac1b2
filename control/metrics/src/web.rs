//! The page for people who would rather look: files in this program, and who may have them.

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    path: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// `uplot.js` and `uplot.css` are uPlot 1.6.32 as its authors made them (MIT, `web/LICENSE-uPlot`).
const ASSETS: [Asset; 5] = [
    Asset { path: "/", kind: HTML, text: include_str!("../web/index.html") },
    Asset { path: "/page.js", kind: SCRIPT, text: include_str!("../web/page.js") },
    Asset { path: "/page.css", kind: STYLE, text: include_str!("../web/page.css") },
    Asset { path: "/uplot.js", kind: SCRIPT, text: include_str!("../web/uplot.js") },
    Asset { path: "/uplot.css", kind: STYLE, text: include_str!("../web/uplot.css") },
];

/// Sent with everything: nothing from elsewhere is loaded, no other page may frame or read this one.
pub(crate) const HEADERS: &str = "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n\
Cross-Origin-Resource-Policy: same-origin\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
Cache-Control: no-store\r\n";

/// The file at `path`.
pub(crate) fn asset(path: &str) -> Option<Asset> {
    ASSETS.into_iter().find(|asset| asset.path == path)
}

/// Whether a `Host` header names this host as loopback names it. A page from elsewhere whose name was pointed at 127.0.0.1
/// (DNS rebinding) comes with that name, and is not to read positions.
pub(crate) fn is_loopback_host(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        Some(_) => return false,
        None => host,
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_what_there_is_and_nothing_from_elsewhere() {
        let page = asset("/").expect("the page").text;
        let named: Vec<&str> =
            page.split(['"', '\'']).filter(|part| part.ends_with(".js") || part.ends_with(".css")).collect();
        assert_eq!(named.len(), 4, "{named:?}");
        for name in named {
            assert!(asset(&format!("/{name}")).is_some(), "{name}");
        }
        for asset in ASSETS.iter().filter(|asset| !asset.path.contains("uplot")) {
            assert!(!asset.text.contains("//cdn") && !asset.text.contains("http://"), "{}", asset.path);
            assert!(!asset.text.contains("innerHTML") && !asset.text.contains("style="), "{}", asset.path);
        }
        assert!(asset("/../Cargo.toml").is_none());
    }

    #[test]
    fn only_a_name_of_this_host_is_answered() {
        for host in ["127.0.0.1:9464", "localhost:9464", "LOCALHOST", "127.1.2.3:1"] {
            assert!(is_loopback_host(host.as_bytes()), "{host}");
        }
        for host in
            ["", "evil.example:9464", "127.0.0.1.evil.example", "10.0.0.1:9464", "localhost:", "localhost:x", ":1"]
        {
            assert!(!is_loopback_host(host.as_bytes()), "{host}");
        }
        assert!(!is_loopback_host(&[0xff, b'a']));
    }
}
