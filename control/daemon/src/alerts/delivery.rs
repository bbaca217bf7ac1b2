//! Delivery to a command: one process an event, JSON on its standard input. Each has its time, a failure is tried again, and
//! nobody waits for any of it.

use std::collections::VecDeque;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tern_config::Alerts as AlertsConfig;
use tern_config::alerts::{AlertEvent, DeliveryFacts};

/// Commands that run at once.
const RUNNING_MAX: usize = 8;
/// Events that wait for a command that does not take them; the oldest go first.
const WAITING_MAX: usize = 1024;
/// Pause before the second try; twice as long before each further one.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long a daemon that ends waits for what is under way.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

struct Attempt {
    line: String,
    tries: u32,
    due: Instant,
}

struct Running {
    child: Child,
    attempt: Attempt,
    until: Instant,
}

pub(super) struct Delivery {
    command: Vec<String>,
    timeout: Duration,
    retries: u32,
    waiting: VecDeque<Attempt>,
    running: Vec<Running>,
    facts: DeliveryFacts,
}

impl Delivery {
    pub(super) fn new(config: &AlertsConfig) -> Self {
        Self {
            command: config.command.clone(),
            timeout: Duration::from_millis(config.timeout_ms),
            retries: config.retries,
            waiting: VecDeque::new(),
            running: Vec::new(),
            facts: DeliveryFacts::default(),
        }
    }

    pub(super) fn deliver(&mut self, event: &AlertEvent) {
        if self.command.is_empty() {
            return;
        }
        let line = serde_json::to_string(event).unwrap_or_default() + "\n";
        self.waiting.push_back(Attempt { line, tries: 0, due: Instant::now() });
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
            self.facts.failed += 1;
        }
    }

    /// Starts what is due, and looks after what runs.
    pub(super) fn poll(&mut self) {
        let now = Instant::now();
        for mut run in std::mem::take(&mut self.running) {
            match run.child.try_wait() {
                Ok(Some(status)) if status.success() => {
                    self.facts.delivered += 1;
                    self.facts.trouble.clear();
                }
                Ok(Some(status)) => self.failed(run.attempt, &status.to_string()),
                Ok(None) if now < run.until => self.running.push(run),
                Ok(None) => {
                    let _ = run.child.kill();
                    let _ = run.child.wait();
                    let why = format!("no end within {} ms", self.timeout.as_millis());
                    self.failed(run.attempt, &why);
                }
                Err(error) => self.failed(run.attempt, &error.to_string()),
            }
        }
        while self.running.len() < RUNNING_MAX
            && let Some(at) = self.waiting.iter().position(|attempt| attempt.due <= now)
            && let Some(attempt) = self.waiting.remove(at)
        {
            match start(&self.command, &attempt.line) {
                Ok(child) => self.running.push(Running { child, attempt, until: now + self.timeout }),
                Err(error) => self.failed(attempt, &error.to_string()),
            }
        }
    }

    fn failed(&mut self, mut attempt: Attempt, why: &str) {
        tracing::warn!(command = ?self.command, tries = attempt.tries + 1, "an alert was not delivered: {why}");
        self.facts.attempts_failed += 1;
        why.clone_into(&mut self.facts.trouble);
        if attempt.tries >= self.retries {
            self.facts.failed += 1;
            return;
        }
        attempt.due = Instant::now() + RETRY_PAUSE.saturating_mul(1 << attempt.tries.min(10));
        attempt.tries += 1;
        self.waiting.push_back(attempt);
    }

    /// What is under way gets a moment, then it is ended.
    pub(super) fn finish(&mut self) {
        let deadline = Instant::now() + LAST_PATIENCE;
        while Instant::now() < deadline && !(self.running.is_empty() && self.waiting.is_empty()) {
            self.poll();
            std::thread::sleep(Duration::from_millis(20));
        }
        for run in &mut self.running {
            let _ = run.child.kill();
            let _ = run.child.wait();
        }
    }

    pub(super) fn facts(&self) -> DeliveryFacts {
        DeliveryFacts { pending: (self.waiting.len() + self.running.len()) as u64, ..self.facts.clone() }
    }
}

/// A line is shorter than a pipe holds (4096 bytes at least), so that writing it waits for nobody.
fn start(command: &[String], line: &str) -> std::io::Result<Child> {
    let [program, arguments @ ..] = command else { return Err(std::io::ErrorKind::InvalidInput.into()) };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read is judged by its exit code.
        let _ = stdin.write_all(line.as_bytes());
    }
    Ok(child)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(command: &[&str], timeout_ms: u64, retries: u32) -> Delivery {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Delivery::new(&AlertsConfig { command, timeout_ms, retries, ..AlertsConfig::default() })
    }

    fn until(delivery: &mut Delivery, done: impl Fn(&DeliveryFacts) -> bool) -> DeliveryFacts {
        let deadline = Instant::now() + Duration::from_secs(20);
        while Instant::now() < deadline && !done(&delivery.facts()) {
            delivery.poll();
            std::thread::sleep(Duration::from_millis(5));
        }
        delivery.facts()
    }

    #[test]
    fn an_event_reaches_the_command_as_one_line_of_json() {
        let file = std::env::temp_dir().join(format!("tern-alert-{}", std::process::id()));
        let script = format!("cat > {}", file.display());
        let mut delivery = delivery(&["sh", "-c", &script], 5000, 0);
        let event = AlertEvent { alert: "disk_low".into(), number: 3, ..AlertEvent::default() };
        delivery.deliver(&event);
        let facts = until(&mut delivery, |facts| facts.delivered == 1);
        assert_eq!((facts.delivered, facts.pending, facts.failed), (1, 0, 0));
        let text = std::fs::read_to_string(&file).expect("the command wrote it");
        std::fs::remove_file(&file).expect("it is ours");
        assert_eq!(serde_json::from_str::<AlertEvent>(&text).expect("JSON"), event);
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn what_fails_is_tried_again_and_what_hangs_is_ended_and_both_are_told() {
        let mut failing = delivery(&["false"], 5000, 1);
        failing.deliver(&AlertEvent::default());
        let facts = until(&mut failing, |facts| facts.failed == 1);
        assert_eq!((facts.attempts_failed, facts.failed, facts.delivered, facts.pending), (2, 1, 0, 0));
        assert!(facts.trouble.contains("exit status: 1"), "{}", facts.trouble);

        let mut hanging = delivery(&["sleep", "100"], 50, 0);
        hanging.deliver(&AlertEvent::default());
        let facts = until(&mut hanging, |facts| facts.failed == 1);
        assert!(facts.failed == 1 && facts.trouble.contains("50 ms"), "{facts:?}");

        let mut absent = delivery(&["/no/such/command"], 50, 0);
        absent.deliver(&AlertEvent::default());
        assert_eq!(until(&mut absent, |facts| facts.failed == 1).failed, 1);
        let mut none = delivery(&[], 50, 0);
        none.deliver(&AlertEvent::default());
        assert_eq!(none.facts(), DeliveryFacts::default());
    }
}
