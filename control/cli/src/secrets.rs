//! Passwords of a configuration, taken out of texts that leave the host.

use tern_config::{Config, Secret};

/// A password that is shorter is a part of other words: it is taken out only where it stands by itself.
const BYTES_MIN: usize = 4;

/// What may be in no text.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// The passwords of a configuration, as they are and as JSON, TOML and logs quote them.
    pub(crate) fn of(config: &Config) -> Self {
        let session = config.session.iter().map(|session| &session.password);
        let all = session.chain(config.drop_copy.iter().map(|copy| &copy.password));
        Self::new(all.map(Secret::reveal))
    }

    fn new<'s>(passwords: impl Iterator<Item = &'s str>) -> Self {
        let mut all = Vec::new();
        for password in passwords.filter(|password| !password.is_empty()) {
            let inner = |quoted: String| quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned();
            let json = serde_json::to_string(password).map(inner).unwrap_or_default();
            all.extend([json, inner(format!("{password:?}")), password.to_owned()]);
        }
        all.retain(|secret| !secret.is_empty());
        // The longest first: one may be a part of another.
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        Self(all)
    }

    /// The text without them.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| hide(&text, secret))
    }
}

fn hide(text: &str, secret: &str) -> String {
    if secret.len() >= BYTES_MIN {
        return text.replace(secret, Secret::HIDDEN);
    }
    let is_word = |found: Option<char>| found.is_some_and(|found| found.is_alphanumeric() || found == '_');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(at) = rest.find(secret) {
        let (head, tail) = (&rest[..at], &rest[at + secret.len()..]);
        let is_alone = !is_word(head.chars().next_back().or(before)) && !is_word(tail.chars().next());
        out.push_str(head);
        out.push_str(if is_alone { Secret::HIDDEN } else { secret });
        before = secret.chars().next_back();
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_go_as_they_are_and_as_they_are_quoted() {
        let secrets = Secrets::new(["a\"b\\cd", "b", "longer", "longer-still", ""].into_iter());
        let quoted = format!("{} {:?} a\"b\\cd", serde_json::json!({ "password": "a\"b\\cd" }), "a\"b\\cd");
        assert_eq!(secrets.hide(&quoted), "{\"password\":\"<hidden>\"} \"<hidden>\" <hidden>");
        assert_eq!(secrets.hide("longer-still, longer."), "<hidden>, <hidden>.");
        let text = "password=b b \"b\" bb abc b_1 -b";
        assert_eq!(secrets.hide(text), "password=<hidden> <hidden> \"<hidden>\" bb abc b_1 -<hidden>");
        assert_eq!(Secrets::default().hide("as it is"), "as it is");
    }
}
