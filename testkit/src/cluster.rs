//! A cluster of real nats-servers with JetStream: killed, frozen, stopped and started again one by one, and split by its
//! network. Each route from one server to another is a proxy.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use serde_json::Value;

use crate::{BOTH, End, NatsServer, NewConnections, Port, Proxy, Url, holds_within, wait_until};

/// How many servers there are: the fewest of which one may be missing.
const SERVERS: usize = 3;
/// How long one question to a server may take; one that is cut off from the others answers nothing about JetStream.
const ASKING: Duration = Duration::from_secs(1);
/// How long a cluster may take to be whole again: a server that comes back is looked for with growing pauses.
const WHOLE: Duration = Duration::from_secs(60);

/// How the network between servers fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Routes end, and new ones are refused.
    Cut,
    /// Routes stand, and nothing moves on them: each server must notice by itself.
    Stalled,
}

/// Three servers; killed when this is dropped. Its address is the list of all of theirs.
#[derive(Debug)]
pub struct NatsCluster {
    servers: Vec<NatsServer>,
    /// From which server to which.
    routes: BTreeMap<(usize, usize), Proxy>,
    /// Where each says whether it is well.
    monitors: Vec<Port>,
    _held: Vec<Port>,
    _store: tempfile::TempDir,
}

impl Url for NatsCluster {
    fn url(&self) -> String {
        self.servers.iter().map(Url::url).collect::<Vec<_>>().join(",")
    }
}

impl NatsCluster {
    /// Three servers. Returns when they have a leader for JetStream.
    ///
    /// # Panics
    /// There is no nats-server, or the cluster does not come to be.
    pub async fn start() -> Self {
        let store = tempfile::tempdir().unwrap();
        let ports: Vec<Port> = (0..SERVERS).map(|_| Port::reserve()).collect();
        // What servers tell each other of themselves leads nowhere: every route goes through its proxy.
        let nowhere = Port::reserve();
        let monitors: Vec<Port> = (0..SERVERS).map(|_| Port::reserve()).collect();
        let mut routes = BTreeMap::new();
        for from in 0..SERVERS {
            for to in (0..SERVERS).filter(|to| *to != from) {
                routes.insert((from, to), Proxy::to(([127, 0, 0, 1], ports[to].number).into()).await);
            }
        }
        let mut servers = Vec::new();
        for (n, port) in ports.iter().enumerate() {
            let others = routes.iter().filter(|((from, _), _)| *from == n);
            let others: Vec<_> =
                others.map(|(_, route)| format!("nats-route://{}", route.address())).collect();
            let config = format!(
                "http: \"127.0.0.1:{}\"\njetstream {{ store_dir: {:?} }}\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: \"2s\"\ncluster {{ name: test, listen: \"127.0.0.1:{}\", advertise: \"127.0.0.1:{}\", \
                 routes: {others:?} }}",
                monitors[n].number,
                store.path().join(n.to_string()),
                port.number,
                nowhere.number
            );
            servers.push(NatsServer::prepare(Vec::new(), &config));
        }
        for server in &mut servers {
            server.restart().await;
        }
        let held = ports.into_iter().chain([nowhere]).collect();
        let cluster = Self { servers, routes, monitors, _held: held, _store: store };
        wait_until("the cluster has a leader for JetStream", || async {
            cluster.ask("INFO").await.is_some()
        })
        .await;
        cluster
    }

    /// One of the servers, to be killed, frozen, stopped or started again.
    pub fn server(&mut self, n: usize) -> &mut NatsServer {
        &mut self.servers[n]
    }

    /// The address of one server.
    pub fn url_of(&self, n: usize) -> String {
        self.servers[n].url()
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Separates a server from the others. Its clients stay connected to it.
    pub async fn isolate(&self, n: usize, split: Split) {
        for route in
            self.routes.iter().filter(|((from, to), _)| *from == n || *to == n).map(|(_, route)| route)
        {
            match split {
                Split::Cut => route.cut(End::Reset, NewConnections::Refused).await,
                Split::Stalled => route.stall(BOTH),
            }
        }
    }

    /// Lets every route pass again.
    pub async fn heal(&self) {
        for route in self.routes.values() {
            route.heal().await;
        }
    }

    /// Which server leads the stream, as far as one that runs knows it.
    pub async fn leader(&self, stream: &str) -> Option<usize> {
        let info = self.ask(&format!("STREAM.INFO.{stream}")).await?;
        let leader = info["cluster"]["leader"].as_str()?;
        self.servers.iter().position(|server| server.name() == leader)
    }

    /// Waits until a server leads the stream.
    pub async fn led(&self, stream: &str) -> usize {
        wait_until("a server leads the stream", || async { self.leader(stream).await.is_some() }).await;
        self.leader(stream).await.unwrap()
    }

    /// Lets the routes between two servers pass again, and no others.
    pub async fn heal_between(&self, one: usize, other: usize) {
        for pair in [(one, other), (other, one)] {
            self.routes[&pair].heal().await;
        }
    }

    /// Which server leads a consumer, as far as one that runs knows it.
    pub async fn leader_of_consumer(&self, stream: &str, consumer: &str) -> Option<usize> {
        let info = self.ask(&format!("CONSUMER.INFO.{stream}.{consumer}")).await?;
        let leader = info["cluster"]["leader"].as_str()?;
        self.servers.iter().position(|server| server.name() == leader)
    }

    /// On how many servers the stream is kept.
    pub async fn replicas(&self, stream: &str) -> Option<u64> {
        self.ask(&format!("STREAM.INFO.{stream}")).await?["config"]["num_replicas"].as_u64()
    }

    /// How many messages the stream holds.
    pub async fn stored(&self, stream: &str) -> Option<u64> {
        self.ask(&format!("STREAM.INFO.{stream}")).await?["state"]["messages"].as_u64()
    }

    /// Tells the leader of the stream to give way to another one. Returns whether it does.
    pub async fn step_down(&self, stream: &str) -> bool {
        let answer = self.ask(&format!("STREAM.LEADER.STEPDOWN.{stream}")).await;
        answer.is_some_and(|answer| answer["success"] == true)
    }

    /// The same for the leader of a consumer.
    pub async fn step_down_consumer(&self, stream: &str, consumer: &str) -> bool {
        let answer = self.ask(&format!("CONSUMER.LEADER.STEPDOWN.{stream}.{consumer}")).await;
        answer.is_some_and(|answer| answer["success"] == true)
    }

    /// Waits until all servers run, and each has what the stream has: by the stream's leader, which may not have noticed yet that one was
    /// away, and by each server's own word, as an operator looks before the next one is stopped.
    ///
    /// # Panics
    /// That takes longer than a minute.
    pub async fn whole(&self, stream: &str) {
        let whole = holds_within(WHOLE, || async {
            let Some(info) = self.ask(&format!("STREAM.INFO.{stream}")).await else { return false };
            let others = info["cluster"]["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
            if !self.monitors.iter().all(|monitor| is_well(monitor.number)) {
                return false;
            }
            info["cluster"]["leader"].is_string()
                && others.len() == SERVERS - 1
                && others.iter().all(|other| other["current"] == true && other["offline"] != true)
        });
        let whole = whole.await;
        let logs = || self.servers.iter().map(|server| server.log()).collect::<Vec<_>>().join("\n");
        assert!(whole, "the cluster is not whole after {WHOLE:?}:\n{}", logs());
    }

    /// Asks JetStream, over whichever server answers in time; one that is cut off knows no leader.
    async fn ask(&self, subject: &str) -> Option<Value> {
        for server in &self.servers {
            let asked = async {
                let client = client(&server.url()).await?;
                let answer = client.request(format!("$JS.API.{subject}"), "".into()).await.ok()?;
                let answer: Value = serde_json::from_slice(&answer.payload).ok()?;
                let led = answer.get("cluster").is_none_or(|cluster| cluster["leader"].is_string());
                (led && answer.get("error").is_none()).then_some(answer)
            };
            if let Ok(Some(answer)) = tokio::time::timeout(ASKING, asked).await {
                return Some(answer);
            }
        }
        None
    }
}

/// Whether a server says that JetStream is well there: it knows the leader, and has all of its streams and consumers.
fn is_well(monitor: u16) -> bool {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", monitor))?;
        stream.set_read_timeout(Some(ASKING))?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    asked().is_ok_and(|answer| answer.split(' ').nth(1) == Some("200"))
}

/// A client of one server alone.
async fn client(url: &str) -> Option<Client> {
    let options = ConnectOptions::new().ignore_discovered_servers().connection_timeout(ASKING / 2);
    options.connect(url).await.ok()
}
