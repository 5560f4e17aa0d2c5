//! What a `redis:` URL says.

use std::{path::PathBuf, time::Duration};

/// Partitions of a new installation.
const PARTITIONS_DEFAULT: u16 = 256;
const PARTITIONS_MAX: u16 = 4096;
/// A command that has no answer after this may or may not have been done.
const TIMEOUT_DEFAULT: Duration = Duration::from_millis(500);
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// How long facts and ended deliveries are kept.
const KEPT_DAYS_DEFAULT: u32 = 90;
const KEPT_DAYS_MAX: u32 = 3650;
const REPLICAS_MAX: u8 = 8;

/// Where Redis is, and how to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// URLs of the nodes that were named, each `redis://` or `rediss://host:port/db`, without credentials.
    pub(super) nodes: Vec<String>,
    pub(super) is_cluster: bool,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    /// Begins the name of every key.
    pub(super) prefix: String,
    /// As asked for; what an installation has can't be changed.
    pub(super) partitions: Option<u16>,
    pub(super) timeout: Duration,
    /// Replicas that must have an attempt before the push leaves.
    pub(super) replicas: u8,
    pub(super) allow_volatile: bool,
    pub(super) kept: Duration,
    /// Root certificates to trust in place of the system's.
    pub(super) ca_file: Option<PathBuf>,
}

impl Address {
    /// Partitions of a new installation.
    pub(super) fn partitions_wanted(&self) -> u16 {
        self.partitions.unwrap_or(PARTITIONS_DEFAULT)
    }

    /// Reads `redis://`, `rediss://`, `redis+cluster://` or `rediss+cluster://[user[:password]@]host[:port][,...][/db]
    /// [?prefix=..&partitions=..&timeout_ms=..&replicas=..&kept_days=..&allow_volatile=true]`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("has no `://`")?;
        let (is_tls, is_cluster) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+cluster" => (false, true),
            "rediss+cluster" => (true, true),
            _ => return Err(format!("begins with `{scheme}`")),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (credentials, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (username, password) = match credentials.split_once(':') {
            Some((username, password)) => (decode(username)?, decode(password)?),
            None => (None, decode(credentials)?),
        };
        if is_cluster && !database.is_empty() {
            return Err("names a database; a cluster has only one".to_owned());
        }
        if !database.is_empty() && database.parse::<u16>().is_err() {
            return Err(format!("has a database `{database}`, which is no number"));
        }
        let scheme = if is_tls { "rediss" } else { "redis" };
        let nodes = hosts
            .split(',')
            .map(|host| {
                if host.is_empty() {
                    return Err("names no host".to_owned());
                }
                let named_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
                let port = if named_port { "" } else { ":6379" };
                Ok(format!("{scheme}://{host}{port}/{database}"))
            })
            .collect::<Result<Vec<_>, String>>()?;
        if !is_cluster && nodes.len() > 1 {
            return Err("names several hosts; use redis+cluster:// for a cluster".to_owned());
        }
        let address = Self {
            nodes,
            is_cluster,
            username,
            password,
            prefix: "beckon".to_owned(),
            partitions: None,
            timeout: TIMEOUT_DEFAULT,
            replicas: 0,
            allow_volatile: false,
            kept: days(KEPT_DAYS_DEFAULT),
            ca_file: None,
        };
        let address = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .try_fold(address, |address, pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                address.with(name, value)
            })?;
        if address.ca_file.is_some() && !is_tls {
            return Err("has a ca_file, which is for TLS: begin it with `rediss`".to_owned());
        }
        Ok(address)
    }

    fn with(mut self, name: &str, value: &str) -> Result<Self, String> {
        match name {
            "prefix" => {
                let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
                if value.is_empty() || value.len() > 64 || !value.bytes().all(is_plain) {
                    return Err("has a prefix that is not 1 to 64 letters, digits, `-`, `_`, `.` or `:`".to_owned());
                }
                value.clone_into(&mut self.prefix);
            }
            "partitions" => self.partitions = Some(number(name, value, 1, PARTITIONS_MAX)?),
            "timeout_ms" => {
                let limit = TIMEOUT_MAX.as_millis() as u64;
                self.timeout = Duration::from_millis(number(name, value, 10, limit)?);
            }
            "replicas" => self.replicas = number(name, value, 0, REPLICAS_MAX)?,
            "kept_days" => self.kept = days(number(name, value, 1, KEPT_DAYS_MAX)?),
            "ca_file" => self.ca_file = decode(value)?.map(PathBuf::from),
            "allow_volatile" if matches!(value, "true" | "false") => self.allow_volatile = value == "true",
            "allow_volatile" => return Err("has an allow_volatile that is not true or false".to_owned()),
            _ => {
                return Err(format!(
                    "has `{name}`; known are prefix, partitions, timeout_ms, replicas, kept_days, ca_file and allow_volatile"
                ));
            }
        }
        Ok(self)
    }
}

fn days(days: u32) -> Duration {
    Duration::from_hours(u64::from(days) * 24)
}

fn number<T>(name: &str, value: &str, least: T, most: T) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy,
{
    value
        .parse()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("has a {name} that is not a number from {least} to {most}"))
}

/// Undoes percent-encoding; nothing for an empty text.
fn decode(text: &str) -> Result<Option<String>, String> {
    let wrong = || "has something that is not percent-encoded text".to_owned();
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = digit().zip(digit()).ok_or_else(wrong)?;
        bytes.push((high * 16 + low) as u8);
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_where_redis_is_and_how_to_use_it() {
        let one = Address::read("redis://localhost").expect("an address");
        assert_eq!(one.nodes, ["redis://localhost:6379/"]);
        assert_eq!(
            (one.is_cluster, one.prefix.as_str(), one.partitions_wanted()),
            (false, "beckon", 256)
        );
        let many =
            "rediss+cluster://app:p%40ss@a:7000,[::1]:7001,[::2]?prefix=x&timeout_ms=250&replicas=1&partitions=16";
        let many = Address::read(many).expect("an address");
        assert_eq!(
            many.nodes,
            ["rediss://a:7000/", "rediss://[::1]:7001/", "rediss://[::2]:6379/"]
        );
        assert_eq!(
            (many.username.as_deref(), many.password.as_deref()),
            (Some("app"), Some("p@ss"))
        );
        assert_eq!(
            (many.timeout, many.replicas, many.partitions),
            (Duration::from_millis(250), 1, Some(16))
        );
        for (url, why) in [
            ("redis://a,b", "several hosts"),
            ("redis://", "no host"),
            ("redis+cluster://a/1", "a cluster has only one"),
            ("redis://a?partitions=0", "from 1 to 4096"),
            ("redis://a?prefx=x", "known are prefix"),
            ("redis://a?prefix={x}", "prefix that is not"),
            ("redis://%zz@a", "percent-encoded"),
            ("http://a", "begins with `http`"),
            ("redis+cluster://a?ca_file=/roots.pem", "begin it with `rediss`"),
        ] {
            let refused = Address::read(url).expect_err(url);
            assert!(refused.contains(why), "{url}: {refused}");
        }
    }
}
