//! One way to talk to a single Redis and to a cluster.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, Pipeline, Script, ServerErrorKind, TlsCertificates, Value,
    aio::{ConnectionLike as _, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_routing::{MultipleNodeRoutingInfo, Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
};

use super::{cluster::Cluster, scripts::Arguments, url::Address};
use crate::engine::ports::StoreError;

/// Longest pause between attempts to connect again.
const RECONNECT_DELAY_MAX: Duration = Duration::from_secs(1);
/// Attempts to connect before commands fail; the next command begins anew.
const RECONNECTS_MAX: usize = 4;
/// A connection stands after this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Times that a command follows a slot to another node.
const REDIRECTS_MAX: u32 = 4;

/// Commands that travel together at most.
const PIPELINE_MAX: usize = 128;

/// Why there is no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Failure {
    /// Redis said no: nothing was done.
    #[error("{0}")]
    Refused(String),
    /// No answer: it may have been done, or may be done yet.
    #[error("{0}")]
    Unknown(String),
    /// The answer makes no sense.
    #[error("{0}")]
    Unreadable(String),
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) | Failure::Unknown(why) => Self::Unavailable(why),
            Failure::Unreadable(why) => Self::Damaged(why),
        }
    }
}

#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(Arc<Cluster>),
}

/// A connection that many tasks share; it heals by itself.
pub(super) struct Link {
    connection: Connection,
    timeout: Duration,
    closed: AtomicBool,
}

fn failure(error: &redis::RedisError) -> Failure {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::ClusterDown | ServerErrorKind::MasterDown)
        | ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound => Failure::Unknown(error.to_string()),
        ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused(error.to_string()),
        ErrorKind::UnexpectedReturnType => Failure::Unreadable(error.to_string()),
        _ => Failure::Unknown(error.to_string()),
    }
}

impl Link {
    /// Connects to the nodes of `address`.
    pub(super) async fn open(address: &Address) -> Result<Self, StoreError> {
        let cant = |error: &redis::RedisError| StoreError::Unavailable(format!("can't reach Redis: {error}"));
        let roots = address.ca_file.as_ref().map(|path| {
            let unreadable = |error| StoreError::Unavailable(format!("can't read {}: {error}", path.display()));
            std::fs::read(path).map_err(unreadable)
        });
        let certificates = TlsCertificates {
            client_tls: None,
            root_cert: roots.transpose()?,
        };
        let connection = if address.is_cluster {
            let mut builder = ClusterClientBuilder::new(address.nodes.clone())
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(address.timeout)
                .overall_response_timeout(Some(address.timeout))
                .retries(REDIRECTS_MAX);
            if let Some(username) = &address.username {
                builder = builder.username(username);
            }
            if let Some(password) = &address.password {
                builder = builder.password(password);
            }
            if address.ca_file.is_some() {
                builder = builder.certs(certificates);
            }
            let client = builder.build().map_err(|error| cant(&error))?;
            let cluster = Cluster::open(client).await.map_err(|error| cant(&error))?;
            Connection::Cluster(Arc::new(cluster))
        } else {
            let node = address.nodes.first().map(String::as_str).unwrap_or_default();
            let info = redis::IntoConnectionInfo::into_connection_info(node).map_err(|error| cant(&error))?;
            let mut settings = info.redis_settings().clone();
            if let Some(username) = &address.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = &address.password {
                settings = settings.set_password(password);
            }
            let info = info.set_redis_settings(settings);
            let client = if address.ca_file.is_some() {
                Client::build_with_tls(info, certificates)
            } else {
                Client::open(info)
            };
            let client = client.map_err(|error| cant(&error))?;
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(Some(address.timeout))
                .set_max_delay(RECONNECT_DELAY_MAX)
                .set_number_of_retries(RECONNECTS_MAX);
            let manager = ConnectionManager::new_with_config(client, config).await;
            Connection::Single(manager.map_err(|error| cant(&error))?)
        };
        Ok(Self {
            connection,
            timeout: address.timeout,
            closed: AtomicBool::new(false),
        })
    }

    /// Takes no more commands.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether keys with different tags may lie on different servers.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.connection, Connection::Cluster(_))
    }

    fn check_open(&self) -> Result<(), Failure> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Failure::Refused("it is closed".to_owned()));
        }
        Ok(())
    }

    async fn send(&self, command: &Cmd) -> Result<redis::RedisResult<Value>, Failure> {
        self.check_open()?;
        let mut connection = self.connection.clone();
        let answer = async {
            let value = match &mut connection {
                Connection::Single(manager) => manager.req_packed_command(command).await,
                Connection::Cluster(cluster) => cluster.connection().req_packed_command(command).await,
            };
            value.and_then(Value::extract_error)
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        self.note(answer.as_ref().ok());
        answer.map_err(|_| self.too_late())
    }

    /// Notes what came of a command; `None`: nothing in time.
    fn note<T>(&self, answer: Option<&redis::RedisResult<T>>) {
        let Connection::Cluster(cluster) = &self.connection else {
            return;
        };
        cluster.note(match answer {
            None => false,
            Some(Ok(_)) => true,
            Some(Err(error)) => matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension),
        });
    }

    /// Sends commands together and waits once; a single Redis gets them in one go.
    async fn send_all(&self, commands: Vec<Cmd>) -> Vec<Result<redis::RedisResult<Value>, Failure>> {
        let manager = match &self.connection {
            Connection::Single(manager) if commands.len() > 1 => manager,
            _ => return join_all(commands.iter().map(|command| self.send(command))).await,
        };
        let all = commands.len();
        let mut commands = commands.into_iter();
        let mut pipelines = Vec::with_capacity(all.div_ceil(PIPELINE_MAX));
        while commands.len() > 0 {
            let mut pipeline = Pipeline::with_capacity(commands.len().min(PIPELINE_MAX));
            for command in commands.by_ref().take(PIPELINE_MAX) {
                pipeline.add_command(command);
            }
            pipelines.push(pipeline);
        }
        let parts = pipelines.into_iter().map(async |pipeline| {
            let count = pipeline.len();
            let mut manager = manager.clone();
            let answers = manager.send_packed_commands(&pipeline, 0, count);
            let answers = match tokio::time::timeout(self.timeout, answers).await {
                Ok(Ok(answers)) if answers.len() == count => Ok(answers),
                Ok(Ok(answers)) => Err(Failure::Unknown(format!(
                    "Redis gave {} answers to {count} commands",
                    answers.len(),
                ))),
                Ok(Err(error)) => Err(failure(&error)),
                Err(_) => Err(self.too_late()),
            };
            match answers {
                Ok(answers) => answers.into_iter().map(|answer| Ok(answer.extract_error())).collect(),
                Err(failure) => vec![Err(failure); count],
            }
        });
        match self.check_open() {
            Ok(()) => join_all(parts).await.into_iter().flatten().collect(),
            Err(failure) => vec![Err(failure); all],
        }
    }

    fn too_late(&self) -> Failure {
        Failure::Unknown(format!("Redis did not answer within {:?}", self.timeout))
    }

    /// Sends commands together, each to the node of its first key. An answer for each.
    pub(super) async fn ask_all<T: FromRedisValue>(&self, commands: Vec<Cmd>) -> Vec<Result<T, Failure>> {
        let answers = self.send_all(commands).await.into_iter();
        answers
            .map(|answer| read(answer?.map_err(|error| failure(&error))?))
            .collect()
    }

    /// Runs a script for several keys and arguments at once, each as [`Link::run`] does. An answer for each.
    pub(super) async fn run_all<T: FromRedisValue>(
        &self,
        script: &Script,
        text: &str,
        runs: &[(&str, &Arguments)],
    ) -> Vec<Result<T, Failure>> {
        let commands = runs.iter().map(|(key, arguments)| {
            let mut command = in_slot("EVALSHA", script.get_hash(), key);
            command.arg(*arguments);
            command
        });
        let mut answers = Vec::with_capacity(runs.len());
        for (answer, (key, arguments)) in self.send_all(commands.collect()).await.into_iter().zip(runs) {
            answers.push(match answer {
                // The first one tells the server the script.
                Ok(Err(error)) if is_unknown_script(&error) => self.run(script, text, key, arguments).await,
                Ok(answer) => answer.map_err(|error| failure(&error)).and_then(read),
                Err(failure) => Err(failure),
            });
        }
        answers
    }

    /// Sends a command, to the node of its first key.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Failure> {
        let value = self.send(command).await?.map_err(|error| failure(&error))?;
        read(value)
    }

    /// Runs a script in the slot of `key`.
    ///
    /// It names two keys that never exist. While a cluster moves the slot, a node that no longer has all of it then sends
    /// the script on, and the node that has not all of it yet says TRYAGAIN: no script sees half of a partition.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        text: &str,
        key: &str,
        arguments: &Arguments,
    ) -> Result<T, Failure> {
        let command = |name: &str, script: &str| {
            let mut command = in_slot(name, script, key);
            command.arg(arguments);
            command
        };
        let value = match self.send(&command("EVALSHA", script.get_hash())).await? {
            Err(error) if is_unknown_script(&error) => self.send(&command("EVAL", text)).await?,
            answer => answer,
        };
        read(value.map_err(|error| failure(&error))?)
    }

    /// Asks every master; a single Redis is one.
    pub(super) async fn ask_masters<T: FromRedisValue>(&self, command: &Cmd) -> Result<Vec<T>, Failure> {
        self.check_open()?;
        let Connection::Cluster(cluster) = &self.connection else {
            return Ok(vec![self.ask(command).await?]);
        };
        let routing = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let value = cluster.connection().route_command(command.clone(), routing).await;
        match value.and_then(Value::extract_error).map_err(|error| failure(&error))? {
            Value::Map(answers) => answers.into_iter().map(|(_, answer)| read(answer)).collect(),
            other => Err(Failure::Unreadable(format!("masters answered {other:?}"))),
        }
    }

    /// Which slots lie together, by a number for each master; nothing when it is no cluster.
    pub(super) async fn masters(&self) -> Result<Vec<(RangeInclusive<u16>, usize)>, Failure> {
        if matches!(self.connection, Connection::Single(_)) {
            return Ok(Vec::new());
        }
        let rows: Vec<Vec<Value>> = self.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let mut names: Vec<String> = Vec::new();
        rows.into_iter()
            .map(|row| {
                let [first, last, master, ..] = &row[..] else {
                    return Err(Failure::Unreadable("slots of nobody".to_owned()));
                };
                let name = format!("{master:?}");
                let number = names.iter().position(|known| *known == name).unwrap_or(names.len());
                if number == names.len() {
                    names.push(name);
                }
                Ok((read(first.clone())?..=read(last.clone())?, number))
            })
            .collect()
    }

    /// Sends commands to the master of `slot`, then waits until that many replicas have what they wrote. Answers of the
    /// commands, each perhaps an error, and how many replicas have it.
    pub(super) async fn pipeline_and_wait(
        &self,
        mut pipeline: Pipeline,
        slot: u16,
        replicas: u8,
    ) -> Result<(Vec<Value>, u64), Failure> {
        self.check_open()?;
        // The answer must come before it is given up.
        let patience = self.timeout.mul_f32(0.8).as_millis() as u64;
        pipeline.cmd("WAIT").arg(replicas).arg(patience);
        let count = pipeline.len();
        let answers = async {
            match &self.connection {
                Connection::Single(manager) => manager.clone().send_packed_commands(&pipeline, 0, count).await,
                Connection::Cluster(cluster) => {
                    let master = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
                    let mut connection = cluster.connection();
                    connection.route_pipeline(pipeline.clone(), 0, count, master).await
                }
            }
        };
        let answers = tokio::time::timeout(self.timeout, answers).await;
        self.note(answers.as_ref().ok());
        let mut answers = answers.map_err(|_| self.too_late())?.map_err(|error| failure(&error))?;
        let reached = answers
            .pop()
            .ok_or_else(|| Failure::Unreadable("no answer to WAIT".to_owned()))?;
        let reached = reached.extract_error().map_err(|error| failure(&error))?;
        Ok((answers, read(reached)?))
    }

    /// Learns where a key is now: a pipeline does not follow it.
    pub(super) async fn find_again(&self, key: &str) {
        if let Err(failure) = self.ask::<i64>(redis::cmd("EXISTS").arg(key)).await {
            tracing::debug!(%failure, "a slot is still looked for");
        }
    }
}

fn is_unknown_script(error: &redis::RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// A script's command without its arguments.
pub(super) fn in_slot(name: &str, script: &str, key: &str) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(2).arg(key).arg(format!("{key}:never"));
    command
}

pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, Failure> {
    T::from_redis_value(value).map_err(|error| Failure::Unreadable(error.to_string()))
}
