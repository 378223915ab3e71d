//! A PostgreSQL server, a network to it, and servers of the real program.

use std::{
    net::TcpListener,
    process::Stdio,
    sync::{Arc, RwLock},
};

use crate::support::{
    engine::Place,
    postgres::{Cluster, ready},
    process::Process,
    proxy::Proxy,
};
use gatehouse::store;

/// Where the servers can be called just now.
pub type Addresses = Arc<RwLock<Vec<String>>>;

/// What the servers are told beside where the store is: to notice soon what fails.
const HURRY: [(&str, &str); 3] = [
    ("GATEHOUSE_DATABASE_STATEMENT_TIMEOUT_SECONDS", "2"),
    ("GATEHOUSE_DATABASE_LOCK_TIMEOUT_SECONDS", "2"),
    ("GATEHOUSE_DATABASE_ACQUIRE_TIMEOUT_SECONDS", "2"),
];

pub struct Fleet {
    cluster: Cluster,
    pub proxy: Proxy,
    /// The store as the servers reach it.
    place: Place,
    /// The store as the test looks at it.
    pub direct: Place,
    replicas: Vec<Option<Process>>,
    pub addresses: Addresses,
    /// The administrator's token.
    pub root: String,
}

impl Fleet {
    pub async fn start(replicas: usize) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let cluster = Cluster::start(port, true);
        ready(&cluster.url("postgres")).await;
        let proxy = Proxy::before(([127, 0, 0, 1], port).into()).await;
        let direct = Place::at(cluster.url("postgres"));
        store::migrate(&direct.location()).await.unwrap();
        let place = Place::at(format!("postgres://gatehouse@{}/postgres", proxy.address));
        let mut fleet = Self {
            cluster,
            proxy,
            place,
            direct,
            replicas: (0..replicas).map(|_| None).collect(),
            addresses: Arc::new(RwLock::new(vec![String::new(); replicas])),
            root: String::new(),
        };
        for number in 0..replicas {
            fleet.start_again(number).await;
        }
        fleet
    }

    /// Kills a server: it can finish nothing.
    pub fn kill(&mut self, number: usize) {
        self.replicas[number].take().unwrap().kill();
    }

    /// Starts a server in a killed one's place, at another address.
    pub async fn start_again(&mut self, number: usize) {
        let place = Place::at(self.place.url());
        let folder = self.place.folder.path().to_owned();
        // It tells where it listens when it has its store; that must not hold up the load.
        let process = tokio::task::spawn_blocking(move || {
            Process::grpc_in(&folder, &place, &HURRY, "error", Stdio::inherit())
        })
        .await
        .unwrap();
        self.root.clone_from(&process.root);
        self.addresses.write().unwrap()[number].clone_from(&process.grpc);
        self.replicas[number] = Some(process);
    }

    pub fn crash_database(&self) {
        self.cluster.crash();
    }

    pub fn start_database(&mut self) {
        self.cluster.start_again();
    }

    pub fn stop(mut self) {
        for replica in self.replicas.drain(..).flatten() {
            replica.kill();
        }
    }
}
