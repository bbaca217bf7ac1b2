//! NATS servers of `.venv`, one or three, each in a folder of its own, on the loopback interface.

use std::fs;
use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{Folder, wait};

pub(crate) struct Cluster {
    nodes: Vec<Option<Child>>,
    ports: Vec<[u16; 3]>,
    folder: Folder,
}

/// Ports that nobody has now.
fn ports(count: usize) -> Vec<[u16; 3]> {
    let listener = |_| TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let all: Vec<[TcpListener; 3]> = (0..count).map(|_| [0, 1, 2].map(listener)).collect();
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    all.iter().map(|three| [port(&three[0]), port(&three[1]), port(&three[2])]).collect()
}

impl Cluster {
    /// Of so many servers, which sync as `sync` says.
    pub(crate) fn new(count: usize, sync: &str) -> Self {
        let (folder, ports) = (Folder::new(), ports(count));
        let routes: Vec<String> = ports.iter().map(|port| format!("nats://127.0.0.1:{}", port[2])).collect();
        for (index, [client, monitor, route]) in ports.iter().enumerate() {
            let cluster = if count == 1 {
                String::new()
            } else {
                format!("cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [{}] }}\n", routes.join(", "))
            };
            let text = format!(
                "server_name: n{index}\nlisten: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\n\
                 jetstream {{ store_dir: \"{}\", sync_interval: {sync} }}\n{cluster}",
                folder.0.join(format!("n{index}")).display()
            );
            fs::write(folder.0.join(format!("n{index}.conf")), text).expect("written");
        }
        let mut cluster = Self { nodes: (0..count).map(|_| None).collect(), ports, folder };
        (0..count).for_each(|index| cluster.start(index));
        cluster
    }

    /// Starts a server; it dies with this thread.
    pub(crate) fn start(&mut self, index: usize) {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/nats-server");
        assert!(program.exists(), "no nats-server in .venv: scripts/setup --test brings it");
        let log = fs::File::options().create(true).append(true).open(self.folder.0.join("log")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        command.arg("-c").arg(self.folder.0.join(format!("n{index}.conf"))).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        self.nodes[index] = Some(command.spawn().expect("nats-server starts"));
        let port = self.ports[index][0];
        wait("the server answers", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, index: usize) {
        let mut child = self.nodes[index].take().expect("it runs");
        child.kill().expect("killed");
        child.wait().expect("dead");
    }

    /// Which server leads the stream.
    pub(crate) fn leader(&self) -> usize {
        wait("the stream has a leader", || {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.ports[0][1])).ok()?;
            stream.write_all(b"GET /jsz?acc=$G&streams=true HTTP/1.0\r\n\r\n").ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            let said: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()?;
            let leader = said["account_details"][0]["stream_detail"][0]["cluster"]["leader"].as_str()?.to_owned();
            leader.strip_prefix('n')?.parse().ok()
        })
    }

    /// `host:port` of a server: where clients go (0), or its monitor (1).
    pub(crate) fn address(&self, index: usize, place: usize) -> String {
        format!("127.0.0.1:{}", self.ports[index][place])
    }

    /// Asks JetStream.
    pub(crate) fn ask(&self, subject: &str, body: &serde_json::Value) -> serde_json::Value {
        let mut stream = std::net::TcpStream::connect(self.address(0, 0)).expect("a connection");
        let body = body.to_string();
        let text = format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB $JS.API.{subject} answer {}\r\n{body}\r\n",
            body.len()
        );
        stream.write_all(text.as_bytes()).expect("sent");
        let mut lines = std::io::BufReader::new(stream).lines().map(|line| line.expect("a line"));
        lines.find(|line| line.starts_with("MSG answer")).expect("an answer");
        serde_json::from_str(&lines.next().expect("its body")).expect("JSON")
    }

    /// The arguments that name it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let of = |name: &'static str, place: usize| {
            let each = move |ports: &[u16; 3]| [format!("--{name}"), format!("127.0.0.1:{}", ports[place])];
            self.ports.iter().flat_map(each).collect::<Vec<_>>()
        };
        [of("server", 0), of("monitor", 1)].concat()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().flatten() {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
